"""Counts, metrics and tables, checked by hand and against spaCy's own Scorer."""

from __future__ import annotations

import json

import numpy as np
import pytest
import spacy
from spacy.scorer import Scorer
from spacy.tokens import Doc
from spacy.training import Example

from handover.domain import Annotation, Kind, Relation, Span
from handover.evaluation.scores import counts, metric, metric_of, score

LABELS = ("a", "b", "c")


def cats(*labels: str) -> Annotation:
    return Annotation(cats=labels)


def spans(*found: tuple[int, int, str]) -> Annotation:
    return Annotation(spans=tuple(Span(*span) for span in found))


CHOICE = (
    [cats("a"), cats("a"), cats("b"), cats("b"), cats("b")],
    [cats("a"), cats("b"), cats("b"), None, cats("a")],
)
SPANS = (
    [spans((0, 3, "a"), (4, 7, "b")), spans(), spans((0, 3, "a"))],
    [spans((0, 3, "a"), (4, 7, "a")), spans((0, 7, "b")), None],
)
CHOICES = ([cats("a", "b"), cats(), cats("c")], [cats("b"), cats("c"), None])


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Kind.CHOICE, "cats_acc"),
        (Kind.CHOICES, "cats_micro_f"),
        (Kind.ENTITIES, "ents_f"),
        (Kind.SPANS, "spans_f"),
        (Kind.RELATIONS, "rel_micro_f"),
    ],
)
def test_scores_metric_of_every_kind_is_named(kind: Kind, name: str) -> None:
    assert metric_of(kind) == name


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        (Kind.CHOICE, CHOICE, [[1, 1], [0, 1], [1, 1], [0, 1], [0, 1]]),
        (Kind.ENTITIES, SPANS, [[1, 1, 1], [0, 1, 0], [0, 0, 1]]),
        (Kind.SPANS, SPANS, [[1, 1, 1], [0, 1, 0], [0, 0, 1]]),
        (Kind.CHOICES, CHOICES, [[1, 0, 1], [0, 1, 0], [0, 0, 1]]),
    ],
)
def test_scores_counts_hold_one_row_a_document(kind: Kind, data: tuple, expected: list) -> None:
    assert counts(kind, LABELS, *data).tolist() == expected


def test_scores_counts_of_one_label_leave_the_others_out() -> None:
    assert counts(Kind.ENTITIES, ("a",), *SPANS).tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


def test_scores_counts_of_relations_compare_the_spans_they_connect() -> None:
    head, child = Span(0, 3, "x"), Span(4, 7, "x")
    reference = Annotation(spans=(head, child), relations=(Relation(0, 1, "a"),))
    same = Annotation(spans=(child, head), relations=(Relation(1, 0, "a"),))
    turned = Annotation(spans=(head, child), relations=(Relation(1, 0, "a"),))
    assert counts(Kind.RELATIONS, LABELS, [reference] * 2, [same, turned]).tolist() == [[1, 0, 0], [0, 1, 1]]
    assert score(Kind.RELATIONS, LABELS, [reference], [same]).details["rel_per_type"]["a"]["f"] == 1


def test_scores_counts_without_documents_have_their_columns() -> None:
    assert counts(Kind.CHOICE, LABELS, [], []).shape == (0, 2)
    assert counts(Kind.ENTITIES, LABELS, [], []).shape == (0, 3)


