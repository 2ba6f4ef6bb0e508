"""Calibration of students: fitted on dev, kept with the student, applied to every answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from spacy.language import Language

from handover.domain import Annotation, Aspect, Kind, Span
from handover.errors import ArtifactError
from handover.evaluation.calibration import Calibrator
from handover.student.artifacts import ArtifactStore
from handover.student.calibrate import (
    CALIBRATION,
    Calibration,
    fit_calibration,
    load_calibration,
    save_calibration,
)
from handover.student.pipeline import StudentCache, predict
from handover.student.readings import RawAnswer, decision
from handover.student.training import TrainedStudent
from tests.texts import STAGE, TERMS, choice, entities

Pipelines = dict[Kind, tuple[Aspect, Path]]
COLD = Calibration(labels=Calibrator("temperature", temperature=4.0))


def unsure_choice(n: int) -> tuple[list[RawAnswer], list[Annotation]]:
    """Answers that claim 0.98 and are right four times out of five."""
    raws = [RawAnswer(Annotation(cats=("Bid",)), 0.98, (0.98,), (), np.array([0.98, 0.01, 0.01])) for _ in range(n)]
    return raws, [Annotation(cats=("Offer" if i // 10 % 5 == 0 else "Bid",)) for i in range(n)]


def unsure_spans(n: int) -> tuple[list[RawAnswer], list[Annotation]]:
    """Answers with two spans: one that is right, and one that is right as often as its confidence says squared."""
    rng = np.random.default_rng(0)
    raws, references = [], []
    for p in rng.random(n):
        spans = (Span(0, 2, "PRICE"), Span(4, 6, "PLACE"))
        raws.append(RawAnswer(Annotation(spans=spans), p, regions=(0.999, p)))
        references.append(Annotation(spans=spans if rng.random() < p**2 else spans[:1]))
    return raws, references


def test_fit_calibration_of_choices_lowers_the_confidence() -> None:
    raws, references = unsure_choice(100)
    calibration, report = fit_calibration(STAGE, raws, references)
    answer = calibration.answer(raws[0], Kind.CHOICE)
    assert answer.annotation == raws[0].annotation
    assert answer.score == pytest.approx(0.8, abs=0.03)
    assert answer.scores == (answer.score,)
    assert report["document"]["method"] == "temperature"
    assert report["document"]["before"]["ece"] == pytest.approx(0.18, abs=0.001)
    assert report["document"]["after"]["ece"] < 0.05
    assert report["document"]["after"]["n"] == 100


def test_fit_calibration_of_spans_and_of_whole_documents() -> None:
    raws, references = unsure_spans(300)
    calibration, report = fit_calibration(TERMS, raws, references)
    answer = calibration.answer(RawAnswer(raws[0].annotation, 0.5, regions=(0.999, 0.5)), Kind.ENTITIES)
    assert answer.score == pytest.approx(0.25, abs=0.07)
    assert answer.scores[0] > 0.95
    assert answer.scores[1] == pytest.approx(0.25, abs=0.1)
    assert (report["document"]["method"], report["regions"]["method"]) == ("platt", "isotonic")
    for part in ("document", "regions"):
        assert report[part]["after"]["ece"] < report[part]["before"]["ece"] / 2
    assert report["regions"]["before"]["n"] == 600


def test_fit_calibration_with_little_dev_changes_nothing_and_says_so() -> None:
    raws, references = unsure_choice(10)
    calibration, report = fit_calibration(STAGE, raws, references)
    assert calibration.answer(raws[0], Kind.CHOICE).score == pytest.approx(0.98)
    assert calibration.answers([], Kind.CHOICE) == calibration.answers([], Kind.ENTITIES) == []
    assert report["document"]["method"] == "identity"
    assert "10 examples on dev are too few" in report["document"]["reason"]


def test_calibration_is_kept_in_the_folder(tmp_path: Path) -> None:
    calibration, _ = fit_calibration(TERMS, *unsure_spans(300))
    save_calibration(calibration, tmp_path)
    assert load_calibration(tmp_path) == calibration


def test_load_calibration_of_a_student_without_one(tmp_path: Path) -> None:
    assert load_calibration(tmp_path) == Calibration()


@pytest.mark.parametrize("content", ["", "[1]", '{"mystery": {}}', '{"labels": {"knots": 3}}', '{"labels": 3}'])
def test_load_calibration_refuses_something_else(tmp_path: Path, content: str) -> None:
    (tmp_path / CALIBRATION).write_text(content, encoding="utf-8")
    with pytest.raises(ArtifactError, match="Train the student again"):
        load_calibration(tmp_path)


def test_train_student_keeps_and_reports_its_calibration(choice_student: TrainedStudent, tmp_path: Path) -> None:
    assert (choice_student.path / CALIBRATION).is_file()
    document = choice_student.report["calibration"]["document"]
    assert "8 examples on dev are too few" in document["reason"]
    store = ArtifactStore(tmp_path / "students", cache_dir=tmp_path / "cache")
    store.save(choice_student.path, "v1", {})
    assert CALIBRATION in store.verify("v1").files


def test_student_cache_predicts_with_the_calibration(
    pipelines: Pipelines, loaded: dict[Kind, Language], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handover.student.pipeline.load_student", lambda path: loaded[Kind.CHOICE])
    save_calibration(COLD, tmp_path)

    class Store:
        def fetch(self, version: str) -> Path:
            return tmp_path

    text = choice(1, start=300)[0].text
    (plain,) = predict(loaded[Kind.CHOICE], [text], STAGE)
    (cooled,) = StudentCache(Store()).predict("v1", [text], STAGE)  # type: ignore[arg-type]
    assert cooled.annotation == plain.annotation
    assert plain.score is not None
    assert cooled.score is not None
    assert 1 / 3 < cooled.score < plain.score
    assert cooled.scores == (cooled.score,)


def test_predict_has_a_score_for_each_entity(loaded: dict[Kind, Language]) -> None:
    answers = predict(loaded[Kind.ENTITIES], [e.text for e in entities(6, start=300)], TERMS)
    assert any(answer.scores for answer in answers)
    for answer in answers:
        assert len(answer.scores) == len(answer.annotation.spans)
        assert all(0 < score <= 1 for score in answer.scores)


@pytest.mark.parametrize(
    ("probability", "threshold", "sure"),
    [(0.5, 0.5, 0.5), (0.9, 0.5, 0.9), (0.1, 0.5, 0.9), (0.3, 0.3, 0.5), (0.1, 0.3, 0.7941), (1.0, 0.3, 1.0)],
)
def test_decision_is_least_sure_at_the_threshold(probability: float, threshold: float, sure: float) -> None:
    assert decision(np.array([probability]), threshold)[0] == pytest.approx(sure, abs=1e-3)
