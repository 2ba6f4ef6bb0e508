"""Intervals of one score."""

from __future__ import annotations

import numpy as np
import pytest

from handover.domain import Kind
from handover.evaluation.interval import interval_95


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    # (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n), without continuity correction
    [(8, 10, 0.490162, 0.943317), (10, 10, 0.722467, 1.0), (0, 10, 0.0, 0.277533), (75, 100, 0.656955, 0.824534)],
)
def test_interval_of_a_share_is_wilsons(right: int, n: int, low: float, high: float) -> None:
    table = np.array([[1.0, 1.0]] * right + [[0.0, 1.0]] * (n - right))
    assert interval_95(Kind.CHOICE, table, seed=0) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_interval_of_an_f_score_holds_it_and_narrows_with_documents() -> None:
    rng = np.random.default_rng(0)
    widths = []
    for n in (50, 800):
        hits = rng.binomial(3, 0.8, n).astype(float)
        table = np.stack([hits, 3 - hits, 3 - hits], axis=1)
        low, high = interval_95(Kind.ENTITIES, table, seed=0)
        assert low < hits.sum() / (3 * n) < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 3


def test_interval_is_seeded_and_of_nothing_says_nothing() -> None:
    table = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [2.0, 0.0, 0.0]] * 9)
    assert interval_95(Kind.SPANS, table, seed=3) == interval_95(Kind.SPANS, table, seed=3)
    assert interval_95(Kind.ENTITIES, np.zeros((0, 3)), seed=0) == (0.0, 1.0)
