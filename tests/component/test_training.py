"""Training on tiny data with few steps: what comes out, not how good it is."""

from __future__ import annotations

import io
import json
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import DocBin
from spacy.util import load_config_from_str

from handover.domain import Annotation, Kind, Span
from handover.errors import ConfigError, TrainingError
from handover.evaluation.scores import Scores
from handover.student import spacy_run
from handover.student.pipeline import load_student, predict
from handover.student.progress import make_progress_logger, report_to
from handover.student.recipes import available_recipes, recipe_text
from handover.student.training import (
    TrainedStudent,
    TrainingSet,
    TrainOptions,
    pick_checkpoint,
    train_student,
)
from handover.student.training_set import Origin
from tests.texts import SECRET, STAGE, TERMS, choice, entities

QUICK = TrainOptions(max_steps=20, recipes=("choice-bow",))
EXAMPLES = TrainingSet(train=choice(24), dev=choice(8, start=50))


def test_train_student_keeps_the_best_on_dev_and_no_silver_that_hurts(tmp_path: Path) -> None:
    wrong = {"Bid": "Offer", "Offer": "Bid"}
    silver = tuple(
        replace(e, annotation=Annotation(cats=(wrong[e.annotation.cats[0]],))) for e in choice(60, start=100)
    )
    told: list[dict[str, Any]] = []
    trained = train_student(
        STAGE, replace(EXAMPLES, silver=silver), options=QUICK, workdir=tmp_path, on_progress=told.append
    )
    plain, mixed = trained.report["candidates"]
    assert (plain["used_silver"], mixed["used_silver"]) == (False, True)
    assert plain["dev_score"] > mixed["dev_score"]
    assert (trained.used_silver, trained.dev_score) == (False, plain["dev_score"])
    assert trained.report["n_silver"] == 60
    assert [(info["candidate"], info["candidates"], info["silver"]) for info in told[::2]] == [
        (1, 2, False),
        (2, 2, True),
    ]


def test_train_student_report_is_json_about_its_candidates(choice_student: TrainedStudent) -> None:
    report = json.loads(json.dumps(choice_student.report))
    assert report["metric"] == "cats_acc"
    assert (report["n_train"], report["n_dev"], report["n_silver"]) == (24, 8, 0)
    assert (report["unusable"], report["moved_to_dev"]) == (0, 0)
    (row,) = report["candidates"]
    assert row["recipe"] == choice_student.recipe == "choice-cnn"
    assert row["dev_score"] == choice_student.dev_score
    assert row["steps"] == 20
    assert row["checkpoint"] == choice_student.path.name
    assert row["labels"] == "gold"
    assert row["affordable"] is True
    assert row["words_per_second"] > 0
    assert row["seconds"] > 0
    assert 100_000 < row["size"] < 6_000_000
    assert SECRET not in json.dumps(report)


def test_train_student_learns_entities_and_counts_misaligned_spans(entities_student: TrainedStudent) -> None:
    assert entities_student.dev_score > 0.5
    assert entities_student.misaligned == 0
    assert entities_student.report["metric"] == "ents_f"


def test_train_student_counts_spans_that_tokens_cannot_hold(tmp_path: Path) -> None:
    nlp = spacy_run.blank_pipeline("en")
    half_a_token = Annotation(spans=(Span(0, 3, "PLACE"),))
    halves = tuple(replace(e, annotation=half_a_token) for e in entities(3))
    path = tmp_path / "x.spacy"
    assert spacy_run.write_docs(nlp, TERMS, entities(4), path, silver=halves) == 3
    marked = [doc.user_data.get("silver", False) for doc in DocBin().from_disk(path).get_docs(nlp.vocab)]
    assert marked == [False] * 4 + [True] * 3


def test_train_student_knows_labels_without_an_example(
    loaded: dict[Kind, Language],
) -> None:
    textcat, ner = loaded[Kind.CHOICE].get_pipe("textcat"), loaded[Kind.ENTITIES].get_pipe("ner")
    assert textcat.labels == STAGE.label_names
    assert set(ner.labels) == set(TERMS.label_names)


@pytest.mark.parametrize(
    ("best", "last", "n", "picked"),
    [
        (0.8, 0.8, 15, "last"),
        (0.8, 0.75, 15, "last"),
        (0.8, 0.6, 15, "best"),
        (0.8, 0.75, 500, "best"),
        (0.8, 0.79, 500, "last"),
        (1.0, 14 / 15, 15, "best"),
        (0.0, 0.0, 15, "last"),
    ],
)
def test_pick_checkpoint_takes_the_last_within_a_standard_error(best: float, last: float, n: int, picked: str) -> None:
    values = {"best": best, "last": last}
    path, scores = pick_checkpoint(
        Path("best"), Path("last"), evaluate=lambda path: Scores(metric="ents_f", value=values[path.name], n=n)
    )
    assert path.name == picked
    assert scores.value == values[picked]


@dataclass(frozen=True)
class Quick:
    """A quickly trained student, what it told, and random numbers drawn after it."""

    trained: TrainedStudent
    told: list[dict[str, Any]]
    drawn: tuple[float, float]


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Quick:
    """One training of the fastest recipe."""
    told: list[dict[str, Any]] = []
    random.seed(1)
    np.random.seed(1)
    workdir = tmp_path_factory.mktemp("quick")
    trained = train_student(STAGE, EXAMPLES, options=QUICK, workdir=workdir, on_progress=told.append)
    return Quick(trained, told, (random.random(), np.random.random()))


