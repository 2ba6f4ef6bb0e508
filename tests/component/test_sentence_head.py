"""Classification by words and a frozen encoder, on a random one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import spacy

from handover.student.encoder import load_encoder, remembering_encoder
from handover.student.export import export_students
from handover.student.merge import Part
from handover.student.pipeline import load_student, predict
from handover.student.resources import Resources
from handover.student.sentence_head import _gelu
from handover.student.training import TrainedStudent, TrainingSet, TrainOptions, train_student
from tests.texts import SECRET, STAGE, choice
from tests.tiny_encoder import write_encoder

for _library in ("tokenizers", "safetensors"):  # the extra `encoder`
    pytest.importorskip(_library)

TEXTS = [*(e.text for e in choice(5, start=300)), "", " \n", "😀"]

LOAD_WITHOUT_HANDOVER = """
import importlib.util, json, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "handover":
            raise ImportError("there is no handover here")
sys.meta_path.insert(0, Refuse())
from importlib.metadata import EntryPoint
load = EntryPoint.load
EntryPoint.load = lambda self: None if self.value.startswith("handover.") else load(self)
spec = importlib.util.spec_from_file_location("sentence_head", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules["sentence_head"] = module
spec.loader.exec_module(module)
import spacy
nlp = spacy.load(sys.argv[2], config={"training": {"logger": {"@loggers": "spacy.ConsoleLogger.v1"}}})
print(json.dumps([doc.cats for doc in nlp.pipe(json.loads(sys.argv[3]))]))
"""


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def trained(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedStudent:
    options = TrainOptions(recipes=("choice-head",), resources=Resources(encoder=encoder_folder))
    examples = TrainingSet(choice(24), choice(8, start=50), choice(12, start=90))
    return train_student(STAGE, examples, options=options, workdir=tmp_path_factory.mktemp("head"))


def test_train_student_fits_a_head(trained: TrainedStudent) -> None:
    assert trained.dev_score == 1.0
    assert [(row["labels"], row["steps"]) for row in trained.report["candidates"]] == [("gold", 1), ("silver", 1)]
    nlp = load_student(trained.path)
    assert nlp.pipe_names == ["sentence_head"]
    assert nlp.get_pipe("sentence_head").labels == STAGE.label_names
    answers = predict(nlp, [e.text for e in choice(6, start=300)], STAGE)
    assert [a.annotation.cats for a in answers] == [e.annotation.cats for e in choice(6, start=300)]


def test_head_says_the_same_one_by_one_and_after_saving(trained: TrainedStudent, tmp_path: Path) -> None:
    nlp = load_student(trained.path)
    nlp.to_disk(tmp_path / "again")
    again = load_student(tmp_path / "again")
    for text, doc in zip(TEXTS, nlp.pipe(TEXTS), strict=True):
        assert sum(doc.cats.values()) == pytest.approx(1.0)
        assert nlp(text).cats == pytest.approx(doc.cats, abs=1e-5)
        assert again(text).cats == pytest.approx(doc.cats, abs=1e-5)


def test_head_keeps_categories_of_others(trained: TrainedStudent) -> None:
    nlp = load_student(trained.path)
    doc = nlp.make_doc(TEXTS[0])
    doc.cats = {"other": 0.5}
    assert set(nlp.get_pipe("sentence_head")(doc).cats) == {"other", *STAGE.label_names}


def test_head_loads_without_handover(trained: TrainedStudent, tmp_path: Path) -> None:
    import handover.student.sentence_head as module

    nlp = load_student(trained.path)
    config = nlp.config.copy()
    for section in ("training", "initialize", "corpora"):
        config[section] = spacy.blank("en").config[section]
    nlp.config = config
    nlp.to_disk(tmp_path / "alone")
    done = subprocess.run(
        [sys.executable, "-c", LOAD_WITHOUT_HANDOVER, module.__file__, str(tmp_path / "alone"), json.dumps(TEXTS)],
        capture_output=True,
        text=True,
        check=True,
    )
    for alone, doc in zip(json.loads(done.stdout), nlp.pipe(TEXTS), strict=True):
        assert alone == pytest.approx(doc.cats, abs=1e-5)


def test_head_keeps_no_word(trained: TrainedStudent) -> None:
    component = trained.path / "sentence_head"
    kept = b"".join(path.read_bytes() for path in component.iterdir())
    assert SECRET.encode() not in kept
    assert SECRET.lower().encode() not in kept


def test_head_that_is_not_trained_says_so() -> None:
    import handover.student.sentence_head  # noqa: F401 - makes the component known

    nlp = spacy.blank("en")
    nlp.add_pipe("sentence_head")
    with pytest.raises(ValueError, match="Component 'sentence_head' is not trained"):
        nlp("a text")
    with pytest.raises(ValueError, match="needs an encoder, a fit and labels"):
        nlp.initialize()
    assert list(nlp.pipe([])) == []


def test_remembering_encoder_embeds_a_text_once(encoder_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    encoder = remembering_encoder(encoder_folder)
    assert remembering_encoder(encoder_folder) is encoder
    real = type(encoder.encoder).encode

    def encode(self: object, texts: list[str]) -> np.ndarray:
        asked.append(list(texts))
        return real(self, texts)  # type: ignore[arg-type]

    monkeypatch.setattr(type(encoder.encoder), "encode", encode)
    first = encoder.encode(["bid one", "bid two"])
    second = encoder.encode(["bid two", "bid three", "bid two"])
    assert asked == [["bid one", "bid two"], ["bid three"]]
    assert second[0].tolist() == first[1].tolist() == second[2].tolist()
    monkeypatch.undo()
    assert second[1] == pytest.approx(load_encoder(encoder_folder).encode(["bid three"])[0], abs=1e-5)


def test_gelu_is_exact_to_seven_digits() -> None:
    from scipy.special import erf

    states = np.linspace(-6, 6, 1001, dtype=np.float32)
    assert _gelu(states) == pytest.approx(states / 2 * (1 + erf(states / np.sqrt(2))), abs=1e-6)


def test_head_leaves_with_its_code_alone_and_beside_others(
    trained: TrainedStudent, choice_student: TrainedStudent, tmp_path: Path
) -> None:
    alone = Part(trained.path, {"aspect": "stage", "kind": "choice", "labels": list(STAGE.label_names)})
    other = Part(choice_student.path, {"aspect": "other", "kind": "choice", "labels": list(STAGE.label_names)})
    folder = export_students([alone], tmp_path / "alone")
    assert (folder / "sentence_head.py").is_file()
    meta = json.loads((folder / "meta.json").read_text())
    assert [need.split(">")[0].split("=")[0] for need in meta["requirements"]] == ["tokenizers"]
    merged = load_student(export_students([alone, other], tmp_path / "merged"))
    cats = merged(TEXTS[0]).cats
    own = load_student(trained.path)(TEXTS[0]).cats
    assert len(cats) == 2 * len(STAGE.labels)
    for label, value in own.items():
        (key,) = (name for name in cats if name.startswith("stage") and name.endswith(label))
        assert cats[key] == pytest.approx(value, abs=1e-5)
