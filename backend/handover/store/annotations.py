"""Queries about annotations, their history and what was set aside of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from handover.domain import Split
from handover.store.models import AnnotationHistoryRow, AnnotationRow, CounterRow, SetAsideRow, TaskRow
from handover.store.sql import chunks, insert_ignore

REVISION = "revision"


def next_revision(session: Session) -> int:
    """A number larger than all before; it orders the changes of annotations."""
    insert_ignore(session, CounterRow, [{"name": REVISION, "value": 0}])
    increment = update(CounterRow).where(CounterRow.name == REVISION).values(value=CounterRow.value + 1)
    return int(session.execute(increment.returning(CounterRow.value)).scalar_one())


def last_revision(session: Session) -> int:
    """The newest revision, 0 when nothing was annotated yet."""
    return session.scalar(select(CounterRow.value).where(CounterRow.name == REVISION)) or 0


def annotations_by_ls_id(session: Session, project_id: int, ls_ids: Sequence[int]) -> dict[int, AnnotationRow]:
    """The known annotations among these Label Studio ids."""
    query = select(AnnotationRow).where(AnnotationRow.project_id == project_id, AnnotationRow.ls_id.in_(ls_ids))
    return {row.ls_id: row for row in session.scalars(query)}


def annotations_of_task(session: Session, task_id: int) -> Sequence[AnnotationRow]:
    """The annotations of a task that are not deleted."""
    query = select(AnnotationRow).where(AnnotationRow.task_id == task_id, ~AnnotationRow.deleted)
    return session.scalars(query.order_by(AnnotationRow.ls_id)).all()


def newest_of_task(session: Session, task_id: int) -> datetime | None:
    """When Label Studio last changed an annotation of a task, as far as that is known."""
    return session.scalar(select(func.max(AnnotationRow.ls_updated_at)).where(AnnotationRow.task_id == task_id))


def learned_since(session: Session, annotation_ids: Sequence[int], time: datetime) -> set[int]:
    """Those of the annotations that became known, or changed, after a time by our clock."""
    query = select(AnnotationHistoryRow.annotation_id).where(
        AnnotationHistoryRow.annotation_id.in_(annotation_ids), AnnotationHistoryRow.recorded_at >= time
    )
    return set(session.scalars(query)) if annotation_ids else set()


def content_revision(session: Session, row: AnnotationRow) -> int:
    """The revision with which an annotation got what it says now; that it was deleted is no content."""
    query = select(func.max(AnnotationHistoryRow.revision)).where(
        AnnotationHistoryRow.annotation_id == row.id, AnnotationHistoryRow.action != "deleted"
    )
    return session.scalar(query) or row.revision


def add_history(session: Session, row: AnnotationRow, action: str) -> None:
    """Keep the state that `row` has now."""
    session.add(
        AnnotationHistoryRow(
            annotation_id=row.id,
            revision=row.revision,
            action=action,
            result=row.result,
            was_cancelled=row.was_cancelled,
            ls_updated_at=row.ls_updated_at,
        )
    )


def finished(session: Session, project_id: int) -> Sequence[tuple[TaskRow, AnnotationRow]]:
    """All submitted annotations with their tasks: not deleted, not skipped, in a stable order."""
    query = (
        select(TaskRow, AnnotationRow)
        .join(AnnotationRow, AnnotationRow.task_id == TaskRow.id)
        .where(
            TaskRow.project_id == project_id,
            ~TaskRow.deleted,
            ~AnnotationRow.deleted,
            ~AnnotationRow.was_cancelled,
        )
        .order_by(TaskRow.ls_id, AnnotationRow.ls_id)
    )
    return [(task, annotation) for task, annotation in session.execute(query)]


def newest_by_task(session: Session, project_id: int) -> dict[int, datetime]:
    """Label Studio's time of each task's newest annotation, by our id of the task."""
    query = (
        select(AnnotationRow.task_id, func.max(AnnotationRow.ls_updated_at))
        .where(AnnotationRow.project_id == project_id)
        .group_by(AnnotationRow.task_id)
    )
    return {task_id: at for task_id, at in session.execute(query)}  # noqa: C416 - rows are not pairs to mypy


def changed_since(session: Session, project_id: int, revision: int) -> int:
    """How many annotations changed after this revision; skipped ones count, because they may replace others."""
    query = select(func.count()).where(AnnotationRow.project_id == project_id, AnnotationRow.revision > revision)
    return session.scalar(query) or 0


def changed_gold_since(session: Session, project_id: int, revision: int) -> int:
    """How many annotations of gold tasks changed after this revision."""
    query = (
        select(func.count())
        .select_from(AnnotationRow)
        .join(TaskRow, TaskRow.id == AnnotationRow.task_id)
        .where(
            AnnotationRow.project_id == project_id,
            AnnotationRow.revision > revision,
            TaskRow.split == Split.GOLD.value,
        )
    )
    return session.scalar(query) or 0


def count_finished(session: Session, project_id: int, *, held_out: bool = True) -> int:
    """How many annotations are submitted and neither deleted nor skipped; without `held_out` those of gold
    tasks are left out."""
    query = (
        select(func.count())
        .select_from(AnnotationRow)
        .join(TaskRow, TaskRow.id == AnnotationRow.task_id)
        .where(AnnotationRow.project_id == project_id, ~AnnotationRow.deleted, ~AnnotationRow.was_cancelled)
    )
    if not held_out:
        query = query.where(TaskRow.split != Split.GOLD.value)
    return session.scalar(query) or 0


def count_assisted(session: Session, task_ids: Sequence[int]) -> int:
    """How many of these tasks have an annotation that started from a suggestion, or from what may be one."""
    number = 0
    for part in chunks(task_ids):
        query = select(func.count(AnnotationRow.task_id.distinct())).where(
            AnnotationRow.task_id.in_(part),
            ~AnnotationRow.deleted,
            AnnotationRow.ls_parent_prediction_id.is_not(None),
            AnnotationRow.parent_has_content.is_not(False),
        )
        number += session.scalar(query) or 0
    return number


def unresolved_parents(session: Session, project_id: int) -> Sequence[AnnotationRow]:
    """Annotations that started from a prediction nobody has looked at yet."""
    query = select(AnnotationRow).where(
        AnnotationRow.project_id == project_id,
        ~AnnotationRow.deleted,
        AnnotationRow.ls_parent_prediction_id.is_not(None),
        AnnotationRow.parent_has_content.is_(None),
    )
    return session.scalars(query).all()


def set_aside_counts(session: Session, project_id: int) -> list[tuple[str, str, str, bool, int]]:
    """(subject, name, reason, repaired, how many), most frequent first."""
    query = (
        select(
            SetAsideRow.subject,
            SetAsideRow.name,
            SetAsideRow.reason,
            SetAsideRow.repaired,
            func.sum(SetAsideRow.number),
        )
        .where(SetAsideRow.project_id == project_id)
        .group_by(SetAsideRow.subject, SetAsideRow.name, SetAsideRow.reason, SetAsideRow.repaired)
        .order_by(func.sum(SetAsideRow.number).desc(), SetAsideRow.subject, SetAsideRow.name, SetAsideRow.reason)
    )
    return [(s, name, reason, repaired, number) for s, name, reason, repaired, number in session.execute(query)]