def test_train_student_gives_the_same_student_again(quick: Quick, tmp_path: Path) -> None:
    again = train_student(STAGE, TrainingSet(EXAMPLES.train[::-1], EXAMPLES.dev), options=QUICK, workdir=tmp_path)
    models = [(trained.path / "textcat" / "model").read_bytes() for trained in (quick.trained, again)]
    assert models[0] == models[1]


@pytest.mark.parametrize("kind", ["choice", "entities"])
def test_train_student_goes_on_from_an_earlier_one(
    kind: str, choice_student: TrainedStudent, entities_student: TrainedStudent, tmp_path: Path
) -> None:
    aspect, make, earlier = {
        "choice": (STAGE, choice, choice_student),
        "entities": (TERMS, entities, entities_student),
    }[kind]
    examples = TrainingSet(train=make(30), dev=make(8, start=50), silver=make(10, start=70))
    options = TrainOptions(max_steps=1, recipes=(earlier.recipe,))
    anew = train_student(aspect, examples, options=options, workdir=tmp_path / "anew")
    origin = Origin(earlier.path, "earlier", earlier.recipe, trained_anew=24)
    warm = train_student(aspect, examples, options=replace(options, origin=origin), workdir=tmp_path / "warm")

    def sure(labels: str, where: str) -> float:
        """How sure the last model is about dev, on average."""
        nlp = load_student(tmp_path / where / (earlier.recipe + labels) / "model-last")
        answers = predict(nlp, [e.text for e in examples.dev], aspect)
        return float(np.mean([answer.score for answer in answers]))

    assert sure("", "warm") > sure("", "anew") + 0.1
    assert sure("+silver", "warm") == sure("+silver", "anew"), "with silver it starts anew"
    assert (anew.report["origin"], warm.used_silver) == (None, False)
    assert warm.report["origin"] == {"version": "earlier", "trained_anew": 24}
    assert str(earlier.path) not in (warm.path / "config.cfg").read_text(), "it does not need the earlier one"


def test_train_student_leaves_the_global_random_state_alone(quick: Quick) -> None:
    random.seed(1)
    np.random.seed(1)
    assert quick.drawn == (random.random(), np.random.random())


def test_train_student_tells_how_it_gets_on(quick: Quick) -> None:
    told = quick.told
    assert [info["step"] for info in told] == [0, 20]
    assert {key: told[-1][key] for key in ("recipe", "silver", "candidate", "candidates", "max_steps")} == {
        "recipe": "choice-bow",
        "silver": False,
        "candidate": 1,
        "candidates": 1,
        "max_steps": 20,
    }
    assert 0 <= told[-1]["score"] <= 1
    assert told[-1]["loss"] > 0


class StoppedError(Exception):
    """Raised by a listener."""


def test_train_student_can_be_stopped_by_its_listener(tmp_path: Path) -> None:
    def stop(info: dict[str, Any]) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        train_student(STAGE, EXAMPLES, options=QUICK, workdir=tmp_path, on_progress=stop)


def test_train_student_hides_texts_in_errors_of_spacy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise ValueError(f"[E024] Could not find an optimal move to supervise the parser. {SECRET} pays")

    monkeypatch.setattr(spacy_run, "train", fail)
    with pytest.raises(TrainingError, match=r"recipe 'choice-bow' \(ValueError E024\)") as caught:
        train_student(STAGE, EXAMPLES, options=QUICK, workdir=tmp_path)
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__


def test_train_student_of_an_unknown_language(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read language 'zz'.*HANDOVER_LANGUAGE"):
        train_student(STAGE, EXAMPLES, options=TrainOptions(language="zz"), workdir=tmp_path)


def test_train_student_in_another_language(tmp_path: Path) -> None:
    options = TrainOptions(language="de", max_steps=20, recipes=("choice-bow",))
    trained = train_student(STAGE, EXAMPLES, options=options, workdir=tmp_path)
    nlp = load_student(trained.path)
    assert nlp.lang == "de"
    assert predict(nlp, ["ein Satz"], STAGE)[0].annotation.cats[0] in STAGE.label_names


@pytest.mark.parametrize("name", available_recipes())
def test_recipe_names_no_data_and_little_of_ours(name: str) -> None:
    config = load_config_from_str(recipe_text(name))
    assert set(config["paths"].values()) == {None}
    ours = {line for line in recipe_text(name).splitlines() if "handover." in line}
    relation_model = {'@architectures = "handover.RelationModel.v1"'}
    parts = {
        "relations-ents": relation_model,
        "relations-spans": relation_model,
        "choice-head": {f'@misc = "handover.{part}.v1"' for part in ("Encoder", "Embeddings", "SoftmaxRegression")},
    }
    assert ours == {'@loggers = "handover.Progress.v1"'} | parts.get(
        name, parts.get(name.split("-", maxsplit=1)[0], set())
    )


def test_progress_logger_without_listener_prints_the_table_of_spacy() -> None:
    nlp = spacy.blank("en")
    nlp.config = nlp.config | {"training": nlp.config["training"] | {"score_weights": {"cats_micro_f": 1.0}}}
    printed = io.StringIO()
    make_progress_logger()(nlp, printed, printed)
    assert "CATS_MICRO_F" in printed.getvalue()


def test_progress_logger_forgets_its_listener() -> None:
    told: list[dict[str, Any]] = []
    with report_to(told.append):
        log_step, finish = make_progress_logger()(spacy.blank("en"))
        log_step(None)
        log_step({"epoch": 1, "step": 20, "score": 0.5, "losses": {"textcat": 2.0}})
        finish()
    assert told == [{"epoch": 1, "step": 20, "score": 0.5, "loss": 2.0}]
    printed = io.StringIO()
    make_progress_logger()(spacy.blank("en"), printed, printed)
    assert printed.getvalue(), "the table of spaCy is back after the block"
