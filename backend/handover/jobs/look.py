"""One look at the gold: teacher and student on the same blind documents, and what follows from it.

Which judge it is depends on the situation. The gate: the teacher serves, or the decision for the student that serves
is void and taken again. The watch: that decision holds, and the student must not fall behind on gold that came since.
Dev: a new student wants the place of the one that serves. Where that one answers a part only (`routing`,
`labels`), a new one has to pass the gate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from handover.domain import Actor, Decision, Outcome
from handover.evaluation import spending
from handover.evaluation.gate import judge
from handover.evaluation.rollback import judge_champion
from handover.evaluation.scores import score
from handover.jobs.compare import Compared, compare
from handover.jobs.details import evaluation_details
from handover.jobs.labels import judge_labels, may_hand_over_labels, merged_answers
from handover.jobs.routing import find_threshold, judge_cascade, may_route, served_by
from handover.jobs.situation import Situation
from handover.runtime import Runtime
from handover.store.models import EvaluationRow, StudentRow
from handover.store.students import last_evaluation
from handover.switching import PARTS


@dataclass(frozen=True)
class Look:
    """What a look found: who judged, the scores, and the decision that follows. `planned` is the gold to come."""

    situation: Situation
    student: StudentRow
    actor: Actor
    evaluation: EvaluationRow
    decision: Decision
    planned: int


@dataclass(frozen=True)
class Known:
    """Neither gold, teacher nor student changed since this evaluation: its decision stands."""

    evaluation: EvaluationRow


def take_look(runtime: Runtime, situation: Situation, student: StudentRow) -> Look | Known | None:
    """Compare teacher and student on gold and judge. None when there is no gold that counts."""
    actor = _actor(situation, student)
    gold = situation.examples.gold if actor is Actor.DEV else situation.gold
    compared = compare(runtime, situation, student, gold, shadow=runtime.settings.shadow)
    if not compared.n and actor is not Actor.DEV:
        return None
    known = _known(runtime, compared, student)
    if known is not None:
        return Known(known)
    decision = _JUDGES[actor](runtime, compared, student)
    evaluation = _evaluation(compared, student, seed=runtime.settings.seed)
    evaluation.details = {**evaluation.details, **_of_parts(decision)}
    return Look(situation, student, actor, evaluation, decision, planned=_planned(runtime, situation))


def _actor(situation: Situation, student: StudentRow) -> Actor:
    if not situation.is_watched:
        return Actor.GATE
    if _is_champion(situation, student):
        return Actor.WATCH
    serves_alone = situation.row.threshold is None and not situation.row.held
    return Actor.DEV if serves_alone else Actor.GATE


def _is_champion(situation: Situation, student: StudentRow) -> bool:
    return situation.champion is not None and situation.champion.id == student.id


def _known(runtime: Runtime, compared: Compared, student: StudentRow) -> EvaluationRow | None:
    with runtime.database.read() as session:
        last = last_evaluation(session, compared.situation.row.id, student_id=student.id)
    now = (compared.situation.teacher_id, compared.gold_hash)
    return last if last is not None and (last.teacher_id, last.gold_hash) == now else None


def _planned(runtime: Runtime, situation: Situation) -> int:
    """How much gold the looks of this phase can have in the end."""
    left = situation.planned - (len(situation.examples.gold) - len(situation.gold))
    return round(left * runtime.settings.shadow) if situation.champion is not None else left


def _alpha(runtime: Runtime, compared: Compared, actor: Actor) -> float:
    situation = compared.situation
    planned = max(0, _planned(runtime, situation))
    return spending.next_alpha(runtime.settings.alpha, n=compared.n, planned=planned, spent=situation.spent[actor])


def _margin(runtime: Runtime, situation: Situation) -> float:
    return float((situation.project.options or {}).get("margin", runtime.settings.margin))


def _gate(runtime: Runtime, compared: Compared, student: StudentRow) -> Decision:
    situation = compared.situation
    decision = _decide(runtime, compared, student)
    return _taken_again(situation, decision) if _is_champion(situation, student) else decision


def _decide(runtime: Runtime, compared: Compared, student: StudentRow) -> Decision:
    """The student as a whole. Where it does not win and the project wants it: the labels it wins, or where it is sure.

    Whole and part share the error rate of the look.
    """
    situation = compared.situation
    by_label, routes = may_hand_over_labels(runtime, situation), may_route(runtime, situation)
    alpha = _alpha(runtime, compared, Actor.GATE) / (2 if by_label or routes else 1)
    margin = _margin(runtime, situation)
    whole = judge(
        situation.aspect.kind,
        compared.counts(compared.answered),
        compared.counts(compared.teacher),
        alpha=alpha,
        margin=margin,
        min_gold=runtime.settings.min_gold,
        seed=runtime.settings.seed,
    )
    if whole.outcome is Outcome.PROMOTE or whole.alpha <= 0:
        return whole
    if by_label:
        return _better_of(whole, judge_labels(runtime, compared, alpha=alpha, margin=margin))
    threshold = find_threshold(runtime, situation, student, margin=margin) if routes else None
    if threshold is None:
        return whole
    return _better_of(whole, judge_cascade(runtime, compared, threshold, alpha=alpha, margin=margin))


def _better_of(whole: Decision, part: Decision) -> Decision:
    """The part's decision if it is a promotion, else that of the whole; what was found out about the part stays."""
    chosen = part if part.outcome is Outcome.PROMOTE else whole
    return replace(chosen, alpha=whole.alpha + part.alpha, details={**chosen.details, **_of_parts(part)})


