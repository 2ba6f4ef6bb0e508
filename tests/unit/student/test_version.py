"""A student's version is its content."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from handover.domain import Annotation, Aspect, Kind, Label
from handover.errors import ConfigError
from handover.student import recipes
from handover.student.candidates import Budget
from handover.student.resources import Resources
from handover.student.training_set import LabelledText, Origin, TrainingSet, TrainOptions
from handover.student.version import student_version
from tests.texts import STAGE, TRADES, choice, related

EXAMPLES = TrainingSet(train=choice(6), dev=choice(3, start=10), silver=choice(2, start=20))
OPTIONS = TrainOptions()
RELABELLED = (*EXAMPLES.train[1:], replace(EXAMPLES.train[0], annotation=Annotation(cats=("Offer",))))


def test_version_is_twelve_hex_digits_and_independent_of_order() -> None:
    version = student_version(STAGE, EXAMPLES, OPTIONS)
    assert re.fullmatch(r"[0-9a-f]{12}", version)
    assert student_version(STAGE, replace(EXAMPLES, train=EXAMPLES.train[::-1]), OPTIONS) == version


@pytest.mark.parametrize(
    ("aspect", "examples", "options"),
    [
        (STAGE, replace(EXAMPLES, train=EXAMPLES.train[1:]), OPTIONS),
        (STAGE, replace(EXAMPLES, train=RELABELLED), OPTIONS),
        (STAGE, replace(EXAMPLES, silver=()), OPTIONS),
        (STAGE, TrainingSet((*EXAMPLES.train, EXAMPLES.dev[0]), EXAMPLES.dev[1:], EXAMPLES.silver), OPTIONS),
        (STAGE, replace(EXAMPLES, answers=EXAMPLES.train), OPTIONS),
        (STAGE, EXAMPLES, replace(OPTIONS, seed=1)),
        (STAGE, EXAMPLES, replace(OPTIONS, budget=Budget(max_megabytes=6))),
        (STAGE, EXAMPLES, replace(OPTIONS, resources=Resources(vectors="en_core_web_md"))),
        (STAGE, EXAMPLES, replace(OPTIONS, max_steps=801)),
        (STAGE, EXAMPLES, replace(OPTIONS, origin=Origin(Path("earlier"), "earlier", "choice-cnn", 6))),
        (STAGE, EXAMPLES, replace(OPTIONS, language="de")),
        (STAGE, EXAMPLES, replace(OPTIONS, recipes=("choice-bow",))),
        (replace(STAGE, name="other"), EXAMPLES, OPTIONS),
        (replace(STAGE, labels=STAGE.labels[::-1]), EXAMPLES, OPTIONS),
    ],
)
def test_version_changes_with_what_the_student_is_made_from(
    aspect: Aspect, examples: TrainingSet, options: TrainOptions
) -> None:
    assert student_version(aspect, examples, options) != student_version(STAGE, EXAMPLES, OPTIONS)


def test_version_changes_with_the_labels_of_the_spans_that_relations_connect() -> None:
    examples = TrainingSet(train=related(6), dev=related(3, start=10))
    fewer = replace(TRADES, span_labels=(Label("WHO"), Label("WHERE")))
    assert student_version(fewer, examples, OPTIONS) != student_version(TRADES, examples, OPTIONS)


def test_version_ignores_what_the_student_does_not_see() -> None:
    hinted = replace(STAGE, labels=tuple(Label(label.name, "a hint") for label in STAGE.labels), question="Which?")
    assert student_version(hinted, EXAMPLES, OPTIONS) == student_version(STAGE, EXAMPLES, OPTIONS)


def test_version_changes_with_the_recipe_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = student_version(STAGE, EXAMPLES, OPTIONS)
    for name in recipes.available_recipes():
        (tmp_path / f"{name}.cfg").write_text(recipes.recipe_text(name) + "# more\n", encoding="utf-8")
    monkeypatch.setattr(recipes, "_folder", lambda: tmp_path)
    assert student_version(STAGE, EXAMPLES, OPTIONS) != before


def test_version_of_texts_with_lone_surrogates() -> None:
    broken = LabelledText("half an emoji \ud83d", Annotation(cats=("Bid",)))
    examples = replace(EXAMPLES, train=(*EXAMPLES.train, broken))
    assert student_version(STAGE, examples, OPTIONS) != student_version(STAGE, EXAMPLES, OPTIONS)


@pytest.mark.parametrize(
    ("kind", "chosen", "said"),
    [
        (
            Kind.CHOICES,
            ("choice-bow",),
            "'choice-bow' is not a recipe for kind 'choices' (has: choices-bow, choices-cnn)",
        ),
        (
            Kind.CHOICE,
            ("entities-cnn",),
            "'entities-cnn' is not a recipe for kind 'choice' (has: choice-bow, choice-cnn, ",
        ),
        (Kind.ENTITIES, ("../x",), "'../x' is not a recipe for kind 'entities' (has: entities-cnn, "),
    ],
)
def test_recipe_names_that_do_not_fit(kind: Kind, chosen: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        recipes.recipe_names(kind, chosen)
    assert said in str(caught.value)


def test_recipe_text_of_an_unknown_recipe() -> None:
    with pytest.raises(ConfigError, match="There is no recipe 'nope' \\(has: choice-bow, choice-cnn, "):
        recipes.recipe_text("nope")
