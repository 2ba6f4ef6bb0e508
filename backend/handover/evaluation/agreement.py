"""How well people agree with each other: the ceiling beside every score of teacher and student.

No model can be shown to be better than people agree. The ceiling is the aspect's own metric, with one annotator in
the place of the model and another in that of the reference. Chance-corrected coefficients come from NLTK: Cohen's
kappa (1960) and Krippendorff's alpha (1980), for `choices` with the distance of MASI (Passonneau 2006). For spans
there is no chance agreement to correct for, and the F score is what kappa tends to (Hripcsak and Rothschild 2005,
Agreement, the F-Measure, and Reliability in Information Retrieval).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from handover.domain import Annotation, Kind
from handover.evaluation.scores import Counts, counts, metric, metric_of, score

if TYPE_CHECKING:
    from nltk.metrics.agreement import AnnotationTask

Annotator = Hashable
ByAnnotator = Mapping[Annotator, Annotation]


@dataclass(frozen=True)
class Pair:
    """Two annotators on the `n` tasks both have done. `kappa` is None for kinds other than `choice`."""

    first: Annotator
    second: Annotator
    n: int
    score: float
    kappa: float | None


@dataclass(frozen=True)
class Agreement:
    """What `n` tasks with two or more annotators say.

    `ceiling` is the metric named `metric` between annotators, each task with the same weight, `low` and `high` its
    95 % interval; all None without such tasks. `alpha` is None for spans and relations. `per_label` holds the F
    score of each label between annotators, None where nobody used it.
    """

    n: int
    metric: str
    ceiling: float | None = None
    low: float | None = None
    high: float | None = None
    alpha: float | None = None
    pairs: tuple[Pair, ...] = ()
    per_label: Mapping[str, float | None] | None = None


def measure_agreement(
    kind: Kind,
    tasks: Sequence[ByAnnotator],
    *,
    labels: Sequence[str],
    resamples: int = 2000,
    seed: int,
) -> Agreement:
    """Agreement on tasks, each given as what its annotators say.

    Give only annotations made independently: two that started from the same suggestion agree because of it. A
    `choice` without a label is no answer.
    """
    rows = [_answers(kind, task) for task in tasks]
    rows = [row for row in rows if len(row) > 1]
    if not rows:
        return Agreement(n=0, metric=metric_of(kind))
    table = np.array([_task_counts(kind, labels, row) for row in rows])
    low, high = _interval(kind, table, resamples, seed)
    every = [pair for row in rows for pair in combinations(row.values(), 2)]
    return Agreement(
        n=len(rows),
        metric=metric_of(kind),
        ceiling=float(metric(kind, table.sum(axis=0))),
        low=low,
        high=high,
        alpha=_alpha(kind, rows),
        pairs=tuple(_pairs(kind, labels, rows)),
        per_label=_per_label(kind, labels, every),
    )


def _answers(kind: Kind, task: ByAnnotator) -> ByAnnotator:
    ordered = sorted(task, key=str)
    return {who: task[who] for who in ordered if kind is not Kind.CHOICE or task[who].cats}


def _task_counts(kind: Kind, labels: Sequence[str], row: ByAnnotator) -> Counts:
    """Mean counts over all pairs of annotators of one task."""
    firsts, seconds = zip(*combinations(row.values(), 2), strict=True)
    return np.asarray(counts(kind, labels, firsts, seconds).mean(axis=0))


def _interval(kind: Kind, table: Counts, resamples: int, seed: int) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(table), np.full(len(table), 1 / len(table)), size=resamples)
    low, high = np.quantile(metric(kind, weights @ table), [0.025, 0.975])
    return float(low), float(high)


def _pairs(kind: Kind, labels: Sequence[str], rows: Sequence[ByAnnotator]) -> list[Pair]:
    """Every two annotators with tasks in common, those with most tasks first."""
    together: defaultdict[tuple[Annotator, Annotator], list[ByAnnotator]] = defaultdict(list)
    for row in rows:
        for pair in combinations(row, 2):
            together[pair].append(row)
    found = []
    for (first, second), shared in together.items():
        table = counts(kind, labels, [row[first] for row in shared], [row[second] for row in shared])
        kappa = _kappa(first, second, shared) if kind is Kind.CHOICE else None
        found.append(Pair(first, second, len(shared), float(metric(kind, table.sum(axis=0))), kappa))
    return sorted(found, key=lambda pair: -pair.n)


def _kappa(first: Annotator, second: Annotator, shared: Sequence[ByAnnotator]) -> float:
    coded = [(str(who), i, row[who].cats[0]) for i, row in enumerate(shared) for who in (first, second)]
    return float(_annotation_task(coded).kappa_pairwise(str(first), str(second)))


def _alpha(kind: Kind, rows: Sequence[ByAnnotator]) -> float | None:
    if kind not in {Kind.CHOICE, Kind.CHOICES}:
        return None
    coded = [(str(who), i, frozenset(answer.cats)) for i, row in enumerate(rows) for who, answer in row.items()]
    return float(_annotation_task(coded, sets=True).alpha())


def _annotation_task(coded: Sequence[tuple[str, int, Hashable]], *, sets: bool = False) -> AnnotationTask:
    from nltk.metrics.agreement import AnnotationTask  # noqa: PLC0415 - takes seconds to import

    return AnnotationTask(data=coded, distance=_set_distance) if sets else AnnotationTask(data=coded)


def _set_distance(first: frozenset[str], second: frozenset[str]) -> float:
    """MASI; NLTK's own divides by zero for two empty sets. 0 or 1 for single labels."""
    from nltk.metrics.distance import masi_distance  # noqa: PLC0415

    return 0.0 if first == second else float(masi_distance(first, second))


def _per_label(
    kind: Kind, labels: Sequence[str], pairs: Sequence[tuple[Annotation, Annotation]]
) -> dict[str, float | None]:
    firsts, seconds = zip(*pairs, strict=True)
    there, back = (score(kind, labels, *sides).details for sides in ((firsts, seconds), (seconds, firsts)))
    (name,) = (key for key in there if key.endswith("per_type"))
    used = {label: there[name][label]["support"] + back[name][label]["support"] for label in labels}
    return {label: there[name][label]["f"] if used[label] else None for label in labels}
