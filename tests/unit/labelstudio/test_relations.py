"""Relations ⇄ Annotation ⇄ Doc, as Label Studio stores them and as others might."""

from __future__ import annotations

import json
from typing import Any

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.language import Language

from handover.doc_relations import get_relations
from handover.domain import Annotation, Relation, Span
from handover.errors import ConversionError
from handover.labelstudio.convert import annotation_from_doc, doc_from_annotation, read_result, write_result
from tests.unit.labelstudio.kinds import DEALS, TERMS, TEXT, TEXTS, choices, region, relation

PRICE, GRADE, BIDS = Span(12, 15, "PRICE"), Span(20, 26, "GRADE"), Span(7, 11, "GRADE")
SPANS = (BIDS, PRICE, GRADE)
REGIONS = [region(20, 26, "GRADE", id="g"), region(12, 15, id="p"), region(7, 11, "GRADE", id="b")]


@pytest.fixture(scope="module")
def nlp() -> Language:
    return spacy.blank("en")


@pytest.mark.parametrize(
    ("items", "edges"),
    [
        ([relation("p", "g", "of")], [(1, 2, "of")]),
        ([relation("p", "g", "of", direction="left")], [(2, 1, "of")]),
        ([relation("p", "g", "of", direction="bi")], [(1, 2, "of"), (2, 1, "of")]),
        ([relation("p", "g", "at", "of")], [(1, 2, "at"), (1, 2, "of")]),
        ([relation("p", "g", "of"), relation("p", "g", "of")], [(1, 2, "of")]),
        ([relation("p", "p", "of", direction="bi")], [(1, 1, "of")]),
        ([relation("p", "g", labels="of")], [(1, 2, "of")]),
        ([{"type": "relation", "from_id": "b", "to_id": "p", "labels": ["at"]}], [(0, 1, "at")]),
        ([], []),
        ([choices("Price")], []),
    ],
)
def test_relations_are_read_with_all_regions_of_their_tag(
    items: list[dict[str, Any]], edges: list[tuple[int, int, str]]
) -> None:
    expected = Annotation(spans=SPANS, relations=tuple(Relation(*edge) for edge in edges))
    for result in ([*REGIONS, *items], [*items, *REGIONS[::-1]]):
        reading = read_result(result, DEALS, TEXT)
        assert (reading.annotation, reading.repaired, reading.set_aside) == (expected, 0, ())


@pytest.mark.parametrize(
    ("item", "note"),
    [
        (relation("p", "g"), "Relation 4 has no label."),
        (relation("p", "g", labels=None), "Relation 4 has no label."),
        ({"type": "relation", "from_id": "p", "to_id": "g", "direction": "right"}, "Relation 4 has no label."),
        (relation("p", "g", 7), "Relation 4 has no list of labels."),
        (relation("p", "g", "of", direction="up"), "Relation 4 has direction 'up', expected left, right or bi."),
        (relation("p", "gone", "of"), "Relation 4 connects something else than two readable regions of 'terms'."),
        (relation(None, "g", "of"), "Relation 4 connects something else than two readable regions of 'terms'."),
        (relation(["p"], "g", "of"), "Relation 4 connects something else than two readable regions of 'terms'."),
    ],
)
def test_relations_that_cannot_be_read_leave_no_annotation_rather_than_an_empty_one(
    item: dict[str, Any], note: str
) -> None:
    reading = read_result([*REGIONS, item], DEALS, TEXT)
    assert (reading.annotation, reading.set_aside) == (None, (note,))
    more = read_result([*REGIONS, item, relation("b", "p", "at")], DEALS, TEXT)
    assert more.annotation == Annotation(spans=SPANS, relations=(Relation(0, 1, "at"),))
    assert more.set_aside == (note,)


@pytest.mark.parametrize(
    ("regions", "item", "note"),
    [
        (REGIONS, relation("p", "g", "near"), "Relation 4 has label 'near', which is not in the labeling config."),
        (
            [*REGIONS[:2], region(7, 11, "WEIGHT", id="b")],
            relation("b", "p", "at"),
            "Relation 4 connects something else than two readable regions of 'terms'.",
        ),
    ],
)
def test_relations_with_a_label_that_is_not_in_the_config_leave_no_annotation_rather_than_half_of_one(
    regions: list[dict[str, Any]], item: dict[str, Any], note: str
) -> None:
    reading = read_result([*regions, item, relation("p", "g", "of")], DEALS, TEXT)
    assert (reading.annotation, reading.set_aside) == (None, (note,))


