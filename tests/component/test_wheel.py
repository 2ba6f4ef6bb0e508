"""The wheel: what is in it, and that it was tried."""

from __future__ import annotations

import json
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import spacy

from handover.domain import Aspect, Kind
from handover.errors import ArtifactError
from handover.logic.table import read_logic
from handover.student.export import export_students
from handover.student.wheel import build_wheel
from tests.component.test_merge import part
from tests.texts import SECRET

Pipelines = dict[Kind, tuple[Aspect, Path]]

LOGIC = """
[catalog]
table = "places.csv"
names = ["name"]
reference = "code"
as_of = "2026-01-01"

[find]
aspect = "terms"
labels = ["PLACE"]
"""


@pytest.fixture(scope="module")
def pipeline(pipelines: Pipelines, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A choice, a recognizer, and a catalogue of places."""
    folder = tmp_path_factory.mktemp("logic")
    (folder / "logic.cfg").write_text(LOGIC, encoding="utf-8")
    (folder / "places.csv").write_text("code,name\nNL,Rotterdam\n", encoding="utf-8")
    parts = [part(path, aspect) for aspect, path in pipelines.values()]
    return export_students(parts, folder / "out", name="deals", logic=read_logic(folder / "logic.cfg"))


@pytest.fixture(scope="module")
def wheel(pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of it."""
    return build_wheel(pipeline, tmp_path_factory.mktemp("dist") / "new")


def test_wheel_is_a_package_that_spacy_finds(pipeline: Path, wheel: Path) -> None:
    version = json.loads((pipeline / "meta.json").read_text())["version"]
    assert wheel.name == f"en_deals-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        info = f"en_deals-{version}.dist-info"
        metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
    assert entry_points.split() == ["[spacy_models]", "en_deals", "=", "en_deals"]
    major, minor = map(int, spacy.__version__.split(".")[:2])
    assert metadata.get_all("Requires-Dist") == [f"spacy<{major}.{minor + 1}.0,>={spacy.__version__}"]
    assert "# en_deals" in str(metadata.get_payload())
    data = f"en_deals/en_deals-{version}"
    assert {"en_deals/__init__.py", "en_deals/catalog.py", "en_deals/meta.json", f"{data}/config.cfg"} <= names
    assert f"{data}/catalog.py" not in names
    assert f"{data}/business_logic/catalog.json" in names


def test_wheel_holds_no_word_of_the_training_texts(wheel: Path) -> None:
    needle = SECRET.lower().encode()
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            assert needle not in archive.read(name).lower(), name


def test_wheel_is_not_overwritten_and_takes_a_folder(pipeline: Path, wheel: Path) -> None:
    with pytest.raises(ArtifactError, match=r"is there already.*--force"):
        build_wheel(pipeline, wheel.parent)
    with pytest.raises(ArtifactError, match="is a file; --wheel takes a folder"):
        build_wheel(pipeline, wheel)
    assert [path.name for path in wheel.parent.iterdir()] == [wheel.name]
