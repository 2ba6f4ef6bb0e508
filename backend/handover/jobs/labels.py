"""Label by label: the labels that a student wins although it does not win as a whole."""

from __future__ import annotations

from dataclasses import replace

from handover.domain import Decision, Outcome
from handover.evaluation.gate import judge
from handover.evaluation.per_label import KINDS, decide_per_label, merge
from handover.jobs.compare import Compared, teacher_answers
from handover.jobs.situation import Situation
from handover.narrow import narrowed
from handover.preannotation import teacher_id_of
from handover.runtime import Runtime

MIN_SUPPORT = 20
"""A label takes part when so many gold tasks have it."""


def may_hand_over_labels(runtime: Runtime, situation: Situation) -> bool:
    """Whether the project wants it, the kind allows it, and there is a teacher to answer for the rest."""
    wanted = bool((situation.project.options or {}).get("per_label", runtime.settings.per_label))
    return wanted and bool(situation.teacher_id) and situation.aspect.kind in KINDS


def judge_labels(runtime: Runtime, compared: Compared, *, alpha: float, margin: float) -> Decision:
    """The gate for each label, within one error rate. A promotion carries the labels that the student takes over.

    A student that is to replace one which answers for some labels already has to win all of those again.
    """
    situation, settings = compared.situation, runtime.settings
    aspect = situation.aspect
    found = decide_per_label(
        aspect.kind,
        compared.references,
        compared.teacher,
        compared.answered,
        labels=aspect.label_names,
        alpha=alpha,
        margin=margin,
        min_gold=settings.min_gold,
        min_support=min(settings.min_gold, MIN_SUPPORT),
        seed=settings.seed,
    )
    merged = [
        merge(aspect.kind, t, s, student_labels=found.won)
        for t, s in zip(compared.teacher, compared.answered, strict=True)
    ]
    seen = judge(
        aspect.kind,
        compared.counts(merged),
        compared.counts(compared.teacher),
        alpha=alpha,
        margin=margin,
        min_gold=settings.min_gold,
        seed=settings.seed,
    )
    wins = bool(found.won) and set(found.won) >= set(situation.row.held)
    is_all = set(found.won) == set(aspect.label_names)
    outcome = Outcome.PROMOTE if wins else Outcome.KEEP
    labels = {label: decision.reason for label, decision in found.decisions.items()}
    details = {**seen.details, "labels": labels, "held": list(found.won) if wins and not is_all else []}
    return replace(seen, outcome=outcome, reason=found.reason, details=details, needed=None)


def merged_answers(runtime: Runtime, compared: Compared) -> Compared:
    """The same with what is really served: the student's labels, and the teacher's answers to the narrower question.

    Gold without an answer to that question is left out.
    """
    situation = compared.situation
    held, kind = situation.row.held, situation.aspect.kind
    row = narrowed(situation.row, held)
    teacher_id = teacher_id_of(runtime, situation.project, row)
    shadow = runtime.settings.shadow
    rest = teacher_answers(runtime, situation, compared.tasks, shadow=shadow, row=row, teacher_id=teacher_id)
    kept = [i for i, task in enumerate(compared.tasks) if task.task_id in rest]
    merged = [merge(kind, rest[compared.tasks[i].task_id], compared.answered[i], student_labels=held) for i in kept]
    return replace(
        compared,
        tasks=tuple(compared.tasks[i] for i in kept),
        teacher=tuple(compared.teacher[i] for i in kept),
        student=tuple(
            replace(compared.student[i], annotation=answer or compared.student[i].annotation)
            for i, answer in zip(kept, merged, strict=True)
        ),
    )
