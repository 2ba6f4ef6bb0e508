"""Error rates over many simulated projects: how often a false alarm, a false handover, a false rollback."""

from __future__ import annotations

import math

import numpy as np
import pytest

from handover.domain import Kind
from handover.evaluation.forecast import PowerLaw
from handover.evaluation.simulate import World
from handover.evaluation.simulate_after import simulate_drop, simulate_life, simulate_rollback
from tests.unit.evaluation import test_drift, test_forecast, test_per_label

LOOKS = [int(30 * 1.17**i) for i in range(20)]


@pytest.mark.parametrize("kind", [Kind.CHOICE, Kind.ENTITIES])
@pytest.mark.parametrize("n", [30, 120])
def test_drift_false_alarms_stay_within_the_error_rate(kind: Kind, n: int) -> None:
    """The spans of a document share a label: a test that counts spans would warn far too often."""
    runs, alpha = 40, 0.05
    alarms = 0
    for run in range(runs):
        pair = [test_drift.sample(size, 2 * run + i, kind=kind) for i, size in enumerate((150, n))]
        alarms += bool(test_drift.drift(*pair, kind, alpha=alpha).warnings)
    assert alarms / runs <= alpha + 3 * math.sqrt(alpha / runs)


@pytest.mark.parametrize("noise", [0.005, 0.02])
def test_forecast_interval_holds_the_truth_about_as_often_as_it_says(noise: float) -> None:
    law, truth = PowerLaw(0.95, 2.0, 0.5), (2 / 0.08) ** 2 - 400
    held = 0
    for run in range(60):
        found = test_forecast.look(test_forecast.points(law, noise=noise, seed=run), 0.87)
        low, high = (np.inf if more is None else more for more in (found.more_low, found.more_high))
        held += low <= truth <= high
    assert held / 60 >= 0.8 - 0.15


def test_per_label_false_handovers_stay_within_the_error_rate() -> None:
    runs, alpha = 80, 0.1
    rights = {f"l{i}": (0.7, 0.7) for i in range(6)}
    wrong = 0
    for seed in range(runs):
        data = test_per_label.gold(60, rights, seed=seed)
        wrong += bool(test_per_label.decide(data, labels=tuple(rights), alpha=alpha, resamples=100).won)
    assert wrong / runs <= alpha + 3 * (alpha / runs) ** 0.5


@pytest.mark.parametrize("difference", [0.0, 0.03])
def test_rollback_is_rare_while_the_student_is_not_behind(difference: float) -> None:
    runs = 120
    result = simulate_rollback(World(difference=difference), looks=LOOKS, runs=runs)
    assert result.gate <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
    assert result.naive > 0.5


def test_rollback_finds_a_lag_of_ten_points() -> None:
    result = simulate_rollback(World(difference=-0.1), looks=LOOKS, runs=60)
    assert result.gate >= 0.9
    assert result.median_n is not None
    assert result.median_n < 300


def test_rollback_does_not_flap() -> None:
    life = simulate_life(World(retrained=False), looks=list(range(20, 1000, 20)), runs=30)
    assert life.handovers <= 0.2
    assert life.rollbacks <= 0.1
    assert life.naive > 2


def test_rollback_follows_a_student_that_is_better_to_stay() -> None:
    life = simulate_life(World(difference=0.1), looks=list(range(30, 600, 30)), runs=20)
    assert life.handovers == pytest.approx(1, abs=0.1)
    assert life.rollbacks == 0


def test_rollback_warnings_about_drops_are_rare_although_students_are_chosen() -> None:
    """A student that is hardly better passes the gate on lucky gold; what follows is no drop."""
    runs = 60
    assert simulate_drop(World(difference=0.03), looks=[30, 60, 120, 240], runs=runs) <= 0.05 + 3 * 0.0282
    assert simulate_drop(World(difference=0.1), drop=0.2, looks=[30, 60, 120, 240], runs=20) >= 0.8


def test_rollback_simulation_of_drops_needs_a_student_that_is_chosen() -> None:
    with pytest.raises(ValueError, match=r"-0.02 ahead, expected above 0"):
        simulate_drop(World(difference=-0.02), looks=[30], runs=1)
