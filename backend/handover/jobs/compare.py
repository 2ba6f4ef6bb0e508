"""What teacher and student say about the same gold."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from handover.domain import Annotation, AnswerStatus, Prediction
from handover.errors import TeacherError
from handover.evaluation.scores import Counts, Scores, counts, score
from handover.evaluation.split import fingerprints, share_of
from handover.examples import LabelledTask, hash_of
from handover.jobs.situation import Situation
from handover.preannotation import ask, missing_of, stored
from handover.runtime import Runtime
from handover.store.models import AspectRow, PredictionRow, StudentRow, TaskRow
from handover.store.tasks import groups_by_text, tasks_by_id
from handover.teacher.calls import Purpose
from handover.versions import teacher_version

logger = logging.getLogger(__name__)

NO_ANSWER = (AnswerStatus.FAILED.value, AnswerStatus.SKIPPED.value)
"""A question that could not be asked says nothing about the teacher's quality."""

SHADOW_PART = 2
"""The part of a group's key that decides whether its gold is in the shadow share; 0 and 1 decide the split."""


@dataclass(frozen=True)
class Compared:
    """Gold tasks with both answers, None where one is not usable. `left_out` counts other gold by reason."""

    situation: Situation
    tasks: tuple[LabelledTask, ...]
    teacher: tuple[Annotation | None, ...]
    student: tuple[Prediction, ...]
    left_out: dict[str, int]

    @property
    def n(self) -> int:
        """The number of tasks."""
        return len(self.tasks)

    @property
    def references(self) -> list[Annotation]:
        """What people said."""
        return [task.annotation for task in self.tasks]

    @property
    def answered(self) -> list[Annotation | None]:
        """What the student said."""
        return [prediction.annotation for prediction in self.student]

    @cached_property
    def gold_hash(self) -> str:
        """Identifies these tasks and what people said about them."""
        return hash_of(self.tasks)

    def counts(self, answers: Sequence[Annotation | None]) -> Counts:
        """Sufficient statistics of answers to these tasks."""
        aspect = self.situation.aspect
        return counts(aspect.kind, aspect.label_names, self.references, answers)

    def scores(self, answers: Sequence[Annotation | None]) -> Scores:
        """The scores of answers to these tasks."""
        aspect = self.situation.aspect
        return score(aspect.kind, aspect.label_names, self.references, answers)


def compare(
    runtime: Runtime, situation: Situation, student: StudentRow, gold: Sequence[LabelledTask], *, shadow: float
) -> Compared:
    """Teacher's and student's answers to gold. The teacher is asked what it was not asked before.

    While a student serves it is asked about the share `shadow` alone; other gold counts if its answer is known.
    Gold that the teacher's prompt shows as an example is left out, and so is what it could not be asked: a failed
    question says nothing about its quality.
    """
    blind = _not_in_prompt(runtime, situation, gold)
    found = teacher_answers(
        runtime, situation, blind, shadow=shadow, row=situation.row, teacher_id=situation.teacher_id
    )
    tasks = tuple(task for task in blind if task.task_id in found)
    left_out = {"in the prompt": len(gold) - len(blind), "without an answer": len(blind) - len(tasks)}
    texts = [task.text for task in tasks]
    return Compared(
        situation=situation,
        tasks=tasks,
        teacher=tuple(found[task.task_id] for task in tasks),
        student=tuple(runtime.students.predict(student.version, texts, situation.aspect) if texts else ()),
        left_out=left_out,
    )


def is_shadowed(task: LabelledTask, shadow: float) -> bool:
    """Whether a gold task belongs to the share for which the teacher is asked after a handover."""
    key = task.group or hashlib.sha256(task.text.encode("utf-8", "surrogatepass")).hexdigest()
    return share_of(key, part=SHADOW_PART) < shadow


def _not_in_prompt(runtime: Runtime, situation: Situation, gold: Sequence[LabelledTask]) -> list[LabelledTask]:
    """The gold whose text, or a near-identical one, is no example in the teacher's prompt."""
    try:
        teacher = runtime.teacher_for(situation.project, situation.row)
    except TeacherError:
        return list(gold)
    keys = [f.key for f in fingerprints(teacher.example_texts)] if teacher is not None else []
    if not keys:
        return list(gold)
    with runtime.database.read() as session:
        groups = {key: groups_by_text(session, [key]).get(key, key) for key in keys}
    return [task for task in gold if task.group not in groups.values()]


def teacher_answers(
    runtime: Runtime,
    situation: Situation,
    gold: Sequence[LabelledTask],
    *,
    shadow: float,
    row: AspectRow,
    teacher_id: str,
) -> dict[int, Annotation | None]:
    """The teacher's answers by task id: None for one that was not usable; a missing key for one that is not there.

    `row` is what it is asked: the aspect, or a part of its labels.
    """
    if not teacher_id:
        return dict.fromkeys(task.task_id for task in gold)
    tasks = _task_rows(runtime, gold)
    version = teacher_version(row.name, teacher_id)
    serves = situation.champion is not None
    asked = {task.task_id for task in gold if not serves or is_shadowed(task, shadow)}
    missing = [task for task in missing_of(runtime, row, tasks, version) if task.id in asked]
    if missing:
        _ask(runtime, situation, row, missing)
    known = stored(runtime, row, tasks, version)
    return {task_id: _usable(found) for task_id, found in known.items() if found.status not in NO_ANSWER}


def _ask(runtime: Runtime, situation: Situation, row: AspectRow, tasks: Sequence[TaskRow]) -> None:
    try:
        ask(runtime, situation.project, row, tasks, purpose=Purpose.GOLD)
    except TeacherError as error:
        if situation.champion is None:
            raise
        logger.warning("Aspect %s: %s", row.name, error)


def _usable(row: PredictionRow) -> Annotation | None:
    if row.status != AnswerStatus.OK.value or row.annotation is None:
        return None
    return Annotation.from_json(row.annotation)


def _task_rows(runtime: Runtime, gold: Sequence[LabelledTask]) -> list[TaskRow]:
    with runtime.database.read() as session:
        rows = tasks_by_id(session, [task.task_id for task in gold])
    return [rows[task.task_id] for task in gold if task.task_id in rows]
