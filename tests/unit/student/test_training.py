"""Training on tiny data with few steps: what comes out, not how good it is."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.util import load_config_from_str

from handover.errors import ConfigError, TrainingError
from handover.student import spacy_run
from handover.student.pipeline import load_student, predict
from handover.student.progress import make_progress_logger, report_to
from handover.student.recipes import available_recipes, recipe_text
from handover.student.training import TrainedStudent, TrainingSet, TrainOptions, train_student
from tests.unit.student.samples import SECRET, STAGE, TERMS, choice, entities

QUICK = TrainOptions(max_steps=20, recipes=("choice-bow",))
EXAMPLES = TrainingSet(train=choice(24), dev=choice(8, start=50))


def test_train_student_keeps_the_best_on_dev_and_no_silver_that_hurts(choice_student: TrainedStudent) -> None:
    rows = {(row["recipe"], row["used_silver"]): row for row in choice_student.report["candidates"]}
    assert set(rows) == {(recipe, silver) for recipe in ("choice-cnn", "choice-bow") for silver in (False, True)}
    assert choice_student.dev_score == max(row["dev_score"] for row in rows.values())
    assert choice_student.dev_score > rows["choice-bow", True]["dev_score"]
    assert not choice_student.used_silver
    assert rows[choice_student.recipe, False]["dev_score"] == choice_student.dev_score


def test_train_student_report_is_json_about_all_candidates(choice_student: TrainedStudent) -> None:
    report = json.loads(json.dumps(choice_student.report))
    assert report["metric"] == "cats_acc"
    assert (report["n_train"], report["n_dev"], report["n_silver"]) == (24, 8, 40)
    assert (report["unusable"], report["moved_to_dev"]) == (0, 0)
    for row in report["candidates"]:
        assert 0 < row["seconds"] < 60
        assert row["steps"] == 20
        assert 100_000 < row["size"] < 6_000_000
    assert SECRET not in json.dumps(report)


def test_train_student_learns_entities_and_counts_misaligned_spans(entities_student: TrainedStudent) -> None:
    assert entities_student.dev_score > 0.5
    assert entities_student.misaligned == 0
    assert entities_student.report["metric"] == "ents_f"


def test_train_student_counts_spans_that_tokens_cannot_hold(tmp_path: Path) -> None:
    nlp = spacy_run.blank_pipeline("en")
    halves = tuple(
        type(e)(e.text, type(e.annotation)(spans=(*e.annotation.spans[:1], type(e.annotation.spans[1])(0, 3, "PLACE"))))
        for e in entities(3)
    )
    assert spacy_run.write_docs(nlp, TERMS, (*entities(4), *halves), tmp_path / "x.spacy") == 3


def test_train_student_knows_labels_without_an_example(
    choice_student: TrainedStudent, entities_student: TrainedStudent
) -> None:
    textcat = load_student(choice_student.path).get_pipe("textcat")
    ner = load_student(entities_student.path).get_pipe("ner")
    assert textcat.labels == STAGE.label_names
    assert set(ner.labels) == set(TERMS.label_names)


def test_train_student_prefers_no_silver_among_equals(tmp_path: Path) -> None:
    examples = TrainingSet(EXAMPLES.train, EXAMPLES.dev, silver=choice(40, start=100))
    trained = train_student(
        STAGE, examples, options=TrainOptions(max_steps=60, recipes=QUICK.recipes), workdir=tmp_path
    )
    scores = [row["dev_score"] for row in trained.report["candidates"]]
    assert scores == [1.0, 1.0]
    assert not trained.used_silver


def test_train_student_gives_the_same_student_again(tmp_path: Path) -> None:
    backward = TrainingSet(EXAMPLES.train[::-1], EXAMPLES.dev)
    random.seed(1)
    np.random.seed(1)
    first = train_student(STAGE, EXAMPLES, options=QUICK, workdir=tmp_path / "a")
    drawn = (random.random(), np.random.random())
    second = train_student(STAGE, backward, options=QUICK, workdir=tmp_path / "b")
    models = [(trained.path / "textcat" / "model").read_bytes() for trained in (first, second)]
    assert models[0] == models[1]
    random.seed(1)
    np.random.seed(1)
    assert drawn == (random.random(), np.random.random()), "a training changed the global random state"


def test_train_student_tells_how_it_gets_on(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    train_student(STAGE, EXAMPLES, options=QUICK, workdir=tmp_path, on_progress=told.append)
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
def test_recipe_names_no_data_and_only_our_logger(name: str) -> None:
    config = load_config_from_str(recipe_text(name))
    assert set(config["paths"].values()) == {None}
    assert {line for line in recipe_text(name).splitlines() if "handover." in line} == {
        '@loggers = "handover.Progress.v1"'
    }


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
