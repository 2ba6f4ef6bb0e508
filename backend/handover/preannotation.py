"""Ask the teacher about tasks and keep its answers as predictions."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.orm import Session

from handover.domain import Annotation, AnswerStatus, Span
from handover.errors import TeacherError
from handover.patience import patiently
from handover.runtime import Runtime
from handover.store.answers import predictions_of, put_predictions
from handover.store.columns import utcnow
from handover.store.models import AspectRow, PredictionRow, ProjectRow, TaskRow
from handover.store.projects import aspect_of
from handover.store.tasks import unchanged
from handover.task_texts import problem_of, text_of
from handover.teacher.calls import CallStatus, Purpose
from handover.teacher.teacher import TeacherAnswer
from handover.versions import teacher_version

logger = logging.getLogger(__name__)

RETRY_AFTER = timedelta(seconds=60)
"""A failed question is not asked again sooner, so that a teacher that is down does not hold up annotators."""


@dataclass(frozen=True)
class Shown:
    """A prediction for one aspect of one task, as it may be shown. `scores` are those of its labels or spans in
    the order of the annotation, if they are known."""

    annotation: Annotation
    score: float | None
    scores: tuple[float, ...] = ()

    @property
    def by_region(self) -> dict[str | Span, float]:
        """The score of each chosen label, or of each span."""
        return dict(zip((*self.annotation.cats, *self.annotation.spans), self.scores, strict=False))


def teacher_id_of(runtime: Runtime, project: ProjectRow, aspect_row: AspectRow) -> str:
    """The id of the teacher as it is configured now; empty when there is none or it cannot be built."""
    try:
        teacher = runtime.teacher_for(project, aspect_row)
    except TeacherError as error:
        logger.warning("No teacher for aspect %s: %s", aspect_row.name, error)
        return ""
    return teacher.id if teacher is not None else ""


def stored(runtime: Runtime, aspect_row: AspectRow, tasks: Sequence[TaskRow], version: str) -> dict[int, PredictionRow]:
    """The predictions of a version that are in the store, by task id."""
    with runtime.database.read() as session:
        found = predictions_of(session, task_ids=[t.id for t in tasks], aspect_ids=[aspect_row.id])
    return {task_id: row for (task_id, _, v), row in found.items() if v == version}


def needs_asking(row: PredictionRow | None, *, is_usable: bool) -> bool:
    """Whether the teacher has to be asked (again): never asked, failed a while ago, or skipped for a text that
    can be used now."""
    if row is None:
        return True
    if row.status == AnswerStatus.SKIPPED.value:
        return is_usable
    return row.status == AnswerStatus.FAILED.value and utcnow() - row.created_at > RETRY_AFTER


def missing_of(runtime: Runtime, aspect_row: AspectRow, tasks: Sequence[TaskRow], version: str) -> list[TaskRow]:
    """Those of the tasks about which the teacher has to be asked."""
    rows = stored(runtime, aspect_row, tasks, version)
    aspect, limit = aspect_of(aspect_row), runtime.settings.max_text_chars
    return [
        task
        for task in tasks
        if needs_asking(rows.get(task.id), is_usable=not problem_of(task.data, aspect, max_text_chars=limit))
    ]


def ask(
    runtime: Runtime,
    project: ProjectRow,
    aspect_row: AspectRow,
    tasks: Sequence[TaskRow],
    *,
    purpose: Purpose,
) -> list[TeacherAnswer]:
    """Ask the teacher about tasks and store what it said; returns its answers.

    Tasks without a usable text are not asked about, and that is stored once. Raises TeacherError when the teacher
    cannot be built.
    """
    teacher = runtime.teacher_for(project, aspect_row)
    if teacher is None:
        return []
    aspect = aspect_of(aspect_row)
    problems = {
        task.id: problem_of(task.data, aspect, max_text_chars=runtime.settings.max_text_chars) for task in tasks
    }
    askable = [task for task in tasks if not problems[task.id]]
    answers = teacher.annotate([text_of(task.data, aspect) for task in askable], runtime.answers, purpose=purpose.value)
    version = teacher_version(aspect_row.name, teacher.id)
    rows = [_as_row(task, aspect_row, version, answer) for task, answer in zip(askable, answers, strict=True)]
    skipped = [_skipped(task, aspect_row, version, problems[task.id]) for task in tasks if problems[task.id]]
    _keep(runtime, tasks, rows + skipped)
    _note_skipped(runtime, aspect_row, skipped, purpose=purpose, model_id=teacher.model_id)
    return answers


def keep_known(runtime: Runtime, project: ProjectRow, aspect_row: AspectRow, tasks: Sequence[TaskRow]) -> int:
    """Store predictions for those tasks whose answers are in the cache; returns how many. Asks nothing."""
    teacher = runtime.teacher_for(project, aspect_row)
    if teacher is None:
        return 0
    aspect = aspect_of(aspect_row)
    limit = runtime.settings.max_text_chars
    askable = [task for task in tasks if not problem_of(task.data, aspect, max_text_chars=limit)]
    answers = teacher.recall([text_of(task.data, aspect) for task in askable], runtime.answers)
    version = teacher_version(aspect_row.name, teacher.id)
    pairs = zip(askable, answers, strict=True)
    rows = [_as_row(task, aspect_row, version, answer) for task, answer in pairs if answer is not None]
    _keep(runtime, askable, rows)
    return len(rows)


def _keep(runtime: Runtime, tasks: Sequence[TaskRow], rows: Sequence[dict[str, object]]) -> None:
    """Store predictions, without those for a text that was edited since it was read."""

    def keep(session: Session) -> None:
        same = {task.id for task in unchanged(session, tasks)}
        put_predictions(session, [row for row in rows if row["task_id"] in same])

    patiently(runtime.database, keep)


def shown(row: PredictionRow | None) -> Shown | None:
    """What of a stored prediction may be shown: only answers that were understood."""
    if row is None or row.status != AnswerStatus.OK.value or row.annotation is None:
        return None
    return Shown(Annotation.from_json(row.annotation), row.score)


def _as_row(task: TaskRow, aspect_row: AspectRow, version: str, answer: TeacherAnswer) -> dict[str, object]:
    return {
        "task_id": task.id,
        "aspect_id": aspect_row.id,
        "version": version,
        "status": answer.status.value,
        "annotation": answer.annotation.to_json() if answer.annotation is not None else None,
        "score": answer.agreement,
        "problem": "; ".join(answer.problems),
        "answer_key": answer.key,
    }


def _skipped(task: TaskRow, aspect_row: AspectRow, version: str, problem: str) -> dict[str, object]:
    return {
        "task_id": task.id,
        "aspect_id": aspect_row.id,
        "version": version,
        "status": AnswerStatus.SKIPPED.value,
        "annotation": None,
        "score": None,
        "problem": problem,
        "answer_key": "",
    }


def _note_skipped(
    runtime: Runtime, aspect_row: AspectRow, skipped: Sequence[dict[str, object]], *, purpose: Purpose, model_id: str
) -> None:
    ledger = runtime.ledger_for(aspect_row)
    for problem, number in Counter(str(row["problem"]) for row in skipped).items():
        ledger.note(CallStatus.SKIPPED, purpose=purpose.value, model_id=model_id, number=number, problem=problem)
