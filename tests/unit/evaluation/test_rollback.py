"""A student that falls behind is rolled back, one that does not stays, and nothing flaps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handover.domain import Decision, Kind, Outcome, Server
from handover.evaluation.gate import judge
from handover.evaluation.rollback import Drop, Switch, judge_champion, judge_drop, last_handover
from handover.evaluation.scores import Counts

LOOKS = [int(30 * 1.17**i) for i in range(20)]


def choice(both: int, student: int, teacher: int, neither: int = 0) -> tuple[Counts, Counts]:
    """Counts of documents that both, only the student, only the teacher, or neither got right."""
    right = np.repeat([[1, 1], [1, 0], [0, 1], [0, 0]], [both, student, teacher, neither], axis=0)
    ones = np.ones(len(right))
    return np.stack([right[:, 0], ones], axis=1), np.stack([right[:, 1], ones], axis=1)


def right(n: int, of: int) -> Counts:
    """Counts of `of` documents of which `n` are right."""
    return np.repeat([[1.0, 1.0], [0.0, 1.0]], [n, of - n], axis=0)


def look(*documents: int, **options: Any) -> Decision:
    values: dict[str, Any] = {"alpha": 0.01, "min_gold": 30, "resamples": 500, "seed": 0, **options}
    return judge_champion(Kind.CHOICE, *choice(*documents), **values)


def drop(before: Counts, now: Counts, kind: Kind = Kind.CHOICE, **options: Any) -> Drop:
    values: dict[str, Any] = {"alpha": 0.01, "min_gold": 30, "resamples": 2000, "seed": 0, **options}
    return judge_drop(kind, before, now, **values)


def test_rollback_of_a_student_that_fell_behind() -> None:
    decision = look(40, 2, 20, 2)
    assert decision.outcome is Outcome.ROLLBACK
    assert decision.high < 0
    assert decision.reason == (
        "Student cats_acc 0.656 fell behind teacher 0.938 on 64 gold tasks since the handover (difference -0.281, "
        f"upper bound {decision.high:+.3f} at alpha 0.01). The teacher takes over again."
    )
    assert (decision.details["wins"], decision.details["losses"]) == (2, 20)


@pytest.mark.parametrize("documents", [(60, 2, 2), (50, 14, 0), (64, 0, 0)], ids=["equal", "ahead", "same answers"])
def test_rollback_leaves_a_student_that_is_not_behind(documents: tuple[int, ...]) -> None:
    decision = look(*documents)
    assert decision.outcome is Outcome.KEEP
    assert "is not behind teacher" in decision.reason


def test_rollback_waits_for_more_gold_when_the_lag_may_be_chance() -> None:
    decision = look(54, 3, 7)
    assert decision.outcome is Outcome.NEED_MORE
    assert decision.needed is not None
    assert decision.needed > 50
    assert decision.reason.endswith(f"About {decision.needed:,} more would show it.")


def test_rollback_does_not_wait_for_a_lag_that_is_tiny() -> None:
    decision = look(120, 39, 41)
    assert (decision.outcome, decision.needed) == (Outcome.KEEP, None)
    assert "It would take about" in decision.reason


@pytest.mark.parametrize(
    ("margin", "outcome"), [(0.0, Outcome.ROLLBACK), (0.05, Outcome.ROLLBACK), (0.3, Outcome.KEEP)]
)
def test_rollback_forgives_a_lag_within_the_margin(margin: float, outcome: Outcome) -> None:
    assert look(60, 0, 20, margin=margin).outcome is outcome


@pytest.mark.parametrize(
    ("documents", "options", "words"),
    [
        ((0, 0, 29), {}, "29 of at least 30 gold tasks since the handover"),
        ((0, 0, 0), {"min_gold": 0}, "0 of at least 1 gold tasks"),
        ((10, 0, 40), {"alpha": 0.0}, "error budget"),
    ],
)
def test_rollback_cannot_tell_without_gold_or_budget(documents: tuple, options: dict, words: str) -> None:
    decision = look(*documents, **options)
    assert (decision.outcome, decision.alpha) == (Outcome.NEED_MORE, 0)
    assert words in decision.reason


def test_rollback_cannot_tell_from_gold_with_nothing_to_find() -> None:
    table = np.array([[0.0, 1.0, 0.0]] * 40)
    decision = judge_champion(Kind.ENTITIES, table, table * 0, alpha=0.01, min_gold=30, seed=0)
    assert decision.outcome is Outcome.NEED_MORE
    assert "anything to find" in decision.reason


@given(st.tuples(*[st.integers(0, 60)] * 4), st.floats(0.001, 0.2))
def test_rollback_and_handover_never_rest_on_the_same_gold(documents: tuple[int, ...], alpha: float) -> None:
    options = {"alpha": alpha, "min_gold": 1, "resamples": 100, "seed": 0}
    there = judge(Kind.CHOICE, *choice(*documents), **options).outcome
    back = judge_champion(Kind.CHOICE, *choice(*documents), **options).outcome
    assert (there, back) != (Outcome.PROMOTE, Outcome.ROLLBACK)


def test_rollback_counts_gold_since_the_last_handover_from_this_teacher() -> None:
    first, back = Switch(Server.STUDENT, "a", 10), Switch(Server.TEACHER, "a", 20)
    second = Switch(Server.STUDENT, "a", 30)
    assert last_handover([], "a") is None
    assert last_handover([first], "a") is first
    assert last_handover([first, back], "a") is first
    assert last_handover([second, first, back], "a") is second
    assert last_handover([first, back, second], "b") is None


@pytest.mark.parametrize("rolls_back", [False, True])
def test_rollback_drop_of_the_own_score_warns_or_acts(rolls_back: bool) -> None:
    result = drop(right(180, 200), right(60, 90), rolls_back=rolls_back)
    assert result.warning
    assert result.outcome is (Outcome.ROLLBACK if rolls_back else Outcome.KEEP)
    assert (result.before, result.before_n, result.n) == (0.9, 200, 90)
    assert result.reason.startswith("Student cats_acc 0.667 on 90 gold tasks since the handover, 0.900 on 200 at it")


@pytest.mark.parametrize(
    ("now", "of"), [(44, 50), (50, 50), (79, 90), (42, 50)], ids=["a little", "better", "less", "may be chance"]
)
def test_rollback_drop_within_chance_is_none(now: int, of: int) -> None:
    result = drop(right(180, 200), right(now, of), rolls_back=True)
    assert (result.outcome, result.warning) == (Outcome.KEEP, False)
    assert result.reason.endswith("no drop beyond chance.")


def test_rollback_drop_smaller_than_the_flattery_is_none() -> None:
    result = drop(right(19_800, 20_000), right(9_730, 10_000))
    assert result.p < 0.001
    assert not result.warning


def test_rollback_drop_test_is_fishers() -> None:
    """One-sided, 27 of 30 before and 20 of 30 now; by hand with hypergeometric probabilities."""
    ways = [math.comb(30, k) * math.comb(30, 47 - k) / math.comb(60, 47) for k in range(27, 31)]
    result = drop(right(27, 30), right(20, 30), resamples=20_000)
    assert result.p == pytest.approx(sum(ways), abs=0.004)


@pytest.mark.parametrize(
    ("kind", "before", "now"),
    [
        (Kind.CHOICE, right(20, 20), right(0, 40)),
        (Kind.CHOICE, right(40, 40), right(0, 29)),
        (Kind.ENTITIES, np.array([[1.0, 0.0, 0.0]] * 40), np.array([[0.0, 0.0, 0.0]] * 40)),
    ],
    ids=["before", "now", "nothing to find"],
)
def test_rollback_drop_cannot_be_told_without_gold(kind: Kind, before: Counts, now: Counts) -> None:
    result = drop(before, now, kind)
    assert (result.outcome, result.warning, result.alpha) == (Outcome.NEED_MORE, False, 0)
