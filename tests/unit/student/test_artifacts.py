"""Students' files: there or not there, whole or refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from handover.errors import ArtifactError
from handover.student import artifacts
from handover.student.artifacts import ArtifactStore

VERSION = "0123456789ab"


@pytest.fixture
def student(tmp_path: Path) -> Path:
    """A folder as a pipeline has it."""
    folder = tmp_path / "trained" / "model-best"
    (folder / "vocab").mkdir(parents=True)
    (folder / "meta.json").write_text("{}", encoding="utf-8")
    (folder / "vocab" / "strings.json").write_text('["Straße"]', encoding="utf-8")
    (folder / "model").write_bytes(bytes(range(256)) * 100)
    return folder


@pytest.fixture(params=["local", "remote"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ArtifactStore]:
    """A store in a folder, and one behind fsspec."""
    url = str(tmp_path / "students") if request.param == "local" else "memory://handover-tests/students"
    yield ArtifactStore(url, cache_dir=tmp_path / "cache", stale_after=60)
    memory = fsspec.filesystem("memory")
    if memory.exists("/handover-tests"):
        memory.rm("/handover-tests", recursive=True)


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder but the manifest."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def overwrite(store: ArtifactStore, path: str, data: bytes) -> None:
    with store._fs.open(store._path(VERSION, path), "wb") as file:
        file.write(data)


def test_store_gives_back_what_was_saved(store: ArtifactStore, student: Path) -> None:
    assert not store.exists(VERSION)
    uri = store.save(student, VERSION, {"aspect": "stage"})
    assert uri == store.uri(VERSION)
    assert uri.endswith(VERSION)
    assert store.exists(VERSION)
    assert contents(store.fetch(VERSION)) == contents(student)
    manifest = store.verify(VERSION)
    assert manifest.meta == {"aspect": "stage"}
    assert manifest.files["model"].size == 25_600


def test_store_downloads_a_remote_version_once(tmp_path: Path, student: Path) -> None:
    store = ArtifactStore("memory://handover-tests/once", cache_dir=tmp_path / "cache")
    store.save(student, VERSION, {})
    first = store.fetch(VERSION)
    fsspec.filesystem("memory").rm("/handover-tests", recursive=True)
    assert first == tmp_path / "cache" / VERSION
    assert contents(store.fetch(VERSION)) == contents(student)


def test_store_repairs_a_damaged_local_copy(tmp_path: Path, student: Path) -> None:
    store = ArtifactStore("memory://handover-tests/copy", cache_dir=tmp_path / "cache")
    store.save(student, VERSION, {})
    (store.fetch(VERSION) / "model").write_bytes(b"broken")
    assert contents(store.fetch(VERSION)) == contents(student)
    fsspec.filesystem("memory").rm("/handover-tests", recursive=True)


@pytest.mark.parametrize(
    ("path", "data", "said"),
    [
        ("model", b"\x00" * 25_600, "is damaged: model has 25600 bytes with SHA-256"),
        ("model", b"cut off", "is damaged: model has 7 bytes"),
        ("model", None, "is incomplete: model is missing"),
        ("vocab/strings.json", None, "is incomplete: vocab/strings.json is missing"),
        ("manifest.json", None, f"There is no student {VERSION} at"),
        ("manifest.json", b'{"format": 1', "cannot be read"),
        ("manifest.json", b"[]", "cannot be read"),
        ("manifest.json", b'{"format": 99, "version": "0123456789ab", "files": {}, "meta": {}}', "cannot be read"),
    ],
)
def test_store_refuses_what_is_not_whole(
    store: ArtifactStore, student: Path, path: str, data: bytes | None, said: str
) -> None:
    store.save(student, VERSION, {})
    if data is None:
        store._fs.rm_file(store._path(VERSION, path))
    else:
        overwrite(store, path, data)
    for look in (store.fetch, store.verify):
        with pytest.raises(ArtifactError, match=r"Train (it|the student) again") as caught:
            look(VERSION)
        assert said in str(caught.value)


def test_store_saves_again_over_a_damaged_version(store: ArtifactStore, student: Path) -> None:
    store.save(student, VERSION, {})
    overwrite(store, "model", b"broken")
    store.save(student, VERSION, {})
    assert contents(store.fetch(VERSION)) == contents(student)


def test_store_leaves_a_whole_version_as_it_is(store: ArtifactStore, student: Path) -> None:
    store.save(student, VERSION, {"first": True})
    (student / "model").write_bytes(b"the same version has the same content, whatever the caller brings")
    store.save(student, VERSION, {"first": False})
    assert store.manifest(VERSION).meta == {"first": True}


@pytest.mark.parametrize("evil", ["../escaped", "/etc/escaped", "a/../../escaped"])
def test_store_does_not_write_where_a_manifest_points(store: ArtifactStore, student: Path, evil: str) -> None:
    store.save(student, VERSION, {})
    content = json.loads(store._fs.cat_file(store._path(VERSION, "manifest.json")))
    content["files"][evil] = content["files"]["model"]
    overwrite(store, "manifest.json", json.dumps(content).encode())
    with pytest.raises(ArtifactError, match="names a file outside of its folder"):
        store.fetch(VERSION)


@pytest.mark.parametrize("version", ["", "..", ".", "a/b", "../x", "a\\b", ".hidden", "x" * 65, "a b", "v1\n", "a.b"])
def test_store_refuses_versions_that_are_no_names(store: ArtifactStore, student: Path, version: str) -> None:
    for call in (store.fetch, store.exists, store.delete, store.verify, store.uri):
        with pytest.raises(ArtifactError, match="is not a student's version"):
            call(version)
    with pytest.raises(ArtifactError, match="is not a student's version"):
        store.save(student, version, {})


def test_store_deletes_a_version_and_its_copy(store: ArtifactStore, student: Path, tmp_path: Path) -> None:
    store.save(student, VERSION, {})
    store.fetch(VERSION)
    store.delete(VERSION)
    store.delete(VERSION)
    assert not store.exists(VERSION)
    assert not (tmp_path / "cache" / VERSION).exists()
    with pytest.raises(ArtifactError, match="There is no student"):
        store.fetch(VERSION)


def test_store_refuses_an_empty_folder(store: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArtifactError, match="There are no files"):
        store.save(tmp_path / "empty", VERSION, {})


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the package may catch it and go on."""


