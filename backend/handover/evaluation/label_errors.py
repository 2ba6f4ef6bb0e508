"""Which annotations a model doubts that has not seen them: hints for people, never corrections.

Confident learning (Northcutt, Jiang and Chuang 2021, Confident Learning: Estimating Uncertainty in Dataset
Labels): a label counts as confidently predicted when its probability is at least what it is on average where
people chose it; an annotation is suspicious when another label is confidently predicted in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Mark = tuple[str, ...]
"""A label, or a span or relation as words: what is compared."""


@dataclass(frozen=True)
class Suspicion:
    """Annotation number `index` is doubted: instead of `given`, `suggested` is expected. `score` in (0, 1] tells
    how strongly; sort by it."""

    index: int
    score: float
    given: tuple[str, ...]
    suggested: tuple[str, ...]


def doubted_choices(probabilities: ArrayLike, given: Sequence[str], labels: Sequence[str]) -> list[Suspicion]:
    """Doubts about one label per text. `probabilities` has shape (n, labels), made without having seen the text;
    most doubtful first, by how much more probable the other label is."""
    p = np.asarray(probabilities, dtype=np.float64).reshape(len(given), len(labels))
    chosen = np.array([labels.index(label) for label in given], dtype=np.int64)
    confident = np.where(p >= _self_confidence(p, chosen), p, -1.0)
    found = []
    for i in range(len(p)):
        best = int(confident[i].argmax())
        margin = p[i, best] - p[i, chosen[i]]
        if confident[i, best] >= 0 and best != chosen[i] and margin > 0:
            found.append(Suspicion(i, float(margin), (labels[chosen[i]],), (labels[best],)))
    return sorted(found, key=lambda s: -s.score)


def doubted_labels(probabilities: ArrayLike, given: Sequence[Sequence[str]], labels: Sequence[str]) -> list[Suspicion]:
    """Doubts about any of several labels per text: each label is a yes-or-no question of its own."""
    p = np.asarray(probabilities, dtype=np.float64).reshape(len(given), len(labels))
    doubts: dict[int, list[tuple[str, float]]] = {}
    for column, label in enumerate(labels):
        answers = ["yes" if label in chosen else "no" for chosen in given]
        both = np.stack([1 - p[:, column], p[:, column]], axis=1)
        for doubt in doubted_choices(both, answers, ("no", "yes")):
            doubts.setdefault(doubt.index, []).append((label, doubt.score))
    found = [_of_labels(i, given[i], labels, pairs) for i, pairs in doubts.items()]
    return sorted(found, key=lambda s: -s.score)


def doubted_marks(
    predicted: Sequence[Sequence[tuple[Mark, float]]], given: Sequence[Sequence[Mark]], sure: Sequence[float]
) -> list[Suspicion]:
    """Doubts about spans or relations. `predicted` holds those of a model with their confidences, `sure` how sure
    it is of each text as a whole.

    Something that people did not mark is suspicious when the model is as confident about it as it mostly is about
    what they did mark. Something that they marked and the model did not, when the model is as sure of the whole
    text as it mostly is where both agree. Mostly is: in three of four cases.
    """
    agreed = [p for marks, ours in zip(predicted, given, strict=True) for mark, p in marks if mark in ours]
    same = [s for s, marks, ours in zip(sure, predicted, given, strict=True) if {m for m, _ in marks} == set(ours)]
    if not agreed or not same:
        return []
    of_marks, of_texts = float(np.quantile(agreed, 0.25)), float(np.quantile(same, 0.25))
    found = []
    for i, (marks, ours) in enumerate(zip(predicted, given, strict=True)):
        extra = [(mark, p) for mark, p in marks if mark not in ours and p >= of_marks]
        missed = [mark for mark in ours if mark not in {m for m, _ in marks}] if sure[i] >= of_texts else []
        if extra or missed:
            score = max([p for _, p in extra] + [sure[i] for _ in missed])
            found.append(Suspicion(i, float(score), _words(missed), _words([mark for mark, _ in extra])))
    return sorted(found, key=lambda s: -s.score)


def _self_confidence(p: Floats, chosen: NDArray[np.int64]) -> Floats:
    """For each label its mean probability where it was chosen; out of reach where it never was."""
    means = [p[chosen == j, j].mean() if (chosen == j).any() else 2.0 for j in range(p.shape[1])]
    return np.array(means)


def _of_labels(
    index: int, given: Sequence[str], labels: Sequence[str], doubts: Sequence[tuple[str, float]]
) -> Suspicion:
    changed = {label for label, _ in doubts}
    suggested = tuple(label for label in labels if (label in given) != (label in changed))
    return Suspicion(index, max(score for _, score in doubts), tuple(given), suggested)


def _words(marks: Sequence[Mark]) -> tuple[str, ...]:
    return tuple(" ".join(mark) for mark in marks)
