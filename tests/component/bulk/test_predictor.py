"""What a pipeline says, as fields."""

from __future__ import annotations

from pathlib import Path

import pytest
import spacy

from handover.bulk.pipelines import find_pipeline, pipeline_hash
from handover.bulk.predictor import Predictor, text_of
from handover.errors import ConfigError
from tests.component.bulk.conftest import TEXT


def test_predictor_says_what_the_pipeline_says(predictor: Predictor, pipeline: Path) -> None:
    texts = [TEXT, "Short.", *(f"{TEXT} {i}" for i in range(140))]
    answers = predictor.answer([{"text": text} for text in texts], "text")
    for answer, doc in zip(answers, spacy.load(pipeline).pipe(texts), strict=True):
        stage = max(("Bid", "Offer"), key=lambda label: doc.cats[f"stage/{label}"])
        assert (answer["p_stage"], answer["p_stage_score"]) == (stage, pytest.approx(doc.cats[f"stage/{stage}"]))
        assert answer["p_tags"] == [label for label in "abc" if doc.cats[f"tags/{label}"] >= 0.5]
        assert len(answer["p_tags_scores"]) == len(answer["p_tags"])
        assert [(s["start"], s["end"], f"terms/{s['label']}", s["text"]) for s in answer["p_terms"]] == [
            (ent.start_char, ent.end_char, ent.label_, ent.text) for ent in doc.ents
        ]
        assert sorted((s["start"], s["end"], f"wide/{s['label']}") for s in answer["p_wide"]) == sorted(
            (span.start_char, span.end_char, span.label_) for span in doc.spans["wide"]
        )
        assert answer["p_catalog"] == doc._.catalog
        assert answer["p_error"] is None
        assert list(answer) == list(predictor.columns)
    assert answers[0]["p_catalog"][0]["reference"] == "NL"


def test_predictor_is_sure_between_0_and_1(predictor: Predictor) -> None:
    (answer,) = predictor.answer([{"text": TEXT}], "text")
    scores = [
        answer["p_stage_score"],
        answer["p_terms_score"],
        *(s["score"] for s in (*answer["p_terms"], *answer["p_wide"])),
    ]
    assert answer["p_terms"]
    assert all(0 <= score <= 1 for score in scores)


def test_predictor_answers_bad_records_with_an_error(predictor: Predictor) -> None:
    rows = [
        {},
        {"text": TEXT},
        {"text": None},
        {"text": 7},
        {"text": " \n"},
        {"text": "\ud800"},
        {"text": "x" * 1_000_001},
    ]
    answers = predictor.answer(rows, "text")
    assert [answer["p_error"] for answer in answers] == [
        "field 'text' holds no text",
        None,
        "field 'text' holds no text",
        "field 'text' holds no text",
        "the text in field 'text' is empty",
        "the text holds half a surrogate pair",
        "the text has 1000001 characters, the longest may have 1000000",
    ]
    assert [list(answer) for answer in answers if answer["p_error"]] == [["p_error"]] * 6
    assert predictor.answer([], "text") == []


def test_predictor_forgets_the_words_of_the_texts(pipeline: Path) -> None:
    predictor = Predictor(pipeline, max_new_words=10)
    before = len(predictor.nlp.vocab)
    answers = predictor.answer([{"text": f"unheard-of Qwxyz{i} words"} for i in range(20)], "text")
    assert [answer["error"] for answer in answers] == [None] * 20
    assert len(predictor.nlp.vocab) == before


@pytest.mark.parametrize(
    ("row", "text"),
    [({"a.b": "1", "a": {"b": "2"}}, "1"), ({"a": {"b": "2"}}, "2"), ({"a": "x"}, None), ({}, None)],
)
def test_text_of_a_nested_field(row: dict[str, object], text: str | None) -> None:
    assert text_of(row, "a.b") == text


def test_find_pipeline_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'no_such_package' is neither the folder of a pipeline nor an installed"):
        find_pipeline("no_such_package")
    spacy.blank("en").to_disk(tmp_path / "other")
    with pytest.raises(ConfigError, match="does not say which aspects"):
        Predictor(find_pipeline(str(tmp_path / "other")))


def test_pipeline_hash_is_of_the_content(pipeline: Path, tmp_path: Path) -> None:
    spacy.blank("en").to_disk(tmp_path / "a")
    spacy.blank("en").to_disk(tmp_path / "b")
    assert pipeline_hash(tmp_path / "a") == pipeline_hash(tmp_path / "b") != pipeline_hash(pipeline)
