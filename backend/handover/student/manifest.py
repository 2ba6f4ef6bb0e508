"""The list of a student's files with their hashes: what makes damage visible."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from handover.errors import ArtifactError

MANIFEST = "manifest.json"
FORMAT = 1


@dataclass(frozen=True)
class FileEntry:
    """A file's SHA-256 (hex) and its size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """What belongs to one version: files by relative path, and free-form `meta` (JSON values)."""

    version: str
    files: Mapping[str, FileEntry]
    meta: Mapping[str, Any]

    def to_json(self) -> str:
        """The manifest as JSON text; `parse` reads it back."""
        files = {path: {"sha256": e.sha256, "size": e.size} for path, e in sorted(self.files.items())}
        content = {"format": FORMAT, "version": self.version, "files": files, "meta": dict(self.meta)}
        return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def build_manifest(folder: Path, version: str, meta: Mapping[str, Any]) -> Manifest:
    """The manifest of all files in a folder. Raises ArtifactError when there are none."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    entries = {path.relative_to(folder).as_posix(): describe(path) for path in paths}
    entries.pop(MANIFEST, None)
    if not entries:
        raise ArtifactError(f"There are no files in {folder} to save as student {version}.")
    return Manifest(version=version, files=entries, meta=meta)


def parse(text: str | bytes, version: str) -> Manifest:
    """Read a manifest. Raises ArtifactError when it is not one of this version."""
    try:
        content = json.loads(text)
        if content["format"] != FORMAT or content["version"] != version:
            raise ValueError("format or version differ")
        files = {str(p): FileEntry(str(e["sha256"]), int(e["size"])) for p, e in content["files"].items()}
        meta = dict(content["meta"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(
            f"{MANIFEST} of student {version} cannot be read ({error}). Train the student again."
        ) from error
    for path in files:
        _check_path(path, version)
    return Manifest(version=version, files=files, meta=meta)


def check_folder(folder: Path, manifest: Manifest) -> None:
    """Raises ArtifactError when a file of the manifest is missing or not the one that was saved."""
    for path, entry in manifest.files.items():
        file = folder / path
        if not file.is_file():
            raise ArtifactError(f"Student {manifest.version} is incomplete: {path} is missing. Train it again.")
        found = describe(file)
        if found != entry:
            raise ArtifactError(
                f"Student {manifest.version} is damaged: {path} has {found.size} bytes with SHA-256 "
                f"{found.sha256[:12]}…, expected {entry.size} with {entry.sha256[:12]}…. Train it again."
            )


def describe(path: Path) -> FileEntry:
    """Hash and size of a file."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return FileEntry(digest.hexdigest(), path.stat().st_size)


def _check_path(path: str, version: str) -> None:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path or not pure.parts:
        raise ArtifactError(f"{MANIFEST} of student {version} names a file outside of its folder: {path!r}.")