def test_store_has_no_version_when_a_local_save_is_killed(
    tmp_path: Path, student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ArtifactStore(str(tmp_path / "students"), cache_dir=tmp_path / "cache")
    copies: list[Any] = []

    def copy_one(source: Path, target: Path) -> None:
        if copies:
            raise Killed
        copies.append(target.write_bytes(source.read_bytes()))

    monkeypatch.setattr(shutil, "copyfile", copy_one)
    monkeypatch.setattr(shutil, "rmtree", lambda *args, **kwargs: None)  # a killed process cleans nothing
    with pytest.raises(Killed):
        store.save(student, VERSION, {})
    monkeypatch.undo()
    assert list((tmp_path / "students").iterdir()), "the test left something behind"
    assert not store.exists(VERSION)
    store.save(student, VERSION, {})
    assert contents(store.fetch(VERSION)) == contents(student)


def test_store_removes_old_leftovers_and_leaves_young_ones(tmp_path: Path, student: Path) -> None:
    root = tmp_path / "students"
    store = ArtifactStore(str(root), cache_dir=tmp_path / "cache", stale_after=60)
    for name in (".handover-old-1", ".handover-young-2"):
        (root / name).mkdir(parents=True)
        (root / name / "model").write_bytes(b"half")
    os.utime(root / ".handover-old-1", (0, 0))
    store.save(student, VERSION, {})
    assert {path.name for path in root.iterdir()} == {VERSION, ".handover-young-2"}


def test_store_has_no_version_when_an_upload_is_killed(
    tmp_path: Path, student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ArtifactStore("memory://handover-tests/killed", cache_dir=tmp_path / "cache")
    overwrite(store, "left-by-another", b"half")
    real = store._fs.put_file

    def put_one(source: str, target: str) -> None:
        real(source, target)
        raise Killed

    monkeypatch.setattr(store._fs, "put_file", put_one)
    with pytest.raises(Killed):
        store.save(student, VERSION, {})
    assert not store.exists(VERSION)
    monkeypatch.undo()
    store.save(student, VERSION, {})
    assert set(store._fs.find(store._path(VERSION))) == {
        store._path(VERSION, path) for path in (*contents(student), "manifest.json")
    }
    fsspec.filesystem("memory").rm("/handover-tests", recursive=True)


def test_store_out_of_reach_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, student: Path) -> None:
    class EndpointError(Exception):
        """As client libraries have them: no OSError."""

    def fail(*args: Any, **kwargs: Any) -> None:
        raise EndpointError("no route")

    store = ArtifactStore("memory://handover-tests/away", cache_dir=tmp_path / "cache")
    monkeypatch.setattr(store._fs, "exists", fail)
    with pytest.raises(ArtifactError, match=r"cannot be saved at memory://.*EndpointError: no route"):
        store.save(student, VERSION, {})


def test_store_disk_full_is_an_artifact_error(tmp_path: Path, student: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(artifacts.shutil, "copyfile", full)
    store = ArtifactStore(str(tmp_path / "students"), cache_dir=tmp_path / "cache")
    with pytest.raises(ArtifactError, match=r"cannot be saved at .*No space left on device"):
        store.save(student, VERSION, {})
    assert list((tmp_path / "students").iterdir()) == []
