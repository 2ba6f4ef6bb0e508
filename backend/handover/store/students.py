"""Queries about students, evaluations and decisions."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from handover.store.models import DecisionRow, EvaluationRow, StudentRow


def student_by_version(session: Session, aspect_id: int, version: str) -> StudentRow | None:
    """The student of an aspect with this version."""
    query = select(StudentRow).where(StudentRow.aspect_id == aspect_id, StudentRow.version == version)
    return session.scalar(query)


def students_of(session: Session, aspect_id: int) -> Sequence[StudentRow]:
    """All students of an aspect, newest first."""
    query = select(StudentRow).where(StudentRow.aspect_id == aspect_id)
    return session.scalars(query.order_by(StudentRow.id.desc())).all()


def decisions_of(session: Session, aspect_id: int, *, limit: int | None = None) -> Sequence[DecisionRow]:
    """The decisions about an aspect, newest first."""
    query = select(DecisionRow).where(DecisionRow.aspect_id == aspect_id)
    return session.scalars(query.order_by(DecisionRow.id.desc()).limit(limit)).all()


def looks_of(session: Session, aspect_id: int, teacher_id: str) -> Sequence[DecisionRow]:
    """The gate's looks at the gold against this teacher, oldest first."""
    query = select(DecisionRow).where(
        DecisionRow.aspect_id == aspect_id,
        DecisionRow.teacher_id == teacher_id,
        DecisionRow.actor == "gate",
        DecisionRow.alpha > 0,
    )
    return session.scalars(query.order_by(DecisionRow.id)).all()


def last_evaluation(session: Session, aspect_id: int) -> EvaluationRow | None:
    """The newest comparison of teacher and student on gold."""
    query = select(EvaluationRow).where(EvaluationRow.aspect_id == aspect_id)
    return session.scalar(query.order_by(EvaluationRow.id.desc()).limit(1))


def evaluation_of(session: Session, student_id: int) -> EvaluationRow | None:
    """The newest comparison of this student with a teacher."""
    query = select(EvaluationRow).where(EvaluationRow.student_id == student_id)
    return session.scalar(query.order_by(EvaluationRow.id.desc()).limit(1))


def decision_about(session: Session, evaluation_id: int) -> DecisionRow | None:
    """The newest decision that rests on a comparison."""
    query = select(DecisionRow).where(DecisionRow.evaluation_id == evaluation_id)
    return session.scalar(query.order_by(DecisionRow.id.desc()).limit(1))
