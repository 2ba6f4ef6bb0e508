"""The 95 % interval of one score, from the documents it was measured on."""

from __future__ import annotations

import math

import numpy as np

from handover.domain import Kind
from handover.evaluation.bootstrap import paired_bootstrap
from handover.evaluation.scores import Counts, metric

_Z = 1.959964
"""97.5 % quantile of the normal distribution."""


def interval_95(kind: Kind, table: Counts, *, seed: int, resamples: int = 10_000) -> tuple[float, float]:
    """Bounds of the metric of these counts, shape (n, k). (0, 1) without documents.

    A share of right choices has the interval of Wilson (1927), which holds for few documents and near 0 and 1;
    an F-score that of the percentile bootstrap over documents, which is a little too narrow below some fifty.
    """
    n = len(table)
    if not n:
        return 0.0, 1.0
    if kind is Kind.CHOICE:
        return _wilson(float(metric(kind, table.sum(axis=0))), n)
    # Against nobody: the difference to a score of nothing at all is the score.
    values = paired_bootstrap(kind, table, np.zeros_like(table), resamples=resamples, seed=seed)
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _wilson(share: float, n: int) -> tuple[float, float]:
    weight = _Z**2 / n
    middle = (share + weight / 2) / (1 + weight)
    half = _Z * math.sqrt(share * (1 - share) / n + weight / (4 * n)) / (1 + weight)
    return max(0.0, middle - half), min(1.0, middle + half)
