"""One small student per kind that all tests share."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from spacy.language import Language

from handover.domain import Aspect, Kind
from handover.student.pipeline import load_student
from handover.student.training import TrainedStudent, TrainingSet, TrainOptions, train_student
from tests.texts import (
    PHRASES,
    STAGE,
    TERMS,
    TOPICS,
    TRADES,
    choice,
    choices,
    entities,
    overlapping,
    related,
)


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


LESSONS = {
    Kind.CHOICES: (TOPICS, choices, "choices-bow", 60),
    Kind.SPANS: (PHRASES, overlapping, "spans-ngram", 40),
    Kind.RELATIONS: (TRADES, related, "relations-ents", 40),
}


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Kind], TrainedStudent]:
    """The student of one of the other kinds, trained when it is first needed."""

    @cache
    def train(kind: Kind) -> TrainedStudent:
        aspect, make, recipe, steps = LESSONS[kind]
        examples = TrainingSet(train=make(40), dev=make(12, start=100))
        options = TrainOptions(max_steps=steps, recipes=(recipe,))
        return train_student(aspect, examples, options=options, workdir=tmp_path_factory.mktemp(kind.value))

    return train


@pytest.fixture(scope="session", params=list(LESSONS), ids=lambda kind: kind.value)
def lesson(request: pytest.FixtureRequest, taught: Callable[[Kind], TrainedStudent]) -> tuple[Aspect, TrainedStudent]:
    """An aspect of one of the other kinds and its student."""
    return LESSONS[request.param][0], taught(request.param)
