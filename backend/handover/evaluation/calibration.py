"""Confidences that mean what they say: of the answers with confidence 0.8, about 80 % are right.

Every calibrator keeps the order of what it is given, so that sorting by confidence stays as good as it was.
Fitted on dev; with little data, or nothing to learn from, it changes nothing and says so in `reason`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handover.errors import ArtifactError

Floats = NDArray[np.float64]

MIN_EXAMPLES = 30
"""With fewer examples a fit is mostly noise, and confidences stay as they are."""

MIN_ISOTONIC = 500
"""From here on the shape of the curve is learned too. Below, two parameters are safer: isotonic regression
needs about a thousand examples (Niculescu-Mizil and Caruana 2005, Predicting Good Probabilities)."""

FOLDS = 5
BINS = 10
EPSILON = 1e-6
TEMPERATURES = (0.1, 10.0)
_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Calibrator:
    """A monotone map from raw to calibrated confidence, both in [0, 1].

    method `identity`: nothing is changed; `temperature`: logits are divided by `temperature`; `platt`:
    sigmoid(slope · logit + intercept); `isotonic`: linear between `knots`, pairs of raw and calibrated. `n` is
    the number of examples it was fitted on, `reason` says why an identity is one.
    """

    method: str = "identity"
    n: int = 0
    reason: str = ""
    temperature: float = 1.0
    slope: float = 1.0
    intercept: float = 0.0
    knots: tuple[tuple[float, float], ...] = ()

    def apply(self, confidences: ArrayLike) -> Floats:
        """Calibrated confidences of any shape, each by itself: for yes-or-no answers."""
        raw = np.asarray(confidences, dtype=np.float64)
        if self.method == "temperature":
            return _sigmoid(_logit(raw) / self.temperature)
        if self.method == "platt":
            return _sigmoid(self.slope * _logit(raw) + self.intercept)
        if self.method == "isotonic":
            x, y = np.array(self.knots).T
            return np.interp(raw, x, y)
        return raw

    def apply_rows(self, probabilities: ArrayLike) -> Floats:
        """Calibrated probabilities of shape (n, labels) whose rows are distributions over labels."""
        return _softened(np.asarray(probabilities, dtype=np.float64), self.temperature)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; `calibrator_from_json` reads them back."""
        return {**asdict(self), "knots": [list(knot) for knot in self.knots]}


def calibrator_from_json(value: Mapping[str, Any]) -> Calibrator:
    """Read what `to_json` wrote. Raises ArtifactError when it is something else."""
    try:
        knots = tuple((float(x), float(y)) for x, y in value["knots"])
        return Calibrator(**{**value, "knots": knots})
    except (TypeError, ValueError, KeyError) as error:
        raise ArtifactError(
            f"A calibration cannot be read ({type(error).__name__}). Train the student again."
        ) from error


def fit_rows(probabilities: ArrayLike, truth: ArrayLike) -> Calibrator:
    """Temperature scaling of distributions over labels (Guo et al. 2017, On Calibration of Modern Neural
    Networks): one number that softens or sharpens all of them and never changes which label is first.

    `probabilities` has shape (n, labels), `truth` holds the n indices of the right labels.
    """
    rows, right = np.asarray(probabilities, dtype=np.float64), np.asarray(truth, dtype=np.int64)
    n = len(rows)
    if n < MIN_EXAMPLES:
        return _too_few(n)
    if (rows.argmax(axis=1) == right).all():
        return Calibrator(n=n, reason=f"All {n} answers on dev are right, so nothing tells how sure to be.")

    def loss(log_t: float) -> float:
        return -float(np.log(np.maximum(_softened(rows, np.exp(log_t))[np.arange(n), right], EPSILON)).mean())

    return Calibrator("temperature", n=n, temperature=_minimise(loss))


def fit_binary(probabilities: ArrayLike, truth: ArrayLike) -> Calibrator:
    """Temperature scaling of independent yes-or-no probabilities, any shape; `truth` holds 0 and 1."""
    p = np.asarray(probabilities, dtype=np.float64).ravel()
    y = np.asarray(truth, dtype=np.float64).ravel()
    if len(p) < MIN_EXAMPLES:
        return _too_few(len(p))
    if ((p >= 0.5) == (y == 1)).all():
        return Calibrator(n=len(p), reason=f"All {len(p)} answers on dev are right, so nothing tells how sure to be.")
    z = _logit(p)

    def loss(log_t: float) -> float:
        return _log_loss(_sigmoid(z / np.exp(log_t)), y)

    return Calibrator("temperature", n=len(p), temperature=_minimise(loss))


def fit_confidences(confidences: ArrayLike, correct: ArrayLike) -> Calibrator:
    """Map confidences of single answers (a span, a whole document) to the rate at which they are correct.

    Isotonic regression (Zadrozny and Elkan 2002, Transforming Classifier Scores into Accurate Multiclass
    Probability Estimates) with `MIN_ISOTONIC` examples, else Platt's sigmoid with his smoothed targets (Platt
    1999, Probabilistic Outputs for Support Vector Machines).
    """
    x = np.asarray(confidences, dtype=np.float64).ravel()
    y = np.asarray(correct, dtype=np.float64).ravel()
    n = len(x)
    if n < MIN_EXAMPLES:
        return _too_few(n)
    if y.min() == y.max():
        outcome = "right" if y[0] else "wrong"
        return Calibrator(n=n, reason=f"All {n} answers on dev are {outcome}, so nothing tells how sure to be.")
    if n >= MIN_ISOTONIC:
        return Calibrator("isotonic", n=n, knots=_knots(x, y))
    slope, intercept = _platt(_logit(x), y)
    if slope <= 0:
        return Calibrator(n=n, reason=f"Confidence does not tell right from wrong in {n} answers on dev.")
    return Calibrator("platt", n=n, slope=slope, intercept=intercept)


