"""Scores of predictions against references, with the key names of spaCy's `Scorer`.

Every metric here is a function of column sums over documents. `counts` gives the columns, `metric` turns sums
into the metric; the gate resamples the columns and never looks at the annotations again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handover.domain import Annotation, Kind
from handover.evaluation.span_errors import span_errors

Counts = NDArray[np.float64]
"""One row a document. `choice`: [correct, 1]. Other kinds: [true positives, false positives, false
negatives]."""

_METRICS = {
    Kind.CHOICE: "cats_acc",
    Kind.CHOICES: "cats_micro_f",
    Kind.ENTITIES: "ents_f",
    Kind.SPANS: "spans_f",
    Kind.RELATIONS: "rel_micro_f",
}
_ACCURACY = (np.array([1.0, 0.0]), np.array([0.0, 1.0]))
_F_SCORE = (np.array([2.0, 0.0, 0.0]), np.array([2.0, 1.0, 1.0]))


@dataclass(frozen=True)
class Scores:
    """Scores of one set of predictions: `value` is the aspect's metric, named `metric`, on `n` documents."""

    metric: str
    value: float
    n: int
    details: dict[str, Any] = field(default_factory=dict)


def metric_of(kind: Kind) -> str:
    """The name of the metric that decides for this kind: accuracy for `choice`, micro-averaged F else."""
    return _METRICS[kind]


def ratio_of(kind: Kind) -> tuple[Counts, Counts]:
    """Weights of the count columns in the metric's numerator and denominator."""
    return _ACCURACY if kind is Kind.CHOICE else _F_SCORE


def metric(kind: Kind, sums: ArrayLike) -> Counts:
    """The metric of column sums; leading axes are kept, so shape (r, k) gives r values.

    0.0 where it is undefined, like spaCy's `PRFScore`: no document at all, or nothing expected and nothing
    predicted. A resample without a single span then counts for nobody. With 1.0 in its place a student that
    never marks anything would win that resample against a teacher with one false alarm.
    """
    above, below = ratio_of(kind)
    columns = np.asarray(sums, dtype=np.float64)
    numerator, denominator = columns @ above, columns @ below
    return np.divide(numerator, denominator, out=np.zeros_like(denominator), where=denominator > 0)


def counts(
    kind: Kind,
    labels: Collection[str],
    references: Sequence[Annotation],
    predictions: Sequence[Annotation | None],
) -> Counts:
    """Sufficient statistics, one row a document (see `Counts`).

    A prediction of None (no usable answer) is a wrong choice, or nothing marked. Spans are equal when
    offsets and label are. For all kinds but `choice`, answers with a label that is not in `labels` are left
    out on both sides, so one label can be counted by itself. Raises ValueError when the lengths differ, a
    `choice` reference has no label, or there are no labels to count.
    """
    _check(kind, labels, references, predictions)
    width = 2 if kind is Kind.CHOICE else 3
    rows = [_row(kind, labels, *pair) for pair in zip(references, predictions, strict=True)]
    return np.array(rows, dtype=np.float64).reshape(len(rows), width)


def errors_of(kind: Kind, table: Counts) -> Counts:
    """Errors in each row of counts: a wrong choice, or false alarms and misses."""
    return 1 - table[:, 0] if kind is Kind.CHOICE else table[:, 1] + table[:, 2]


def score(
    kind: Kind,
    labels: Collection[str],
    references: Sequence[Annotation],
    predictions: Sequence[Annotation | None],
) -> Scores:
    """The aspect's metric and its details; arguments and errors as for `counts`.

    Details of `choice`: cats_acc, cats_micro_f, cats_macro_f, cats_f_per_type, and `confusions`: the
    (reference, predicted or None, count) of all wrong answers, most frequent first. Other kinds, with their
    prefix (ents, spans, cats_micro, rel_micro): _p, _r, _f, and the table per label; for entities and spans also
    _confusions, _boundary_errors, _missed and _spurious (see `SpanErrors`). Tables hold p, r, f and support (times
    in the references). Macro averages run over all `labels`, as in spaCy.
    """
    table = counts(kind, labels, references, predictions)
    value = float(metric(kind, table.sum(axis=0)))
    pairs = list(zip(references, predictions, strict=True))
    per_type = {label: _prf(*sums) for label, sums in _sums_per_label(kind, labels, pairs).items()}
    details = _choice_details(value, per_type, pairs) if kind is Kind.CHOICE else {}
    details |= _f_details(kind, table.sum(axis=0), per_type) if kind is not Kind.CHOICE else {}
    if kind in {Kind.ENTITIES, Kind.SPANS}:
        details |= span_errors(labels, pairs).details(metric_of(kind).removesuffix("_f"))
    return Scores(metric=metric_of(kind), value=value, n=len(references), details=details)


