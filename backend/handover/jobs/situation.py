"""What a look at the gold finds: who serves, since when, and which gold counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from handover.domain import Actor, Aspect, Outcome, Server, Split
from handover.errors import TeacherError
from handover.evaluation import spending
from handover.evaluation.rollback import Switch, last_handover
from handover.examples import Examples, LabelledTask, load_examples
from handover.runtime import Runtime
from handover.store.annotations import last_revision
from handover.store.models import AspectRow, DecisionRow, ProjectRow, StudentRow
from handover.store.projects import aspect_of, get_aspect, get_project
from handover.store.students import champion_of, handover_of, looks_of, switches_of
from handover.store.tasks import count_by_split
from handover.validity import Validity, Void, validity_of


@dataclass(frozen=True)
class Situation:
    """An aspect at one moment. `champion` and `handover` are None while the teacher serves.

    `mark` is the revision after which gold counts for the next decision between teacher and student, `spent` the
    looks of gate and watch since the last switch, `planned` how much gold there will be in the end. `is_watched`: a
    student serves under a decision that holds, so that only falling behind ends it.
    """

    project: ProjectRow
    row: AspectRow
    aspect: Aspect
    examples: Examples
    teacher_id: str
    champion: StudentRow | None
    handover: DecisionRow | None
    validity: Validity
    revision: int
    mark: int
    spent: Mapping[Actor, tuple[spending.Look, ...]]
    planned: int
    is_watched: bool

    @property
    def gold(self) -> tuple[LabelledTask, ...]:
        """The gold that counts for the next decision."""
        return tuple(task for task in self.examples.gold if task.revision > self.mark)


def read_situation(runtime: Runtime, aspect_id: int) -> Situation:
    """The situation of an aspect now. Raises TeacherError when a teacher is needed and cannot be built."""
    settings = runtime.settings
    with runtime.database.read() as session:
        row = get_aspect(session, aspect_id)
        project = get_project(session, row.project_id)
        revision = last_revision(session)  # before the examples: what comes in between is looked at again
        examples = load_examples(session, row, max_text_chars=settings.max_text_chars)
        champion, handover = champion_of(session, row), handover_of(session, row)
        teacher_id = _teacher_id(runtime, project, row)
        validity = validity_of(handover, teacher_id=teacher_id, gold=examples.gold, min_gold=settings.min_gold)
        is_watched = handover is not None and validity.void is None
        mark = _mark(handover, switches_of(session, row.id), teacher_id, validity)
        return Situation(
            project=project,
            row=row,
            aspect=aspect_of(row),
            examples=examples,
            teacher_id=teacher_id,
            champion=champion,
            handover=handover,
            validity=validity,
            revision=revision,
            mark=mark,
            is_watched=is_watched,
            spent={actor: _spent(session, row, teacher_id, actor) for actor in (Actor.GATE, Actor.WATCH)},
            planned=count_by_split(session, project.id).get(Split.GOLD.value, 0),
        )


def _teacher_id(runtime: Runtime, project: ProjectRow, row: AspectRow) -> str:
    """The teacher's id. While a student serves, the last one known is good enough: its answers are stored."""
    serves = row.server == Server.STUDENT.value
    try:
        teacher = runtime.teacher_for(project, row)
    except TeacherError:
        if row.teacher_id and not serves:
            raise  # Without its teacher an aspect that has one cannot be compared.
        teacher = None
    if teacher is not None:
        return teacher.id
    return row.teacher_id if serves else ""


def _spent(session: Session, row: AspectRow, teacher_id: str, actor: Actor) -> tuple[spending.Look, ...]:
    looks = looks_of(session, row, teacher_id, actor)
    return tuple(spending.Look(n=d.n, planned=d.planned, alpha=d.alpha) for d in looks)


def _mark(handover: DecisionRow | None, switches: Sequence[DecisionRow], teacher_id: str, validity: Validity) -> int:
    """Gold that was read for a handover does not count for its rollback, nor for the handover after that."""
    if validity.void is Void.GOLD:
        return 0  # Too little of that gold is left to speak of it.
    if handover is not None and validity.void is None:
        return handover.mark
    last = last_handover([_as_switch(d) for d in switches], teacher_id)
    return int(last.mark) if last is not None else 0


def _as_switch(decision: DecisionRow) -> Switch:
    to = Server.STUDENT if decision.outcome == Outcome.PROMOTE.value else Server.TEACHER
    return Switch(to, decision.teacher_id, decision.mark)
