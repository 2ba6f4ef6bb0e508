"""Which candidate is kept, and which is learned from."""

from __future__ import annotations

from pathlib import Path

import pytest
import spacy

from handover.domain import Annotation, Kind
from handover.errors import ConfigError, TrainingError
from handover.student import distill
from handover.student.candidates import Budget, Candidate, Cost, Labels, Run, choose, measure
from handover.student.distill import worth_asking
from handover.student.pipeline import Answer
from handover.student.recipes import chosen_recipes, recipe_names
from handover.student.resources import Resources, find_resources
from handover.student.training_set import LabelledText
from tests.texts import STAGE, TERMS

FREE = Budget()


def candidate(
    recipe: str, score: float, labels: Labels = Labels.GOLD, *, megabytes: float = 2.0, speed: float = 20_000
) -> Candidate:
    cost = Cost(int(megabytes * 1e6), speed)
    return Candidate(Run(recipe, labels), score, seconds=1.0, steps=1, cost=cost, path=Path(recipe))


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ((0.5, 0.6, 0.7, 0.8), ("b", Labels.SILVER)),
        ((0.5, 0.5, 0.5, 0.5), ("a", Labels.GOLD)),
        ((0.4, 0.5, 0.5, 0.5), ("b", Labels.GOLD)),
        ((0.4, 0.4, 0.5, 0.5), ("a", Labels.SILVER)),
    ],
)
def test_choose_prefers_people_and_the_first_recipe_among_equals(
    scores: tuple[float, ...], best: tuple[str, Labels]
) -> None:
    runs = [("a", Labels.GOLD), ("b", Labels.GOLD), ("a", Labels.SILVER), ("b", Labels.SILVER)]
    candidates = [candidate(recipe, score, labels) for (recipe, labels), score in zip(runs, scores, strict=True)]
    for order in (candidates, candidates[2:] + candidates[:2]):
        assert choose(order, FREE, n_dev=20).run == Run(*best)


@pytest.mark.parametrize(
    ("cnn", "vectors", "n_dev", "kept"),
    [
        (0.81, 0.77, 20, "entities-vectors"),
        (0.81, 0.77, 2000, "entities-cnn"),
        (0.81, 0.6, 20, "entities-cnn"),
        (0.77, 0.81, 20, "entities-vectors"),
    ],
)
def test_choose_takes_the_stronger_recipe_when_dev_cannot_tell(
    cnn: float, vectors: float, n_dev: int, kept: str
) -> None:
    found = [candidate("entities-cnn", cnn, Labels.SILVER), candidate("entities-vectors", vectors, Labels.SILVER)]
    assert choose([*found, candidate("entities-transformer", 0.7)], FREE, n_dev=n_dev).run.recipe == kept


def test_choose_does_not_rank_words_against_networks() -> None:
    found = [candidate("choice-cnn", 0.80), candidate("choice-bow", 0.81)]
    assert choose(found, FREE, n_dev=20).run.recipe == "choice-bow"


def test_choose_keeps_to_the_budget() -> None:
    large = candidate("large", 0.9, megabytes=90, speed=900)
    small = candidate("small", 0.8)
    assert choose([large, small], FREE, n_dev=20) is large
    assert choose([large, small], Budget(max_megabytes=20), n_dev=20) is small
    assert choose([large, small], Budget(min_words_per_second=1000), n_dev=20) is small
    with pytest.raises(TrainingError) as caught:
        choose([large, small], Budget(max_megabytes=1, min_words_per_second=30_000), n_dev=20)
    assert str(caught.value) == (
        "None of the 2 candidates is within the budget of 1 MB and 30000 words per second: the smallest has 2.0 MB, "
        "the fastest reads 20000 words per second. Change HANDOVER_MAX_MODEL_MB or HANDOVER_MIN_WORDS_PER_SECOND."
    )


