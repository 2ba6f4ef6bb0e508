"""Queries about tasks and the groups of near-identical texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, exists, func, select, update
from sqlalchemy.orm import Session

from handover.domain import Split
from handover.store.models import AnnotationRow, TaskRow, TextBandRow, TextGroupRow
from handover.store.sql import chunks, insert_ignore


def tasks_by_ls_id(session: Session, project_id: int, ls_ids: Sequence[int]) -> dict[int, TaskRow]:
    """The known tasks among these Label Studio ids."""
    found: dict[int, TaskRow] = {}
    for part in chunks(ls_ids):
        query = select(TaskRow).where(TaskRow.project_id == project_id, TaskRow.ls_id.in_(part))
        found.update({row.ls_id: row for row in session.scalars(query)})
    return found


def tasks_by_id(session: Session, task_ids: Sequence[int]) -> dict[int, TaskRow]:
    """Tasks by our ids."""
    found: dict[int, TaskRow] = {}
    for part in chunks(task_ids):
        found.update({row.id: row for row in session.scalars(select(TaskRow).where(TaskRow.id.in_(part)))})
    return found


def tasks_by_text_key(session: Session, project_id: int, text_key: str) -> Sequence[TaskRow]:
    """The tasks of a project with this text, oldest first."""
    query = select(TaskRow).where(TaskRow.project_id == project_id, TaskRow.text_key == text_key)
    return session.scalars(query.order_by(TaskRow.id)).all()


def tasks_by_age(
    session: Session,
    project_id: int,
    *,
    splits: Iterable[Split],
    since: datetime,
    is_after: bool,
    limit: int | None = None,
) -> Sequence[TaskRow]:
    """Tasks of some splits that came after a time, or before it, newest first."""
    query = select(TaskRow).where(
        TaskRow.project_id == project_id,
        ~TaskRow.deleted,
        TaskRow.split.in_([split.value for split in splits]),
        TaskRow.created_at > since if is_after else TaskRow.created_at <= since,
    )
    return session.scalars(query.order_by(TaskRow.id.desc()).limit(limit)).all()


def is_finished() -> ColumnElement[bool]:
    """Condition on TaskRow: some person submitted an annotation or skipped the task."""
    return exists().where(AnnotationRow.task_id == TaskRow.id, ~AnnotationRow.deleted)


def open_tasks(
    session: Session,
    project_id: int,
    *,
    splits: Iterable[Split] = (Split.TRAIN, Split.DEV),
    limit: int | None = None,
) -> Sequence[TaskRow]:
    """Tasks no person has finished yet, in the order of Label Studio's ids."""
    query = select(TaskRow).where(
        TaskRow.project_id == project_id,
        ~TaskRow.deleted,
        TaskRow.split.in_([split.value for split in splits]),
        ~is_finished(),
    )
    return session.scalars(query.order_by(TaskRow.ls_id).limit(limit)).all()


def to_be_answered(session: Session, project_id: int) -> Sequence[TaskRow]:
    """The tasks that a teacher will be asked about sooner or later: those that are open, and all gold."""
    query = select(TaskRow).where(
        TaskRow.project_id == project_id, ~TaskRow.deleted, (TaskRow.split == Split.GOLD.value) | ~is_finished()
    )
    return session.scalars(query.order_by(TaskRow.ls_id)).all()


def still_open(session: Session, tasks: Sequence[TaskRow]) -> list[TaskRow]:
    """Tasks that were read before as they are now, without those that people finished or deleted since."""
    found: list[TaskRow] = []
    for part in chunks([task.id for task in tasks]):
        query = select(TaskRow).where(TaskRow.id.in_(part), ~TaskRow.deleted, ~is_finished())
        found += session.scalars(query.order_by(TaskRow.ls_id))
    return found


def unchanged(session: Session, tasks: Sequence[TaskRow]) -> list[TaskRow]:
    """Those tasks whose data are still what was read before. They stay so until the transaction ends."""
    now: dict[int, object] = {}
    for part in chunks(sorted({task.id for task in tasks})):
        query = select(TaskRow.id, TaskRow.data).where(TaskRow.id.in_(part)).order_by(TaskRow.id)
        now.update((task_id, data) for task_id, data in session.execute(query.with_for_update(key_share=True)))
    return [task for task in tasks if now.get(task.id) == task.data]


def count_open_by_push(session: Session, project_id: int, version: str) -> tuple[int, int]:
    """How many open tasks that are not gold hold a prediction of this version in Label Studio, and how many not."""
    query = (
        select(TaskRow.pushed_version == version, func.count())
        .where(TaskRow.project_id == project_id, ~TaskRow.deleted, TaskRow.split != Split.GOLD.value, ~is_finished())
        .group_by(TaskRow.pushed_version == version)
    )
    numbers = {bool(pushed): number for pushed, number in session.execute(query)}
    return numbers.get(True, 0), numbers.get(False, 0)


