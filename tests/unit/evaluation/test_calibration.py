"""Calibration on made-up answers whose true rates are known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from handover.errors import ArtifactError
from handover.evaluation.calibration import (
    Calibrator,
    calibrator_from_json,
    fit_binary,
    fit_confidences,
    fit_rows,
    held_out,
    reliability,
)


def overconfident(n: int, labels: int = 4, *, by: float = 3.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True distributions, the same sharpened `by` that factor, and labels drawn from the true ones."""
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(n, labels))
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    sharp = np.exp(by * logits) / np.exp(by * logits).sum(axis=1, keepdims=True)
    truth = np.array([rng.choice(labels, p=row) for row in true])
    return true, sharp, truth


def test_fit_rows_finds_the_temperature() -> None:
    true, sharp, truth = overconfident(3000)
    calibrator = fit_rows(sharp, truth)
    assert calibrator.method == "temperature"
    assert calibrator.temperature == pytest.approx(3.0, rel=0.15)
    assert np.abs(calibrator.apply_rows(sharp) - true).max() < 0.05
    assert (calibrator.apply_rows(sharp).argmax(axis=1) == sharp.argmax(axis=1)).all()


def test_fit_rows_lowers_the_calibration_error_of_unseen_examples() -> None:
    _, sharp, truth = overconfident(600)
    right = sharp.argmax(axis=1) == truth
    before = reliability(sharp.max(axis=1), right)
    after = reliability(held_out(fit_rows, sharp, truth).max(axis=1), right)
    assert before.ece > 0.2
    assert after.ece < 0.07
    assert before.n == after.n == 600


def test_fit_binary_finds_the_temperature() -> None:
    rng = np.random.default_rng(2)
    z = rng.normal(size=(2000, 2))
    truth = rng.random(z.shape) < 1 / (1 + np.exp(-z))
    calibrator = fit_binary(1 / (1 + np.exp(-2 * z)), truth)
    assert calibrator.temperature == pytest.approx(2.0, rel=0.15)
    assert calibrator.apply(0.5) == pytest.approx(0.5)


@pytest.mark.parametrize(("n", "method"), [(100, "platt"), (499, "platt"), (500, "isotonic"), (2000, "isotonic")])
def test_fit_confidences_learns_the_rate_of_correct_answers(n: int, method: str) -> None:
    rng = np.random.default_rng(3)
    raw = rng.random(n) ** 0.2  # mostly close to 1
    correct = rng.random(n) < raw**3
    calibrator = fit_confidences(raw, correct)
    assert calibrator.method == method
    assert calibrator.n == n
    grid = np.linspace(0.7, 0.98, 15)
    assert np.abs(calibrator.apply(grid) - grid**3).mean() < (0.12 if n == 100 else 0.06)


def test_fit_confidences_pools_what_is_out_of_order() -> None:
    """Rates by hand, in a shuffled order: 0.6 and 0.7 are right as often as each other, so they are pooled."""
    rates = {0.5: 0.2, 0.6: 0.7, 0.7: 0.5, 0.9: 0.9}
    pairs = [(x, float(i < 200 * rate)) for x, rate in rates.items() for i in range(200)]
    raw, correct = np.random.default_rng(0).permutation(np.array(pairs)).T
    calibrator = fit_confidences(raw, correct)
    assert calibrator.knots == (
        (0.0, 0.0),
        (pytest.approx(0.5), pytest.approx(41 / 202)),
        (pytest.approx(0.65), pytest.approx(241 / 402)),
        (pytest.approx(0.9), pytest.approx(181 / 202)),
        (1.0, 1.0),
    )
    assert calibrator.apply([0.25, 0.95]) == pytest.approx([41 / 404, (181 / 202 + 1) / 2])


@pytest.mark.parametrize("n", [60, 800])
def test_fit_confidences_keeps_the_order(n: int) -> None:
    rng = np.random.default_rng(4)
    raw = np.sort(rng.random(n))
    calibrated = fit_confidences(raw, rng.random(n) < raw).apply(raw)
    assert (np.diff(calibrated) >= 0).all()
    assert ((calibrated > 0) & (calibrated < 1)).all()
    assert len(set(calibrated)) == n, "ties would spoil the sorting"


@pytest.mark.parametrize(
    ("calibrator", "said"),
    [
        (fit_confidences([0.9] * 29, [1] * 28 + [0]), "29 examples on dev are too few"),
        (fit_confidences([], []), "0 examples on dev are too few"),
        (fit_confidences(np.linspace(0.1, 0.9, 50), [1] * 50), "All 50 answers on dev are right"),
        (fit_confidences(np.linspace(0.1, 0.9, 50), [0] * 50), "All 50 answers on dev are wrong"),
        (fit_confidences(np.linspace(0.1, 0.9, 50), [1] * 25 + [0] * 25), "does not tell right from wrong"),
        (fit_rows([[0.6, 0.4]] * 29, [0] * 29), "29 examples on dev are too few"),
        (fit_rows([[0.6, 0.4]] * 40, [0] * 40), "All 40 answers on dev are right"),
        (fit_binary([[0.6, 0.4]] * 10, [[1, 0]] * 10), "20 examples on dev are too few"),
        (fit_binary([[0.6, 0.4]] * 20, [[1, 0]] * 20), "All 40 answers on dev are right"),
    ],
)
def test_calibrators_change_nothing_without_something_to_learn_from(calibrator: Calibrator, said: str) -> None:
    assert calibrator.method == "identity"
    assert said in calibrator.reason
    assert list(calibrator.apply([0.0, 0.3, 1.0])) == [0.0, 0.3, 1.0]
    assert calibrator.apply_rows([[0.3, 0.7]]) == pytest.approx(np.array([[0.3, 0.7]]))


def test_calibrators_stay_finite_with_certain_and_separable_answers() -> None:
    raw = np.array([0.0] * 40 + [1.0] * 40)
    calibrator = fit_confidences(raw, raw)
    low, high = calibrator.apply([0.0, 1.0])
    assert 0 < low < 0.1
    assert 0.9 < high < 1
    big = fit_confidences(np.repeat(raw, 10), np.repeat(raw, 10))
    assert np.isfinite(big.apply([0.0, 0.5, 1.0])).all()


def test_calibrators_come_back_from_json() -> None:
    rng = np.random.default_rng(5)
    raw = rng.random(600)
    calibrator = fit_confidences(raw, rng.random(600) < raw)
    again = calibrator_from_json(json.loads(json.dumps(calibrator.to_json())))
    assert again == calibrator
    assert (again.apply(raw) == calibrator.apply(raw)).all()


@pytest.mark.parametrize("value", [{}, {"knots": 3}, {"knots": [], "mystery": 1}, {"knots": [[1]]}])
def test_calibrator_from_json_refuses_something_else(value: dict[str, object]) -> None:
    with pytest.raises(ArtifactError, match="Train the student again"):
        calibrator_from_json(value)


def test_reliability_by_hand() -> None:
    found = reliability([0.95, 0.95, 0.95, 0.95, 0.55, 0.55], [1, 1, 1, 0, 1, 1])
    assert found.bins == ((pytest.approx(0.55), 1.0, 2), (pytest.approx(0.95), 0.75, 4))
    assert found.ece == pytest.approx((4 * 0.2 + 2 * 0.45) / 6)
    assert found.to_json()["n"] == 6
    assert reliability([1.0], [1]).bins == ((1.0, 1.0, 1),)
    assert reliability([], []).ece == 0.0
