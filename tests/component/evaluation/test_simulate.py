"""The gate over twenty looks: rarely wrong, and not blind. A small version of the full table."""

from __future__ import annotations

import math

import pytest

from handover.domain import Kind
from handover.evaluation.simulate import World, simulate_gate

LOOKS = [int(30 * 1.17**i) for i in range(20)]


@pytest.mark.parametrize("retrained", [True, False], ids=["new students", "same student"])
def test_simulate_false_handovers_stay_within_the_error_rate(retrained: bool) -> None:
    runs = 100
    result = simulate_gate(World(retrained=retrained), looks=LOOKS, runs=runs, alpha=0.05)
    assert result.gate <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
    assert result.spent <= 0.05
    assert result.naive > 0.5  # higher at least once: what a rule without an interval does


def test_simulate_a_real_difference_of_ten_points_is_found() -> None:
    result = simulate_gate(World(difference=0.1), looks=LOOKS, runs=60)
    assert result.gate >= 0.9
    assert result.median_n is not None
    assert result.median_n < 300


def test_simulate_entities_are_judged_by_f() -> None:
    world = World(kind=Kind.ENTITIES, difference=0.12)
    result = simulate_gate(world, looks=[40, 80, 160], runs=20, resamples=500)
    assert result.gate >= 0.8
    same = simulate_gate(World(kind=Kind.ENTITIES), looks=[40, 80], runs=30, resamples=500)
    assert same.gate <= 0.1


def test_simulate_a_margin_lets_an_equal_student_pass() -> None:
    world = World(discordance=0.02)
    strict = simulate_gate(world, looks=[100, 200, 300], runs=30)
    lenient = simulate_gate(world, looks=[100, 200, 300], runs=30, margin=0.05)
    assert strict.gate <= 0.1
    assert lenient.gate >= 0.8


def test_simulate_is_reproducible() -> None:
    assert simulate_gate(World(), looks=[30, 60], runs=20, seed=1) == simulate_gate(
        World(), looks=[30, 60], runs=20, seed=1
    )


@pytest.mark.parametrize(
    "world",
    [World(difference=0.3), World(teacher=0.95, discordance=0.2), World(teacher=1.0)],
    ids=["more than they differ", "nothing left to win", "perfect teacher"],
)
def test_simulate_refuses_impossible_worlds(world: World) -> None:
    with pytest.raises(ValueError, match="No student differs"):
        simulate_gate(world, looks=[30], runs=1)


def test_simulate_worlds_at_the_edge_are_possible() -> None:
    assert World(teacher=0.8, difference=0.2, discordance=0.2).student_right == (1.0, 1.0)