def count_by_split(session: Session, project_id: int) -> dict[str, int]:
    """How many tasks each split has."""
    query = (
        select(TaskRow.split, func.count())
        .where(TaskRow.project_id == project_id, ~TaskRow.deleted)
        .group_by(TaskRow.split)
    )
    return {key: number for key, number in session.execute(query)}  # noqa: C416 - rows are not pairs to mypy


def count_finished_tasks(session: Session, project_id: int) -> int:
    """How many tasks some person submitted or skipped."""
    query = select(func.count()).where(TaskRow.project_id == project_id, ~TaskRow.deleted, is_finished())
    return session.scalar(query) or 0


def all_ls_ids(session: Session, project_id: int) -> set[int]:
    """Label Studio's ids of all tasks that are not deleted."""
    return set(session.scalars(select(TaskRow.ls_id).where(TaskRow.project_id == project_id, ~TaskRow.deleted)))


def mark_deleted(session: Session, project_id: int, ls_ids: Sequence[int]) -> list[int]:
    """Mark tasks as deleted; their annotations no longer count. Returns our ids of those that changed."""
    rows = [row for row in tasks_by_ls_id(session, project_id, ls_ids).values() if not row.deleted]
    for row in rows:
        row.deleted = True
    return [row.id for row in rows]


def set_pushed(session: Session, tasks: Sequence[TaskRow], version: str) -> None:
    """Remember that Label Studio holds a prediction of this version for these tasks.

    Not for those whose data changed since they were read, nor where another version was noted meanwhile.
    """
    groups: dict[str, list[int]] = {}
    for task in unchanged(session, tasks):
        groups.setdefault(task.pushed_version, []).append(task.id)
    for before, ids in groups.items():
        for part in chunks(ids):
            same = TaskRow.id.in_(part), TaskRow.pushed_version == before
            session.execute(update(TaskRow).where(*same).values(pushed_version=version))


def candidate_groups(session: Session, bands: Sequence[str]) -> dict[str, list[tuple[str, bytes]]]:
    """For each band, the groups (key, signature) that share it, oldest text first by key."""
    found: dict[str, list[tuple[str, bytes]]] = {}
    for part in chunks(bands):
        query = (
            select(TextBandRow.band, TextGroupRow.key, TextGroupRow.signature)
            .join(TextGroupRow, TextGroupRow.key == TextBandRow.key)
            .where(TextBandRow.band.in_(part))
            .order_by(TextGroupRow.key)
        )
        for band, key, signature in session.execute(query):
            found.setdefault(band, []).append((key, signature))
    return found


def groups_by_text(session: Session, text_keys: Sequence[str]) -> dict[str, str]:
    """The group that each of these texts was given before, by the text's key, in whatever project.

    The group of a task that was edited is that of its first text, so it says nothing about the present one.
    """
    found: dict[str, str] = {}
    for part in chunks(text_keys):
        query = (
            select(TaskRow.text_key, TaskRow.group_key)
            .where(TaskRow.text_key.in_(part), TaskRow.data_changed_at.is_(None))
            .order_by(TaskRow.id.desc())
        )
        found.update((key, group) for key, group in session.execute(query))
    return found


def splits_of_groups(session: Session, project_id: int, group_keys: Sequence[str]) -> dict[str, Split]:
    """The split that each of these groups has in a project: gold where any of its tasks is, else the first task's.

    A task that was edited into a group's first text counts too: what is held out once has to stay so.
    """
    found: dict[str, Split] = {}
    for column in (TaskRow.group_key, TaskRow.text_key):
        for part in chunks(group_keys):
            query = select(column, TaskRow.split).where(TaskRow.project_id == project_id, column.in_(part))
            for key, split in session.execute(query.order_by(TaskRow.id)):
                found[key] = Split.GOLD if split == Split.GOLD.value else found.get(key, Split(split))
    return found


def signatures_by_key(session: Session, text_keys: Sequence[str]) -> dict[str, bytes]:
    """The stored signatures of those of these texts that are the first of their group."""
    found: dict[str, bytes] = {}
    for part in chunks(text_keys):
        query = select(TextGroupRow.key, TextGroupRow.signature).where(TextGroupRow.key.in_(part))
        found.update({key: signature for key, signature in session.execute(query)})  # noqa: C416
    return found


def gold_data(session: Session, project_id: int) -> Sequence[dict[str, Any]]:
    """The data of all gold tasks, annotated or not."""
    query = select(TaskRow.data).where(
        TaskRow.project_id == project_id, ~TaskRow.deleted, TaskRow.split == Split.GOLD.value
    )
    return session.scalars(query).all()


def add_groups(session: Session, groups: Mapping[str, tuple[bytes, Sequence[str]]]) -> None:
    """Add new groups: key -> (signature, bands). One that another process added meanwhile stays."""
    heads = [{"key": key, "signature": signature} for key, (signature, _) in groups.items()]
    insert_ignore(session, TextGroupRow, heads)
    bands = [{"band": band, "key": key} for key, (_, bands) in groups.items() for band in dict.fromkeys(bands)]
    insert_ignore(session, TextBandRow, bands)
