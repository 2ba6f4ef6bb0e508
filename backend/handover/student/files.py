"""Folders that appear all at once or not at all."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = ".handover-"


@contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """A scratch folder beside `target` that takes its place at the end of the block; on an error nothing changes.

    A folder that is at `target` already is replaced. The files are on disk before the name changes.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.parent / f"{_PREFIX}{target.name}-{uuid.uuid4().hex}"
    scratch.mkdir()
    try:
        yield scratch
        _sync(scratch)
        _swap(scratch, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def remove_leftovers(folder: Path, *, older_than: float) -> int:
    """Remove what killed processes left in `folder` longer than `older_than` seconds ago; returns how many.

    Younger ones may belong to a process that is still writing.
    """
    removed = 0
    for path in folder.glob(f"{_PREFIX}*"):
        if time.time() - path.stat().st_mtime > older_than:
            shutil.rmtree(path, ignore_errors=True)
            removed += 1
    return removed


def _swap(scratch: Path, target: Path) -> None:
    old = target.parent / f"{_PREFIX}{target.name}-old-{uuid.uuid4().hex}"
    had_old = target.exists()
    if had_old:
        target.rename(old)
    try:
        scratch.rename(target)
    except OSError:
        if had_old:
            old.rename(target)
        raise
    _sync_one(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def _sync(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        _sync_one(path)


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