def test_relations_of_regions_that_no_relation_needs_may_have_any_label() -> None:
    result = [*REGIONS[:2], region(7, 11, "WEIGHT", id="b"), relation("p", "g", "of")]
    assert read_result(result, DEALS, TEXT).annotation == Annotation(
        spans=(PRICE, GRADE), relations=(Relation(0, 1, "of"),)
    )


def test_relations_of_unreadable_regions_and_of_other_tags_are_set_aside() -> None:
    regions = [region(99, 101, id="p"), region(12, 15, id="q") | {"from_name": "other"}, region(7, 11, id="b")]
    reading = read_result([*regions, relation("p", "b", "of"), relation("q", "b", "of")], DEALS, TEXT)
    assert reading.annotation is None
    assert [note.split(" connects")[0] for note in reading.set_aside] == ["Relation 4", "Relation 5"]


def test_relations_none_drawn_between_unreadable_regions_means_none() -> None:
    reading = read_result([region(99, 101)], DEALS, TEXT)
    assert (reading.annotation, reading.set_aside) == (Annotation(), ())


def test_relations_of_a_region_with_two_labels_hold_for_both() -> None:
    result = [region(12, 15, "PRICE", "GRADE", id="p"), region(7, 11, "GRADE", id="b"), relation("b", "p", "of")]
    annotation = read_result(result, DEALS, TEXT).annotation
    assert annotation == Annotation(
        spans=(BIDS, Span(12, 15, "GRADE"), PRICE), relations=(Relation(0, 1, "of"), Relation(0, 2, "of"))
    )
    assert read_result(write_result(annotation, DEALS, TEXT), DEALS, TEXT).annotation == annotation


