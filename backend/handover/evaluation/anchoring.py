"""How far a suggestion draws people towards it: the teacher's score on blind gold and on corrected tasks.

Which task is gold is decided by a hash of its text, so both groups are alike but for the suggestion. Where the
teacher scores higher on tasks that people corrected, they let things pass that they would not have written
themselves (Fort and Sagot 2010, Influence of Pre-annotation on POS-tagged Corpus Development, call it a bias).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handover.domain import Kind
from handover.evaluation.gate import has_answers
from handover.evaluation.permutation import permutation_p
from handover.evaluation.scores import Counts, metric, metric_of


@dataclass(frozen=True)
class AnchoringGap:
    """The teacher's score against annotations made blind, and against those made by correcting it.

    `gap` is assisted minus blind, `low` and `high` its 95 % bootstrap interval, `p` the chance of a gap this large
    without anchoring (one-sided permutation test). `is_shown` is p below 0.05.
    """

    metric: str
    blind: float
    blind_n: int
    assisted: float
    assisted_n: int
    gap: float
    low: float
    high: float
    p: float

    @property
    def is_shown(self) -> bool:
        """Whether the gap is more than chance."""
        return self.p < 0.05

    @property
    def sentence(self) -> str:
        """The gap in words."""
        verdict = "people drift towards the suggestions" if self.is_shown else "no drift beyond chance"
        return (
            f"Teacher {self.metric} {self.assisted:.3f} on {self.assisted_n} corrected tasks, {self.blind:.3f} on "
            f"{self.blind_n} blind ones (gap {self.gap:+.3f}, {self.low:+.3f} to {self.high:+.3f}): {verdict}."
        )


def measure_anchoring(
    kind: Kind, blind: Counts, assisted: Counts, *, min_tasks: int = 20, resamples: int = 5000, seed: int
) -> AnchoringGap | None:
    """Compare the teacher's counts (`scores.counts`, people as reference) on both groups of tasks.

    `assisted` are tasks whose annotation started from the teacher's suggestion. None with fewer than `min_tasks`
    in a group, or a group in which nothing is marked.
    """
    groups = (blind, assisted)
    if min(map(len, groups)) < max(1, min_tasks) or not all(has_answers(kind, table) for table in groups):
        return None
    scores = [float(metric(kind, table.sum(axis=0))) for table in groups]
    rng = np.random.default_rng(seed)
    resampled = _resampled(kind, assisted, resamples, rng) - _resampled(kind, blind, resamples, rng)
    low, high = np.quantile(resampled, [0.025, 0.975])
    p = permutation_p(
        blind, assisted, lambda b, a: metric(kind, a) - metric(kind, b), alpha=0.05, resamples=resamples, seed=seed
    )
    return AnchoringGap(
        metric=metric_of(kind),
        blind=scores[0],
        blind_n=len(blind),
        assisted=scores[1],
        assisted_n=len(assisted),
        gap=scores[1] - scores[0],
        low=float(low),
        high=float(high),
        p=p,
    )


def _resampled(kind: Kind, table: Counts, resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    rows, sizes = np.unique(table, axis=0, return_counts=True)
    weights = rng.multinomial(len(table), sizes / len(table), size=resamples)
    return metric(kind, weights @ rows)