def _check(
    kind: Kind,
    labels: Collection[str],
    references: Sequence[Annotation],
    predictions: Sequence[Annotation | None],
) -> None:
    if len(references) != len(predictions):
        raise ValueError(f"{len(references)} references but {len(predictions)} predictions; they must be pairs.")
    if kind is Kind.CHOICE:
        missing = [i for i, reference in enumerate(references) if not reference.cats]
        if missing:
            raise ValueError(f"Reference {missing[0]} of kind choice has no label; leave such documents out.")
    elif not labels:
        raise ValueError(f"No labels to count for kind {kind.value}; give those of the aspect.")


def _row(kind: Kind, labels: Collection[str], reference: Annotation, predicted: Annotation | None) -> list[int]:
    if kind is Kind.CHOICE:
        return [int(predicted is not None and predicted.cats == reference.cats), 1]
    expected, found = _items(kind, labels, reference), _items(kind, labels, predicted)
    return [len(expected & found), len(found - expected), len(expected - found)]


def _items(kind: Kind, labels: Collection[str], annotation: Annotation | None) -> set[tuple]:
    """What the annotation holds, as tuples that start with the label."""
    if annotation is None:
        return set()
    items: set[tuple]
    if kind in {Kind.CHOICE, Kind.CHOICES}:
        items = {(label,) for label in annotation.cats}
    elif kind is Kind.RELATIONS:
        items = {(label, head, child) for head, child, label in annotation.edges}
    else:
        items = {(span.label, span.start, span.end) for span in annotation.spans}
    return {item for item in items if item[0] in labels}


def _sums_per_label(
    kind: Kind, labels: Collection[str], pairs: Sequence[tuple[Annotation, Annotation | None]]
) -> dict[str, tuple[int, int, int]]:
    hits: Counter[str] = Counter()
    false_alarms: Counter[str] = Counter()
    misses: Counter[str] = Counter()
    for reference, predicted in pairs:
        expected, found = _items(kind, labels, reference), _items(kind, labels, predicted)
        hits.update(item[0] for item in expected & found)
        false_alarms.update(item[0] for item in found - expected)
        misses.update(item[0] for item in expected - found)
    return {label: (hits[label], false_alarms[label], misses[label]) for label in labels}


def _prf(tp: float, fp: float, fn: float) -> dict[str, float]:
    return {
        "p": tp / (tp + fp) if tp + fp else 0.0,
        "r": tp / (tp + fn) if tp + fn else 0.0,
        "f": 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 0.0,
        "support": int(tp + fn),
    }


def _choice_details(
    accuracy: float,
    per_type: dict[str, dict[str, float]],
    pairs: Sequence[tuple[Annotation, Annotation | None]],
) -> dict[str, Any]:
    answers = [(r.cats[0], p.cats[0] if p is not None and p.cats else None) for r, p in pairs]
    answered = sum(predicted is not None for _, predicted in answers)
    correct = sum(reference == predicted for reference, predicted in answers)
    wrong = Counter(answer for answer in answers if answer[0] != answer[1])
    confusions = [(reference, predicted, count) for (reference, predicted), count in wrong.items()]
    return {
        "cats_acc": accuracy,
        "cats_micro_f": _prf(correct, answered - correct, len(answers) - correct)["f"],
        "cats_macro_f": sum(row["f"] for row in per_type.values()) / len(per_type) if per_type else 0.0,
        "cats_f_per_type": per_type,
        "confusions": sorted(confusions, key=lambda c: (-c[2], c[0], c[1] or "")),
    }


def _f_details(kind: Kind, sums: Counts, per_type: dict[str, dict[str, float]]) -> dict[str, Any]:
    prefix = metric_of(kind).removesuffix("_f")
    micro = _prf(*map(int, sums))
    details: dict[str, Any] = {f"{prefix}_{key}": micro[key] for key in ("p", "r", "f")}
    if kind is Kind.CHOICES:
        details["cats_macro_f"] = sum(row["f"] for row in per_type.values()) / len(per_type)
        return details | {"cats_f_per_type": per_type}
    return details | {f"{prefix.removesuffix('_micro')}_per_type": per_type}