def _of_parts(decision: Decision) -> dict[str, Any]:
    """What was found out about labels and thresholds."""
    return {name: decision.details[name] for name in PARTS if name in decision.details}


def _taken_again(situation: Situation, decision: Decision) -> Decision:
    """The gate's decision about a student that serves already.

    What is not decided leaves it there: one that is not ahead goes, one whose lead cannot be shown does not.
    """
    void = situation.validity.void
    prefix = f"The decision was void ({void.value}) and is taken again: " if void is not None else ""
    reason = prefix + decision.reason
    if decision.outcome is not Outcome.KEEP:
        return replace(decision, reason=reason)
    if decision.difference > -decision.margin:
        return replace(decision, reason=f"{reason} The student goes on.")
    return replace(decision, outcome=Outcome.ROLLBACK, reason=f"{reason} The teacher takes over again.")


def _watch(runtime: Runtime, compared: Compared, _student: StudentRow) -> Decision:
    situation = compared.situation
    served = merged_answers(runtime, compared) if situation.row.held else served_by(compared)
    return judge_champion(
        situation.aspect.kind,
        served.counts(served.answered),
        served.counts(served.teacher),
        alpha=_alpha(runtime, served, Actor.WATCH),
        margin=_margin(runtime, situation),
        min_gold=runtime.settings.min_gold,
        seed=runtime.settings.seed,
    )


def _dev(runtime: Runtime, compared: Compared, student: StudentRow) -> Decision:
    """A candidate replaces the student that serves when it is at least as good on dev and, on gold, not behind the
    teacher. That is a choice between students, so it costs nothing of the gate's error budget."""
    situation = compared.situation
    champion = situation.champion
    assert champion is not None  # noqa: S101 - `_actor` says so
    seen = _gate_without_test(runtime, compared)
    old, new = _dev_value(runtime, situation, champion), _dev_value(runtime, situation, student)
    wins = new >= old and seen.student_score >= seen.teacher_score
    verb = "replaces" if wins else "does not replace"
    n_dev = len(situation.examples.dev)
    reason = (
        f"Candidate {student.version} {verb} champion {champion.version}: {new:.3f} against {old:.3f} on {n_dev} dev "
        f"tasks; on {seen.n} gold tasks it has {seen.student_score:.3f}, the teacher {seen.teacher_score:.3f}."
    )
    return replace(seen, outcome=Outcome.PROMOTE if wins else Outcome.KEEP, reason=reason, needed=None)


def _gate_without_test(runtime: Runtime, compared: Compared) -> Decision:
    """Scores and differences alone: nothing is decided between teacher and student."""
    decision = judge(
        compared.situation.aspect.kind,
        compared.counts(compared.answered),
        compared.counts(compared.teacher),
        alpha=runtime.settings.alpha,
        min_gold=1,
        seed=runtime.settings.seed,
    )
    return replace(decision, alpha=0.0)


def _dev_value(runtime: Runtime, situation: Situation, student: StudentRow) -> float:
    dev, aspect = situation.examples.dev, situation.aspect
    predictions = runtime.students.predict(student.version, [task.text for task in dev], aspect)
    references = [task.annotation for task in dev]
    return score(aspect.kind, aspect.label_names, references, [p.annotation for p in predictions]).value


_JUDGES: dict[Actor, Callable[[Runtime, Compared, StudentRow], Decision]] = {
    Actor.GATE: _gate,
    Actor.WATCH: _watch,
    Actor.DEV: _dev,
}


def _evaluation(compared: Compared, student: StudentRow, *, seed: int) -> EvaluationRow:
    teacher, answered = compared.scores(compared.teacher), compared.scores(compared.answered)
    return EvaluationRow(
        aspect_id=compared.situation.row.id,
        student_id=student.id,
        teacher_id=compared.situation.teacher_id,
        gold_hash=compared.gold_hash,
        n=compared.n,
        metric=teacher.metric,
        teacher_score=teacher.value,
        student_score=answered.value,
        details=evaluation_details(compared, teacher, answered, seed=seed),
    )
