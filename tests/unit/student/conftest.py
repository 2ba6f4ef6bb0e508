"""One small student per kind that all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from spacy.language import Language

from handover.domain import Aspect, Kind
from handover.student.pipeline import load_student
from handover.student.training import TrainedStudent, TrainingSet, TrainOptions, train_student
from tests.unit.student.samples import STAGE, TERMS, choice, entities


@pytest.fixture(scope="session")
def choice_student(tmp_path_factory: pytest.TempPathFactory) -> TrainedStudent:
    """A student of kind choice."""
    examples = TrainingSet(train=choice(24), dev=choice(8, start=50))
    workdir = tmp_path_factory.mktemp("choice")
    return train_student(STAGE, examples, options=TrainOptions(max_steps=20, recipes=("choice-cnn",)), workdir=workdir)


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


@pytest.fixture(scope="session")
def loaded(pipelines: dict[Kind, tuple[Aspect, Path]]) -> dict[Kind, Language]:
    """The same students, loaded; tests must leave them as they are."""
    return {kind: load_student(path) for kind, (_, path) in pipelines.items()}
