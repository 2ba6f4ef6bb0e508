"""What suggestions are worth: accepted untouched, and the time they save."""

from __future__ import annotations

import math

import numpy as np
import pytest

from handover.evaluation.utility import Share, Work, measure_utility


def work(who: str, blind: list[float | None], assisted: list[float | None], untouched: int = 0) -> list[Work]:
    done = [Work(who, assisted=False, seconds=s) for s in blind]
    return done + [Work(who, assisted=True, untouched=i < untouched, seconds=s) for i, s in enumerate(assisted)]


def test_utility_counts_untouched_suggestions_per_annotator() -> None:
    report = measure_utility([*work("a", [9] * 3, [4] * 10, 7), *work("b", [9] * 9, [4] * 20, 20)], seed=0)
    assert [(row.annotator, row.tasks, row.untouched) for row in report.annotators] == [
        ("b", 29, Share(20, 20)),
        ("a", 13, Share(7, 10)),
    ]
    assert report.total.untouched == Share(27, 30)
    assert report.total.untouched.value == 0.9
    assert report.total.untouched.interval == pytest.approx((0.7438, 0.9654), abs=1e-4)


def test_utility_times_are_medians_that_an_open_editor_does_not_change() -> None:
    report = measure_utility(work("a", [8, 9, 10, 9, 3600], [4, 4, 5, 3, 7200, 4]), seed=0)
    assert (report.total.blind_seconds, report.total.assisted_seconds) == (9, 4)
    assert report.total.minutes_saved == pytest.approx(5 * 6 / 60)


def test_utility_leaves_out_times_that_are_none() -> None:
    report = measure_utility(work("a", [9] * 5 + [0.0] * 9, [4] * 5 + [-1.0, math.inf, None] * 9), seed=0)
    assert (report.total.blind_timed, report.total.assisted_timed) == (5, 5)
    assert (report.total.blind_seconds, report.total.assisted_seconds) == (9, 4)
    assert report.total.tasks == 14 + 32


def test_utility_compares_each_annotator_with_themselves() -> None:
    """The slow one does most of the assisted tasks: the medians of all say that suggestions cost time."""
    slow, fast = work("slow", [60] * 5, [40] * 50), work("fast", [10] * 50, [5] * 5)
    report = measure_utility([*slow, *fast], seed=0)
    assert report.total.blind_seconds == 10
    assert report.total.assisted_seconds == 40
    assert report.total.minutes_saved == pytest.approx((20 * 50 + 5 * 5) / 60)
    assert report.minutes_saved_95 == pytest.approx((1025 / 60, 1025 / 60))


def test_utility_interval_of_the_minutes_holds_the_value() -> None:
    rng = np.random.default_rng(0)
    report = measure_utility(work("a", list(rng.gamma(3, 4, 60)), list(rng.gamma(3, 2, 200))), seed=0)
    assert report.minutes_saved_95 is not None
    low, high = report.minutes_saved_95
    assert report.total.minutes_saved is not None
    assert 0 < low < report.total.minutes_saved < high


@pytest.mark.parametrize("done", [[], work("a", [9] * 4, [4] * 50), work("a", [None] * 9, [math.nan, 0.0, -3.0] * 9)])
def test_utility_without_enough_times_names_no_minutes(done: list[Work]) -> None:
    report = measure_utility(done, seed=0)
    assert report.total.minutes_saved is None
    assert report.minutes_saved_95 is None
    assert Share(0, 0).value is Share(0, 0).interval is None
