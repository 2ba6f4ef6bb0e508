"""Learning curve and forecast: how many more annotated tasks until the student beats the teacher, if ever.

Scores of students trained on nested subsets follow a power law, limit - scale * n ** -exponent (Cortes et al. 1994,
Learning Curves: Asymptotic Values and Rate of Convergence; Figueroa et al. 2012, Predicting Sample Size Required
for Classification Performance). It is fitted by least squares in limit and scale on a grid of exponents, with Huber's
weights against a training that failed. The interval is a bootstrap over the points.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

HORIZON = 10
"""Nothing is promised beyond this many times the data there is."""
LEAST_SIZES = 3
"""Fewest sizes that a curve is fitted to."""
LEVEL = 0.8
"""Level of the intervals."""
FLAT_GAIN = 0.02
"""A label whose score surely rises by less than this with twice the data is flat, if it does not seem to fall by
more than twice as much: then its scores are noise and nothing is known."""
_EXPONENTS = np.geomspace(0.1, 1.5, 24)
_HUBER = 1.345
_MAD = 0.6745
_TRIES = 20
_PARAMETERS = 3
_REWEIGHTED = 5


@dataclass(frozen=True)
class LearningPoint:
    """One training: on `n_train` tasks with this seed it scored `score`, on the same dev or gold as all others."""

    n_train: int
    seed: int
    score: float
    per_label: Mapping[str, float] = field(default_factory=dict)


def nested_sizes(n: int, *, least: int = 20, most: int = 5) -> tuple[int, ...]:
    """Sizes to train on for a curve over `n` tasks: all, a half, a quarter…, rising, down to `least` at the earliest.

    Train on the first tasks of one random order for each seed, so that smaller sets are part of larger ones.
    """
    sizes = [n >> step for step in range(most)]
    return tuple(size for size in reversed(sizes) if size >= least)


@dataclass(frozen=True)
class PowerLaw:
    """score(n) = limit - scale * n ** -exponent."""

    limit: float
    scale: float
    exponent: float

    def at(self, n: float) -> float:
        """The score to expect with `n` tasks."""
        return self.limit - self.scale * n**-self.exponent


@dataclass(frozen=True)
class LabelForecast:
    """What more data does for one label: gain by doubling it, with a 90 % interval. `flat`: next to nothing."""

    label: str
    score: float
    gain: float
    gain_low: float
    gain_high: float
    flat: bool


@dataclass(frozen=True)
class Forecast:
    """What the curve says about beating `target`.

    `more` is the number of further tasks in the middle of the forecasts, `more_low` and `more_high` their 80 %
    interval; None: not within ten times the present data. `chance` is the share of bootstrap forecasts that get
    there. `now` and `limit` are the fitted scores at the present size `n` and without end, `limit_interval` the
    80 % interval of the latter. `curve` is None with too few sizes.
    """

    n: int
    target: float
    curve: PowerLaw | None
    now: float
    limit: float
    limit_interval: tuple[float, float]
    more: int | None
    more_low: int | None
    more_high: int | None
    chance: float
    labels: tuple[LabelForecast, ...]
    sentence: str

    @property
    def flat_labels(self) -> tuple[str, ...]:
        """Labels that more data does not help: candidates for rules in place of the model."""
        return tuple(row.label for row in self.labels if row.flat)


def forecast(
    points: Sequence[LearningPoint],
    *,
    target: float,
    label_targets: Mapping[str, float] | None = None,
    ceiling: float = 1.0,
    noise: float = 0.0,
    resamples: int = 500,
    seed: int,
) -> Forecast:
    """Forecast when the scores pass `target`, the teacher's score on the same documents.

    `noise` is the standard error of the difference to the teacher that comes from those documents (all points share
    them, so no bootstrap over points can see it). `ceiling` bounds the limit: what people agree on. A label is
    only called flat below its score in `label_targets` (without one: below `ceiling`). Raises ValueError without
    points or with a size below 1.
    """
    if not points or min(p.n_train for p in points) < 1:
        raise ValueError("A learning curve needs points with at least one training task each.")
    sizes = np.array([p.n_train for p in points], dtype=np.float64)
    scores = np.array([p.score for p in points], dtype=np.float64)
    n = int(sizes.max())
    labels = _label_forecasts(points, label_targets or {}, ceiling, resamples, seed)
    if len(np.unique(sizes)) < LEAST_SIZES:
        return _without_curve(n, float(scores[sizes == n].mean()), target, labels)
    rng = np.random.default_rng(seed)
    curve = PowerLaw(*(float(value[0]) for value in fit(sizes, scores, np.ones((1, len(points))), ceiling)))
    fits = fit(sizes, _widened(sizes, scores, curve), _weights(sizes, resamples, rng), ceiling)
    goals = target + noise * rng.standard_normal(resamples)
    needed = _size_for(fits, goals)
    return _forecast(n, target, curve, fits[0], needed, labels)


def _widened(sizes: Array, scores: Array, curve: PowerLaw) -> Array:
    """Scores with residuals as large as before three parameters were fitted to them; a bootstrap needs those."""
    fitted = curve.limit - curve.scale * sizes**-curve.exponent
    k = len(scores)
    return fitted + (scores - fitted) * math.sqrt(k / max(1, k - _PARAMETERS))


def fit(sizes: Array, scores: Array, weights: Array, ceiling: float) -> tuple[Array, Array, Array]:
    """Limits, scales and exponents of the power laws fitted with each row of `weights`, shape (fits, points)."""
    found = _fit_squares(sizes, scores, weights, ceiling)
    for _ in range(_REWEIGHTED):
        limit, scale, exponent = (value[:, None] for value in found)
        residuals = np.abs(scores - limit + scale * sizes**-exponent)
        spread = np.nanmedian(np.where(weights > 0, residuals, np.nan), axis=1, keepdims=True) / _MAD
        huber = np.minimum(1.0, _HUBER * np.maximum(spread, 1e-4) / np.maximum(residuals, 1e-12))
        found = _fit_squares(sizes, scores, weights * huber, ceiling)
    return found


def _fit_squares(sizes: Array, scores: Array, weights: Array, ceiling: float) -> tuple[Array, Array, Array]:
    best: Array = np.full(len(weights), np.inf)
    found: Array = np.zeros((3, len(weights)))
    total = weights.sum(axis=1)
    mean = weights @ scores / total
    for exponent in _EXPONENTS:
        x = sizes**-exponent
        mean_x = weights @ x / total
        variance = weights @ x**2 / total - mean_x**2
        scale = np.maximum(0.0, -(weights @ (x * scores) / total - mean_x * mean) / np.maximum(variance, 1e-15))
        limit = mean + scale * mean_x
        # Where the best limit is impossible, the possible one and the best scale for it.
        bounded = np.maximum(0.0, weights @ (x * (ceiling - scores)) / (weights @ x**2))
        scale = np.where(limit > ceiling, bounded, scale)
        limit = np.minimum(limit, ceiling)
        error = (weights * (scores - limit[:, None] + scale[:, None] * x) ** 2).sum(axis=1)
        better = error < best - 1e-15
        best = np.where(better, error, best)
        found = np.where(better, np.stack([limit, scale, np.full(len(weights), exponent)]), found)
    return found[0], found[1], found[2]


def _weights(sizes: Array, resamples: int, rng: np.random.Generator) -> Array:
    """How often each point is drawn; draws with fewer than three sizes are drawn again, in the end left whole."""
    k = len(sizes)
    which = np.unique(sizes, return_inverse=True)[1]
    weights = rng.multinomial(k, np.full(k, 1 / k), size=resamples).astype(np.float64)
    for attempt in range(_TRIES + 1):
        present = np.stack([weights[:, which == i].sum(axis=1) > 0 for i in range(which.max() + 1)])
        poor = np.flatnonzero(present.sum(axis=0) < LEAST_SIZES)
        if not len(poor):
            break
        weights[poor] = rng.multinomial(k, np.full(k, 1 / k), size=len(poor)) if attempt < _TRIES else 1.0
    return weights


def _size_for(fits: tuple[Array, Array, Array], goals: Array) -> Array:
    """The sizes at which the curves reach their goals; infinite where they never do."""
    limit, scale, exponent = fits
    room = limit - goals
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        sizes = (scale / room) ** (1 / exponent)
    return np.where(room > 0, sizes, np.inf)


def _forecast(
    n: int, target: float, curve: PowerLaw, limits: Array, needed: Array, labels: tuple[LabelForecast, ...]
) -> Forecast:
    tails = ((1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2)
    low, middle, high = (float(np.quantile(needed, q, method="inverted_cdf")) for q in tails)
    chance = float(np.mean(needed <= HORIZON * n))
    interval = (float(np.quantile(limits, tails[0])), float(np.quantile(limits, tails[2])))
    more = [None if size > HORIZON * n else max(0, math.ceil(size) - n) for size in (low, middle, high)]
    sentence = _sentence(n, target, curve, interval, more, chance) + _flat_sentence(labels)
    return Forecast(
        n=n,
        target=target,
        curve=curve,
        now=curve.at(n),
        limit=curve.limit,
        limit_interval=interval,
        more=more[1],
        more_low=more[0],
        more_high=more[2],
        chance=chance,
        labels=labels,
        sentence=sentence,
    )


def _sentence(
    n: int, target: float, curve: PowerLaw, limits: tuple[float, float], more: Sequence[int | None], chance: float
) -> str:
    low, middle, high = more
    if middle is None:
        return (
            f"Not with more data of this kind: at {n} training tasks the student has {curve.at(n):.3f} and the curve "
            f"levels off at {curve.limit:.3f} ({limits[0]:.3f} to {limits[1]:.3f}); the teacher has {target:.3f}."
        )
    if high == 0:
        return f"With {n} training tasks the student is past the teacher's {target:.3f} already."
    until = f"{low} to {high}" if high is not None else f"{low} or more"
    never = "" if high is not None else f"; {1 - chance:.0%} say never"
    if not middle:
        return f"With {n} training tasks the student is about at the teacher's {target:.3f} ({until} more{never})."
    return f"The student beats the teacher's {target:.3f} after about {middle} more training tasks ({until}{never})."


def _flat_sentence(labels: Sequence[LabelForecast]) -> str:
    flat = [row.label for row in labels if row.flat]
    return f" More data does not help {', '.join(flat)}: rules may." if flat else ""


def _without_curve(n: int, now: float, target: float, labels: tuple[LabelForecast, ...]) -> Forecast:
    return Forecast(
        n=n,
        target=target,
        curve=None,
        now=now,
        limit=now,
        limit_interval=(0.0, 1.0),
        more=None,
        more_low=None,
        more_high=None,
        chance=0.0,
        labels=labels,
        sentence=f"A forecast needs trainings with at least {LEAST_SIZES} sizes.",
    )


def _label_forecasts(
    points: Sequence[LearningPoint], targets: Mapping[str, float], ceiling: float, resamples: int, seed: int
) -> tuple[LabelForecast, ...]:
    names = dict.fromkeys(label for point in points for label in point.per_label)
    rows = []
    for label in names:
        known = [(p.n_train, p.per_label[label]) for p in points if label in p.per_label]
        sizes, scores = (np.array(column, dtype=np.float64) for column in zip(*known, strict=True))
        if len(np.unique(sizes)) >= LEAST_SIZES:
            rows.append(_label_forecast(label, sizes, scores, targets.get(label, ceiling), resamples, seed))
    return tuple(rows)


def _label_forecast(label: str, sizes: Array, scores: Array, target: float, resamples: int, seed: int) -> LabelForecast:
    """The gain by doubling, from the larger half of the sizes, where the curve is nearly straight in log n."""
    kept = sizes >= np.median(np.unique(sizes))
    doublings, values = np.log2(sizes[kept]), scores[kept]
    weights = _weights_of_two(doublings, resamples, np.random.default_rng(seed))
    gain = float(_slopes(doublings, values, np.ones((1, len(values))))[0])
    low, high = np.quantile(_slopes(doublings, values, weights), [0.05, 0.95])
    now = float(scores[sizes == sizes.max()].mean())
    flat = bool(low > -2 * FLAT_GAIN and high < FLAT_GAIN and now < target)
    return LabelForecast(label, now, gain, float(low), float(high), flat)


def _weights_of_two(doublings: Array, resamples: int, rng: np.random.Generator) -> Array:
    """Draws of points that have at least two sizes; the others are left whole."""
    k = len(doublings)
    weights = rng.multinomial(k, np.full(k, 1 / k), size=resamples).astype(np.float64)
    spread = np.ptp(np.where(weights > 0, doublings, doublings[0]), axis=1)
    poor = spread < 1e-9
    weights[poor] = 1.0
    return weights


def _slopes(x: Array, y: Array, weights: Array) -> Array:
    total = weights.sum(axis=1)
    mean_x, mean_y = weights @ x / total, weights @ y / total
    variance = weights @ x**2 / total - mean_x**2
    return (weights @ (x * y) / total - mean_x * mean_y) / np.maximum(variance, 1e-12)
