"""The gate: does the student take over, does the teacher stay, or is there too little gold to tell?"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handover.domain import Annotation, Decision, Kind, Outcome
from handover.evaluation.bootstrap import Classes, classes_of, paired_bootstrap
from handover.evaluation.bounds import lower_bound, upper_bound
from handover.evaluation.power import documents_for
from handover.evaluation.scores import Counts, counts, errors_of, metric, metric_of

_HOPELESS = 20
"""A difference that takes more than this many times the present gold to show is not worth waiting for."""
_LEAST_STEP = 0.1
"""Fewer new documents than this share of the present ones hardly change the picture."""


def decide(
    kind: Kind,
    references: Sequence[Annotation],
    teacher: Sequence[Annotation | None],
    student: Sequence[Annotation | None],
    *,
    labels: Collection[str],
    alpha: float,
    margin: float = 0.0,
    min_gold: int,
    resamples: int = 10_000,
    seed: int,
) -> Decision:
    """Compare student and teacher on the same gold documents, at error rate `alpha` for this look.

    Promotes when the one-sided lower bound of student minus teacher is above -`margin`; asks for more gold
    when there is less than `min_gold`, or when the difference seen would be significant with about `needed`
    documents more; keeps the teacher otherwise. `alpha` comes from `spending.next_alpha`.

    In the `Decision`, `low` and `high` are the one-sided bounds at level 1 - alpha each, an interval at level
    1 - 2 alpha. `alpha` is 0 when the gold did not permit a test: nothing is spent then, and the bounds are
    -1 and 1. `details` has the usual 95 % bootstrap interval (`interval_95`) and on how many documents the
    student has fewer, as many and more errors (`wins`, `ties`, `losses`). Errors as for `scores.counts`.
    """
    return judge(
        kind,
        counts(kind, labels, references, student),
        counts(kind, labels, references, teacher),
        alpha=alpha,
        margin=margin,
        min_gold=min_gold,
        resamples=resamples,
        seed=seed,
    )


def judge(
    kind: Kind,
    student: Counts,
    teacher: Counts,
    *,
    alpha: float,
    margin: float = 0.0,
    min_gold: int,
    resamples: int = 10_000,
    seed: int,
) -> Decision:
    """`decide` on counts instead of annotations: for parts of the labels, for rollback, for simulations."""
    classes = classes_of(student, teacher)
    look = _Look(kind, classes, _value(kind, student), _value(kind, teacher), alpha, margin)
    shortage = _shortage(look, min_gold)
    if shortage:
        return shortage
    low = lower_bound(kind, student, teacher, alpha=alpha, resamples=resamples, seed=seed)
    high = upper_bound(kind, student, teacher, alpha=alpha, resamples=resamples, seed=seed)
    outcome, needed, reason = _verdict(look, low)
    details = _details(look, paired_bootstrap(kind, student, teacher, resamples=resamples, seed=seed))
    return look.decision(outcome, reason, low=low, high=high, alpha=alpha, needed=needed, details=details)


def _value(kind: Kind, table: Counts) -> float:
    return float(metric(kind, table.sum(axis=0)))


@dataclass(frozen=True)
class _Look:
    """What is compared, and the sentence that says so."""

    kind: Kind
    classes: Classes
    student: float
    teacher: float
    alpha: float
    margin: float

    @property
    def difference(self) -> float:
        return self.student - self.teacher

    def sentence(self, verb: str, low: float) -> str:
        rival = f"teacher (margin {self.margin:g})" if self.margin else "teacher"
        name, n = metric_of(self.kind), self.classes.n
        return (
            f"Student {name} {self.student:.3f} {verb} {rival} {self.teacher:.3f} on the same "
            f"{n} gold tasks (difference {self.difference:+.3f}, lower bound {low:+.3f} "
            f"at alpha {self.alpha:.2g})."
        )

    def decision(self, outcome: Outcome, reason: str, **values: Any) -> Decision:
        return Decision(
            outcome=outcome,
            reason=reason,
            n=self.classes.n,
            teacher_score=self.teacher,
            student_score=self.student,
            difference=self.difference,
            margin=self.margin,
            **values,
        )


def _shortage(look: _Look, min_gold: int) -> Decision | None:
    """The decision when there is nothing to test on yet; it costs nothing of the error budget."""
    n = look.classes.n
    needed: int | None = None
    if n < max(1, min_gold):
        needed = max(1, min_gold) - n
        reason = f"{n} of at least {max(1, min_gold)} gold tasks are annotated; {needed} more are needed."
    elif not has_answers(look.kind, look.classes.rows):
        reason = f"None of the {n} gold tasks has anything to find; wait for gold with at least one label."
    else:
        return None
    return look.decision(Outcome.NEED_MORE, reason, low=-1.0, high=1.0, alpha=0.0, needed=needed)


def has_answers(kind: Kind, table: Counts) -> bool:
    """Whether the references have anything to find; without it every F score is 0 and says nothing."""
    return kind is Kind.CHOICE or bool(np.any(table[:, 0] + table[:, 2] > 0))


def _verdict(look: _Look, low: float) -> tuple[Outcome, int | None, str]:
    if low > -look.margin:
        verb = "beats" if low > 0 else "is as good as"
        return Outcome.PROMOTE, None, look.sentence(verb, low)
    if look.difference <= -look.margin:
        return Outcome.KEEP, None, look.sentence("is not ahead of", low)
    sentence = look.sentence("may fall behind" if look.margin else "is not yet shown to be better than", low)
    if look.alpha <= 0:
        return Outcome.KEEP, None, f"{sentence} The error budget for looks at this gold is used up."
    n = look.classes.n
    total = documents_for(look.kind, look.classes, alpha=look.alpha, margin=look.margin)
    if total > _HOPELESS * n:
        return Outcome.KEEP, None, f"{sentence} It would take about {total:,.0f} gold tasks to show it."
    needed = max(math.ceil(total) - n, math.ceil(_LEAST_STEP * n))
    return Outcome.NEED_MORE, needed, f"{sentence} About {needed:,} more gold tasks would decide it."


def _details(look: _Look, resampled: NDArray[np.float64]) -> dict[str, Any]:
    low, high = np.quantile(resampled, [0.025, 0.975])
    width = look.classes.rows.shape[1] // 2
    lead = errors_of(look.kind, look.classes.rows[:, width:]) - errors_of(look.kind, look.classes.rows[:, :width])
    sizes = look.classes.sizes
    return {
        "interval_95": [float(low), float(high)],
        "wins": int(sizes[lead > 0].sum()),
        "losses": int(sizes[lead < 0].sum()),
        "ties": int(sizes[lead == 0].sum()),
    }
