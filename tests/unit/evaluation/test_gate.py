"""The gate promotes, keeps or waits, and says why in one sentence."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from handover.domain import Annotation, Decision, Kind, Outcome, Span
from handover.evaluation.gate import decide, judge
from handover.evaluation.scores import counts

LABELS = ("yes", "no")


def answers(*runs: tuple[int, str]) -> list[Annotation | None]:
    """So many answers of each label; an empty label stands for no usable answer."""
    return [Annotation(cats=(label,)) if label else None for number, label in runs for _ in range(number)]


def look(both: int, student: int, teacher: int, neither: int = 0, **options: Any) -> Decision:
    """A decision on documents that both, only the student, only the teacher, or neither got right."""
    n = both + student + teacher + neither
    references = [Annotation(cats=("yes",))] * n
    values: dict[str, Any] = {"alpha": 0.01, "min_gold": 30, "resamples": 1000, "seed": 0, **options}
    return decide(
        Kind.CHOICE,
        references,
        answers((both, "yes"), (student, "no"), (teacher, "yes"), (neither, "no")),
        answers((both + student, "yes"), (teacher + neither, "no")),
        labels=LABELS,
        **values,
    )


def test_gate_promotes_a_student_that_is_clearly_better() -> None:
    decision = look(92, 24, 2, 2, alpha=0.0083)
    assert decision.outcome is Outcome.PROMOTE
    assert decision.reason == (
        "Student cats_acc 0.967 beats teacher 0.783 on the same 120 gold tasks "
        f"(difference +0.183, lower bound {decision.low:+.3f} at alpha 0.0083)."
    )
    assert 0 < decision.low < decision.difference < decision.high
    assert (decision.n, decision.alpha, decision.margin, decision.needed) == (120, 0.0083, 0.0, None)
    assert decision.details | {"interval_95": None} == {
        "interval_95": None,
        "wins": 24,
        "losses": 2,
        "ties": 94,
    }
    low, high = decision.details["interval_95"]
    assert decision.low < low < decision.difference < high < decision.high


def test_gate_does_not_promote_on_a_score_that_is_merely_higher() -> None:
    decision = look(80, 12, 6, 2)
    assert decision.outcome is Outcome.NEED_MORE
    assert decision.difference == pytest.approx(0.06)
    assert decision.low <= 0
    assert decision.needed is not None
    assert 200 < decision.needed < 500
    assert decision.reason.endswith(f"About {decision.needed:,} more gold tasks would decide it.")


@pytest.mark.parametrize("n", [0, 1, 29])
def test_gate_waits_for_the_least_gold_without_spending(n: int) -> None:
    decision = look(0, n, 0)
    assert decision.outcome is Outcome.NEED_MORE
    assert decision.needed == 30 - n
    assert (decision.alpha, decision.low, decision.high) == (0.0, -1.0, 1.0)
    assert decision.reason == f"{n} of at least 30 gold tasks are annotated; {30 - n} more are needed."


@pytest.mark.parametrize(("student", "teacher"), [(0, 0), (1, 1), (5, 12)], ids=["equal answers", "equal", "worse"])
def test_gate_keeps_the_teacher_when_the_student_is_not_ahead(student: int, teacher: int) -> None:
    decision = look(80, student, teacher)
    assert decision.outcome is Outcome.KEEP
    assert "is not ahead of teacher" in decision.reason
    assert decision.needed is None
    assert decision.alpha == 0.01


def test_gate_does_not_promote_on_one_document() -> None:
    decision = look(99, 1, 0, alpha=0.4)
    assert decision.outcome is Outcome.NEED_MORE
    assert decision.low <= 0


def test_gate_keeps_the_teacher_when_the_difference_would_take_for_ever() -> None:
    decision = look(120, 41, 39)
    assert decision.outcome is Outcome.KEEP
    assert "It would take about" in decision.reason
    assert decision.needed is None


def test_gate_says_when_the_error_budget_is_used_up() -> None:
    decision = look(60, 40, 0, alpha=0.0)
    assert decision.outcome is Outcome.KEEP
    assert "error budget" in decision.reason
    assert decision.low == -1


def test_gate_counts_a_missing_answer_of_the_teacher_as_wrong() -> None:
    references = [Annotation(cats=("yes",))] * 40
    decision = decide(
        Kind.CHOICE,
        references,
        answers((25, "yes"), (15, "")),
        answers((40, "yes")),
        labels=LABELS,
        alpha=0.01,
        min_gold=30,
        resamples=500,
        seed=0,
    )
    assert decision.outcome is Outcome.PROMOTE
    assert decision.teacher_score == 0.625


@pytest.mark.parametrize(
    ("n", "margin", "outcome"),
    [(60, 0.05, Outcome.NEED_MORE), (150, 0.05, Outcome.PROMOTE), (150, 0.0, Outcome.KEEP)],
)
def test_gate_non_inferiority_takes_enough_documents_even_without_a_difference(
    n: int, margin: float, outcome: Outcome
) -> None:
    decision = look(n, 0, 0, margin=margin)
    assert decision.outcome is outcome
    assert decision.margin == margin
    if outcome is Outcome.PROMOTE:
        assert "is as good as teacher (margin 0.05)" in decision.reason
        assert -0.05 < decision.low <= 0


def test_gate_is_reproducible() -> None:
    assert look(80, 12, 6, 2) == look(80, 12, 6, 2)


def test_gate_values_are_plain_numbers() -> None:
    values = asdict(look(80, 12, 6, 2))
    flat = [v for v in (*values.values(), *values["details"].values()) if isinstance(v, int | float)]
    assert {type(v) for v in flat} == {int, float}


E_LABELS = ("X",)
ONE = Annotation(spans=(Span(0, 4, "X"),))
NOTHING = Annotation()


def entity_look(references: list[Annotation], teacher: list, student: list, **options: Any) -> Decision:
    values: dict[str, Any] = {"alpha": 0.01, "min_gold": 30, "resamples": 1000, "seed": 0, **options}
    return decide(Kind.ENTITIES, references, teacher, student, labels=E_LABELS, **values)


def test_gate_promotes_on_spans() -> None:
    references = [ONE, NOTHING] * 40
    decision = entity_look(references, [ONE, ONE] * 20 + [None, NOTHING] * 20, references)
    assert decision.outcome is Outcome.PROMOTE
    assert decision.student_score == 1
    assert decision.teacher_score == 0.5
    assert decision.reason.startswith("Student ents_f 1.000 beats teacher 0.500 on the same 80 gold tasks")
    assert (decision.details["wins"], decision.details["losses"]) == (40, 0)


@pytest.mark.parametrize("margin", [0.0, 0.1])
def test_gate_waits_when_gold_has_nothing_to_find(margin: float) -> None:
    decision = entity_look([NOTHING] * 50, [ONE] * 50, [NOTHING] * 50, margin=margin)
    assert decision.outcome is Outcome.NEED_MORE
    assert "anything to find" in decision.reason
    assert (decision.alpha, decision.needed) == (0.0, None)


def test_gate_does_not_trust_two_spans_in_much_gold() -> None:
    references = [ONE] * 2 + [NOTHING] * 100
    decision = entity_look(references, [None] * 102, references, alpha=0.05)
    assert decision.difference == 1
    assert decision.outcome is Outcome.NEED_MORE


def test_gate_judges_one_label_by_itself() -> None:
    both = Annotation(spans=(Span(0, 4, "X"), Span(5, 9, "Y")))
    tables = [counts(Kind.ENTITIES, ("Y",), [both] * 40, [found] * 40) for found in (both, ONE)]
    decision = judge(Kind.ENTITIES, *tables, alpha=0.01, min_gold=30, resamples=500, seed=0)
    assert decision.outcome is Outcome.PROMOTE
    assert (decision.student_score, decision.teacher_score) == (1, 0)
