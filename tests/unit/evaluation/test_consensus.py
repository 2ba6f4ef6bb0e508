"""One annotation out of several, and none for a tie."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handover.domain import Annotation, Kind, Relation, Span
from handover.evaluation.consensus import consensus

A, B, C = Span(0, 3, "ORG"), Span(5, 9, "LOC"), Span(12, 15, "ORG")


def cats(*labels: str) -> Annotation:
    return Annotation(cats=labels)


def spans(*found: Span) -> Annotation:
    return Annotation(spans=found)


@pytest.mark.parametrize("kind", list(Kind))
def test_consensus_of_nobody_is_none(kind: Kind) -> None:
    assert consensus(kind, []) is None


@pytest.mark.parametrize(
    ("kind", "annotation"),
    [(Kind.CHOICE, cats("yes")), (Kind.CHOICES, cats()), (Kind.ENTITIES, spans()), (Kind.SPANS, spans(A))],
)
def test_consensus_of_one_is_what_they_say(kind: Kind, annotation: Annotation) -> None:
    assert consensus(kind, [annotation]) is annotation


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        (["a", "a", "b"], "a"),
        (["b", "a", "a"], "a"),
        (["a", "b"], None),
        (["a", "b", "c"], None),
        (["a", "a", "b", "b"], None),
        (["a", "a", "b", "c"], None),
    ],
)
def test_consensus_choice_needs_more_than_half(votes: list[str], expected: str | None) -> None:
    assert consensus(Kind.CHOICE, [cats(v) for v in votes]) == (cats(expected) if expected else None)


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [([cats()], None), ([cats(), cats("a")], cats("a")), ([cats(), cats("a"), cats("b")], None)],
)
def test_consensus_choice_ignores_answers_without_a_label(
    annotations: list[Annotation], expected: Annotation | None
) -> None:
    assert consensus(Kind.CHOICE, annotations) == expected


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ([cats("a", "b"), cats("b", "a"), cats("c")], cats("a", "b")),
        ([cats(), cats(), cats("c")], cats()),
        ([cats("a"), cats("a", "b"), cats("b")], cats("a", "b")),
        ([cats("a"), cats("b")], None),
        ([cats("a"), cats("b"), cats("c")], None),
    ],
)
def test_consensus_choices_votes_label_by_label(annotations: list[Annotation], expected: Annotation | None) -> None:
    assert consensus(Kind.CHOICES, annotations) == expected


@pytest.mark.parametrize("kind", [Kind.ENTITIES, Kind.SPANS])
@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ([spans(A, B), spans(B, A)], spans(A, B)),
        ([spans(A), spans(A, B)], None),
        ([spans(A, B), spans(A), spans(A, C)], spans(A)),
        ([spans(C, A), spans(A, B), spans(B, C)], spans(A, B, C)),
        ([spans(A), spans(A), spans(B)], spans(A)),
        ([spans(), spans(), spans(B)], spans()),
        ([spans(A), spans(B), spans(C)], None),
        ([spans(A, B), spans(A, B), spans(A), spans(A, C)], None),
    ],
    ids=["order", "two differ", "part", "all", "most", "mostly empty", "nothing shared", "half is a tie"],
)
def test_consensus_spans_vote_span_by_span(
    kind: Kind, annotations: list[Annotation], expected: Annotation | None
) -> None:
    assert consensus(kind, annotations) == expected


def test_consensus_spans_with_the_same_offsets_and_other_labels_differ() -> None:
    assert consensus(Kind.ENTITIES, [spans(A), spans(Span(0, 3, "LOC"))]) is None


def test_consensus_relations_compares_the_spans_they_connect() -> None:
    first = Annotation(spans=(A, B), relations=(Relation(0, 1, "in"),))
    same = Annotation(spans=(B, A), relations=(Relation(1, 0, "in"),))
    other = Annotation(spans=(A, B), relations=(Relation(1, 0, "in"),))
    assert consensus(Kind.RELATIONS, [first, other, same]) is first
    assert consensus(Kind.RELATIONS, [first, other]) is None


def edges(*found: tuple[Span, Span, str], marked: tuple[Span, ...] = ()) -> Annotation:
    return Annotation.connecting({*marked, *(span for edge in found for span in edge[:2])}, found)


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        (
            [edges((A, B, "in"), (B, C, "of")), edges((A, B, "in"), (C, B, "of")), edges((A, B, "in"), (A, C, "in"))],
            edges((A, B, "in"), marked=(C,)),
        ),
        ([edges((A, B, "in")), edges((B, A, "in")), edges((A, B, "of"))], None),
        ([edges(), edges(marked=(A,)), edges((A, B, "in"))], edges()),
        ([edges((A, B, "in")), edges((A, B, "in"), (B, C, "of")), edges(), edges((B, C, "in"))], None),
    ],
)
def test_consensus_relations_are_voted_on_one_by_one(
    annotations: list[Annotation], expected: Annotation | None
) -> None:
    assert consensus(Kind.RELATIONS, annotations) == expected


def _without_overlap(found: list[Span]) -> Annotation:
    kept: list[Span] = []
    for span in sorted(found):
        if not kept or span.start >= kept[-1].end:
            kept.append(span)
    return Annotation(spans=tuple(kept))


_SPANS = st.builds(
    lambda s, n, label: Span(s, s + n, label), st.integers(0, 6), st.integers(1, 4), st.sampled_from("XY")
)


@given(st.lists(st.lists(_SPANS, max_size=4).map(_without_overlap), min_size=3, max_size=6))
def test_consensus_entities_never_overlap(annotations: list[Annotation]) -> None:
    agreed = consensus(Kind.ENTITIES, annotations)
    found = agreed.spans if agreed else ()
    assert all(left.end <= right.start for left, right in pairwise(found))
