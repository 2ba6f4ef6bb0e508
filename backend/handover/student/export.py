"""Write a student as a spaCy pipeline that needs nothing but spaCy, and holds nobody's texts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handover.errors import ArtifactError
from handover.student.files import appearing
from handover.student.model_card import model_card
from handover.student.pipeline import load_student

if TYPE_CHECKING:
    from spacy.language import Language

OUR_PREFIX = "handover."


def export_student(nlp_path: Path, target: Path, *, meta: Mapping[str, Any], force: bool = False) -> Path:
    """Write the student in `nlp_path` to the folder `target`, with meta.json and a model card; returns `target`.

    `spacy.load(target)` works where only spaCy is installed, and predicts the same. `meta` holds JSON values:
    aspect, kind, labels, version, dev_score, gold scores, teacher … What is not known may be missing.

    Raises ArtifactError when `target` is there already (with `force`: when it is not a spaCy pipeline) or cannot
    be written, when the student cannot be loaded, or when its config needs Handover.
    """
    _check_target(target, force=force)
    nlp = load_student(nlp_path)
    _clean_config(nlp)
    _set_meta(nlp, meta)
    try:
        with appearing(target.resolve()) as scratch:
            _write(nlp, scratch, meta)
    except OSError as error:
        raise ArtifactError(f"The pipeline cannot be written to {target}: {error}.") from error
    return target


def _write(nlp: Language, folder: Path, meta: Mapping[str, Any]) -> None:
    nlp.to_disk(folder)
    _prune_strings(nlp, folder)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    (folder / "README.md").write_text(model_card(nlp.meta, nlp.pipe_names, meta, size=size), encoding="utf-8")
    load_student(folder)


def _check_target(target: Path, *, force: bool) -> None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not force:
        raise ArtifactError(f"{target} is there already. Choose another folder, or overwrite it with --force.")
    if not ((target / "meta.json").is_file() and (target / "config.cfg").is_file()):
        raise ArtifactError(f"{target} is not a spaCy pipeline, so it is not overwritten. Choose another folder.")


def _clean_config(nlp: Language) -> None:
    """Take local paths and what only Handover knows out of the config."""
    config = nlp.config.copy()
    config["paths"] = dict.fromkeys(config["paths"])
    config["training"]["logger"] = {"@loggers": "spacy.ConsoleLogger.v1"}
    nlp.config = config
    ours = sorted({value for key, value in _registered(config) if value.startswith(OUR_PREFIX)})
    if ours:
        raise ArtifactError(
            f"The recipe uses {', '.join(ours)}, which an environment with only spaCy does not have. Use a recipe "
            "of spaCy's own parts for a student that is to be exported."
        )


def _registered(config: Any) -> Iterator[tuple[str, str]]:
    """The names of registered functions and factories in a config."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _registered(value)
        elif isinstance(value, str) and (key.startswith("@") or key == "factory"):
            yield key, value


def _set_meta(nlp: Language, meta: Mapping[str, Any]) -> None:
    version = re.sub(r"[^a-z0-9]+", ".", str(meta.get("version", "")).lower()).strip(".")
    aspect = str(meta.get("aspect", "student"))
    nlp.meta.update(
        {
            # A package name; what follows the + is a local version in the sense of PEP 440.
            "name": re.sub(r"[^a-z0-9]+", "_", aspect.lower()).strip("_") or "student",
            "version": f"0.1.0+{version}" if version else "0.1.0",
            "description": f"Answers {aspect!r} ({meta.get('kind', 'unknown kind')}). Distilled with Handover.",
            "performance": {key: meta[key] for key in ("dev_score", "gold_score") if key in meta},
            "handover": dict(meta),
        }
    )


def _prune_strings(nlp: Language, folder: Path) -> None:
    """Keep only the strings that spaCy brings itself, and the labels.

    spaCy saves every string it has seen, so the words of all training texts. The models work on hashes; they
    need no string but the labels (`StringStore`, https://spacy.io/api/stringstore).
    """
    import spacy  # noqa: PLC0415 - heavy

    own = set(spacy.blank(nlp.lang).vocab.strings)
    labels = {label for name in nlp.pipe_names for label in getattr(nlp.get_pipe(name), "labels", ())}
    text = json.dumps(sorted(own | labels), ensure_ascii=False)
    (folder / "vocab" / "strings.json").write_text(text, encoding="utf-8")
