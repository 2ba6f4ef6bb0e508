"""Labels are handed over one by one, with one error budget, and merged without overlaps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handover.domain import Annotation, Kind, Outcome, Span
from handover.evaluation.per_label import LabelsDecision, decide_per_label, merge
from handover.evaluation.scores import counts, metric

LABELS = ("a", "b", "c")


def gold(n: int, rights: dict[str, tuple[float, float]], seed: int = 0) -> tuple[list[Annotation], ...]:
    """References with one span of each label, found by teacher and student with these probabilities."""
    rng = np.random.default_rng(seed)
    where = {label: Span(10 * i, 10 * i + 5, label) for i, label in enumerate(rights)}
    references = [Annotation(spans=tuple(where.values()))] * n
    found = [
        [Annotation(spans=tuple(where[x] for x, p in rights.items() if rng.random() < p[who])) for _ in range(n)]
        for who in (0, 1)
    ]
    return references, *found


def decide(data: tuple[list[Annotation], ...], kind: Kind = Kind.ENTITIES, **options: Any) -> LabelsDecision:
    values: dict[str, Any] = {"labels": LABELS, "alpha": 0.02, "min_gold": 30, "resamples": 500, "seed": 0, **options}
    return decide_per_label(kind, *data, **values)


def test_per_label_hands_over_what_the_student_wins_alone() -> None:
    data = gold(120, {"a": (0.5, 0.9), "b": (0.9, 0.5), "c": (0.8, 0.8)})
    found = decide(data)
    assert found.won == ("a",)
    assert list(found.decisions) == list(LABELS)
    assert found.decisions["a"].outcome is Outcome.PROMOTE
    assert found.decisions["b"].outcome is Outcome.KEEP
    assert found.decisions["a"].reason.startswith("Label a: Student ents_f 0.9")
    assert found.reason.startswith("The student takes over a. Both together 0.9")
    assert found.combined_score > found.teacher_score


def test_per_label_combined_score_is_that_of_the_merged_annotations() -> None:
    data = gold(120, {"a": (0.5, 0.9), "b": (0.9, 0.5), "c": (0.8, 0.8)})
    found = decide(data)
    merged = [merge(Kind.ENTITIES, t, s, student_labels={"a"}) for t, s in zip(*data[1:], strict=True)]
    table = counts(Kind.ENTITIES, LABELS, data[0], merged)
    assert found.combined_score == float(metric(Kind.ENTITIES, table.sum(axis=0)))


def test_per_label_shares_the_error_rate_and_passes_it_on() -> None:
    """Two labels are won at a third of alpha; the third is then judged at all of it."""
    found = decide(gold(120, {"a": (0.5, 0.95), "b": (0.5, 0.95), "c": (0.8, 0.8)}))
    assert found.won == ("a", "b")
    assert [found.decisions[label].alpha for label in LABELS] == pytest.approx([0.02 / 3, 0.02 / 3, 0.02])


def test_per_label_leaves_out_rare_labels_and_those_the_student_holds() -> None:
    references, teacher, student = gold(100, {"a": (0.5, 0.95), "b": (0.5, 0.95)})
    rare = Annotation(spans=(*references[0].spans, Span(50, 55, "c")))
    references = [rare] * 19 + references[19:]
    found = decide((references, teacher, student), held={"b"})
    assert found.won == ("a",)
    assert set(found.decisions) == {"a", "c"}
    assert found.decisions["c"].reason == "Label c: in 19 of 100 gold tasks, it takes 20."
    assert found.decisions["c"].alpha == 0
    assert found.decisions["a"].alpha == 0.02
    both = [merge(Kind.ENTITIES, t, s, student_labels={"a", "b"}) for t, s in zip(teacher, student, strict=True)]
    assert found.combined_score == metric(Kind.ENTITIES, counts(Kind.ENTITIES, LABELS, references, both).sum(axis=0))


def test_per_label_refuses_a_win_that_merging_would_spoil() -> None:
    """The student finds all `a`, but its false `a` over most other entities push the teacher's out."""
    reference = Annotation(spans=(Span(0, 5, "a"), *(Span(10 * i, 10 * i + 5, "b") for i in range(1, 9))))
    teacher = Annotation(spans=reference.spans[1:])
    long = Annotation(spans=(Span(0, 5, "a"), Span(6, 89, "a")))
    found = decide(([reference] * 60, [teacher] * 60, [long] * 60), labels=("a", "b"))
    assert found.decisions["a"].outcome is Outcome.PROMOTE
    assert found.won == ()
    assert "stay with it" in found.reason
    assert found.combined_score == found.teacher_score


def test_per_label_serves_any_of_several_choices() -> None:
    reference = Annotation(cats=("a", "b"))
    found = decide(([reference] * 60, [Annotation(cats=("b",))] * 60, [Annotation(cats=("a",))] * 60), Kind.CHOICES)
    assert found.won == ("a",)
    assert (found.teacher_score, found.combined_score) == (pytest.approx(2 / 3), 1)


@pytest.mark.parametrize("kind", [Kind.CHOICE, Kind.RELATIONS])
def test_per_label_refuses_kinds_that_cannot_be_divided(kind: Kind) -> None:
    with pytest.raises(ValueError, match="cannot be handed over label by label"):
        decide(([], [], []), kind)


A, B = Span(0, 5, "a"), Span(3, 8, "b")


@pytest.mark.parametrize(
    ("kind", "teacher", "student", "expected"),
    [
        (Kind.ENTITIES, Annotation(spans=(B,)), Annotation(spans=(A,)), (A,)),
        (Kind.SPANS, Annotation(spans=(B,)), Annotation(spans=(A,)), (A, B)),
        (Kind.ENTITIES, Annotation(spans=(A,)), Annotation(spans=(B,)), ()),
        (Kind.ENTITIES, Annotation(spans=(Span(5, 8, "b"),)), Annotation(spans=(A,)), (A, Span(5, 8, "b"))),
        (Kind.ENTITIES, None, Annotation(spans=(A, Span(6, 8, "b"))), (A,)),
        (Kind.ENTITIES, Annotation(spans=(A, Span(6, 8, "b"))), None, (Span(6, 8, "b"),)),
    ],
    ids=["student wins", "spans may overlap", "not its label", "touching", "no teacher", "no student"],
)
def test_per_label_merge_takes_each_label_from_whom_it_belongs_to(
    kind: Kind, teacher: Annotation | None, student: Annotation | None, expected: tuple[Span, ...]
) -> None:
    merged = merge(kind, teacher, student, student_labels={"a"})
    assert merged is not None
    assert merged.spans == expected


def test_per_label_merge_of_nothing_is_nothing() -> None:
    assert merge(Kind.ENTITIES, None, None, student_labels={"a"}) is None


def _apart(starts: list[tuple[int, int, str]]) -> Annotation:
    kept: list[Span] = []
    for start, length, label in sorted(starts):
        if not kept or start >= kept[-1].end:
            kept.append(Span(start, start + length, label))
    return Annotation(spans=tuple(kept))


_ANNOTATIONS = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 5), st.sampled_from(LABELS)), max_size=6).map(
    _apart
)


@given(_ANNOTATIONS, _ANNOTATIONS, st.sets(st.sampled_from(LABELS)))
def test_per_label_merged_entities_never_overlap(teacher: Annotation, student: Annotation, mine: set[str]) -> None:
    merged = merge(Kind.ENTITIES, teacher, student, student_labels=mine)
    assert merged is not None
    assert all(left.end <= right.start for left, right in zip(merged.spans, merged.spans[1:], strict=False))
    assert {s for s in student.spans if s.label in mine} <= set(merged.spans)
