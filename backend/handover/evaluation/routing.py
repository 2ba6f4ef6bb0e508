"""A cascade: the student answers where it is sure enough, the teacher is asked for the rest.

Dev chooses the threshold, gold judges it: `choose_threshold` on dev, then `gate.judge` with the counts of
`routed_counts` on gold in the place of the student's. A threshold that was chosen on gold would look better than it
is. The confidences should be calibrated, so that the same threshold means the same in the next student.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from handover.domain import Kind
from handover.evaluation.scores import Counts, metric

T = TypeVar("T")
_POINTS = 200
"""Most points of a curve; more cannot be told apart in a plot."""
_LEAST_ROUTED = 10
"""With fewer dev documents above a threshold, its quality is an accident."""


@dataclass(frozen=True)
class Point:
    """What one threshold does on dev. `threshold` None asks the teacher for everything.

    `coverage` is the share of documents the student answers, `quality` the metric of both together,
    `student_quality` and `teacher_quality` that of each on the covered documents alone. `cost` is the price of the
    teacher for the rest, per document, in the unit of `teacher_cost`.
    """

    threshold: float | None
    coverage: float
    quality: float
    student_quality: float
    teacher_quality: float
    cost: float

    def to_json(self) -> dict[str, float | None]:
        """The point as plain JSON values."""
        return dict(vars(self))


@dataclass(frozen=True)
class Curve:
    """Coverage, quality and cost on `n` dev documents, from the teacher alone to the student alone."""

    n: int
    points: tuple[Point, ...]

    @property
    def teacher(self) -> float:
        """The teacher's quality on all documents."""
        return self.points[0].quality

    @property
    def student(self) -> float:
        """The quality when the student answers everything that it has a confidence for."""
        return self.points[-1].quality


def route_curve(
    kind: Kind, student: Counts, teacher: Counts, confidences: Sequence[float | None], *, teacher_cost: float = 1.0
) -> Curve:
    """The curve on dev documents; counts as from `scores.counts`, confidences of the student's answers.

    Documents without a confidence always go to the teacher. Raises ValueError without documents or when lengths
    differ.
    """
    sure = _confidences(student, teacher, confidences)
    order = np.argsort(-sure, kind="stable")
    order = order[np.isfinite(sure[order])]
    ends = _ends(sure[order])
    mine, theirs = (_running(table[order]) for table in (student, teacher))
    total, n = teacher.sum(axis=0), len(student)
    quality = metric(kind, total + mine[ends] - theirs[ends])
    points = [
        Point(
            threshold=float(sure[order[end - 1]]) if end else None,
            coverage=float(end / n),
            quality=float(quality[i]),
            student_quality=float(metric(kind, mine[end])),
            teacher_quality=float(metric(kind, theirs[end])),
            cost=float(teacher_cost * (1 - end / n)),
        )
        for i, end in enumerate(map(int, ends))
    ]
    return Curve(n, tuple(points))


def _confidences(student: Counts, teacher: Counts, confidences: Sequence[float | None]) -> NDArray[np.float64]:
    if student.shape != teacher.shape or len(student) != len(confidences) or not len(student):
        raise ValueError(
            f"Counts of student {student.shape} and teacher {teacher.shape} and {len(confidences)} confidences are not "
            "of the same documents, or of none."
        )
    return np.array([-np.inf if c is None or np.isnan(c) else c for c in confidences], dtype=np.float64)


def _ends(sure: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many documents are covered at each point: documents with the same confidence go the same way."""
    ends = np.flatnonzero(np.append(sure[:-1] != sure[1:], True)) + 1 if len(sure) else np.empty(0, np.int64)
    if len(ends) > _POINTS:
        ends = ends[np.unique(np.linspace(0, len(ends) - 1, _POINTS).astype(int))]
    return np.concatenate([[0], ends]).astype(np.int64)


def _running(table: Counts) -> Counts:
    return np.vstack([np.zeros((1, table.shape[1])), np.cumsum(table, axis=0)])


def choose_threshold(curve: Curve, *, margin: float = 0.0, target: float | None = None) -> Point | None:
    """The point to try on gold; None when the teacher alone is the best that can be had.

    With a `target`, the widest coverage that reaches it on dev. Otherwise what the gate can accept: with a `margin`
    the widest coverage at parity with the teacher, which leaves the margin for the difference between dev and
    gold; without one, the best quality (of equals the widest coverage), which has to be above the teacher's.
    """
    points = [p for p in curve.points if p.threshold is not None and p.coverage * curve.n >= _LEAST_ROUTED]
    if target is None and margin <= 0:
        best = max(points, key=lambda p: (p.quality, p.coverage), default=None)
        return best if best is not None and best.quality > curve.teacher else None
    least = curve.teacher if target is None else target
    return max((p for p in points if p.quality >= least), key=lambda p: p.coverage, default=None)


def routed_counts(student: Counts, teacher: Counts, confidences: Sequence[float | None], *, threshold: float) -> Counts:
    """The counts of the cascade, for `gate.judge` in the place of the student's. Errors as for `route_curve`."""
    sure = _confidences(student, teacher, confidences) >= threshold
    return np.where(sure[:, None], student, teacher)


def route(
    student: Sequence[T], teacher: Sequence[T], confidences: Sequence[float | None], *, threshold: float
) -> list[T]:
    """The answers of the cascade: the student's where it is sure, the teacher's elsewhere."""
    triples = zip(student, teacher, confidences, strict=True)
    return [mine if is_sure(confidence, threshold) else theirs for mine, theirs, confidence in triples]


def is_sure(confidence: float | None, threshold: float) -> bool:
    """Whether the student answers a document by itself."""
    return confidence is not None and confidence >= threshold
