"""Where students are kept: a folder, or any fsspec URL (s3://…, gs://…), so that workers and servers can be
on different machines.

A version is there or it is not: locally its folder is written beside its place and renamed, remotely the
manifest is written last. What a killed process left behind is not a version, and a later save removes it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from handover.errors import ArtifactError, HandoverError
from handover.student.files import appearing, remove_leftovers
from handover.student.manifest import MANIFEST, Manifest, build_manifest, check_folder, parse

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

STALE_AFTER = 3600.0
"""Seconds after which an unfinished write counts as left behind by a killed process."""


class ArtifactStore:
    """Students' folders by version. `cache_dir` keeps local copies of what is stored remotely."""

    def __init__(self, url: str | Path, *, cache_dir: Path, stale_after: float = STALE_AFTER) -> None:
        self.url = str(url)
        self._cache_dir = cache_dir
        self._stale_after = stale_after
        self._fs, self._root = fsspec.core.url_to_fs(self.url)
        self._is_local = isinstance(self._fs, LocalFileSystem)

    def save(self, source_dir: Path, version: str, meta: Mapping[str, Any]) -> str:
        """Keep a copy of a folder as `version`, with a manifest; returns its URI.

        A version has one content, so one that is stored and whole is left as it is; a damaged one is replaced.
        Raises ArtifactError when that fails; then there is either the old version or none.
        """
        _check_version(version)
        manifest = build_manifest(source_dir, version, meta)
        with self._reaching(f"Student {version} cannot be saved"):
            if not self._is_whole(version):
                (self._save_local if self._is_local else self._save_remote)(source_dir, manifest)
        return self.uri(version)

    def fetch(self, version: str) -> Path:
        """A local folder with the version, checked against its manifest; downloaded once where it is remote.

        Raises ArtifactError when it is missing, incomplete, damaged or cannot be reached.
        """
        _check_version(version)
        if self._is_local:
            self.verify(version)
            return Path(self._path(version))
        cached = self._cache_dir / version
        if not _is_good(cached, version):
            self._download(version, cached)
        return cached

    def verify(self, version: str) -> Manifest:
        """Read all files of a stored version and compare them with its manifest.

        Raises ArtifactError that says what is missing or damaged.
        """
        if self._is_local:
            manifest = self.manifest(version)
            check_folder(Path(self._path(version)), manifest)
            return manifest
        _check_version(version)
        with appearing(self._cache_dir / version) as scratch:
            return self._download_into(version, scratch)

    def manifest(self, version: str) -> Manifest:
        """The manifest of a stored version. Raises ArtifactError when there is none."""
        _check_version(version)
        with self._reaching(f"Student {version} cannot be read"):
            self._fs.invalidate_cache()  # another machine may have written since the last look
            if not self._fs.exists(self._path(version, MANIFEST)):
                raise ArtifactError(f"There is no student {version} at {self.url}. Train it again.")
            return parse(self._fs.cat_file(self._path(version, MANIFEST)), version)

    def exists(self, version: str) -> bool:
        """Whether the version was saved completely. Says nothing about damage: that is `verify`."""
        _check_version(version)
        with self._reaching(f"Student {version} cannot be looked up"):
            self._fs.invalidate_cache()
            return bool(self._fs.exists(self._path(version, MANIFEST)))

    def delete(self, version: str) -> None:
        """Remove a version and its local copy; one that is not there is fine."""
        _check_version(version)
        with self._reaching(f"Student {version} cannot be deleted"):
            self._remove(version)
        shutil.rmtree(self._cache_dir / version, ignore_errors=True)

    def uri(self, version: str) -> str:
        """Where the version is or would be kept."""
        _check_version(version)
        return self._path(version) if self._is_local else str(self._fs.unstrip_protocol(self._path(version)))

    def _path(self, *parts: str) -> str:
        return "/".join([self._root.rstrip("/"), *parts])

    def _is_whole(self, version: str) -> bool:
        if not self._fs.exists(self._path(version, MANIFEST)):
            return False
        try:
            self.verify(version)
        except ArtifactError:
            return False
        return True

    def _save_local(self, source_dir: Path, manifest: Manifest) -> None:
        target = Path(self._path(manifest.version))
        with appearing(target) as scratch:
            for path in manifest.files:
                (scratch / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source_dir / path, scratch / path)
            (scratch / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
        remove_leftovers(target.parent, older_than=self._stale_after)

    def _save_remote(self, source_dir: Path, manifest: Manifest) -> None:
        self._remove(manifest.version)  # what a killed upload or damage left
        for path in manifest.files:
            remote = self._path(manifest.version, path)
            self._fs.makedirs(remote.rsplit("/", 1)[0], exist_ok=True)
            self._fs.put_file(str(source_dir / path), remote)
        self._fs.pipe_file(self._path(manifest.version, MANIFEST), manifest.to_json().encode())

    def _remove(self, version: str) -> None:
        if self._fs.exists(self._path(version, MANIFEST)):
            self._fs.rm_file(self._path(version, MANIFEST))  # first, so that half a version is none
        if self._fs.exists(self._path(version)):
            self._fs.rm(self._path(version), recursive=True)

    def _download(self, version: str, target: Path) -> None:
        with appearing(target) as scratch:
            self._download_into(version, scratch)
        remove_leftovers(target.parent, older_than=self._stale_after)

    def _download_into(self, version: str, folder: Path) -> Manifest:
        manifest = self.manifest(version)
        with self._reaching(f"Student {version} cannot be downloaded"):
            for path in manifest.files:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                if self._fs.exists(self._path(version, path)):
                    self._fs.get_file(self._path(version, path), str(folder / path))
        check_folder(folder, manifest)
        (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
        return manifest

    @contextmanager
    def _reaching(self, what: str) -> Iterator[None]:
        """Every fsspec implementation has errors of its own; they all become ArtifactError."""
        try:
            yield
        except HandoverError:
            raise
        except OSError as error:
            raise ArtifactError(f"{what} at {self.url}: {error}.") from error
        except Exception as error:
            if self._is_local:
                raise
            raise ArtifactError(f"{what} at {self.url}: {type(error).__name__}: {error}.") from error


def _check_version(version: str) -> None:
    if not _VERSION.fullmatch(version):
        raise ArtifactError(
            f"{version!r} is not a student's version: up to 64 letters, digits, '-' and '_' are expected."
        )


def _is_good(folder: Path, version: str) -> bool:
    if not (folder / MANIFEST).is_file():
        return False
    try:
        check_folder(folder, parse((folder / MANIFEST).read_bytes(), version))
    except ArtifactError:
        return False
    return True
