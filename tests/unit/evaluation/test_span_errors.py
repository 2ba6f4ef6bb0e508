"""Every wrong span is counted once, under its kind of error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handover.domain import Annotation, Kind, Span
from handover.evaluation.scores import counts, score
from handover.evaluation.span_errors import span_errors

LABELS = ("a", "b")


def spans(*found: tuple[int, int, str]) -> Annotation:
    return Annotation(spans=tuple(Span(*span) for span in found))


@pytest.mark.parametrize(
    ("reference", "predicted", "confusions", "boundaries", "missed", "spurious"),
    [
        (spans((0, 3, "a")), spans((0, 3, "b")), {("a", "b"): 1}, {}, {}, {}),
        (spans((0, 6, "a")), spans((0, 3, "a")), {}, {"a": 1}, {}, {}),
        (spans((0, 6, "a")), spans((0, 3, "b")), {}, {}, {"a": 1}, {"b": 1}),
        (spans((0, 3, "a")), spans((3, 6, "a")), {}, {}, {"a": 1}, {"a": 1}),
        (spans((0, 3, "a")), None, {}, {}, {"a": 1}, {}),
        (spans(), spans((0, 3, "b")), {}, {}, {}, {"b": 1}),
        (spans((0, 3, "a")), spans((0, 3, "a")), {}, {}, {}, {}),
        (spans((0, 9, "a")), spans((0, 2, "a"), (3, 9, "a")), {}, {"a": 1}, {}, {"a": 1}),
        (spans((0, 3, "a"), (0, 3, "b")), spans((0, 3, "b"), (0, 5, "a")), {}, {"a": 1}, {}, {}),
        (spans((0, 3, "x")), spans((0, 3, "y")), {}, {}, {}, {}),
    ],
    ids=[
        "label", "boundary", "both", "touching", "no answer", "spurious", "right", "one counterpart", "overlapping",
        "other labels",
    ],
)  # fmt: skip
def test_span_errors_are_sorted(
    reference: Annotation,
    predicted: Annotation | None,
    confusions: dict,
    boundaries: dict,
    missed: dict,
    spurious: dict,
) -> None:
    found = span_errors(LABELS, [(reference, predicted)])
    assert (found.confusions, found.boundaries, found.missed, found.spurious) == (
        confusions, boundaries, missed, spurious,
    )  # fmt: skip


@pytest.mark.parametrize(("kind", "prefix"), [(Kind.ENTITIES, "ents"), (Kind.SPANS, "spans")])
def test_span_errors_are_details_of_the_scores(kind: Kind, prefix: str) -> None:
    references = [spans((0, 3, "a")), spans((0, 3, "b")), spans((0, 3, "a")), spans((5, 9, "a"))]
    predictions = [spans((0, 3, "b")), spans((0, 3, "a")), spans((0, 3, "b")), spans((5, 8, "a"), (9, 12, "b"))]
    details = score(kind, LABELS, references, predictions).details
    assert details[f"{prefix}_confusions"] == [("a", "b", 2), ("b", "a", 1)]
    assert details[f"{prefix}_boundary_errors"] == {"a": 1}
    assert details[f"{prefix}_missed"] == {}
    assert details[f"{prefix}_spurious"] == {"b": 1}


_ANNOTATIONS = st.lists(
    st.builds(lambda s, n, label: Span(s, s + n, label), st.integers(0, 8), st.integers(1, 4), st.sampled_from(LABELS)),
    max_size=5,
    unique=True,
).map(lambda found: Annotation(spans=tuple(found)))


@given(_ANNOTATIONS, _ANNOTATIONS)
def test_span_errors_add_up_to_false_alarms_and_misses(reference: Annotation, predicted: Annotation) -> None:
    found = span_errors(LABELS, [(reference, predicted)])
    paired = found.confusions.total() + found.boundaries.total()
    _, false_alarms, misses = counts(Kind.SPANS, LABELS, [reference], [predicted])[0]
    assert paired + found.spurious.total() == false_alarms
    assert paired + found.missed.total() == misses
