"""What the suggestions are worth to people: how often they are accepted untouched, and how much time they save.

Times are Label Studio's `lead_time`. An editor left open over lunch counts an hour, so only medians are used.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

_Z = 1.959964


@dataclass(frozen=True)
class Work:
    """One finished annotation. `assisted`: it started from a suggestion; `untouched`: and left it as it was.

    `seconds` is the lead time, None if unknown.
    """

    annotator: Hashable
    assisted: bool
    untouched: bool = False
    seconds: float | None = None


@dataclass(frozen=True)
class Share:
    """`count` of `n`, with Wilson's 95 % interval (1927)."""

    count: int
    n: int

    @property
    def value(self) -> float | None:
        """The share, None of nothing."""
        return self.count / self.n if self.n else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The interval, None of nothing."""
        if not self.n:
            return None
        p, z2 = self.count / self.n, _Z**2 / self.n
        middle = (p + z2 / 2) / (1 + z2)
        half = math.sqrt(p * (1 - p) * z2 + z2**2 / 4) / (1 + z2)
        return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class Utility:
    """What suggestions did for one annotator, or (`annotator` None) for all.

    Times are medians in seconds, of `blind_timed` and `assisted_timed` annotations. `minutes_saved` is over all
    assisted annotations with a time, None for an annotator with too few times; for all, it is the sum over those who
    have enough: people differ more in speed than suggestions change it. Below 0: suggestions cost time.
    """

    annotator: Hashable | None
    tasks: int
    untouched: Share
    blind_seconds: float | None
    blind_timed: int
    assisted_seconds: float | None
    assisted_timed: int
    minutes_saved: float | None


@dataclass(frozen=True)
class UtilityReport:
    """All annotators together and each by itself, the busiest first. The interval is of `total.minutes_saved`."""

    total: Utility
    annotators: tuple[Utility, ...]
    minutes_saved_95: tuple[float, float] | None


def measure_utility(work: Sequence[Work], *, min_timed: int = 5, resamples: int = 1000, seed: int) -> UtilityReport:
    """Utility of the suggestions. An annotator needs `min_timed` times, blind and assisted, for a comparison."""
    names = dict.fromkeys(item.annotator for item in work)
    own = {name: [item for item in work if item.annotator == name] for name in names}
    each = [_utility(name, items, min_timed) for name, items in own.items()]
    saved = [row.minutes_saved for row in each if row.minutes_saved is not None]
    total = _utility(None, work, min_timed, minutes=sum(saved) if saved else None)
    enough = [own[row.annotator] for row in each if row.minutes_saved is not None]
    interval = _interval(enough, resamples, np.random.default_rng(seed)) if enough else None
    return UtilityReport(total, tuple(sorted(each, key=lambda row: (-row.tasks, str(row.annotator)))), interval)


def _utility(
    annotator: Hashable | None, work: Sequence[Work], min_timed: int, *, minutes: float | None = None
) -> Utility:
    blind, assisted = _times(work, assisted=False), _times(work, assisted=True)
    if annotator is not None and min(len(blind), len(assisted)) >= max(1, min_timed):
        minutes = _minutes(np.median(blind), np.median(assisted), len(assisted))
    suggested = [item for item in work if item.assisted]
    return Utility(
        annotator=annotator,
        tasks=len(work),
        untouched=Share(sum(item.untouched for item in suggested), len(suggested)),
        blind_seconds=float(np.median(blind)) if blind else None,
        blind_timed=len(blind),
        assisted_seconds=float(np.median(assisted)) if assisted else None,
        assisted_timed=len(assisted),
        minutes_saved=minutes,
    )


def _times(work: Sequence[Work], *, assisted: bool) -> list[float]:
    times = (item.seconds for item in work if item.assisted is assisted)
    return [seconds for seconds in times if seconds is not None and math.isfinite(seconds) and seconds > 0]


def _minutes(blind: np.floating, assisted: np.floating, number: int) -> float:
    return float((blind - assisted) * number / 60)


def _interval(annotators: Sequence[Sequence[Work]], resamples: int, rng: np.random.Generator) -> tuple[float, float]:
    """Percentile bootstrap of the minutes saved; the annotators stay, their tasks are drawn."""
    totals = np.zeros(resamples)
    for work in annotators:
        blind, assisted = (np.array(_times(work, assisted=side)) for side in (False, True))
        medians = [np.median(rng.choice(times, (resamples, len(times))), axis=1) for times in (blind, assisted)]
        totals += (medians[0] - medians[1]) * len(assisted) / 60
    low, high = np.quantile(totals, [0.025, 0.975])
    return float(low), float(high)
