"""Drift is reported when texts, labels or confidence change, and not for noise."""

from __future__ import annotations

import numpy as np
import pytest

from handover.domain import Annotation, Kind, Span
from handover.evaluation.drift import NOTHING, Drift, Sample, measure_drift, words_of
from handover.evaluation.permutation import permutation_p

LABELS = ("bid", "offer")
WORDS = [f"word{i}" for i in range(400)]
KNOWN = frozenset(WORDS[:360])


def sample(
    n: int, seed: int, *, bids: float = 0.5, unknown: float = 0.05, confidence: float = 0.9, kind: Kind = Kind.CHOICE
) -> Sample:
    """Texts of 10 words, of which this share is unknown, answered `bid` or `offer`."""
    rng = np.random.default_rng(seed)
    texts = [
        " ".join(
            WORDS[rng.integers(360, 400)] if rng.random() < unknown else WORDS[rng.integers(360)] for _ in range(10)
        )
        for _ in range(n)
    ]
    if kind is Kind.CHOICE:
        annotations = [Annotation(cats=("bid" if rng.random() < bids else "offer",)) for _ in range(n)]
    else:  # all spans of one document have the same label
        labels = ["bid" if rng.random() < bids else "offer" for _ in range(n)]
        spans = [tuple(Span(i, i + 1, label) for i in range(rng.integers(0, 6))) for label in labels]
        annotations = [Annotation(spans=found) for found in spans]
    confidences = rng.beta(confidence * 10, (1 - confidence) * 10, n)
    return Sample(texts, annotations, [float(c) for c in confidences])


def drift(before: Sample, now: Sample, kind: Kind = Kind.CHOICE, **options: object) -> Drift:
    values: dict = {"labels": LABELS, "vocabulary": KNOWN, "resamples": 400, "seed": 0, **options}
    return measure_drift(kind, before, now, **values)


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        ({"bids": 0.15}, "labels", "Labels in 80 new texts: offer 7"),
        ({"unknown": 0.2}, "words", "of the words in 80 new texts were not in training, before 5"),
        ({"confidence": 0.75}, "confidence", "Mean confidence 0.7"),
    ],
)
def test_drift_of_each_sign_is_reported_by_itself(change: dict, name: str, words: str) -> None:
    found = drift(sample(300, 1), sample(80, 2, **change))
    assert [sign.name for sign in found.signs] == ["labels", "words", "confidence"]
    assert [sign.name for sign in found.signs if sign.warning] == [name]
    assert words in found.warnings[0]
    assert (found.before_n, found.n) == (300, 80)


def test_drift_numbers_are_shares_and_means() -> None:
    before = Sample(["a b c d"] * 40, [Annotation(cats=("bid",))] * 40, [0.9] * 40)
    now = Sample(["a b c z"] * 40, [Annotation(cats=("offer",))] * 40, [0.5] * 40)
    signs = {sign.name: sign for sign in drift(before, now, vocabulary=words_of(["A, b c", "D!"])).signs}
    assert (signs["words"].before, signs["words"].now, signs["words"].warning) == (0, 0.25, True)
    assert (signs["labels"].before, signs["labels"].now, signs["labels"].effect) == (1, 0, 1)
    assert signs["confidence"].effect == pytest.approx(-0.4)
    assert all(sign.p < 0.01 for sign in signs.values())


def test_drift_in_the_good_direction_does_not_warn() -> None:
    found = drift(sample(200, 1, unknown=0.2, confidence=0.7), sample(100, 2, unknown=0.05, confidence=0.95))
    assert found.warnings == ()


def test_drift_too_small_to_matter_does_not_warn() -> None:
    many = [
        Sample(["a"] * n, [Annotation(cats=(label,)) for label in ["bid"] * k + ["offer"] * (n - k)], [0.9] * n)
        for n, k in ((20_000, 10_000), (20_000, 10_800))
    ]
    found = drift(*many, vocabulary=())
    assert found.signs[0].p < 0.01
    assert found.warnings == ()


def test_drift_of_few_texts_is_not_measured() -> None:
    assert drift(sample(300, 1), sample(29, 2, bids=0.0)) == Drift(300, 29, ())
    assert drift(sample(0, 1), sample(0, 2), min_texts=0) == Drift(0, 0, ())


def test_drift_counts_answers_without_any_label() -> None:
    full = Sample(["a"] * 50, [Annotation(spans=(Span(0, 1, "bid"),))] * 50, [None] * 50)
    empty = Sample(["a"] * 50, [Annotation()] * 50, [None] * 50)
    (sign,) = drift(full, empty, Kind.ENTITIES, vocabulary=()).signs
    assert sign.warning
    assert f"{NOTHING} 100.0% (was 0.0%)" in sign.sentence


def test_drift_leaves_out_unknown_confidences() -> None:
    before, now = sample(60, 1), sample(60, 2)
    silent = Sample(now.texts, now.annotations, [None] * 60)
    assert [sign.name for sign in drift(before, silent).signs] == ["labels", "words"]


def test_drift_sentences_hold_no_text() -> None:
    found = drift(sample(100, 1), sample(100, 2, unknown=0.6, bids=0.0, confidence=0.6))
    assert len(found.warnings) == 3
    assert not any("word3" in sentence for sentence in found.warnings)


def test_drift_refuses_a_sample_of_unequal_lengths() -> None:
    with pytest.raises(ValueError, match=r"as many, got \[1, 2\]"):
        Sample(["a"], [Annotation()], [0.1, 0.2])


def test_permutation_p_is_exact_for_a_small_case() -> None:
    """Sums of {1, 2} of {1, 2, 3, 4}: the pair {3, 4} is one of six."""
    first, second = np.array([[1.0], [2.0]]), np.array([[3.0], [4.0]])
    p = permutation_p(first, second, lambda a, b: (b - a)[..., 0], alpha=0.05, resamples=20_000, seed=0)
    assert p == pytest.approx(1 / 6, abs=0.01)
