"""Queries about hints at annotations that may be wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from handover.domain import Split
from handover.store.models import AnnotationRow, HintRow, TaskRow


def replace_hints(session: Session, aspect_id: int, rows: Sequence[dict[str, Any]]) -> None:
    """Keep these hints about an aspect, and no others."""
    session.execute(delete(HintRow).where(HintRow.aspect_id == aspect_id))
    session.add_all(HintRow(aspect_id=aspect_id, **row) for row in rows)


def hints_of(session: Session, aspect_id: int) -> Sequence[tuple[HintRow, TaskRow]]:
    """The hints about an aspect with their tasks, by reason, the strongest first."""
    query = (
        select(HintRow, TaskRow)
        .join(TaskRow, TaskRow.id == HintRow.task_id)
        .where(HintRow.aspect_id == aspect_id, ~TaskRow.deleted)
        .order_by(HintRow.reason, HintRow.score.desc(), TaskRow.ls_id)
    )
    return [(hint, task) for hint, task in session.execute(query)]


def quick_annotations(session: Session, project_id: int, *, seconds: float) -> Sequence[tuple[TaskRow, AnnotationRow]]:
    """Annotations that started from a prediction and took less time; those of gold tasks are left out."""
    query = (
        select(TaskRow, AnnotationRow)
        .join(AnnotationRow, AnnotationRow.task_id == TaskRow.id)
        .where(
            TaskRow.project_id == project_id,
            TaskRow.split != Split.GOLD.value,
            ~TaskRow.deleted,
            ~AnnotationRow.deleted,
            ~AnnotationRow.was_cancelled,
            AnnotationRow.parent_has_content.is_(True),
            AnnotationRow.lead_time < seconds,
        )
        .order_by(TaskRow.ls_id, AnnotationRow.ls_id)
    )
    return [(task, annotation) for task, annotation in session.execute(query)]
