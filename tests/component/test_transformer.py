"""The recipes with a transformer, on a random one of a few kilobytes; skipped without the extra `transformers`."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest

from handover.student.pipeline import load_student, predict
from handover.student.resources import Resources
from handover.student.training import TrainingSet, TrainOptions, train_student
from tests.texts import STAGE, TERMS, choice, entities
from tests.tiny_encoder import write_encoder

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("spacy_transformers") is None,
        reason="needs label-studio-handover[transformers]",
    ),
    # torch and transformers warn about their own parts.
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"),
]


@pytest.fixture(scope="module")
def transformer(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = write_encoder(tmp_path_factory.mktemp("transformer"))
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep")}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizerFast", **names}))
    return str(folder)


def test_train_student_distills_a_transformer_that_is_too_large(
    transformer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handover.student.training.worth_asking", lambda found, budget, has_silver: found[-1])
    monkeypatch.setattr("handover.student.training.differs", lambda pool, answers: True)
    options = TrainOptions(
        max_steps=20, recipes=("choice-bow", "choice-transformer"), resources=Resources(transformer=transformer)
    )
    examples = TrainingSet(choice(24), choice(8, start=50), choice(16, start=90))
    trained = train_student(STAGE, examples, options=options, workdir=tmp_path)
    rows = [(row["recipe"], row["labels"]) for row in trained.report["candidates"]]
    assert rows == [
        ("choice-bow", "gold"),
        ("choice-transformer", "gold"),
        ("choice-bow", "silver"),
        ("choice-transformer", "silver"),
        ("choice-bow", "distilled"),
    ]
    assert trained.report["candidates"][1]["size"] > 10_000


def test_train_student_with_a_transformer_for_entities(transformer: str, tmp_path: Path) -> None:
    options = TrainOptions(
        max_steps=20, recipes=("entities-transformer",), resources=Resources(transformer=transformer)
    )
    examples = TrainingSet(entities(16), entities(8, start=50))
    trained = train_student(TERMS, examples, options=options, workdir=tmp_path)
    nlp = load_student(trained.path)
    assert nlp.pipe_names == ["transformer", "ner"]
    (answer,) = predict(nlp, [entities(1)[0].text], TERMS)
    assert {span.label for span in answer.annotation.spans} <= set(TERMS.label_names)
    assert replace(options, seed=1).resources.available == {"transformer"}
