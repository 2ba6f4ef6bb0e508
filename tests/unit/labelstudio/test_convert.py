"""Label Studio regions ⇄ Annotation ⇄ Doc: nothing is lost, moved or believed without a check."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
import spacy
from hypothesis import assume, given
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from handover.domain import Annotation, Aspect, Kind, Label, Span
from handover.errors import ConversionError
from handover.labelstudio.convert import (
    annotation_from_doc,
    doc_from_annotation,
    read_result,
    task_text,
    write_result,
)

STAGE = Aspect("stage", "text", Kind.CHOICE, (Label("Bid"), Label("Ask"), Label("Größe")), "text")
TERMS = Aspect("terms", "text", Kind.ENTITIES, (Label("PRICE"), Label("GRADE")), "text")
TEXT = "Secret bids 450 for #1 HMS"  # "Secret" must never turn up in a note

NASTY = st.sampled_from([
    *"abcİßﬁ٣א., ", "ab", "  ", "\n", "\r\n", "\r", "\t", "\u200b", "\u200d", "\ufeff", "\u00a0", "\u2028",
    "e\u0301", "मि", "😀", "👩\u200d👩\u200d👧", "🏴\u200d☠️", "𝒳", "𠀋", "שלום", "\u202eabc\u202c", "\\n",
    "don't",
])  # fmt: skip
TEXTS = st.lists(NASTY, max_size=25).map("".join)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 30) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def nlp() -> Language:
    return spacy.blank("en")


def choice(*labels: Any, **changes: Any) -> dict[str, Any]:
    value = {"choices": list(labels)}
    return {"id": "x", "from_name": "stage", "to_name": "text", "type": "choices", "value": value} | changes


def region(start: Any, end: Any, label: str = "PRICE", **value: Any) -> dict[str, Any]:
    value = {"start": start, "end": end, "labels": [label]} | value
    return {"id": "x", "from_name": "terms", "to_name": "text", "type": "labels", "value": value}


def occurrences(text: str, part: str) -> int:
    """How often a part stands in a text, overlapping ones too (`str.count` leaves those out)."""
    return sum(text.startswith(part, i) for i in range(len(text)))


def doc_state(doc: Doc) -> tuple[Any, ...]:
    """Everything about a Doc that training looks at here."""
    return doc.text, [(token.ent_iob_, token.ent_type_) for token in doc], doc.cats


# Reading choices


@pytest.mark.parametrize(
    ("result", "cats"),
    [
        ([choice("Bid")], ("Bid",)),
        ([choice("Größe")], ("Größe",)),
        ([choice("Bid"), choice("Bid")], ("Bid",)),
        ([choice("Bid", "Bid")], ("Bid",)),
        ([choice(value={"choices": "Ask"})], ("Ask",)),
        ([region(0, 6), choice("Ask"), {"type": "relation", "from_id": "a", "to_id": "b"}], ("Ask",)),
    ],
)
def test_convert_reads_the_chosen_label(result: list[dict[str, Any]], cats: tuple[str, ...]) -> None:
    reading = read_result(result, STAGE, TEXT)
    assert (reading.annotation, reading.repaired, reading.set_aside) == (Annotation(cats=cats), 0, ())


@pytest.mark.parametrize("result", [[], [choice()], [choice("Bid", from_name="other")], [region(12, 15)]])
def test_convert_choice_without_a_selection_is_not_answered(result: list[dict[str, Any]]) -> None:
    reading = read_result(result, STAGE, TEXT)
    assert (reading.annotation, reading.set_aside) == (None, ())


@pytest.mark.parametrize(
    ("result", "note"),
    [
        ([choice("Bid", "Ask")], "2 choices are selected, expected one."),
        ([choice("Bid"), choice("Ask")], "2 choices are selected, expected one."),
        ([choice("Offer")], "Choice 'Offer' is not in the labeling config."),
        ([choice(["Bid", "Firm"])], "Region 1 has no list of choices."),
        ([choice(value={"choices": None})], "Region 1 has no list of choices."),
        ([choice(value={})], "Region 1 has no list of choices."),
        ([choice(value=None)], "Region 1 has no value."),
        ([choice("Bid", type="labels")], "Region 1 has type 'labels', expected 'choices'."),
        ([choice("Bid", to_name="title")], "Region 1 is on object 'title', expected 'text'."),
        (["Bid"], "Region 1 is str, expected an object."),
        ({"choices": ["Bid"]}, "The result is dict, expected a list."),
        (None, "The result is NoneType, expected a list."),
    ],
)
def test_convert_choice_that_cannot_be_read_is_set_aside(result: Any, note: str) -> None:
    reading = read_result(result, STAGE, TEXT)
    assert (reading.annotation, reading.repaired, reading.set_aside) == (None, 0, (note,))


def test_convert_unknown_choice_next_to_a_known_one_is_no_answer() -> None:
    reading = read_result([choice("Bid", "Offer")], STAGE, TEXT)
    assert reading.annotation is None
    assert len(reading.set_aside) == 2


# Reading entities


def test_convert_reads_spans_sorted() -> None:
    result = [region(20, 26, "GRADE", text="#1 HMS"), region(12, 15, text="450")]
    reading = read_result(result, TERMS, TEXT)
    assert reading.annotation == Annotation(spans=(Span(12, 15, "PRICE"), Span(20, 26, "GRADE")))
    assert (reading.repaired, reading.set_aside) == (0, ())


@pytest.mark.parametrize("result", [[], [choice("Bid")]])
def test_convert_no_regions_say_that_there_is_nothing(result: list[dict[str, Any]]) -> None:
    assert read_result(result, TERMS, TEXT).annotation == Annotation()


@pytest.mark.parametrize(
    ("text", "value", "span"),
    [
        ("😀 Acme", region(3, 7, text="Acme"), (2, 6)),
        ("a\r\nb Acme", region(4, 8, text="Acme"), (5, 9)),
        ("Acme  ", region(0, 6, text="Acme  "), (0, 4)),
        ("\r\nAcme", region(0, 5, text="\nAcme"), (2, 6)),
    ],
)
def test_convert_repaired_spans_are_counted(text: str, value: dict[str, Any], span: tuple[int, int]) -> None:
    reading = read_result([value], TERMS, text)
    assert reading.annotation == Annotation(spans=(Span(*span, "PRICE"),))
    assert (reading.repaired, reading.set_aside) == (1, ())


@pytest.mark.parametrize(
    "value",
    [
        region(12, 15),
        region(12, 15, text=None),
        region("/div/text()[1]", "/div/text()[1]", globalOffsets={"start": 12, "end": 15}),
        region("/text()[1]", "/text()[1]", startOffset=12, endOffset=15, text="450"),
    ],
)
def test_convert_spans_of_other_tools_are_read_too(value: dict[str, Any]) -> None:
    reading = read_result([value], TERMS, TEXT)
    assert reading.annotation == Annotation(spans=(Span(12, 15, "PRICE"),))
    assert (reading.repaired, reading.set_aside) == (0, ())


@pytest.mark.parametrize(
    ("value", "note"),
    [
        (region(12, 15, text="451"), "Region 1 at 12-15 ('PRICE') does not fit the text of 26 characters."),
        (region(20, 27), "Region 1 at 20-27 ('PRICE') does not fit the text of 26 characters."),
        (region(-6, -3), "Region 1 at -6--3 ('PRICE') does not fit the text of 26 characters."),
        (region(15, 12, text="450"), "Region 1 at 15-12 ('PRICE') is empty."),
        (region(12.5, 15), "Region 1 has no whole-number offsets."),
        (region("12", "15"), "Region 1 has no whole-number offsets."),
        (region(True, 15), "Region 1 has no whole-number offsets."),
        (region("/p", "/p", startOffset=1, endOffset=4), "Region 1 has no whole-number offsets."),
        (region(12, 15, labels=["PRICE", "GRADE"]), "Region 1 has 2 labels, expected one."),
        (region(12, 15, labels=[]), "Region 1 has 0 labels, expected one."),
        (region(12, 15, labels=[1]), "Region 1 has no list of labels."),
        (region(12, 15, labels=None), "Region 1 has no list of labels."),
        (region(12, 15, "WEIGHT"), "Region 1 has label 'WEIGHT', which is not in the labeling config."),
        (region(12, 15) | {"value": []}, "Region 1 has no value."),
        (region(12, 15) | {"type": "rating"}, "Region 1 has type 'rating', expected 'labels'."),
        (region(12, 15) | {"to_name": ["text"]}, "Region 1 is on object ['text'], expected 'text'."),
    ],
)  # fmt: skip
def test_convert_unreadable_spans_leave_no_annotation_rather_than_an_empty_one(
    value: dict[str, Any], note: str
) -> None:
    reading = read_result([value], TERMS, TEXT)
    assert (reading.annotation, reading.repaired, reading.set_aside) == (None, 0, (note,))


def test_convert_unreadable_span_does_not_spoil_the_others() -> None:
    reading = read_result([region(99, 101), region(12, 15)], TERMS, TEXT)
    assert reading.annotation == Annotation(spans=(Span(12, 15, "PRICE"),))
    assert len(reading.set_aside) == 1


def test_convert_a_label_that_is_not_in_the_config_leaves_no_annotation_rather_than_half_of_one() -> None:
    reading = read_result([region(0, 6, "WEIGHT"), region(12, 15)], TERMS, TEXT)
    assert reading.annotation is None
    assert reading.set_aside == ("Region 1 has label 'WEIGHT', which is not in the labeling config.",)


@pytest.mark.parametrize(("value", "note"), [(region(6, 7), "white space only"), (region(8, 8, text=""), "is empty")])
def test_convert_slips_of_the_mouse_still_mean_that_there_is_nothing(value: dict[str, Any], note: str) -> None:
    reading = read_result([value], TERMS, TEXT)
    assert reading.annotation == Annotation()
    assert note in reading.set_aside[0]


@pytest.mark.parametrize(
    ("regions", "kept"),
    [
        ([region(12, 15), region(12, 15)], Span(12, 15, "PRICE")),
        ([region(12, 15, "GRADE"), region(12, 15, "PRICE")], Span(12, 15, "PRICE")),
        ([region(12, 15), region(7, 15)], Span(7, 15, "PRICE")),
        ([region(12, 15), region(13, 19)], Span(13, 19, "PRICE")),
        ([region(12, 15), region(14, 17)], Span(12, 15, "PRICE")),
    ],
)
def test_convert_overlaps_keep_the_longest_in_any_order(regions: list[dict[str, Any]], kept: Span) -> None:
    for result in (regions, regions[::-1]):
        reading = read_result(result, TERMS, TEXT)
        assert reading.annotation == Annotation(spans=(kept,))
        assert len(reading.set_aside) == 1
        assert "overlaps or repeats" in reading.set_aside[0]


def test_convert_spans_that_touch_do_not_overlap() -> None:
    reading = read_result([region(12, 15), region(15, 19)], TERMS, TEXT)
    assert reading.annotation == Annotation(spans=(Span(12, 15, "PRICE"), Span(16, 19, "PRICE")))
    assert (reading.repaired, reading.set_aside) == (1, ())


@given(
    st.lists(
        JSON
        | st.fixed_dictionaries(
            {},
            optional={
                "from_name": st.sampled_from(["stage", "terms"]) | JSON,
                "to_name": st.just("text") | JSON,
                "type": st.sampled_from(["choices", "labels"]) | JSON,
                "value": st.fixed_dictionaries(
                    {},
                    optional={
                        "start": JSON, "end": JSON, "text": JSON, "choices": JSON, "globalOffsets": JSON,
                        "labels": st.just(["PRICE"]) | JSON,
                    },
                ) | JSON,
            },
        ),
        max_size=5,
    )
)  # fmt: skip
def test_convert_malformed_regions_never_raise_and_no_note_holds_the_text(result: list[Any]) -> None:
    for aspect in (STAGE, TERMS):
        reading = read_result(result, aspect, TEXT)
        assert not any("Secret" in note for note in reading.set_aside)
        spans = reading.annotation.spans if reading.annotation else ()
        assert all(TEXT[span.start : span.end].strip() == TEXT[span.start : span.end] for span in spans)
        assert all(left.end <= right.start for left, right in pairwise(spans))


def test_convert_many_overlapping_regions_are_read_quickly() -> None:
    # Compared pair by pair, these would take minutes.
    reading = read_result([region(i, i + 60) for i in range(20_000)], TERMS, "word " * 5000)
    assert reading.annotation is not None
    assert len(reading.annotation.spans) == 334


# Writing


def test_convert_writes_a_choice_as_label_studio_expects_it() -> None:
    (written,) = write_result(Annotation(cats=("Bid",)), STAGE, TEXT, score=0.75)
    assert written.pop("id").isalnum()
    assert written == {
        "from_name": "stage",
        "to_name": "text",
        "type": "choices",
        "value": {"choices": ["Bid"]},
        "score": 0.75,
    }


def test_convert_writes_spans_with_their_text_and_no_score() -> None:
    (written,) = write_result(Annotation(spans=(Span(12, 15, "PRICE"),)), TERMS, TEXT)
    assert written["value"] == {"start": 12, "end": 15, "text": "450", "labels": ["PRICE"]}
    assert (written["type"], "score" in written) == ("labels", False)


@pytest.mark.parametrize("aspect", [STAGE, TERMS])
def test_convert_writes_nothing_for_an_empty_annotation(aspect: Aspect) -> None:
    assert write_result(Annotation(), aspect, TEXT) == []


def test_convert_ids_are_stable_short_and_different() -> None:
    annotation = Annotation(spans=(Span(12, 15, "PRICE"), Span(20, 26, "GRADE")))
    twin = Aspect("twin", "text", Kind.ENTITIES, TERMS.labels, "text")
    first, second, other = (
        [written["id"] for written in write_result(annotation, aspect, TEXT)] for aspect in (TERMS, TERMS, twin)
    )
    assert first == second
    assert len({*first, *other}) == 4
    assert {len(name) for name in first} == {10}


@pytest.mark.parametrize(
    ("annotation", "aspect", "expected"),
    [
        (Annotation(cats=("Offer",)), STAGE, "Label 'Offer' is not in the labeling config of aspect 'stage'"),
        (Annotation(spans=(Span(0, 6, "WEIGHT"),)), TERMS, "Label 'WEIGHT'"),
        (Annotation(spans=(Span(20, 27, "PRICE"),)), TERMS, "Span 20-27 is not inside the text of 26"),
        (Annotation(spans=(Span(5, 5, "PRICE"),)), TERMS, "Span 5-5"),
    ],
)  # fmt: skip
def test_convert_refuses_to_write_what_does_not_belong(annotation: Annotation, aspect: Aspect, expected: str) -> None:
    with pytest.raises(ConversionError, match=expected) as caught:
        write_result(annotation, aspect, TEXT)
    assert "Secret" not in str(caught.value)


# Task data


@pytest.mark.parametrize(
    ("field", "data", "text"),
    [
        ("text", {"text": "a"}, "a"),
        ("text", {"text": ""}, ""),
        ("text", {"$undefined$": "imported from a .txt"}, "imported from a .txt"),
        ("mail.body", {"mail": {"body": "a"}}, "a"),
        ("mail.body", {"mail": "a"}, None),
        ("text", {"text": 7}, None),
        ("text", {}, None),
    ],
)
def test_convert_task_text(field: str, data: dict[str, Any], text: str | None) -> None:
    assert task_text(data, Aspect("stage", "text", Kind.CHOICE, (), field)) == text


# Docs


def test_convert_cats_hold_every_label(nlp: Language) -> None:
    reading = doc_from_annotation(nlp, TEXT, Annotation(cats=("Ask",)), STAGE)
    assert reading.doc.cats == {"Bid": 0.0, "Ask": 1.0, "Größe": 0.0}
    assert (reading.doc.text, reading.misaligned) == (TEXT, 0)


@pytest.mark.parametrize("annotation", [None, Annotation(), Annotation(cats=("Offer",))])
def test_convert_doc_without_a_known_choice_has_no_cats(nlp: Language, annotation: Annotation | None) -> None:
    assert doc_from_annotation(nlp, TEXT, annotation, STAGE).doc.cats == {}


@pytest.mark.parametrize(
    ("cats", "label"),
    [
        ({"Bid": 0.2, "Ask": 0.7, "Größe": 0.1}, "Ask"),
        ({"Größe": 0.5, "Ask": 0.5}, "Ask"),
        ({"Offer": 0.9, "Bid": 0.1}, "Bid"),
    ],
)
def test_convert_doc_answers_with_the_highest_score(nlp: Language, cats: dict[str, float], label: str) -> None:
    doc = nlp(TEXT)
    doc.cats = cats
    assert annotation_from_doc(doc, STAGE) == Annotation(cats=(label,))


@pytest.mark.parametrize("cats", [{}, {"Offer": 1.0}])
def test_convert_doc_without_the_labels_gives_no_choice(nlp: Language, cats: dict[str, float]) -> None:
    doc = nlp(TEXT)
    doc.cats = cats
    assert annotation_from_doc(doc, STAGE) is None


def test_convert_doc_without_entity_annotation_says_nothing(nlp: Language) -> None:
    assert annotation_from_doc(nlp.make_doc(TEXT), TERMS) is None
    nothing_here = doc_from_annotation(nlp, TEXT, Annotation(), TERMS)
    assert annotation_from_doc(nothing_here.doc, TERMS) == Annotation()


def test_convert_doc_entities_of_other_labels_are_left_out(nlp: Language) -> None:
    doc = nlp(TEXT)
    doc.ents = [doc.char_span(0, 6, label="WEIGHT"), doc.char_span(12, 15, label="PRICE")]
    assert annotation_from_doc(doc, TERMS) == Annotation(spans=(Span(12, 15, "PRICE"),))


def test_convert_tokens_of_a_misaligned_span_are_not_taught_as_outside(nlp: Language) -> None:
    spans = (Span(8, 10, "GRADE"), Span(12, 15, "PRICE"))  # "id" in "bids" is no token
    reading = doc_from_annotation(nlp, TEXT, Annotation(spans=spans), TERMS)
    example = Example(nlp.make_doc(TEXT), reading.doc)
    assert reading.misaligned == 1
    assert [token.text for token in reading.doc][:4] == ["Secret", "bids", "450", "for"]
    assert example.get_aligned_ner()[:4] == ["O", None, "U-PRICE", "O"]


def test_convert_two_misaligned_spans_in_one_token_are_both_counted(nlp: Language) -> None:
    reading = doc_from_annotation(nlp, "abcdef", Annotation(spans=(Span(0, 2, "PRICE"), Span(2, 6, "GRADE"))), TERMS)
    assert (reading.misaligned, [token.ent_iob for token in reading.doc]) == (2, [0])


def test_convert_spans_that_cannot_be_trained_on_are_misaligned(nlp: Language) -> None:
    # One begins with a blank token, one is out of range, one has a label that the aspect does not have.
    spans = (Span(0, 4, "PRICE"), Span(90, 95, "PRICE"), Span(5, 8, "WEIGHT"))
    reading = doc_from_annotation(nlp, "\n\nab cde", Annotation(spans=spans), TERMS)
    assert (reading.misaligned, reading.doc.ents) == (2, ())


@pytest.mark.parametrize("text", ["", " ", "\r\n\t ", "\u200b", " a  b "])
def test_convert_doc_keeps_the_text_exactly(nlp: Language, text: str) -> None:
    for aspect in (STAGE, TERMS):
        assert doc_from_annotation(nlp, text, Annotation(), aspect).doc.text == text


def test_convert_tokenizer_that_changes_the_text_is_refused() -> None:
    nlp = spacy.blank("en")
    nlp.tokenizer = lambda text: Doc(nlp.vocab, words=text.split())
    with pytest.raises(ConversionError, match="changes the text") as caught:
        doc_from_annotation(nlp, "Secret  bids", Annotation(), TERMS)
    assert "Secret" not in str(caught.value)


# All the way round


@st.composite
def annotated(draw: st.DrawFn) -> tuple[str, list[tuple[int, int, str]]]:
    """A text, and token positions with labels in it that do not overlap."""
    text = draw(TEXTS)
    cuts = sorted(draw(st.sets(st.integers(0, 20), max_size=8)))
    pairs = list(zip(cuts[::2], cuts[1::2], strict=False))
    return text, [(*pair, draw(st.sampled_from(TERMS.label_names))) for pair in pairs]


@given(annotated())
def test_convert_entities_survive_the_way_to_label_studio_and_back(
    nlp: Language, case: tuple[str, list[tuple[int, int, str]]]
) -> None:
    text, ents = case
    doc = nlp.make_doc(text)
    spans = [doc[start:end] for start, end, _ in ents]
    labels = [label for _, _, label in ents]
    solid = [len(span) > 0 and not (span[0].is_space or span[-1].is_space) for span in spans]
    doc.ents = [
        doc.char_span(span.start_char, span.end_char, label=label)
        for span, label, keep in zip(spans, labels, solid, strict=True)
        if keep
    ]
    annotation = annotation_from_doc(doc, TERMS)
    assert annotation is not None
    sent = json.loads(json.dumps(write_result(annotation, TERMS, text)))
    reading = read_result(sent, TERMS, text)
    assert (reading.annotation, reading.repaired, reading.set_aside) == (annotation, 0, ())
    back = doc_from_annotation(nlp, text, reading.annotation, TERMS)
    assert back.misaligned == 0
    assert doc_state(back.doc) == doc_state(doc)


@given(TEXTS, st.sampled_from(STAGE.label_names))
def test_convert_choices_survive_the_way_to_label_studio_and_back(nlp: Language, text: str, label: str) -> None:
    doc = doc_from_annotation(nlp, text, Annotation(cats=(label,)), STAGE).doc
    annotation = annotation_from_doc(doc, STAGE)
    assert annotation == Annotation(cats=(label,))
    sent = json.loads(json.dumps(write_result(annotation, STAGE, text, score=0.5)))
    reading = read_result(sent, STAGE, text)
    assert reading.annotation == annotation
    assert doc_state(doc_from_annotation(nlp, text, reading.annotation, STAGE).doc) == doc_state(doc)


@given(TEXTS, st.data())
def test_convert_utf16_offsets_are_repaired_to_a_span_with_the_same_text(text: str, data: st.DataObject) -> None:
    solid = [i for i, char in enumerate(text) if not char.isspace() and char not in "\\n"]
    assume(solid)
    start = data.draw(st.sampled_from(solid))
    end = data.draw(st.sampled_from([i for i in solid if i >= start])) + 1
    shifted = [len(text[:i].encode("utf-16-le")) // 2 for i in (start, end)]
    reading = read_result([region(*shifted, text=text[start:end])], TERMS, text)
    assert reading.annotation is not None
    (span,) = reading.annotation.spans
    if occurrences(text, text[start:end]) == 1 and shifted != [start, end]:
        assert (span.start, span.end, reading.repaired) == (start, end, 1)
    assert "".join(text[span.start : span.end].replace("\\n", "").split()) == "".join(
        text[start:end].replace("\\n", "").split()
    )


def test_convert_leaves_out_a_text_without_a_utf8_form_and_reads_it_back() -> None:
    text = "copper \ud83d"
    annotation = Annotation(spans=(Span(0, 8, "GRADE"),))
    (region,) = write_result(annotation, TERMS, text)
    assert region["value"] == {"start": 0, "end": 8, "labels": ["GRADE"]}
    assert read_result([region], TERMS, text).annotation == annotation
