"""Queries about students, evaluations and decisions."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from handover.domain import Actor, Outcome, Server
from handover.store.models import AspectRow, DecisionRow, EvaluationRow, StudentRow
from handover.store.projects import aspect_of


def student_by_version(session: Session, aspect_id: int, version: str) -> StudentRow | None:
    """The student of an aspect with this version."""
    query = select(StudentRow).where(StudentRow.aspect_id == aspect_id, StudentRow.version == version)
    return session.scalar(query)


def students_of(session: Session, aspect_id: int) -> Sequence[StudentRow]:
    """All students of an aspect, newest first."""
    query = select(StudentRow).where(StudentRow.aspect_id == aspect_id)
    return session.scalars(query.order_by(StudentRow.id.desc())).all()


def fits(student: StudentRow, row: AspectRow) -> bool:
    """Whether a student was trained for what its aspect asks now: the kind, the field and the labels.

    What the report of an older student does not tell counts as the same.
    """
    aspect, told = aspect_of(row), student.report
    span_labels = {label.name for label in aspect.span_labels}
    return (
        told.get("kind", aspect.kind.value) == aspect.kind.value
        and told.get("text_field", aspect.text_field) == aspect.text_field
        and set(told.get("labels", aspect.label_names)) == set(aspect.label_names)
        and set(told.get("span_labels", span_labels)) == span_labels
    )


def decisions_of(session: Session, aspect_id: int, *, limit: int | None = None) -> Sequence[DecisionRow]:
    """The decisions about an aspect, newest first."""
    query = select(DecisionRow).where(DecisionRow.aspect_id == aspect_id)
    return session.scalars(query.order_by(DecisionRow.id.desc()).limit(limit)).all()


def looks_of(session: Session, row: AspectRow, teacher_id: str, actor: Actor) -> Sequence[DecisionRow]:
    """The looks of gate or watch at this teacher since the server changed for the last time, oldest first."""
    switch = switches_of(session, row.id)[-1:]
    query = select(DecisionRow).where(
        DecisionRow.aspect_id == row.id,
        DecisionRow.teacher_id == teacher_id,
        DecisionRow.actor == actor.value,
        DecisionRow.alpha > 0,
        DecisionRow.id > (switch[0].id if switch else 0),
    )
    return session.scalars(query.order_by(DecisionRow.id)).all()


def switches_of(session: Session, aspect_id: int) -> Sequence[DecisionRow]:
    """The handovers and rollbacks that took effect, oldest first; one student in place of another is neither."""
    query = select(DecisionRow).where(
        DecisionRow.aspect_id == aspect_id,
        DecisionRow.outcome.in_([Outcome.PROMOTE.value, Outcome.ROLLBACK.value]),
        DecisionRow.applied,
        DecisionRow.actor != Actor.DEV.value,
    )
    return session.scalars(query.order_by(DecisionRow.id)).all()


def champion_of(session: Session, row: AspectRow) -> StudentRow | None:
    """The student that should answer for an aspect, None while the teacher does."""
    if row.server != Server.STUDENT.value or row.champion_id is None:
        return None
    return session.get(StudentRow, row.champion_id)


def subject_of(session: Session, row: AspectRow) -> StudentRow | None:
    """The student that is looked at without a training: the one that serves, else the newest that fits.

    None without one, or when none was trained since the labels changed.
    """
    champion = champion_of(session, row)
    if champion is not None or row.trained_revision == 0:
        return champion
    return next((student for student in students_of(session, row.id) if fits(student, row)), None)


def handover_of(session: Session, row: AspectRow) -> DecisionRow | None:
    """The decision under which a student serves, None while the teacher does."""
    if row.server != Server.STUDENT.value:
        return None
    handovers = [d for d in switches_of(session, row.id) if d.outcome == Outcome.PROMOTE.value]
    return handovers[-1] if handovers else None


def last_evaluation(
    session: Session, aspect_id: int, *, student_id: int | None = None, min_gold: int = 0
) -> EvaluationRow | None:
    """The newest comparison of teacher and student on at least so much gold, of any student or of one."""
    query = select(EvaluationRow).where(EvaluationRow.aspect_id == aspect_id, EvaluationRow.n >= min_gold)
    if student_id is not None:
        query = query.where(EvaluationRow.student_id == student_id)
    return session.scalar(query.order_by(EvaluationRow.id.desc()).limit(1))


def was_compared(session: Session, student_id: int, teacher_id: str, *, min_gold: int) -> bool:
    """Whether there is a comparison of this student with this teacher on enough gold."""
    query = select(EvaluationRow.id).where(
        EvaluationRow.student_id == student_id, EvaluationRow.teacher_id == teacher_id, EvaluationRow.n >= min_gold
    )
    return session.scalar(query.limit(1)) is not None


def decision_about(session: Session, evaluation: EvaluationRow) -> DecisionRow | None:
    """The decision that was taken on an evaluation."""
    query = select(DecisionRow).where(DecisionRow.evaluation_id == evaluation.id)
    return session.scalar(query.order_by(DecisionRow.id.desc()).limit(1))