@dataclass(frozen=True)
class Reliability:
    """How far confidences are from what they promise. `ece` is the expected calibration error: the distance
    between confidence and accuracy, averaged over bins weighted by their size. `bins` holds (mean confidence,
    accuracy, n) of those that are not empty. With few examples in a bin chance alone makes a distance, so
    compare values of the same `n` only."""

    ece: float
    n: int
    bins: tuple[tuple[float, float, int], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, rounded for people."""
        bins = [[round(confidence, 4), round(accuracy, 4), n] for confidence, accuracy, n in self.bins]
        return {"ece": round(self.ece, 4), "n": self.n, "bins": bins}


def reliability(confidences: ArrayLike, correct: ArrayLike) -> Reliability:
    """The expected calibration error in `BINS` bins of equal width (Naeini et al. 2015, Obtaining Well
    Calibrated Probabilities Using Bayesian Binning)."""
    x = np.asarray(confidences, dtype=np.float64).ravel()
    y = np.asarray(correct, dtype=np.float64).ravel()
    if not len(x):
        return Reliability(0.0, 0)
    place = np.minimum((x * BINS).astype(np.int64), BINS - 1)
    groups = [place == b for b in range(BINS)]
    bins = tuple((float(x[g].mean()), float(y[g].mean()), int(g.sum())) for g in groups if g.any())
    ece = sum(n * abs(confidence - accuracy) for confidence, accuracy, n in bins) / len(x)
    return Reliability(float(ece), len(x), bins)


def held_out(fit: Callable[[Floats, NDArray[Any]], Calibrator], raw: ArrayLike, truth: ArrayLike) -> Floats:
    """What a calibrator makes of examples it has not seen: fitted on four fifths, applied to the fifth.

    Its error on the examples it was fitted on would flatter it. `raw` are confidences, shape (n,), or
    distributions, shape (n, labels).
    """
    x, y = np.asarray(raw, dtype=np.float64), np.asarray(truth)
    result = np.empty_like(x)
    fold = np.arange(len(x)) % FOLDS
    for number in range(FOLDS):
        inside, outside = fold != number, fold == number
        calibrator = fit(x[inside], y[inside])
        result[outside] = calibrator.apply_rows(x[outside]) if x.ndim == 2 else calibrator.apply(x[outside])
    return result


def _too_few(n: int) -> Calibrator:
    return Calibrator(n=n, reason=f"{n} examples on dev are too few to calibrate on; {MIN_EXAMPLES} are needed.")


def _softened(rows: Floats, temperature: float) -> Floats:
    z = np.log(np.maximum(rows, EPSILON)) / temperature
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def _logit(p: Floats) -> Floats:
    clipped = np.clip(p, EPSILON, 1 - EPSILON)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _sigmoid(z: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(z, -50, 50))))


def _log_loss(p: Floats, y: Floats) -> float:
    q = np.clip(p, EPSILON, 1 - EPSILON)
    return -float((y * np.log(q) + (1 - y) * np.log(1 - q)).mean())


def _minimise(loss: Callable[[float], float]) -> float:
    """The temperature with the least loss: golden-section search on its logarithm, where it has one minimum."""
    low, high = np.log(TEMPERATURES)
    for _ in range(40):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return float(np.exp((low + high) / 2))


def _platt(z: Floats, y: Floats) -> tuple[float, float]:
    """Slope and intercept by Newton's method on Platt's smoothed targets, which keep them finite."""
    positive, negative = y.sum(), (1 - y).sum()
    target = np.where(y == 1, (positive + 1) / (positive + 2), 1 / (negative + 2))
    features = np.stack([z, np.ones_like(z)], axis=1)
    weights = np.array([0.0, np.log((positive + 1) / (negative + 1))])
    for _ in range(50):
        p = _sigmoid(features @ weights)
        gradient = features.T @ (p - target)
        hessian = (features * (p * (1 - p))[:, None]).T @ features + 1e-6 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        weights = weights - step * min(1.0, 2.0 / (np.abs(step).max() + EPSILON))
    return float(weights[0]), float(weights[1])


def _knots(x: Floats, y: Floats) -> tuple[tuple[float, float], ...]:
    """Pool-adjacent-violators (Ayer et al. 1955), as points in the middle of each pool.

    Straight lines between rising points keep the order where a step function would make ties, and each pool is
    smoothed by one right and one wrong answer more, so that no confidence becomes 0 or 1.
    """
    pools: list[list[float]] = []  # sum of x, sum of y, size
    for i in np.lexsort((-y, x)):  # equal confidences end up in one pool
        pools.append([float(x[i]), float(y[i]), 1.0])
        while len(pools) > 1 and pools[-2][1] / pools[-2][2] >= pools[-1][1] / pools[-1][2]:
            last = pools.pop()
            pools[-1] = [a + b for a, b in zip(pools[-1], last, strict=True)]
    knots = [(0.0, 0.0)]
    for sum_x, sum_y, size in pools:
        centre, value = sum_x / size, (sum_y + 1) / (size + 2)
        if knots[-1][0] < centre < 1 and value > knots[-1][1]:
            knots.append((centre, value))
    return (*knots, (1.0, 1.0))
