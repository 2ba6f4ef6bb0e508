"""Softmax regression, alone or starting from somebody's answers: solved in a second, without a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Correction:
    """P(label | text, somebody's answer): `words` and `bias` weigh the features of the text, `answers` what the
    other said. Shapes (features, labels), (labels,) and (labels, labels)."""

    words: Floats
    bias: Floats
    answers: Floats

    def predict(self, features: Any, answers: Floats) -> Floats:
        """Probabilities, shape (texts, labels); `features` is a sparse matrix, `answers` one-hot or zero rows."""
        return _softmax(features @ self.words + answers @ self.answers + self.bias)


def fit_correction(
    features: Any, answers: Floats, targets: Floats, *, trust: float, ridge: float = 0.05, max_steps: int = 150
) -> Correction:
    """Learn where the other one errs, from texts of which the truth (`targets`, one-hot) is known.

    Ridge-regularised towards believing the other, with log-odds `trust`: without evidence nothing is corrected.
    Learning from a few trusted labels how the many others err is the idea of Hendrycks et al., Using Trusted
    Data to Train Deep Networks on Labels Corrupted by Severe Noise (2018); there the error depends on the label
    alone, here on the text too.
    """
    from scipy import sparse  # noqa: PLC0415 - heavy

    width, labels = features.shape[1], targets.shape[1]
    start = np.zeros((width + labels + 1, labels))
    start[width:-1] = trust * np.eye(labels)
    beside = sparse.hstack([features, sparse.csr_matrix(answers)]).tocsr()
    weights = fit_regression(beside, targets, start=start, ridge=ridge, max_steps=max_steps)
    return Correction(weights[:width], weights[-1], weights[width:-1])


def fit_regression(features: Any, targets: Floats, *, start: Floats, ridge: float, max_steps: int) -> Floats:
    """Weights of a softmax regression, shape (features + 1, labels), the bias last; ridge-regularised towards
    `start`. `features` is a sparse matrix."""
    from scipy.optimize import minimize  # noqa: PLC0415 - heavy

    if not features.shape[0]:
        return start

    def loss(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(start.shape)
        probabilities = _softmax(features @ weights[:-1] + weights[-1])
        error = probabilities - targets
        gradient = np.vstack([features.T @ error, error.sum(axis=0, keepdims=True)])
        moved = weights - start
        value = -(targets * np.log(np.maximum(probabilities, 1e-12))).sum() + 0.5 * ridge * (moved**2).sum()
        return float(value), (gradient + ridge * moved).ravel()

    found: Floats = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": max_steps}).x
    return found.reshape(start.shape)


def _softmax(scores: Floats) -> Floats:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities: Floats = raised / raised.sum(axis=1, keepdims=True)
    return probabilities
