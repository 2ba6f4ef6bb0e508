"""Input drift: are the texts that come in now still like those the student was chosen on?

Three signs that need no gold: which labels the student gives, how many words training never saw, and how sure it
is. Each is tested by permuting documents, and must be large enough to matter, too: with thousands of texts the
smallest change is significant. A warning says that gold is worth annotating; it never switches anything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from handover.domain import Annotation, Kind
from handover.evaluation.permutation import Statistic, Table, permutation_p
from handover.evaluation.split import normalise

LEAST_DISTANCE = 0.1
"""Least Jensen-Shannon distance of label shares that matters: 0.1 is a share of 0.40 that becomes 0.50."""
LEAST_NEW_WORDS = 0.03
"""Least rise of the share of unknown words that matters."""
LEAST_CONFIDENCE_DROP = 0.03
"""Least fall of the mean confidence that matters."""
NOTHING = "(nothing)"
"""Stands for an answer without any label."""
_SIGNS = 3
_SHOWN_LABELS = 3


@dataclass(frozen=True)
class Sample:
    """Texts of one period, with the student's answer and confidence (None: unknown) for each.

    Neither period may consist of texts the student was trained on: it knows all of their words.
    """

    texts: Sequence[str]
    annotations: Sequence[Annotation]
    confidences: Sequence[float | None]

    def __post_init__(self) -> None:
        lengths = {len(self.texts), len(self.annotations), len(self.confidences)}
        if len(lengths) > 1:
            raise ValueError(f"Texts, annotations and confidences must be as many, got {sorted(lengths)}.")


@dataclass(frozen=True)
class Sign:
    """One measure before and now. `effect` is how far it moved, `p` the chance of that without drift.

    `before` and `now` are shares in [0, 1] or the mean confidence; for `labels` they are the shares of the label
    that changed most.
    """

    name: str
    before: float
    now: float
    effect: float
    p: float
    warning: bool
    sentence: str


@dataclass(frozen=True)
class Drift:
    """The signs that could be measured, on `before_n` older and `n` newer texts; none with too few texts."""

    before_n: int
    n: int
    signs: tuple[Sign, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """The sentences of the signs that warn."""
        return tuple(sign.sentence for sign in self.signs if sign.warning)


def words_of(texts: Iterable[str]) -> frozenset[str]:
    """The words of the texts a student was trained on, as `measure_drift` compares them."""
    return frozenset(word for text in texts for word in normalise(text).split())


def measure_drift(
    kind: Kind,
    before: Sample,
    now: Sample,
    *,
    labels: Sequence[str],
    vocabulary: Collection[str],
    alpha: float = 0.01,
    min_texts: int = 30,
    resamples: int = 2000,
    seed: int,
) -> Drift:
    """Compare two periods; warns wrongly with probability `alpha` at most, all signs together.

    `vocabulary` comes from `words_of`; without one, words are not compared. No signs when a period has fewer
    than `min_texts` texts. For many looks take `alpha` from `spending.next_alpha`.
    """
    sizes = (len(before.texts), len(now.texts))
    if min(sizes) < max(1, min_texts):
        return Drift(*sizes, signs=())
    test = _Test(alpha / _SIGNS, resamples, seed)
    signs = [
        _labels_sign(kind, before, now, labels, test),
        _words_sign(before, now, vocabulary, test) if vocabulary else None,
        _confidence_sign(before, now, test, min_texts),
    ]
    return Drift(*sizes, signs=tuple(sign for sign in signs if sign is not None))


@dataclass(frozen=True)
class _Test:
    alpha: float
    resamples: int
    seed: int

    def p(self, before: Table, now: Table, statistic: Statistic) -> float:
        return permutation_p(before, now, statistic, alpha=self.alpha, resamples=self.resamples, seed=self.seed)


def _labels_sign(kind: Kind, before: Sample, now: Sample, labels: Sequence[str], test: _Test) -> Sign:
    names = [*labels, NOTHING]
    earlier, later = (_label_table(kind, sample.annotations, names) for sample in (before, now))
    p = test.p(earlier, later, _distance)
    effect = float(_distance(earlier.sum(axis=0), later.sum(axis=0)))
    old, new = _shares(earlier.sum(axis=0)), _shares(later.sum(axis=0))
    order = np.argsort(-np.abs(new - old), kind="stable")
    shown = [i for i in order[:_SHOWN_LABELS] if old[i] or new[i]]
    changes = ", ".join(f"{names[i]} {new[i]:.1%} (was {old[i]:.1%})" for i in shown)
    return Sign(
        name="labels",
        before=float(old[order[0]]),
        now=float(new[order[0]]),
        effect=effect,
        p=p,
        warning=p <= test.alpha and effect >= LEAST_DISTANCE,
        sentence=f"Labels in {len(now.texts)} new texts: {changes} (distance {effect:.2f}, p {p:.2g}).",
    )


def _label_table(kind: Kind, annotations: Sequence[Annotation], names: Sequence[str]) -> Table:
    """How often each label is given in each document; a document without any counts as `NOTHING`."""
    columns = {name: i for i, name in enumerate(names)}
    table = np.zeros((len(annotations), len(names)))
    for row, annotation in zip(table, annotations, strict=True):
        for label in _labels_of(kind, annotation) or (NOTHING,):
            if label in columns:
                row[columns[label]] += 1
    return table


def _labels_of(kind: Kind, annotation: Annotation) -> tuple[str, ...]:
    if kind in {Kind.CHOICE, Kind.CHOICES}:
        return annotation.cats
    if kind is Kind.RELATIONS:
        return tuple(relation.label for relation in annotation.relations)
    return tuple(span.label for span in annotation.spans)


def _shares(sums: Table) -> Table:
    total = sums.sum(axis=-1, keepdims=True)
    return np.divide(sums, total, out=np.zeros_like(sums, dtype=float), where=total > 0)


def _distance(before: Table, now: Table) -> Table:
    """Jensen-Shannon distance of two distributions, in [0, 1] (Lin 1991; Endres and Schindelin 2003)."""
    p, q = _shares(before), _shares(now)
    middle = (p + q) / 2
    divergence = (_entropy_terms(p, middle) + _entropy_terms(q, middle)) / 2
    return np.sqrt(np.maximum(divergence, 0.0))


def _entropy_terms(p: Table, middle: Table) -> Table:
    ratio = np.divide(p, middle, out=np.ones_like(p), where=p > 0)
    return np.sum(p * np.log2(ratio), axis=-1)


def _words_sign(before: Sample, now: Sample, vocabulary: Collection[str], test: _Test) -> Sign:
    earlier, later = (_word_table(sample.texts, vocabulary) for sample in (before, now))
    old, new = (float(_mean(table.sum(axis=0))) for table in (earlier, later))
    p = test.p(earlier, later, lambda first, second: _mean(second) - _mean(first))
    return Sign(
        name="words",
        before=old,
        now=new,
        effect=new - old,
        p=p,
        warning=p <= test.alpha and new - old >= LEAST_NEW_WORDS,
        sentence=f"{new:.1%} of the words in {len(now.texts)} new texts were not in training, before {old:.1%} "
        f"(p {p:.2g}).",
    )


def _word_table(texts: Sequence[str], vocabulary: Collection[str]) -> Table:
    """Unknown words and all words of each text."""
    words = (normalise(text).split() for text in texts)
    rows = [[sum(word not in vocabulary for word in found), len(found)] for found in words]
    return np.array(rows, dtype=np.float64)


def _confidence_sign(before: Sample, now: Sample, test: _Test, min_texts: int) -> Sign | None:
    earlier, later = (_confidence_table(sample) for sample in (before, now))
    if min(len(earlier), len(later)) < max(1, min_texts):
        return None
    old, new = (float(_mean(table.sum(axis=0))) for table in (earlier, later))
    p = test.p(earlier, later, lambda first, second: _mean(first) - _mean(second))
    return Sign(
        name="confidence",
        before=old,
        now=new,
        effect=new - old,
        p=p,
        warning=p <= test.alpha and old - new >= LEAST_CONFIDENCE_DROP,
        sentence=f"Mean confidence {new:.3f} on {len(now.texts)} new texts, before {old:.3f} (p {p:.2g}).",
    )


def _confidence_table(sample: Sample) -> Table:
    """Confidence and 1 for each text that has one; rounded, because the test is quick where numbers repeat."""
    return np.array([[round(c, 2), 1.0] for c in sample.confidences if c is not None], dtype=np.float64)


def _mean(sums: Table) -> Table:
    """First column over the second; 0 where there is nothing."""
    above, below = sums[..., 0], sums[..., 1]
    return np.divide(above, below, out=np.zeros_like(above, dtype=float), where=below > 0)
