"""Paired bootstrap over documents: how the difference between student and teacher varies with the documents.

Efron and Tibshirani (1993), An Introduction to the Bootstrap; Koehn (2004), Statistical Significance Tests
for Machine Translation Evaluation. Documents with the same counts are interchangeable, so whole classes of
them are drawn instead of single documents: the same distribution, at a fraction of the cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handover.domain import Kind
from handover.evaluation.scores import Counts, metric, ratio_of

_CELLS = 1_000_000
"""Random numbers drawn at a time, to bound the memory."""
_WORTH_GROUPING = 8
"""Drawing the number of documents from a class costs as much as drawing this many single documents."""


@dataclass(frozen=True)
class Classes:
    """Documents grouped by their counts: `rows[i]` (student's counts, then the teacher's) occurs `sizes[i]`
    times.
    """

    rows: Counts
    sizes: NDArray[np.int64]

    @property
    def n(self) -> int:
        """The number of documents."""
        return int(self.sizes.sum())

    @property
    def swapped(self) -> Counts:
        """The rows with student and teacher exchanged."""
        return np.roll(self.rows, self.rows.shape[1] // 2, axis=1)

    def difference(self, kind: Kind) -> float:
        """Student minus teacher in the metric, on all documents."""
        return float(differences(kind, self.sizes @ self.rows))

    def spread(self) -> Classes:
        """One class a document where classes are many: single documents are drawn faster one by one."""
        if len(self.sizes) * _WORTH_GROUPING <= self.n:
            return self
        rows = np.repeat(self.rows, self.sizes, axis=0)
        return Classes(rows=rows, sizes=np.ones(len(rows), dtype=np.int64))

    @property
    def is_spread(self) -> bool:
        """True when every class is a single document."""
        return len(self.sizes) == self.n

    def chunks(self, resamples: int) -> Iterator[int]:
        """Split a number of resamples so that one chunk needs little memory."""
        step = max(1, _CELLS // max(1, len(self.sizes)))
        for done in range(0, resamples, step):
            yield min(step, resamples - done)


def classes_of(student: Counts, teacher: Counts) -> Classes:
    """Group documents by their counts. Raises ValueError unless both have one row for each document."""
    if student.shape != teacher.shape or student.ndim != 2:
        raise ValueError(f"Counts of student {student.shape} and teacher {teacher.shape} are not on the same tasks.")
    rows, sizes = np.unique(np.hstack([student, teacher]), axis=0, return_counts=True)
    return Classes(rows=rows.astype(np.float64), sizes=sizes.astype(np.int64))


def differences(kind: Kind, sums: Counts) -> Counts:
    """Student minus teacher in the metric, for sums of rows as in `Classes`; leading axes are kept."""
    width = sums.shape[-1] // 2
    return metric(kind, sums[..., :width]) - metric(kind, sums[..., width:])


def paired_bootstrap(
    kind: Kind, student: Counts, teacher: Counts, *, resamples: int = 10_000, seed: int
) -> NDArray[np.float64]:
    """Differences student minus teacher on `resamples` samples of the documents, drawn with replacement.

    `student` and `teacher` are counts of the same documents in the same order, shape (n, k). Returns shape
    (resamples,); all zero without documents. For few documents or tiny error rates the quantiles are too
    optimistic; the gate uses `bounds` instead.
    """
    classes = classes_of(student, teacher).spread()
    if not classes.n:
        return np.zeros(resamples)
    rng = np.random.default_rng(seed)
    parts = [differences(kind, _drawn(classes, size, rng) @ classes.rows) for size in classes.chunks(resamples)]
    return np.concatenate(parts)


def _drawn(classes: Classes, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """How often each class is drawn, shape (size, classes)."""
    n = classes.n
    if not classes.is_spread:
        return rng.multinomial(n, classes.sizes / n, size=size).astype(np.float64)
    draws = rng.integers(0, n, size=(size, n)) + n * np.arange(size)[:, None]
    return np.bincount(draws.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def linearised(kind: Kind, classes: Classes) -> NDArray[np.float64]:
    """What each class of documents adds to the difference: the mean over documents is the difference itself.

    First-order (delta method) terms of the ratio metric; for `choice` exactly 1, 0 or -1 a document. Classes
    of a metric without denominator (nothing to find) add 0.
    """
    above, below = ratio_of(kind)
    width = classes.rows.shape[1] // 2
    values = []
    for rows in (classes.rows[:, :width], classes.rows[:, width:]):
        sums = classes.sizes @ rows
        mean_below = float(sums @ below) / max(1, classes.n)
        value = float(metric(kind, sums))
        residuals = rows @ above - value * (rows @ below)
        values.append(value + residuals / mean_below if mean_below > 0 else np.zeros(len(rows)))
    return np.asarray(values[0] - values[1])
