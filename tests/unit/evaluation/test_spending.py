"""Whatever the looks are like, together they never use more than the permitted error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handover.evaluation.spending import Look, next_alpha


def spend(looks: list[tuple[int, int]], alpha: float = 0.05) -> list[float]:
    """The error rates of these looks, given as (gold, planned gold)."""
    spent: list[Look] = []
    for n, planned in looks:
        spent.append(Look(n, planned, next_alpha(alpha, n=n, planned=planned, spent=spent)))
    return [look.alpha for look in spent]


@given(
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 3000)), max_size=60),
    st.floats(0.001, 0.4),
)
def test_spending_never_exceeds_the_total(looks: list[tuple[int, int]], alpha: float) -> None:
    amounts = spend(looks, alpha)
    assert sum(amounts) <= alpha * (1 + 1e-9)
    assert all(amount >= 0 for amount in amounts)


def test_spending_first_look_gets_its_share_of_the_gold_and_a_sixth_of_the_series() -> None:
    assert spend([(30, 180)]) == [pytest.approx(0.05 * (0.5 * 30 / 180 + 0.5 / 6))]


def test_spending_uses_almost_all_when_the_planned_gold_is_there() -> None:
    looks = [(n, 300) for n in range(30, 301, 15)]
    assert sum(spend(looks)) == pytest.approx(0.05 * (0.5 + 0.5 * 19 / 24))


def test_spending_gives_every_look_something() -> None:
    amounts = spend([(100, 100)] * 200)
    assert amounts == sorted(amounts, reverse=True)
    assert amounts[-1] > 0


def test_spending_does_not_pay_twice_for_the_same_gold() -> None:
    first, second = spend([(100, 200), (100, 200)])
    assert second < first / 5
    assert second == pytest.approx(0.05 * 0.5 * 5 / 42)


def test_spending_waits_after_the_plan_has_grown() -> None:
    """100 of 100 was all; of 400 planned documents nothing is new before the 401st."""
    amounts = spend([(100, 100), (150, 400), (300, 400)])
    series = [0.025 * 5 / 42, 0.025 * 5 / 56]
    assert amounts[1:] == pytest.approx(series)


def test_spending_does_not_depend_on_the_order_of_the_looks() -> None:
    looks = [Look(30, 200, 0.01), Look(80, 200, 0.005), Look(60, 300, 0.001)]
    amounts = {next_alpha(0.05, n=120, planned=300, spent=order) for order in (looks, looks[::-1])}
    assert len(amounts) == 1


def test_spending_stops_when_the_total_was_lowered() -> None:
    assert next_alpha(0.01, n=50, planned=100, spent=[Look(40, 100, 0.02)]) == 0


@pytest.mark.parametrize(
    ("alpha", "n", "planned", "message"),
    [
        (0.0, 1, 1, "in \\(0, 1\\)"),
        (1.0, 1, 1, "in \\(0, 1\\)"),
        (0.1, -1, 1, "negative"),
        (0.1, 1, -1, "negative"),
    ],
)
def test_spending_refuses_impossible_numbers(alpha: float, n: int, planned: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        next_alpha(alpha, n=n, planned=planned, spent=[])
