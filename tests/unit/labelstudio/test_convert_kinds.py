"""Regions ⇄ Annotation ⇄ Doc for kinds `choices` and `spans`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.language import Language

from handover.domain import Annotation, Aspect, Span
from handover.errors import ConversionError
from handover.labelstudio.convert import annotation_from_doc, doc_from_annotation, read_result, write_result
from tests.unit.labelstudio.kinds import TERMS, TEXT, TEXTS, TOPICS, choices, region


@pytest.fixture(scope="module")
def nlp() -> Language:
    return spacy.blank("en")


# Choices


@pytest.mark.parametrize(
    ("result", "cats"),
    [
        ([choices("Price")], ("Price",)),
        ([choices("Delivery", "Price")], ("Price", "Delivery")),
        ([choices("Price"), choices("Größe", "Price")], ("Price", "Größe")),
        ([choices(value={"choices": "Price"})], ("Price",)),
        ([], ()),
        ([choices()], ()),
        ([region(0, 6), choices("Price", from_name="other")], ()),
    ],
)
def test_convert_choices_in_the_order_of_the_config_and_none_is_an_answer(
    result: list[dict[str, Any]], cats: tuple[str, ...]
) -> None:
    reading = read_result(result, TOPICS, TEXT)
    assert (reading.annotation, reading.repaired, reading.set_aside) == (Annotation(cats=cats), 0, ())


@pytest.mark.parametrize("result", [[], [choices()]])
def test_convert_required_choices_without_a_selection_were_not_answered(result: list[dict[str, Any]]) -> None:
    reading = read_result(result, replace(TOPICS, required=True), TEXT)
    assert (reading.annotation, reading.set_aside) == (None, ())


@pytest.mark.parametrize(
    ("result", "note"),
    [
        ([choices("Offer")], "Choice 'Offer' is not in the labeling config."),
        ([choices("Offer", "Price")], "Choice 'Offer' is not in the labeling config."),
        ([choices(["Price", "Firm"])], "Region 1 has no list of choices."),
        ([choices("Price", type="labels")], "Region 1 has type 'labels', expected 'choices'."),
        (["Price"], "Region 1 is str, expected an object."),
        (None, "The result is NoneType, expected a list."),
    ],
)
def test_convert_choices_that_cannot_be_read_are_not_taken_for_none(result: Any, note: str) -> None:
    reading = read_result(result, TOPICS, TEXT)
    assert (reading.annotation, reading.set_aside) == (None, (note,))


def test_convert_writes_choices_as_one_region_with_the_least_certain_score() -> None:
    annotation = Annotation(cats=("Price", "Delivery"))
    scores: dict[str | Span, float] = {"Price": 0.9, "Delivery": 0.6, "Größe": 0.1}
    (written,) = write_result(annotation, TOPICS, TEXT, score=0.95, scores=scores)
    assert (written["type"], written["value"], written["score"]) == (
        "choices",
        {"choices": ["Price", "Delivery"]},
        0.6,
    )
    assert write_result(annotation, TOPICS, TEXT, score=0.95)[0]["score"] == 0.95
    assert write_result(Annotation(), TOPICS, TEXT, score=0.95) == []


@pytest.mark.parametrize(
    ("cats", "expected"),
    [
        ({"Price": 0.5, "Größe": 0.49, "Delivery": 1.0}, Annotation(cats=("Price", "Delivery"))),
        ({"Price": 0.1, "Größe": 0.2, "Delivery": 0.3}, Annotation()),
        ({"Offer": 1.0}, None),
        ({}, None),
    ],
)
def test_convert_doc_chooses_from_one_half_on(nlp: Language, cats: dict[str, float], expected: object) -> None:
    doc = nlp.make_doc(TEXT)
    doc.cats = cats
    assert annotation_from_doc(doc, TOPICS) == expected


def test_convert_doc_with_none_chosen_holds_all_labels_and_without_an_answer_none(nlp: Language) -> None:
    none = doc_from_annotation(nlp, TEXT, Annotation(), TOPICS).doc
    assert none.cats == {"Price": 0.0, "Größe": 0.0, "Delivery": 0.0}
    assert annotation_from_doc(none, TOPICS) == Annotation()
    assert doc_from_annotation(nlp, TEXT, None, TOPICS).doc.cats == {}


@given(TEXTS, st.sets(st.sampled_from(TOPICS.label_names)))
def test_convert_choices_survive_the_way_to_label_studio_and_back(nlp: Language, text: str, chosen: set[str]) -> None:
    result = [choices(*sorted(chosen))] if chosen else []
    annotation = read_result(result, TOPICS, text).annotation
    assert annotation is not None
    assert set(annotation.cats) == chosen
    doc = doc_from_annotation(nlp, text, annotation, TOPICS).doc
    assert annotation_from_doc(doc, TOPICS) == annotation
    written = json.loads(json.dumps(write_result(annotation, TOPICS, text)))
    assert [set(part["value"]["choices"]) for part in written] == [set(part["value"]["choices"]) for part in result]


# Spans


@pytest.mark.parametrize(
    ("result", "spans"),
    [
        ([region(7, 15), region(12, 15, "GRADE")], [(7, 15, "PRICE"), (12, 15, "GRADE")]),
        ([region(12, 15, "PRICE", "GRADE")], [(12, 15, "GRADE"), (12, 15, "PRICE")]),
        ([region(12, 15, "PRICE", "PRICE")], [(12, 15, "PRICE")]),
        ([region(12, 15), region(12, 15, "GRADE")], [(12, 15, "GRADE"), (12, 15, "PRICE")]),
        ([region(7, 15), region(12, 19)], [(7, 15, "PRICE"), (12, 19, "PRICE")]),
        ([], []),
    ],
)
def test_convert_spans_may_overlap_and_a_region_with_two_labels_is_two(
    result: list[dict[str, Any]], spans: list[tuple[int, int, str]]
) -> None:
    for order in (result, result[::-1]):
        reading = read_result(order, TERMS, TEXT)
        assert reading.annotation == Annotation(spans=tuple(Span(*span) for span in spans))
        assert (reading.repaired, reading.set_aside) == (0, ())


@pytest.mark.parametrize(
    ("result", "spans", "note"),
    [
        ([region(12, 15), region(12, 15)], 1, "Span 12-15 ('PRICE') repeats another one."),
        ([region(2, 5, "PRICE", "WEIGHT")], None, "Region 1 has label 'WEIGHT', which is not in the labeling config."),
        ([region(12, 15, labels=[])], None, "Region 1 has 0 labels, expected at least one."),
        ([region(12, 15, text="451")], None, "Region 1 at 12-15 ('PRICE') does not fit the text of 26 characters."),
        ([region(6, 7)], 0, "Region 1 at 6-7 ('PRICE') holds white space only."),
    ],
)  # fmt: skip
def test_convert_spans_are_checked_like_entities(result: list[dict[str, Any]], spans: int | None, note: str) -> None:
    reading = read_result(result, TERMS, TEXT)
    assert (len(reading.annotation.spans) if reading.annotation else None) == spans
    assert reading.set_aside == (note,)


def test_convert_moved_spans_are_repaired_for_each_label() -> None:
    reading = read_result([region(3, 7, "PRICE", "GRADE", text="Acme")], TERMS, "😀 Acme")
    assert reading.annotation == Annotation(spans=(Span(2, 6, "GRADE"), Span(2, 6, "PRICE")))
    assert reading.repaired == 2


def test_convert_writes_a_region_and_a_score_for_each_span() -> None:
    spans = (Span(12, 15, "GRADE"), Span(12, 15, "PRICE"), Span(7, 15, "PRICE"))
    scores: dict[str | Span, float] = {spans[0]: 0.25}
    written = write_result(Annotation(spans=spans), TERMS, TEXT, score=0.75, scores=scores)
    assert [part["score"] for part in written] == [0.25, 0.75, 0.75]
    assert [part["value"]["labels"] for part in written] == [["GRADE"], ["PRICE"], ["PRICE"]]
    assert len({part["id"] for part in written}) == 3


def test_convert_doc_without_the_span_group_says_nothing(nlp: Language) -> None:
    assert annotation_from_doc(nlp.make_doc(TEXT), TERMS) is None
    nothing_here = doc_from_annotation(nlp, TEXT, Annotation(), TERMS)
    assert annotation_from_doc(nothing_here.doc, TERMS) == Annotation()


def test_convert_doc_spans_of_other_labels_and_repeats_are_left_out(nlp: Language) -> None:
    doc = nlp.make_doc(TEXT)
    doc.spans["sc"] = [doc.char_span(*span) for span in [(12, 15, "PRICE"), (0, 6, "WEIGHT"), (12, 15, "PRICE")]]
    assert annotation_from_doc(doc, TERMS) == Annotation(spans=(Span(12, 15, "PRICE"),))


def test_convert_misaligned_spans_are_counted_and_left_out(nlp: Language) -> None:
    spans = (Span(8, 10, "GRADE"), Span(12, 15, "PRICE"), Span(90, 95, "PRICE"), Span(0, 6, "WEIGHT"))
    reading = doc_from_annotation(nlp, TEXT, Annotation(spans=spans), TERMS)
    assert reading.misaligned == 2
    assert [(span.text, span.label_) for span in reading.doc.spans["sc"]] == [("450", "PRICE")]


@st.composite
def marked(draw: st.DrawFn, nlp: Language) -> tuple[str, set[Span]]:
    """A text and spans of whole tokens in it, which may overlap in any way."""
    doc = nlp.make_doc(draw(TEXTS))
    solid = [token.i for token in doc if not token.is_space]
    ends = st.tuples(st.sampled_from(solid), st.sampled_from(solid)) if solid else st.nothing()
    found = set()
    for first, last in draw(st.lists(ends, max_size=6)) if solid else []:
        span = doc[min(first, last) : max(first, last) + 1]
        if span.text == span.text.strip():
            found.add(Span(span.start_char, span.end_char, draw(st.sampled_from(TERMS.label_names))))
    return doc.text, found


NLP = spacy.blank("en")


@given(marked(NLP))
def test_convert_spans_survive_the_way_to_label_studio_and_back(case: tuple[str, set[Span]]) -> None:
    text, spans = case
    result = [region(s.start, s.end, s.label, text=text[s.start : s.end]) for s in spans]
    reading = read_result(result, TERMS, text)
    assert reading.annotation == Annotation(spans=tuple(sorted(spans)))
    assert (reading.repaired, reading.set_aside) == (0, ())
    doc = doc_from_annotation(NLP, text, reading.annotation, TERMS)
    assert doc.misaligned == 0
    annotation = annotation_from_doc(doc.doc, TERMS)
    assert annotation == reading.annotation
    written = json.loads(json.dumps(write_result(annotation, TERMS, text)))
    assert sorted(str(part["value"]) for part in written) == sorted(
        str({"start": s.start, "end": s.end, "text": text[s.start : s.end], "labels": [s.label]}) for s in spans
    )


@pytest.mark.parametrize(
    ("annotation", "aspect", "expected"),
    [
        (Annotation(cats=("Offer",)), TOPICS, "Label 'Offer' is not in the labeling config of aspect 'topics'"),
        (Annotation(spans=(Span(0, 6, "WEIGHT"),)), TERMS, "Label 'WEIGHT'"),
        (Annotation(spans=(Span(20, 27, "PRICE"),)), TERMS, "Span 20-27 is not inside the text of 26"),
    ],
)
def test_convert_refuses_to_write_what_does_not_belong(annotation: Annotation, aspect: Aspect, expected: str) -> None:
    with pytest.raises(ConversionError, match=expected) as caught:
        write_result(annotation, aspect, TEXT)
    assert "Secret" not in str(caught.value)
