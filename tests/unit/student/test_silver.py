"""Silver repaired by what people corrected."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.language import Language

from handover.domain import Annotation, Aspect, Kind, Label
from handover.student.head_fit import make_fit
from handover.student.linear import fit_correction
from handover.student.silver import repair_silver
from handover.student.text_features import text_features
from handover.student.training_set import LabelledText, TrainingSet
from tests.texts import STAGE, TERMS, choice, entities

ROUTE = Aspect(
    name="desk",
    to_name="text",
    kind=Kind.CHOICE,
    labels=tuple(map(Label, ("Care", "Logistics", "Shop"))),
    text_field="text",
)


@pytest.fixture(scope="module")
def nlp() -> Language:
    return spacy.blank("en")


def ticket(number: int) -> tuple[str, str, str]:
    """A text, the right answer and the teacher's, which does not know that refunds go to Logistics."""
    text, right, said = [
        ("my screen of model {} is broken", "Care", "Care"),
        ("where is parcel {} of mine", "Logistics", "Logistics"),
        ("i want a refund for order {}", "Logistics", "Shop"),
        ("do you have case {} in red", "Shop", "Shop"),
    ][number % 4]
    return text.format(number), right, said


def tickets(number: int, *, start: int = 0, by: int) -> tuple[LabelledText, ...]:
    """Texts as people (1) or the teacher (2) answer them."""
    rows = (ticket(i) for i in range(start, start + number))
    return tuple(LabelledText(row[0], Annotation(cats=(row[by],))) for row in rows)


def nobody() -> None:
    """There is no encoder."""


def test_repair_silver_corrects_what_the_teacher_always_gets_wrong(nlp: Language) -> None:
    examples = TrainingSet(
        tickets(24, by=1), tickets(8, start=90, by=1), tickets(40, start=200, by=2), tickets(24, by=2)
    )
    repaired = repair_silver(ROUTE, examples, nlp=nlp, load_encoder=nobody)
    assert repaired.silver == tickets(40, start=200, by=1)
    assert repaired.to_json() == {"changed": 10, "compared": 24, "teacher_right": 0.75, "repaired_right": 1.0}


def test_repair_silver_leaves_what_it_cannot_better(nlp: Language) -> None:
    right = TrainingSet(tickets(24, by=1), (), tickets(8, start=200, by=1), tickets(24, by=1))
    repaired = repair_silver(ROUTE, right, nlp=nlp, load_encoder=nobody)
    assert repaired.silver is right.silver or repaired.silver == right.silver
    assert (repaired.changed, repaired.teacher_right, repaired.repaired_right) == (0, 1.0, 1.0)


@pytest.mark.parametrize("answers", [(), tickets(19, by=2), tickets(24, start=500, by=2)])
def test_repair_silver_needs_texts_with_both_answers(nlp: Language, answers: tuple[LabelledText, ...]) -> None:
    examples = TrainingSet(tickets(24, by=1), (), tickets(8, start=200, by=2), answers)
    repaired = repair_silver(ROUTE, examples, nlp=nlp, load_encoder=nobody)
    assert repaired.silver == examples.silver
    assert repaired.changed == 0


def test_repair_silver_leaves_spans_alone(nlp: Language) -> None:
    examples = TrainingSet(entities(24), (), entities(8, start=90), entities(24))
    assert repair_silver(TERMS, examples, nlp=nlp, load_encoder=nobody).silver == examples.silver


def test_repair_silver_asks_once_per_label_for_choices(nlp: Language) -> None:
    aspect = replace(ROUTE, kind=Kind.CHOICES)
    both = tuple(replace(e, annotation=Annotation(cats=("Care", *e.annotation.cats))) for e in tickets(24, by=1))
    said = tickets(24, by=2)
    pool = tickets(8, start=200, by=2)
    repaired = repair_silver(aspect, TrainingSet(both, (), pool, said), nlp=nlp, load_encoder=nobody)
    assert all("Care" in e.annotation.cats for e in repaired.silver)
    assert any("Logistics" in e.annotation.cats and "refund" in e.text for e in repaired.silver)


def test_repair_silver_reads_embeddings(nlp: Language) -> None:
    seen: list[int] = []

    class Encoder:
        def encode(self, texts: list[str]) -> Any:
            seen.append(len(texts))
            return np.array([["refund" in text, 0.5] for text in texts], dtype=np.float32)

    examples = TrainingSet(tickets(24, by=1), (), tickets(40, start=200, by=2), tickets(24, by=2))
    repaired = repair_silver(ROUTE, examples, nlp=nlp, load_encoder=Encoder)  # type: ignore[arg-type]
    assert seen == [64]
    assert repaired.changed == 10


def test_fit_correction_without_evidence_believes_the_other() -> None:
    correction = fit_correction(np.zeros((0, 2)), np.zeros((0, 3)), np.zeros((0, 3)), trust=2.0)
    said = np.eye(3)
    assert correction.predict(np.ones((3, 2)), said).argmax(axis=1).tolist() == [0, 1, 2]


def test_make_fit_lets_people_overrule_silver() -> None:
    fit = make_fit(ridge=0.03, correction_ridge=0.1, max_steps=100)
    rows = 40
    words = (np.ones(rows), np.zeros(rows, dtype=np.int64), np.arange(rows + 1))
    embeddings = np.zeros((rows, 2), dtype=np.float32)
    embeddings[:, 0] = 1
    answers = np.eye(2)[[0] * 30 + [1] * 10]
    silver_first, silver_bias = fit(words, embeddings, answers, np.arange(rows) >= 30)
    mixed, mixed_bias = fit(words, embeddings, answers, np.ones(rows, dtype=bool))
    scores = [weights[0] + weights[1] + bias for weights, bias in ((silver_first, silver_bias), (mixed, mixed_bias))]
    assert [int(score.argmax()) for score in scores] == [1, 0]


def test_text_features_have_length_1_and_ignore_case(nlp: Language) -> None:
    features = text_features(nlp, ["The red bid", "the RED bid", "an offer", " "])
    lengths = np.sqrt(features.multiply(features).sum(axis=1)).A1
    assert lengths == pytest.approx([1, 1, 1, 0])
    assert (features[0] != features[1]).nnz == 0
    assert (features[0] @ features[2].T).sum() == 0
    beside = text_features(nlp, ["a", "b"], np.ones((2, 3), dtype=np.float32))
    assert beside.shape == (2, 2 + 3)


def test_repair_silver_of_stage_keeps_labels_nobody_used(nlp: Language) -> None:
    examples = TrainingSet(choice(24), (), choice(8, start=90), choice(24))
    assert repair_silver(STAGE, examples, nlp=nlp, load_encoder=nobody).silver == examples.silver
