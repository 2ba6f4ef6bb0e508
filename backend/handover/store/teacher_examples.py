"""Queries about the examples in the prompts of the teachers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from handover.domain import Split
from handover.store.models import AnnotationRow, AspectRow, PredictionRow, TaskRow, TeacherExampleRow
from handover.store.sql import chunks


def stored_examples(session: Session, aspect_id: int) -> Sequence[TeacherExampleRow]:
    """The examples as they were chosen, in their order, also those that may not be shown any more."""
    query = select(TeacherExampleRow).where(TeacherExampleRow.aspect_id == aspect_id)
    return session.scalars(query.order_by(TeacherExampleRow.position)).all()


def shown_examples(session: Session, aspect_id: int, *, text_field: str) -> Sequence[TeacherExampleRow]:
    """The examples that may be shown, in their order.

    Left out at once, without waiting for the next choice: a task that was deleted, is not train any more, or has
    lost its annotation; a text that is gold or dev somewhere, or nearly the same as one; the text of another field.
    """
    query = (
        select(TeacherExampleRow)
        .join(TaskRow, TaskRow.id == TeacherExampleRow.task_id)
        .where(
            TeacherExampleRow.aspect_id == aspect_id,
            TeacherExampleRow.text_field == text_field,
            TaskRow.split == Split.TRAIN.value,
            ~TaskRow.deleted,
            exists().where(AnnotationRow.task_id == TaskRow.id, ~AnnotationRow.deleted, ~AnnotationRow.was_cancelled),
            ~_is_held_out(TaskRow.group_key, TeacherExampleRow.text_key),
        )
    )
    return session.scalars(query.order_by(TeacherExampleRow.position)).all()


def replace_examples(session: Session, aspect_id: int, rows: Sequence[Mapping[str, Any]]) -> None:
    """Make these the examples of an aspect; positions are given in their order."""
    session.execute(delete(TeacherExampleRow).where(TeacherExampleRow.aspect_id == aspect_id))
    session.add_all(
        TeacherExampleRow(aspect_id=aspect_id, position=position, **row) for position, row in enumerate(rows)
    )
    session.flush()


def tasks_fit_to_show(session: Session, task_ids: Sequence[int]) -> dict[int, TaskRow]:
    """Of these train tasks those that may become examples.

    Not one whose text was edited: its group of near-identical texts is that of its first text. Not one that is
    gold or dev in any project, or nearly the same as one that is.
    """
    found: dict[int, TaskRow] = {}
    for part in chunks(task_ids):
        query = select(TaskRow).where(
            TaskRow.id.in_(part),
            TaskRow.split == Split.TRAIN.value,
            TaskRow.data_changed_at.is_(None),
            ~TaskRow.deleted,
            ~_is_held_out(TaskRow.group_key, TaskRow.text_key),
        )
        found.update({row.id: row for row in session.scalars(query)})
    return found


def edited_held_out(session: Session) -> Sequence[TaskRow]:
    """Gold and dev tasks whose text was edited, of all projects: their group says nothing about the text now."""
    query = select(TaskRow).where(
        TaskRow.split != Split.TRAIN.value, TaskRow.data_changed_at.is_not(None), ~TaskRow.deleted
    )
    return session.scalars(query.order_by(TaskRow.id)).all()


def teacher_predictions(session: Session, aspect: AspectRow, task_ids: Sequence[int], *, prefix: str) -> dict[int, Any]:
    """The newest usable answer to each task by any version with this prefix, as JSON, by task id."""
    found: dict[int, Any] = {}
    for part in chunks(task_ids):
        query = (
            select(PredictionRow.task_id, PredictionRow.annotation)
            .where(
                PredictionRow.task_id.in_(part),
                PredictionRow.aspect_id == aspect.id,
                func.substr(PredictionRow.version, 1, len(prefix)) == prefix,
                PredictionRow.annotation.is_not(None),
            )
            .order_by(PredictionRow.created_at, PredictionRow.id)
        )
        found.update({task_id: annotation for task_id, annotation in session.execute(query) if annotation})
    return found


def like_examples(session: Session, aspect_id: int, task_ids: Sequence[int], *, more: Iterable[int] = ()) -> set[int]:
    """Of these tasks those that are an example of the aspect (or one of `more`), or nearly the same as one.

    What a teacher says about them is no evidence for how good it is.
    """
    examples = [*more, *(row.task_id for row in stored_examples(session, aspect_id))]
    shown = session.execute(select(TaskRow.group_key, TaskRow.text_key).where(TaskRow.id.in_(examples))).all()
    groups, texts = {group for group, _ in shown}, {text for _, text in shown}
    found: set[int] = set()
    for part in chunks(task_ids):
        alike = or_(TaskRow.group_key.in_(groups), TaskRow.text_key.in_(texts))
        found.update(session.scalars(select(TaskRow.id).where(TaskRow.id.in_(part), alike)))
    return found


def _is_held_out(group_key: Any, text_key: Any) -> ColumnElement[bool]:
    """Whether a gold or dev task of any project has this text or a nearly identical one."""
    other = aliased(TaskRow)
    held_out = (other.split != Split.TRAIN.value, ~other.deleted)
    return or_(
        exists().where(other.group_key == group_key, *held_out), exists().where(other.text_key == text_key, *held_out)
    )