@pytest.mark.parametrize(
    ("candidates", "has_silver", "asked"),
    [
        ([("choice-cnn", 0.8), ("choice-transformer", 0.9)], True, True),
        ([("choice-cnn", 0.9), ("choice-transformer", 0.9)], True, False),
        ([("choice-cnn", 0.8), ("choice-transformer", 0.9)], False, False),
        ([("choice-cnn", 0.8), ("choice-bow", 0.9)], True, False),
        ([("choice-transformer", 0.9)], True, False),
    ],
)
def test_worth_asking(candidates: list[tuple[str, float]], has_silver: bool, asked: bool) -> None:
    found = worth_asking([candidate(*c) for c in candidates], FREE, has_silver=has_silver)
    assert (found is not None and found.run.recipe == "choice-transformer") == asked


def test_relabel_gives_the_texts_the_answers_of_the_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    said = [Answer(Annotation(cats=("Offer",))), Answer(Annotation())]
    monkeypatch.setattr(distill, "predict", lambda nlp, texts, aspect: said)
    pool = (LabelledText("sells", Annotation(cats=("Bid",))), LabelledText("?", Annotation(cats=("Bid",))))
    nlp = spacy.blank("en")
    assert distill.relabel(STAGE, pool, nlp) == (LabelledText("sells", Annotation(cats=("Offer",))),)
    assert [e.annotation for e in distill.relabel(TERMS, pool, nlp)] == [a.annotation for a in said]


def test_differs_asks_for_news_in_two_of_a_hundred() -> None:
    pool = tuple(LabelledText(f"text {i}", Annotation(cats=("Bid",))) for i in range(100))
    other = Annotation(cats=("Offer",))
    assert not distill.differs(pool, pool)
    assert not distill.differs(pool, (LabelledText("text 0", other), *pool[1:]))
    assert distill.differs(pool, (LabelledText("text 0", other), LabelledText("text 1", other), *pool[2:]))


def test_measure_counts_bytes_and_words(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "model").write_bytes(b"x" * 1000)
    cost = measure(spacy.blank("en"), tmp_path, ["some words, and more"] * 20)
    assert cost.size == 1000
    assert cost.words_per_second > 100


@pytest.mark.parametrize(
    ("setting", "names"),
    [
        ("auto", ()),
        ("", ()),
        ("cnn", ("choice-cnn",)),
        ("bow, cnn", ("choice-bow", "choice-cnn")),
        ("cnn transformer", ("choice-cnn", "choice-transformer")),
    ],
)
def test_chosen_recipes_of_a_setting(setting: str, names: tuple[str, ...]) -> None:
    assert chosen_recipes(Kind.CHOICE, setting) == names


def test_chosen_recipes_that_a_kind_does_not_have() -> None:
    assert chosen_recipes(Kind.ENTITIES, "bow") == ()
    with pytest.raises(ConfigError, match="HANDOVER_RECIPES names 'boww'; there are: auto, bow, cnn"):
        chosen_recipes(Kind.CHOICE, "cnn, boww")


def test_recipe_names_are_those_that_are_ready() -> None:
    assert recipe_names(Kind.ENTITIES) == ("entities-cnn",)
    assert recipe_names(Kind.ENTITIES, have={"vectors"}) == ("entities-cnn", "entities-vectors")
    with pytest.raises(ConfigError, match=r"'entities-transformer' needs a transformer: install .*\[transformers\]"):
        recipe_names(Kind.ENTITIES, ("entities-transformer",), have={"vectors"})


def test_find_resources_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"There are no vectors 'en_nobody_md'.*Check HANDOVER_VECTORS"):
        find_resources(encoder="", vectors="en_nobody_md", transformer="", cache_dir=tmp_path)
    monkeypatch.setattr("handover.student.resources.importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"'a/name' needs the package spacy-transformers.*\[transformers\]"):
        find_resources(encoder="", vectors="", transformer="a/name", cache_dir=tmp_path)


def test_resources_name_what_recipes_need(tmp_path: Path) -> None:
    spacy.blank("en").to_disk(tmp_path / "vectors")
    found = find_resources(encoder="", vectors=str(tmp_path / "vectors"), transformer="", cache_dir=tmp_path)
    assert "vectors" in found.available
    assert found.overrides("vectors", "en") == {"paths.vectors": str(tmp_path / "vectors")}
    assert found.overrides("cnn", "en") == {}
    assert Resources(transformer="x").overrides("transformer", "en") == {"components.transformer.model.name": "x"}
    assert Resources().available == frozenset()
