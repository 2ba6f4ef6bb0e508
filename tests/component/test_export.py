"""The exported pipeline: spaCy alone loads it, it predicts the same, and holds no texts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.language import Language

from handover.domain import Aspect, Kind
from handover.errors import ArtifactError
from handover.student.calibrate import load_calibration
from handover.student.export import export_students
from handover.student.merge import Part
from handover.student.model_card import model_card
from tests.texts import SECRET, choice, entities

Pipelines = dict[Kind, tuple[Aspect, Path]]

TEXTS = {
    Kind.CHOICE: [example.text for example in choice(4, start=300)],
    Kind.ENTITIES: [example.text for example in entities(4, start=300)],
}

META = {
    "aspect": "Stage of the deal",
    "kind": "choice",
    "labels": ["Bid", "Offer"],
    "version": "0123456789ab",
    "dev_score": 0.9,
    "gold_score": 0.95,
    "metric": "cats_acc",
    "gold": 60,
    "teacher": "a-model",
    "prompt_hash": "12345678",
    "teacher_score": 0.8,
    "low": 0.02,
    "high": 0.28,
    "ece": 0.031,
    "n_train": 24,
    "n_dev": 8,
    "n_silver": 0,
    "decision": "",
}

WITHOUT_HANDOVER = """
import json, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "handover":
            raise ImportError("there is no handover here")
sys.meta_path.insert(0, Refuse())
# spaCy loads all entry points of components; where Handover is not installed there are none of ours.
from importlib.metadata import EntryPoint
load = EntryPoint.load
EntryPoint.load = lambda self: None if self.value.startswith("handover.") else load(self)
import spacy
answers = []
for folder, texts in json.loads(sys.argv[1]):
    docs = list(spacy.load(folder).pipe(texts))
    answers.append([[doc.cats, [[e.start_char, e.end_char, e.label_] for e in doc.ents]] for doc in docs])
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def exported(pipelines: Pipelines, tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, Path]:
    """One exported pipeline per kind."""
    tmp_path = tmp_path_factory.mktemp("exported")
    return {kind: export_students([Part(path, META)], tmp_path / kind.value) for kind, (_, path) in pipelines.items()}


def said(nlp: Any, texts: list[str]) -> list[Any]:
    docs = nlp.pipe(texts)
    return [[doc.cats, [[e.start_char, e.end_char, e.label_] for e in doc.ents]] for doc in docs]


def test_export_predicts_the_same_with_spacy_alone(
    exported: dict[Kind, Path], pipelines: Pipelines, loaded: dict[Kind, Language], tmp_path: Path
) -> None:
    work = [[str(exported[kind]), TEXTS[kind]] for kind in pipelines]
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_HANDOVER, json.dumps(work)],
        capture_output=True,
        text=True,
        check=False,
        env=env,
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stderr
    answers = json.loads(run.stdout)
    for kind, answer in zip(pipelines, answers, strict=True):
        assert answer == said(loaded[kind], TEXTS[kind])
        assert any(cats or ents for cats, ents in answer)


def test_export_holds_no_word_of_the_training_texts(exported: dict[Kind, Path], pipelines: Pipelines) -> None:
    trained = pipelines[Kind.CHOICE][1] / "vocab" / "strings.json"
    assert SECRET in trained.read_text(encoding="utf-8"), "spaCy itself does save them"
    for folder in exported.values():
        for file in folder.rglob("*"):
            assert file.is_dir() or SECRET.lower().encode() not in file.read_bytes().lower(), file


def test_export_config_names_neither_handover_nor_local_paths(exported: dict[Kind, Path], pipelines: Pipelines) -> None:
    for kind, folder in exported.items():
        config = (folder / "config.cfg").read_text(encoding="utf-8")
        assert "handover" not in config
        assert str(pipelines[kind][1].parents[1]) not in config
        assert set(spacy.util.load_config(folder / "config.cfg")["paths"].values()) == {None}


def test_export_meta_and_model_card_tell_where_it_comes_from(exported: dict[Kind, Path], pipelines: Pipelines) -> None:
    folder = exported[Kind.CHOICE]
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    assert (meta["name"], meta["version"]) == ("stage_of_the_deal", "0.1.0+0123456789ab")
    assert meta["performance"] == {"dev_score": 0.9, "gold_score": 0.95}
    calibration = load_calibration(pipelines[Kind.CHOICE][1]).to_json()
    assert meta["handover"]["aspects"] == [
        {**META, "components": ["textcat"], "prefix": "", "spans": None, "calibration": calibration}
    ]
    assert (meta["handover"]["logic"], meta["handover"]["code"]) == (None, {})
    card = (folder / "README.md").read_text(encoding="utf-8")
    for line in (
        "# en_stage_of_the_deal 0.1.0+0123456789ab",
        "| This pipeline on gold | 0.950 |",
        "| Its teacher on the same gold | 0.800 |",
        "| Train texts (annotated by people) | 24 |",
        "| Silver texts (answered by the teacher) | 0 |",
        "| Teacher | a-model |",
        "| Hash of its prompt | 12345678 |",
        "| Pipeline minus teacher, with its interval | +0.150 (+0.020 to +0.280) |",
        "| Expected calibration error | 0.031 |",
        "No answer of a language model was trained on as it was (no silver).",
    ):
        assert line in card
    assert "Decision" not in card


def test_model_card_with_nothing_but_a_name() -> None:
    meta = {"lang": "en", "name": "x", "version": "1", "description": "d", "spacy_version": ">=3"}
    card = model_card(meta, ["ner"], size=1_234_567)
    assert "| Size | 1.2 MB |" in card
    assert "None" not in card


def test_export_overwrites_a_pipeline_only_when_forced(pipelines: Pipelines, tmp_path: Path) -> None:
    _, path = pipelines[Kind.CHOICE]
    target = tmp_path / "out"
    target.mkdir()
    for name in ("meta.json", "config.cfg", "left-over"):
        (target / name).write_text("old", encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"is there already.*--force"):
        export_students([Part(path, {"aspect": "new"})], target)
    assert (target / "meta.json").read_text(encoding="utf-8") == "old"
    export_students([Part(path, {"aspect": "new"})], target, force=True)
    assert json.loads((target / "meta.json").read_text(encoding="utf-8"))["name"] == "new"
    assert not (target / "left-over").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"], "nothing is left beside it"


def test_export_never_overwrites_what_is_no_pipeline(pipelines: Pipelines, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(ArtifactError, match="is not a spaCy pipeline, so it is not overwritten"):
        export_students([Part(pipelines[Kind.CHOICE][1], {})], tmp_path / "home", force=True)
    assert (tmp_path / "home" / "thesis.txt").exists()


def test_export_of_a_broken_student_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "student").mkdir()
    with pytest.raises(ArtifactError, match="cannot be loaded"):
        export_students([Part(tmp_path / "student", {})], tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["student"]
