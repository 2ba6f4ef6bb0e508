"""Aspects, made-up examples, and one small student per kind that all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from handover.domain import Annotation, Aspect, Kind, Label, Span
from handover.student.training import LabelledText, TrainedStudent, TrainingSet, TrainOptions, train_student

SECRET = "Zyxomat"
"""A word of every training text that must never leave with a pipeline."""

STAGE = Aspect(
    name="stage",
    to_name="text",
    kind=Kind.CHOICE,
    labels=(Label("Bid"), Label("Offer"), Label("Never used")),
    text_field="text",
)
TERMS = Aspect(
    name="terms",
    to_name="text",
    kind=Kind.ENTITIES,
    labels=(Label("PRICE"), Label("PLACE"), Label("Never: used.")),
    text_field="text",
)


def choice(number: int, *, start: int = 0) -> tuple[LabelledText, ...]:
    """Texts of which the even ones are bids."""
    names = [("Bid", "seeks"), ("Offer", "sells")]
    return tuple(
        LabelledText(f"{SECRET} {names[i % 2][1]} cargo number {i}", Annotation(cats=(names[i % 2][0],)))
        for i in range(start, start + number)
    )


def entities(number: int, *, start: int = 0) -> tuple[LabelledText, ...]:
    """Texts with a place and a price."""
    examples = []
    for i in range(start, start + number):
        place = ["Oslo", "Rotterdam", "Santos"][i % 3]
        text = f"{SECRET} pays {100 + i} dollars in {place} today"
        at = text.index(place)
        spans = (Span(len(SECRET) + 6, len(SECRET) + 9, "PRICE"), Span(at, at + len(place), "PLACE"))
        examples.append(LabelledText(text, Annotation(spans=spans)))
    return tuple(examples)


@pytest.fixture(scope="session")
def choice_student(tmp_path_factory: pytest.TempPathFactory) -> TrainedStudent:
    """A student of kind choice, from both recipes, each without and with silver that is wrong throughout."""
    flipped = {"Bid": "Offer", "Offer": "Bid"}
    silver = tuple(
        LabelledText(e.text, Annotation(cats=(flipped[e.annotation.cats[0]],))) for e in choice(80, start=100)
    )
    examples = TrainingSet(train=choice(24), dev=choice(8, start=50), silver=silver)
    workdir = tmp_path_factory.mktemp("choice")
    return train_student(STAGE, examples, options=TrainOptions(max_steps=40), workdir=workdir)


@pytest.fixture(scope="session")
def entities_student(tmp_path_factory: pytest.TempPathFactory) -> TrainedStudent:
    """A student of kind entities."""
    examples = TrainingSet(train=entities(24), dev=entities(8, start=50))
    workdir = tmp_path_factory.mktemp("entities")
    return train_student(TERMS, examples, options=TrainOptions(max_steps=40), workdir=workdir)


@pytest.fixture(scope="session")
def pipelines(choice_student: TrainedStudent, entities_student: TrainedStudent) -> dict[Kind, tuple[Aspect, Path]]:
    """An aspect and the folder of its student, by kind."""
    return {Kind.CHOICE: (STAGE, choice_student.path), Kind.ENTITIES: (TERMS, entities_student.path)}
