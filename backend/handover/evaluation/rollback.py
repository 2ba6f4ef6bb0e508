"""After a handover: has the student fallen behind, so that the teacher has to take over again?

What keeps it from flapping: a handover and the rollback of that handover never rest on the same gold. Only gold
that came after a handover counts against the student (`last_handover`), and after the rollback the next student
has to win on that same gold, not on the older one. A rollback says "worse" about it with confidence, a handover
"better"; both at once is impossible, so it takes new gold to change sides again.

The gold before a handover was part of what chose the student, and flatters it; that is one more reason to leave
it out. Looks are paid for as before a handover, from a budget of their own for each handover: `spending.next_alpha`
with the looks since then, the gold since then, and all gold to come since then.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from handover.domain import Decision, Kind, Outcome, Server
from handover.evaluation.bootstrap import classes_of
from handover.evaluation.gate import has_answers, judge
from handover.evaluation.permutation import permutation_p
from handover.evaluation.power import documents_for
from handover.evaluation.scores import Counts, metric, metric_of

_HOPELESS = 20
"""A lag that takes more than this many times the present gold to show is too small to wait for."""
_LEAST_DROP = 0.02
"""A student's score at its handover is a little too high, because it was chosen for it; a smaller drop than
this is not held against it."""


@dataclass(frozen=True)
class Switch:
    """A handover (`to` the student) or rollback, and the teacher of that time.

    `mark` orders it among the annotations: the revision or time up to which gold had been read.
    """

    to: Server
    teacher_id: str
    mark: float


def last_handover(switches: Sequence[Switch], teacher_id: str) -> Switch | None:
    """The handover after whose `mark` gold counts, for rollbacks and for the next handover alike.

    None: no student has taken over from this teacher yet, and all gold counts. This is so for a new teacher, too:
    no gold has been used to choose between it and the student that serves.
    """
    return max(
        (s for s in switches if s.to is Server.STUDENT and s.teacher_id == teacher_id),
        key=lambda switch: switch.mark,
        default=None,
    )


def judge_champion(
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
    """Compare the student that serves with the teacher's shadow answers on gold since the handover.

    ROLLBACK when the one-sided upper bound of student minus teacher is below -`margin`; NEED_MORE when there is
    less than `min_gold`, or the student lags and about `needed` documents more would show it; KEEP otherwise.
    Arguments and bounds are those of `gate.judge`; `alpha` is 0 in the decision when nothing was tested.
    """
    seen = judge(kind, student, teacher, alpha=alpha, margin=margin, min_gold=min_gold, resamples=resamples, seed=seed)
    if seen.alpha <= 0 and seen.low == -1:
        return _untested(seen, alpha, min_gold)
    if seen.high < -margin:
        return _with(seen, Outcome.ROLLBACK, _sentence(seen, kind, "fell behind") + " The teacher takes over again.")
    if seen.difference >= -margin:
        return _with(seen, Outcome.KEEP, _sentence(seen, kind, "is not behind"))
    sentence = _sentence(seen, kind, "is not shown to be behind")
    total = documents_for(kind, classes_of(teacher, student), alpha=alpha, margin=-margin)
    if total > _HOPELESS * seen.n:
        return _with(seen, Outcome.KEEP, f"{sentence} It would take about {total:,.0f} gold tasks to show it.")
    needed = max(1, math.ceil(total) - seen.n)
    return _with(seen, Outcome.NEED_MORE, f"{sentence} About {needed:,} more would show it.", needed=needed)


def _with(seen: Decision, outcome: Outcome, reason: str, *, needed: int | None = None) -> Decision:
    return replace(seen, outcome=outcome, reason=reason, needed=needed)


def _untested(seen: Decision, alpha: float, min_gold: int) -> Decision:
    if seen.n < max(1, min_gold):
        reason = (
            f"{seen.n} of at least {max(1, min_gold)} gold tasks since the handover have a teacher's answer to "
            f"compare with; {seen.needed} more are needed. The student stays."
        )
    elif alpha <= 0:
        reason = "The error budget for looks since the handover is used up. The student stays."
    else:
        reason = f"None of the {seen.n} gold tasks since the handover has anything to find. The student stays."
    return _with(seen, Outcome.NEED_MORE, reason, needed=seen.needed)


def _sentence(seen: Decision, kind: Kind, verb: str) -> str:
    rival = f"teacher (margin {seen.margin:g})" if seen.margin else "teacher"
    return (
        f"Student {metric_of(kind)} {seen.student_score:.3f} {verb} {rival} {seen.teacher_score:.3f} on {seen.n} gold "
        f"tasks since the handover (difference {seen.difference:+.3f}, upper bound {seen.high:+.3f} "
        f"at alpha {seen.alpha:.2g})."
    )


@dataclass(frozen=True)
class Drop:
    """What became of a student's own score: on `before_n` gold tasks at the handover, on `n` since then.

    `p` is the chance of a drop this large if nothing changed. `warning` says that it did; `outcome` is ROLLBACK
    only where the caller asked for it.
    """

    outcome: Outcome
    warning: bool
    reason: str
    before: float
    before_n: int
    now: float
    n: int
    p: float
    alpha: float


def judge_drop(
    kind: Kind,
    before: Counts,
    now: Counts,
    *,
    alpha: float,
    min_gold: int,
    rolls_back: bool = False,
    resamples: int = 10_000,
    seed: int,
) -> Drop:
    """Without teacher answers: does the student score lower on new gold than on the gold of its handover?

    A permutation test of the two sets of documents, one-sided at `alpha` (from `spending.next_alpha`), and a drop of
    at least 0.02, because a student is chosen for its score. It cannot tell a worse student from harder texts, on
    which the teacher would drop as well; hence it warns, and rolls back only with `rolls_back`. `before` and
    `now` are counts as from `scores.counts`, of different documents.
    """
    scores = [float(metric(kind, table.sum(axis=0))) for table in (before, now)]
    values: dict[str, Any] = {"before": scores[0], "before_n": len(before), "now": scores[1], "n": len(now)}
    if min(len(before), len(now)) < max(1, min_gold) or not has_answers(kind, now):
        reason = (
            f"{len(now)} gold tasks since the handover, {len(before)} at it; at least {max(1, min_gold)} each are "
            "needed, with something to find."
        )
        return Drop(Outcome.NEED_MORE, False, reason, p=1.0, alpha=0.0, **values)
    p = permutation_p(
        before,
        now,
        lambda earlier, later: metric(kind, earlier) - metric(kind, later),
        alpha=alpha,
        resamples=resamples,
        seed=seed,
    )
    sentence = (
        f"Student {metric_of(kind)} {scores[1]:.3f} on {len(now)} gold tasks since the handover, {scores[0]:.3f} on "
        f"{len(before)} at it (p {p:.2g}, alpha {alpha:.2g})"
    )
    if p > alpha or scores[0] - scores[1] < _LEAST_DROP:
        return Drop(Outcome.KEEP, False, f"{sentence}: no drop beyond chance.", p=p, alpha=alpha, **values)
    outcome = Outcome.ROLLBACK if rolls_back else Outcome.KEEP
    advice = "The teacher takes over again." if rolls_back else "Ask the teacher about new gold to tell why."
    return Drop(outcome, True, f"{sentence}: it dropped by more than chance. {advice}", p=p, alpha=alpha, **values)
