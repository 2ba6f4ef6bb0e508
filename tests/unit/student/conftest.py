"""One small student per kind that all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from handover.domain import Annotation, Aspect, Kind
from handover.student.training import LabelledText, TrainedStudent, TrainingSet, TrainOptions, train_student
from tests.unit.student.samples import STAGE, TERMS, choice, entities


@pytest.fixture(scope="session")
def choice_student(tmp_path_factory: pytest.TempPathFactory) -> TrainedStudent:
    """A student of kind choice, from both recipes, each without and with silver that is wrong throughout."""
    flipped = {"Bid": "Offer", "Offer": "Bid"}
    silver = tuple(
        LabelledText(e.text, Annotation(cats=(flipped[e.annotation.cats[0]],))) for e in choice(40, start=100)
    )
    examples = TrainingSet(train=choice(24), dev=choice(8, start=50), silver=silver)
    workdir = tmp_path_factory.mktemp("choice")
    return train_student(STAGE, examples, options=TrainOptions(max_steps=20), workdir=workdir)


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
