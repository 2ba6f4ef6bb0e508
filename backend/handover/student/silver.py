"""Silver repaired: where people's corrections show how the teacher errs, its other answers are corrected alike.

A teacher that does not know the house rules gives the same wrong answer again and again; a student that learns
from them learns the errors too. From the train texts, of which both answers are known, a small model learns
P(label | text, teacher's answer), and answers for the pool. It only counts when it is right more often than the
teacher on train texts it has not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from handover.domain import Annotation, Aspect, Kind
from handover.student.linear import Correction, fit_correction
from handover.student.text_features import text_features
from handover.student.training_set import LabelledText, TrainingSet

if TYPE_CHECKING:
    from spacy.language import Language

    from handover.student.encoder import Remembering

Classes = NDArray[np.int64]

MIN_COMPARED = 20
"""Fewest train texts with both answers that something is learned from."""

FOLDS = 5

MAX_ENCODED = 5_000
"""Most texts that are embedded for this; more would take longer than the training itself."""


@dataclass(frozen=True)
class Repaired:
    """Silver, and what was done to it. `compared` texts have both answers; on these the teacher agrees with people
    in a share of `teacher_right`, the repaired answers (cross-validated) in `repaired_right`."""

    silver: tuple[LabelledText, ...]
    changed: int = 0
    compared: int = 0
    teacher_right: float = 0.0
    repaired_right: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The figures, for the report."""
        return {
            "changed": self.changed,
            "compared": self.compared,
            "teacher_right": round(self.teacher_right, 4),
            "repaired_right": round(self.repaired_right, 4),
        }


def repair_silver(
    aspect: Aspect, examples: TrainingSet, *, nlp: Language, load_encoder: Callable[[], Remembering | None]
) -> Repaired:
    """Silver as the teacher should have answered; as it is where that cannot be said (kinds with spans, fewer
    than 20 train texts with the teacher's answer, or nothing that is better than the teacher)."""
    taught = {e.text: e.annotation for e in examples.answers}
    known = [e for e in examples.train if e.text in taught]
    if aspect.kind not in {Kind.CHOICE, Kind.CHOICES} or len(known) < MIN_COMPARED or not examples.silver:
        return Repaired(examples.silver, compared=len(known))
    texts = [e.text for e in (*known, *examples.silver)]
    encoder = load_encoder() if len(texts) <= MAX_ENCODED else None
    embeddings = encoder.encode(texts) if encoder is not None else None
    features = text_features(nlp, texts, embeddings)
    answers = [*(taught[e.text] for e in known), *(e.annotation for e in examples.silver)]
    questions = [
        _ask(features, of_teacher=read(answers), of_people=read([e.annotation for e in known]), number=number)
        for read, number in _questions(aspect)
    ]
    repaired = _rewrite(aspect, examples.silver, [question.classes for question in questions])
    changed = sum(new != old for new, old in zip(repaired, examples.silver, strict=True))
    return Repaired(
        silver=repaired,
        changed=changed,
        compared=len(known),
        teacher_right=float(np.mean([question.teacher_right for question in questions])),
        repaired_right=float(np.mean([question.repaired_right for question in questions])),
    )


@dataclass(frozen=True)
class _Question:
    classes: Classes
    teacher_right: float
    repaired_right: float


def _questions(aspect: Aspect) -> list[tuple[Any, int]]:
    """How to read annotations as classes, and how many there are: one of the labels, or yes and no for each."""
    names = aspect.label_names
    if aspect.kind is Kind.CHOICE:
        return [(lambda rows: np.array([names.index(row.cats[0]) for row in rows]), len(names))]
    return [(lambda rows, name=name: np.array([int(name in row.cats) for row in rows]), 2) for name in names]


def _ask(features: Any, *, of_teacher: Classes, of_people: Classes, number: int) -> _Question:
    known = len(of_people)
    teacher_right = float(np.mean(of_teacher[:known] == of_people))
    trust = _log_odds(teacher_right, known, number)
    rows = np.arange(known)
    guessed = of_people.copy()
    for fold in range(FOLDS):
        held_out, kept = rows[fold::FOLDS], np.delete(rows, np.s_[fold::FOLDS])
        correction = _fit(features[kept], of_teacher[kept], of_people[kept], number=number, trust=trust)
        guessed[held_out] = _classes(correction, features[held_out], of_teacher[held_out], number)
    repaired_right = float(np.mean(guessed == of_people))
    if repaired_right <= teacher_right:
        return _Question(of_teacher[known:], teacher_right, teacher_right)
    correction = _fit(features[:known], of_teacher[:known], of_people, number=number, trust=trust)
    return _Question(_classes(correction, features[known:], of_teacher[known:], number), teacher_right, repaired_right)


def _log_odds(right: float, number: int, classes: int) -> float:
    """How much a teacher that is right in this share is worth, against each other class."""
    smoothed = (right * number + 1) / (number + 2)
    return float(np.clip(np.log(smoothed * max(classes - 1, 1) / (1 - smoothed)), 0.0, 4.0))


def _fit(features: Any, of_teacher: Classes, of_people: Classes, *, number: int, trust: float) -> Correction:
    return fit_correction(features, np.eye(number)[of_teacher], np.eye(number)[of_people], trust=trust)


def _classes(correction: Correction, features: Any, of_teacher: Classes, number: int) -> Classes:
    classes: Classes = correction.predict(features, np.eye(number)[of_teacher]).argmax(axis=1)
    return classes


def _rewrite(aspect: Aspect, silver: Sequence[LabelledText], answers: Sequence[Classes]) -> tuple[LabelledText, ...]:
    names = aspect.label_names
    chosen: list[tuple[str, ...]]
    if aspect.kind is Kind.CHOICE:
        chosen = [(names[number],) for number in answers[0]]
    else:
        rows = zip(*answers, strict=True)
        chosen = [tuple(name for name, yes in zip(names, row, strict=True) if yes) for row in rows]
    return tuple(replace(e, annotation=Annotation(cats=cats)) for e, cats in zip(silver, chosen, strict=True))