def test_relations_of_repaired_regions_are_read() -> None:
    result = [region(3, 7, text="Acme", id="a"), region(8, 11, text="now", id="n"), relation("a", "n", "at")]
    reading = read_result(result, DEALS, "😀 Acme now")
    assert reading.annotation == Annotation(
        spans=(Span(2, 6, "PRICE"), Span(7, 10, "PRICE")), relations=(Relation(0, 1, "at"),)
    )
    assert reading.repaired == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 30) | st.sampled_from(["p", "b", "of", "right"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.lists(
        JSON
        | st.fixed_dictionaries(
            {"type": st.just("relation") | JSON},
            optional=dict.fromkeys(("from_id", "to_id", "direction", "labels"), JSON),
        ),
        max_size=5,
    )
)
def test_relations_malformed_items_never_raise_and_no_note_holds_the_text(items: list[Any]) -> None:
    reading = read_result([*REGIONS, *items], DEALS, TEXT)
    assert not any("Secret" in note for note in reading.set_aside)


# Writing


def test_relations_are_written_with_the_regions_of_the_other_aspect() -> None:
    annotation = Annotation(spans=SPANS, relations=(Relation(1, 2, "of"), Relation(1, 2, "at")))
    price, grade, item = write_result(annotation, DEALS, TEXT, score=0.5, scores={PRICE: 0.9})
    of_terms = {part["value"]["text"]: part for part in write_result(Annotation(spans=SPANS), TERMS, TEXT)}
    assert price == {**of_terms["450"], "score": 0.9}
    assert grade == {**of_terms["#1 HMS"], "score": 0.5}
    assert item == {
        "from_id": price["id"],
        "to_id": grade["id"],
        "type": "relation",
        "direction": "right",
        "labels": ["of", "at"],
    }


@pytest.mark.parametrize(
    ("edges", "items"),
    [
        ([(0, 1, "of"), (1, 0, "of")], [("bi", ["of"])]),
        ([(0, 1, "of"), (1, 0, "at")], [("right", ["of"]), ("right", ["at"])]),
        ([(0, 0, "of")], [("right", ["of"])]),
        ([], []),
    ],
)
def test_relations_are_written_once_for_each_pair(edges: list[tuple[int, int, str]], items: list[Any]) -> None:
    annotation = Annotation(spans=SPANS, relations=tuple(Relation(*edge) for edge in edges))
    written = [part for part in write_result(annotation, DEALS, TEXT) if part["type"] == "relation"]
    assert [(part["direction"], part["labels"]) for part in written] == items


@pytest.mark.parametrize(
    ("relations", "spans", "expected"),
    [
        ((Relation(0, 3, "of"),), SPANS, "not one of the 3 spans"),
        ((Relation(-1, 0, "of"),), SPANS, "not one of the 3 spans"),
        ((Relation(0, 1, "near"),), SPANS, "Label 'near' is not in the labeling config of aspect 'relations'"),
        ((Relation(0, 1, "of"),), (Span(0, 6, "WEIGHT"), PRICE), "Label 'WEIGHT' .* of aspect 'terms'"),
        ((Relation(0, 1, "of"),), (PRICE, Span(20, 27, "GRADE")), "Span 20-27 is not inside"),
    ],
)
def test_relations_that_do_not_belong_are_not_written(
    relations: tuple[Relation, ...], spans: tuple[Span, ...], expected: str
) -> None:
    with pytest.raises(ConversionError, match=expected) as caught:
        write_result(Annotation(spans=spans, relations=relations), DEALS, TEXT)
    assert "Secret" not in str(caught.value)


# Docs


def test_relations_doc_without_them_says_nothing(nlp: Language) -> None:
    doc = nlp.make_doc(TEXT)
    assert annotation_from_doc(doc, DEALS) is None
    doc.spans["sc"] = [doc.char_span(12, 15, "PRICE")]
    assert annotation_from_doc(doc, DEALS) is None
    assert annotation_from_doc(doc_from_annotation(nlp, TEXT, Annotation(), DEALS).doc, DEALS) == Annotation()


def test_relations_of_misaligned_spans_and_unknown_labels_are_left_out(nlp: Language) -> None:
    spans = (BIDS, Span(8, 10, "GRADE"), PRICE, Span(16, 19, "WEIGHT"))
    edges = (Relation(0, 1, "of"), Relation(0, 2, "of"), Relation(2, 3, "of"), Relation(2, 0, "near"))
    reading = doc_from_annotation(nlp, TEXT, Annotation(spans=spans, relations=edges), DEALS)
    assert reading.misaligned == 1
    assert [span.text for span in reading.doc.spans["sc"]] == ["bids", "450"]
    assert get_relations(reading.doc) == [(0, 1, "of")]


NLP = spacy.blank("en")


@st.composite
def connected(draw: st.DrawFn) -> tuple[str, Annotation]:
    """A text, spans of whole tokens in it that may overlap, and relations that use each of them."""
    doc = NLP.make_doc(draw(TEXTS))
    solid = [token.i for token in doc if not token.is_space]
    spans = set()
    for first, last in draw(st.lists(st.tuples(*[st.sampled_from(solid)] * 2), max_size=5)) if solid else []:
        span = doc[min(first, last) : max(first, last) + 1]
        if span.text == span.text.strip():
            spans.add(Span(span.start_char, span.end_char, draw(st.sampled_from(DEALS.span_label_names))))
    edges = {
        Relation(index, draw(st.integers(0, len(spans) - 1)), draw(st.sampled_from(DEALS.label_names)))
        for index in range(len(spans))
        for _ in range(draw(st.integers(1, 2)))
    }
    return doc.text, Annotation(spans=tuple(sorted(spans)), relations=tuple(sorted(edges)))


@given(connected())
def test_relations_survive_the_way_to_label_studio_and_back(case: tuple[str, Annotation]) -> None:
    text, annotation = case
    sent = json.loads(json.dumps(write_result(annotation, DEALS, text)))
    reading = read_result(sent, DEALS, text)
    assert (reading.annotation, reading.repaired, reading.set_aside) == (annotation, 0, ())
    doc = doc_from_annotation(NLP, text, reading.annotation, DEALS)
    assert doc.misaligned == 0
    again = annotation_from_doc(doc.doc, DEALS)
    assert again == annotation
    assert write_result(again, DEALS, text) == sent
