"""Permutation tests of two sets of documents: could their difference come from how they were divided?

Fisher (1935), The Design of Experiments; Good (2005), Permutation, Parametric and Bootstrap Tests of Hypotheses. The
unit is the document, so what several spans or words of one document have in common is not taken for evidence.
Documents with the same numbers are interchangeable: whole classes of them are divided at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float64]
"""One row a document."""
Statistic = Callable[[Table, Table], Table]
"""From column sums of both sets, shape (..., k), to values of shape (...); larger is more extreme."""

_CELLS = 1_000_000
"""Random numbers drawn at a time, to bound the memory."""
_TAIL = 20
"""Divisions wanted beyond the observed value; more are drawn for small error rates, up to `_MOST_DRAWS`."""
_MOST_DRAWS = 200_000
_EXACTNESS = 1e-12


def permutation_p(
    first: Table, second: Table, statistic: Statistic, *, alpha: float, resamples: int = 2000, seed: int
) -> float:
    """The share of random divisions with a statistic at least as large as the observed one, never 0.

    `first` and `second` hold one row a document with the same columns; `alpha` says at which level the answer has
    to be good. Valid for any number of documents, under the hypothesis that all are drawn alike.
    """
    draws = math.ceil(max(resamples, min(_TAIL / max(alpha, 1 / _MOST_DRAWS), _MOST_DRAWS)))
    rows, where = np.unique(np.vstack([first, second]), axis=0, return_inverse=True)
    sizes = np.bincount(where.reshape(-1), minlength=len(rows))
    total = sizes @ rows
    observed = float(statistic(first.sum(axis=0), second.sum(axis=0)))
    hits = 0
    for chosen in _divisions(sizes, len(second), draws, np.random.default_rng(seed)):
        sums = chosen @ rows
        hits += int(np.sum(statistic(total - sums, sums) >= observed - _EXACTNESS))
    return (1 + hits) / (1 + draws)


def _divisions(
    sizes: NDArray[np.int64], number: int, draws: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """How many documents of each class fall to the second set, in parts of shape (·, classes)."""
    step = max(1, _CELLS // len(sizes))
    for done in range(0, draws, step):
        yield rng.multivariate_hypergeometric(sizes, number, size=min(step, draws - done), method="marginals")