@pytest.mark.parametrize(
    ("kind", "labels", "references", "predictions", "message"),
    [
        (Kind.CHOICE, LABELS, [cats("a")], [], "1 references but 0 predictions"),
        (Kind.CHOICE, LABELS, [cats("a"), cats()], [None, None], "Reference 1 of kind choice"),
        (Kind.ENTITIES, (), [spans()], [None], "No labels to count for kind entities"),
    ],
)
def test_scores_counts_refuse_what_is_not_comparable(
    kind: Kind, labels: tuple, references: list, predictions: list, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        counts(kind, labels, references, predictions)


@pytest.mark.parametrize(
    ("kind", "sums", "expected"),
    [
        (Kind.CHOICE, [3, 4], 0.75),
        (Kind.CHOICE, [0, 0], 0.0),
        (Kind.ENTITIES, [2, 1, 1], 2 / 3),
        (Kind.ENTITIES, [0, 0, 0], 0.0),
        (Kind.SPANS, [0, 5, 0], 0.0),
    ],
)
def test_scores_metric_is_a_function_of_sums(kind: Kind, sums: list[int], expected: float) -> None:
    assert metric(kind, sums) == pytest.approx(expected)


def test_scores_metric_keeps_leading_axes() -> None:
    sums = np.arange(24).reshape(2, 4, 3)
    values = metric(Kind.ENTITIES, sums)
    assert values.shape == (2, 4)
    assert values[1, 2] == metric(Kind.ENTITIES, sums[1, 2])


def test_scores_of_choice_have_table_and_confusions() -> None:
    result = score(Kind.CHOICE, LABELS, *CHOICE)
    assert (result.metric, result.value, result.n) == ("cats_acc", 0.4, 5)
    assert result.details["cats_f_per_type"]["b"] == {"p": 0.5, "r": 1 / 3, "f": 0.4, "support": 3}
    assert result.details["cats_f_per_type"]["c"] == {"p": 0.0, "r": 0.0, "f": 0.0, "support": 0}
    assert result.details["cats_macro_f"] == pytest.approx((0.5 + 0.4 + 0) / 3)
    assert result.details["confusions"] == [("a", "b", 1), ("b", None, 1), ("b", "a", 1)]


def test_scores_confusions_start_with_the_most_frequent() -> None:
    references = [cats("b")] * 3 + [cats("a")] * 4
    predictions = [cats("c")] * 3 + [cats("b"), cats("b"), None, cats("a")]
    confusions = score(Kind.CHOICE, LABELS, references, predictions).details["confusions"]
    assert confusions == [("b", "c", 3), ("a", "b", 2), ("a", None, 1)]


def test_scores_of_nothing_are_zero() -> None:
    assert score(Kind.CHOICE, LABELS, [], []).value == 0
    assert score(Kind.ENTITIES, LABELS, [spans()], [spans()]).details["ents_f"] == 0


@pytest.mark.parametrize(("kind", "data"), [(Kind.CHOICE, CHOICE), (Kind.CHOICES, CHOICES), (Kind.ENTITIES, SPANS)])
def test_scores_details_are_plain_json(kind: Kind, data: tuple) -> None:
    details = score(kind, LABELS, *data).details
    assert json.loads(json.dumps(details)).keys() == details.keys()


def _doc(nlp: spacy.Language, annotation: Annotation) -> Doc:
    doc = nlp.make_doc("aaa bbb ccc ddd")
    doc.ents = tuple(doc.char_span(s.start, s.end, s.label) for s in annotation.spans)
    doc.cats = {label: float(label in annotation.cats) for label in LABELS}
    return doc


def _examples(references: list[Annotation], predictions: list[Annotation]) -> list[Example]:
    nlp = spacy.blank("en")
    return [Example(_doc(nlp, p), _doc(nlp, r)) for r, p in zip(references, predictions, strict=True)]


def _flat(table: dict) -> dict:
    """A table without support, which spaCy does not give."""
    return {(label, key): row[key] for label, row in table.items() for key in ("p", "r", "f")}


def test_scores_of_entities_equal_those_of_spacy() -> None:
    predictions = [p or spans() for p in SPANS[1]]
    theirs = Scorer.score_spans(_examples(SPANS[0], predictions), "ents")
    ours = score(Kind.ENTITIES, ("a", "b"), SPANS[0], predictions).details
    for key in ("ents_confusions", "ents_boundary_errors", "ents_missed", "ents_spurious"):
        del ours[key]  # not in spaCy
    assert _flat(ours.pop("ents_per_type")) == pytest.approx(_flat(theirs.pop("ents_per_type")))
    assert ours == pytest.approx(theirs)


@pytest.mark.parametrize(("kind", "data"), [(Kind.CHOICE, CHOICE), (Kind.CHOICES, CHOICES)])
def test_scores_of_cats_equal_those_of_spacy(kind: Kind, data: tuple) -> None:
    pairs = [(r, p) for r, p in zip(*data, strict=True) if p is not None]
    references, predictions = [r for r, _ in pairs], [p for _, p in pairs]
    examples = _examples(references, predictions)
    theirs = Scorer.score_cats(examples, "cats", labels=LABELS, multi_label=kind is Kind.CHOICES)
    ours = score(kind, LABELS, references, predictions).details
    assert _flat(ours["cats_f_per_type"]) == pytest.approx(_flat(theirs["cats_f_per_type"]))
    for key in ("cats_micro_f", "cats_macro_f"):
        assert ours[key] == pytest.approx(theirs[key])
