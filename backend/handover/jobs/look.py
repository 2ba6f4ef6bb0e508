"""One look at the gold: teacher and student on the same blind documents, and the gate's decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from handover.domain import Annotation, AnswerStatus, Decision, Outcome, Split
from handover.errors import TeacherError
from handover.evaluation import spending
from handover.evaluation.gate import decide
from handover.evaluation.scores import score
from handover.examples import Examples, LabelledTask
from handover.runtime import Runtime
from handover.store.models import AspectRow, EvaluationRow, ProjectRow, StudentRow
from handover.store.projects import aspect_of
from handover.store.students import last_evaluation, looks_of
from handover.store.tasks import count_by_split
from handover.teacher.calls import Purpose


@dataclass(frozen=True)
class Look:
    """What a look found. `promotes` is what follows from it."""

    evaluation: EvaluationRow
    decision: Decision
    planned: int
    promotes: bool


def take_look(
    runtime: Runtime, project: ProjectRow, row: AspectRow, student: StudentRow, examples: Examples
) -> Look | None:
    """Compare teacher and student on gold. None when neither gold nor student changed since the last look."""
    teacher_id, answers = _teacher_answers(runtime, project, row, examples.gold)
    # A question that failed says nothing about the teacher's quality.
    pairs = [(task, a) for task, a in zip(examples.gold, answers, strict=True) if a is not FAILED]
    tasks = [task for task, _ in pairs]
    teacher = [a for _, a in pairs if not isinstance(a, _Failed)]
    gold_hash = Examples((), (), tuple(tasks), 0, 0, 0).gold_hash
    with runtime.database.read() as session:
        planned = count_by_split(session, project.id).get(Split.GOLD.value, 0)
        last = last_evaluation(session, row.id)
        looks = [spending.Look(n=d.n, planned=d.planned, alpha=d.alpha) for d in looks_of(session, row.id, teacher_id)]
    if last and (last.student_id, last.teacher_id, last.gold_hash) == (student.id, teacher_id, gold_hash):
        return None
    aspect = aspect_of(row)
    predictions = runtime.students.predict(student.version, [task.text for task in tasks], aspect)
    references = [task.annotation for task in tasks]
    answered = [p.annotation for p in predictions]
    settings = runtime.settings
    decision = decide(
        aspect.kind,
        references,
        teacher,
        answered,
        labels=aspect.label_names,
        alpha=spending.next_alpha(settings.alpha, n=len(tasks), planned=planned, spent=looks),
        margin=float((project.options or {}).get("margin", settings.margin)),
        min_gold=settings.min_gold,
        seed=settings.seed,
    )
    evaluation = _evaluation(row, student, teacher_id, gold_hash, references, teacher, answered)
    return Look(evaluation, decision, planned=planned, promotes=decision.outcome is Outcome.PROMOTE)


class _Failed:
    """Marks a question that the teacher could not be asked."""


FAILED = _Failed()


def _teacher_answers(
    runtime: Runtime, project: ProjectRow, row: AspectRow, gold: Sequence[LabelledTask]
) -> tuple[str, list[Annotation | _Failed | None]]:
    """The teacher's id and its answer for each gold task: None where it gave no usable one."""
    try:
        teacher = runtime.teacher_for(project, row)
    except TeacherError:
        if row.teacher_id:
            raise  # Without its teacher an aspect that has one cannot be compared.
        teacher = None
    if teacher is None:
        return "", [None] * len(gold)
    answers = teacher.annotate([task.text for task in gold], runtime.answers, purpose=Purpose.GOLD.value)
    return teacher.id, [FAILED if a.status is AnswerStatus.FAILED else a.annotation for a in answers]


def _evaluation(
    row: AspectRow,
    student: StudentRow,
    teacher_id: str,
    gold_hash: str,
    references: Sequence[Annotation],
    teacher: Sequence[Annotation | None],
    answered: Sequence[Annotation | None],
) -> EvaluationRow:
    aspect = aspect_of(row)
    teacher_scores = score(aspect.kind, aspect.label_names, references, teacher)
    student_scores = score(aspect.kind, aspect.label_names, references, answered)
    return EvaluationRow(
        aspect_id=row.id,
        student_id=student.id,
        teacher_id=teacher_id,
        gold_hash=gold_hash,
        n=len(references),
        metric=teacher_scores.metric,
        teacher_score=teacher_scores.value,
        student_score=student_scores.value,
        details={"teacher": teacher_scores.details, "student": student_scores.details},
    )
