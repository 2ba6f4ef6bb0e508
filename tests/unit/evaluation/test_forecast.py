"""The forecast finds known curves, its interval holds the truth, and it says when more data does not help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from handover.evaluation.forecast import Forecast, LearningPoint, PowerLaw, forecast, nested_sizes

SIZES = (50, 100, 200, 400)


def points(
    law: PowerLaw, *, noise: float = 0.0, sizes: Sequence[int] = SIZES, seeds: int = 3, seed: int = 0
) -> list[LearningPoint]:
    rng = np.random.default_rng(seed)
    return [LearningPoint(n, s, law.at(n) + float(rng.normal(0, noise))) for n in sizes for s in range(seeds)]


def look(data: Sequence[LearningPoint], target: float, **options: Any) -> Forecast:
    return forecast(data, target=target, **{"resamples": 300, "seed": 0, **options})


def test_forecast_finds_the_curve_and_where_it_passes_the_teacher() -> None:
    found = look(points(PowerLaw(0.95, 2.0, 0.5)), 0.88)
    assert found.curve is not None
    assert found.curve.at(800) == pytest.approx(0.95 - 2 / 800**0.5, abs=0.003)
    needed = (2 / 0.07) ** 2 - 400
    assert found.more == pytest.approx(needed, rel=0.1)
    assert (found.n, found.target, found.chance) == (400, 0.88, 1.0)
    assert found.sentence == (
        f"The student beats the teacher's 0.880 after about {found.more} more training tasks "
        f"({found.more_low} to {found.more_high})."
    )


def test_forecast_says_that_more_data_is_not_enough() -> None:
    found = look(points(PowerLaw(0.85, 2.0, 0.6), noise=0.005), 0.93)
    assert (found.more_low, found.more, found.more_high, found.chance) == (None, None, None, 0.0)
    assert found.limit_interval[0] < 0.85 < found.limit_interval[1]
    assert found.sentence.startswith("Not with more data of this kind: at 400 training tasks the student has 0.79")


def test_forecast_says_that_the_student_is_there() -> None:
    found = look(points(PowerLaw(0.95, 2.0, 0.6), noise=0.003), 0.80)
    assert (found.more, found.more_high) == (0, 0)
    assert found.sentence == "With 400 training tasks the student is past the teacher's 0.800 already."


def test_forecast_at_the_teachers_score_is_undecided() -> None:
    found = look(points(PowerLaw(0.95, 2.0, 0.5)), 0.8501, noise=0.01)
    assert found.more_low == 0
    assert found.more_high is not None
    assert found.more_high > 0


def test_forecast_names_the_share_that_never_gets_there() -> None:
    found = look(points(PowerLaw(0.9, 2.0, 0.5), noise=0.01, seed=2), 0.88)
    assert 0 < found.chance < 1
    assert found.more_high is None
    if found.more is not None:
        assert found.sentence.endswith(f"or more; {1 - found.chance:.0%} say never).")


def test_forecast_widens_with_the_noise_of_the_documents() -> None:
    data = points(PowerLaw(0.95, 2.0, 0.5), noise=0.002)
    narrow, wide = (look(data, 0.87, noise=noise) for noise in (0.0, 0.02))
    assert narrow.more_low is not None
    assert narrow.more_high is not None
    assert wide.more_low is not None
    assert wide.more_low < narrow.more_low
    assert wide.more_high is None or wide.more_high > narrow.more_high


def test_forecast_is_not_led_astray_by_a_training_that_failed() -> None:
    data = points(PowerLaw(0.95, 2.0, 0.5), noise=0.003)
    failed = [*data[:-1], LearningPoint(400, 2, 0.3)]
    found = look(failed, 0.87)
    assert found.curve is not None
    assert found.curve.at(400) == pytest.approx(0.85, abs=0.02)


def test_forecast_limit_is_bounded_by_what_people_agree_on() -> None:
    data = points(PowerLaw(1.2, 1.5, 0.2))
    free, bounded = look(data, 0.86), look(data, 0.86, ceiling=0.85)
    assert free.limit <= 1.0
    assert bounded.limit <= 0.85
    assert free.more is not None
    assert bounded.more is None


def test_forecast_of_scores_that_fall_is_level() -> None:
    found = look([LearningPoint(n, 0, 0.8 - n / 10_000) for n in SIZES], 0.9)
    assert found.curve is not None
    assert found.curve.scale == 0
    assert found.more is None


def test_forecast_needs_three_sizes() -> None:
    found = look(points(PowerLaw(0.95, 2.0, 0.5), sizes=(100, 200)), 0.9)
    assert (found.curve, found.more, found.sentence) == (
        None,
        None,
        "A forecast needs trainings with at least 3 sizes.",
    )


@pytest.mark.parametrize("data", [[], [LearningPoint(0, 0, 0.5)]])
def test_forecast_refuses_no_training(data: list[LearningPoint]) -> None:
    with pytest.raises(ValueError, match="at least one training task"):
        look(data, 0.9)


def with_labels(curves: dict[str, PowerLaw], noise: float = 0.004) -> list[LearningPoint]:
    rng = np.random.default_rng(0)
    return [
        LearningPoint(n, s, 0.5, {label: law.at(n) + float(rng.normal(0, noise)) for label, law in curves.items()})
        for n in SIZES
        for s in range(3)
    ]


def test_forecast_tells_flat_labels_from_those_that_learn() -> None:
    curves = {"flat": PowerLaw(0.6, 0, 1), "good": PowerLaw(0.9, 0, 1), "learns": PowerLaw(0.95, 3, 0.5)}
    found = look(with_labels(curves), 0.9, label_targets={"flat": 0.8, "good": 0.8, "learns": 0.9})
    assert found.flat_labels == ("flat",)
    rows = {row.label: row for row in found.labels}
    assert rows["learns"].gain > 0.03
    assert rows["flat"].gain_high < 0.02
    assert rows["good"].score == pytest.approx(0.9, abs=0.01)
    assert found.sentence.endswith("More data does not help flat: rules may.")


def test_forecast_does_not_call_a_noisy_label_flat() -> None:
    found = look(with_labels({"noisy": PowerLaw(0.6, 0, 1)}, noise=0.1), 0.9)
    assert found.flat_labels == ()


def test_forecast_is_reproducible() -> None:
    data = points(PowerLaw(0.95, 2.0, 0.5), noise=0.01)
    assert look(data, 0.9) == look(data, 0.9)


@pytest.mark.parametrize(
    ("n", "expected"), [(400, (25, 50, 100, 200, 400)), (101, (25, 50, 101)), (30, (30,)), (19, ()), (0, ())]
)
def test_forecast_sizes_are_halves(n: int, expected: tuple[int, ...]) -> None:
    assert nested_sizes(n) == expected
