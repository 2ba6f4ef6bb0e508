"""Ask the teacher about tasks and keep its answers as predictions."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from handover.domain import Annotation, AnswerStatus, Span
from handover.errors import TeacherError
from handover.intake import problem_of, text_of
from handover.runtime import Runtime
from handover.store.answers import predictions_of, put_predictions
from handover.store.models import AspectRow, PredictionRow, ProjectRow, TaskRow, utcnow
from handover.store.projects import aspect_of
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


def needs_asking(row: PredictionRow | None) -> bool:
    """Whether the teacher has to be asked (again): never asked, or failed a while ago."""
    if row is None:
        return True
    return row.status == AnswerStatus.FAILED.value and utcnow() - row.created_at > RETRY_AFTER


def ask(runtime: Runtime, project: ProjectRow, aspect_row: AspectRow, tasks: Sequence[TaskRow]) -> int:
    """Ask the teacher about tasks and store what it said; returns how many answers can be shown.

    Tasks without a usable text are left out. Raises TeacherError when the teacher cannot be built.
    """
    teacher = runtime.teacher_for(project, aspect_row)
    aspect = aspect_of(aspect_row)
    limit = runtime.settings.max_text_chars
    askable = [task for task in tasks if not problem_of(task.data, aspect, max_text_chars=limit)]
    if teacher is None or not askable:
        return 0
    answers = teacher.annotate([text_of(task.data, aspect) for task in askable], runtime.answers)
    version = teacher_version(aspect_row.name, teacher.id)
    rows = [_as_row(task, aspect_row, version, answer) for task, answer in zip(askable, answers, strict=True)]
    with runtime.database.write() as session:
        put_predictions(session, rows)
    return sum(answer.status is AnswerStatus.OK for answer in answers)


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
        "score": None,
        "problem": "; ".join(answer.problems),
        "answer_key": answer.key,
    }
