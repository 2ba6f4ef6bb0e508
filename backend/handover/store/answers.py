"""Teacher answers (the cache) and predictions."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Session

from handover.domain import AnswerStatus
from handover.store.columns import utcnow
from handover.store.models import AspectRow, PredictionRow, TaskRow, TeacherAnswerRow
from handover.store.sql import chunks, upsert
from handover.store.tasks import is_finished


def answers_by_key(session: Session, keys: Sequence[str]) -> dict[str, TeacherAnswerRow]:
    """The cached answers among these keys."""
    found: dict[str, TeacherAnswerRow] = {}
    for part in chunks(keys):
        query = select(TeacherAnswerRow).where(TeacherAnswerRow.key.in_(part))
        found.update({row.key: row for row in session.scalars(query)})
    return found


def predictions_of(
    session: Session, *, task_ids: Sequence[int], aspect_ids: Sequence[int]
) -> dict[tuple[int, int, str], PredictionRow]:
    """Predictions by (task, aspect, version)."""
    found: dict[tuple[int, int, str], PredictionRow] = {}
    for part in chunks(task_ids):
        query = select(PredictionRow).where(PredictionRow.task_id.in_(part), PredictionRow.aspect_id.in_(aspect_ids))
        found.update({(row.task_id, row.aspect_id, row.version): row for row in session.scalars(query)})
    return found


def put_predictions(session: Session, rows: Sequence[dict[str, object]]) -> None:
    """Store predictions; those of the same task, aspect and version are replaced."""
    stamped = [{"created_at": utcnow(), **row} for row in rows]
    upsert(session, PredictionRow, stamped, keys=("task_id", "aspect_id", "version"))


def put_answers(session: Session, rows: Sequence[dict[str, object]]) -> None:
    """Store teacher answers; one with the same key is replaced."""
    upsert(session, TeacherAnswerRow, [{"created_at": utcnow(), **row} for row in rows], keys=("key",))


def silver_of(
    session: Session, aspect: AspectRow, version: str, *, min_score: float = 0.0
) -> Sequence[tuple[TaskRow, PredictionRow]]:
    """The teacher's usable answers on train tasks that no person has finished yet.

    Without those whose score, the agreement of several samples, is below `min_score`; a single sample has none.
    """
    sure = PredictionRow.score.is_(None) | (PredictionRow.score >= min_score)
    return _answers_on_train(session, aspect, version, sure & ~is_finished())


def answers_on_finished(session: Session, aspect: AspectRow, version: str) -> Sequence[tuple[TaskRow, PredictionRow]]:
    """The teacher's usable answers on train tasks that people have finished."""
    return _answers_on_train(session, aspect, version, is_finished())


def _answers_on_train(
    session: Session, aspect: AspectRow, version: str, condition: ColumnElement[bool]
) -> Sequence[tuple[TaskRow, PredictionRow]]:
    query = (
        select(TaskRow, PredictionRow)
        .join(PredictionRow, PredictionRow.task_id == TaskRow.id)
        .where(
            TaskRow.project_id == aspect.project_id,
            ~TaskRow.deleted,
            TaskRow.split == "train",
            PredictionRow.aspect_id == aspect.id,
            PredictionRow.version == version,
            PredictionRow.status == AnswerStatus.OK.value,
            condition,
        )
        .order_by(TaskRow.ls_id)
    )
    return [(task, prediction) for task, prediction in session.execute(query)]


def count_by_status(session: Session, aspect_id: int, version: str) -> dict[str, int]:
    """How many predictions of this version have each status."""
    query = (
        select(PredictionRow.status, func.count())
        .where(PredictionRow.aspect_id == aspect_id, PredictionRow.version == version)
        .group_by(PredictionRow.status)
    )
    return {key: number for key, number in session.execute(query)}  # noqa: C416 - rows are not pairs to mypy


def frequent_problem(session: Session, aspect_id: int, version: str) -> str:
    """Why most of the answers of this version that are not shown are not; empty where all are."""
    query = (
        select(PredictionRow.problem)
        .where(
            PredictionRow.aspect_id == aspect_id,
            PredictionRow.version == version,
            PredictionRow.status != AnswerStatus.OK.value,
        )
        .group_by(PredictionRow.problem)
        .order_by(func.count().desc(), PredictionRow.problem)
    )
    return session.scalar(query.limit(1)) or ""


def forget_predictions(session: Session, task_ids: Sequence[int]) -> None:
    """Drop the predictions of tasks whose text changed."""
    for part in chunks(task_ids):
        session.execute(delete(PredictionRow).where(PredictionRow.task_id.in_(part)))


def forget_answers(session: Session, aspect_id: int) -> None:
    """Drop the predictions of an aspect that is about another text now."""
    session.execute(delete(PredictionRow).where(PredictionRow.aspect_id == aspect_id))
