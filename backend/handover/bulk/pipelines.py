"""Exported pipelines: where they are, which ones they are, and what they answer for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from handover.bulk.fields import FIELDS
from handover.errors import ConfigError
from handover.student.export import FORMAT
from handover.student.manifest import build_manifest

Facts = Mapping[str, Any]


def find_pipeline(name: str) -> Path:
    """The folder of an exported pipeline: `name` itself, or the data of an installed package with this name.

    Raises ConfigError when there is none.
    """
    from spacy.util import get_package_path, is_package  # noqa: PLC0415 - heavy

    folder = Path(name)
    if not folder.is_dir() and is_package(name):
        package = get_package_path(name)
        folder = next((path.parent for path in package.glob("*/config.cfg")), package)
    if not (folder / "meta.json").is_file():
        raise ConfigError(
            f"{name!r} is neither the folder of a pipeline nor an installed package. Write one with `handover export`."
        )
    return folder


def pipeline_hash(folder: Path) -> str:
    """A hash of all files, the same on every machine that has the pipeline."""
    files = build_manifest(folder, "", {}).files
    hashes = sorted((path, entry.sha256) for path, entry in files.items() if not path.endswith(".pyc"))
    return hashlib.sha256(json.dumps(hashes).encode()).hexdigest()[:16]


def read_meta(folder: Path) -> dict[str, Any]:
    """The pipeline's meta.json. Raises ConfigError when it cannot be read."""
    try:
        return dict(json.loads((folder / "meta.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder / 'meta.json'} cannot be read: {error}. Export the pipeline again.") from error


def aspects_of(meta: Mapping[str, Any], folder: Path) -> list[Facts]:
    """What the pipeline answers for. Raises ConfigError when it was not exported by this Handover."""
    known = meta.get("handover") or {}
    aspects: Sequence[Facts] = known.get("aspects") or ()
    if known.get("format") != FORMAT or not aspects or any(fact.get("kind") not in FIELDS for fact in aspects):
        raise ConfigError(
            f"{folder} does not say which aspects it answers for. Export it with this version of `handover export`."
        )
    return [*aspects]


def has_catalog(meta: Mapping[str, Any]) -> bool:
    """Whether the pipeline ends in business logic."""
    return bool(meta["handover"].get("logic"))
