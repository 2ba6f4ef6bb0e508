"""Queries about what was asked of teachers and what it cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from handover.store.columns import utcnow
from handover.store.models import AspectRow, CounterRow, ProjectRow, TeacherBatchRow, TeacherCallRow
from handover.store.sql import chunks, insert_ignore

ASKED = "asked"
CACHED = "cached"
OVER_BUDGET = "over budget"
NOT_SENT = (CACHED, OVER_BUDGET, "skipped")
"""Statuses of rows that stand for questions that were never sent."""

OPEN, ENDED, LOST = "open", "ended", "lost"
LOCK = "ledger"


def lock(session: Session) -> None:
    """Let one process at a time look at a budget and enter what it is going to spend."""
    insert_ignore(session, CounterRow, [{"name": LOCK, "value": 0}])
    session.execute(select(CounterRow.name).where(CounterRow.name == LOCK).with_for_update())


def add_calls(session: Session, rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Enter rows; returns their ids in the same order."""
    found = [TeacherCallRow(**row) for row in rows]
    session.add_all(found)
    session.flush()
    return [row.id for row in found]


def close_calls(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Enter what came of calls: mappings with the row's `id` and its new values."""
    stamped = [{"ended_at": utcnow(), **row} for row in rows]
    if stamped:
        session.execute(update(TeacherCallRow), stamped)


def spent(session: Session, *, project_id: int | None = None, since: datetime | None = None) -> float:
    """What was spent, or may turn out to have been, in a project (None: in all) since a time."""
    query = select(func.sum(func.coalesce(TeacherCallRow.cost, TeacherCallRow.ceiling)))
    if project_id is not None:
        query = query.where(TeacherCallRow.project_id == project_id)
    if since is not None:
        query = query.where(TeacherCallRow.created_at >= since)
    return session.scalar(query) or 0.0


def last_stop(session: Session, project_id: int) -> str:
    """Why the budget stopped the teacher, empty when it has been asked since."""
    query = (
        select(TeacherCallRow.status, TeacherCallRow.problem)
        .where(TeacherCallRow.project_id == project_id, TeacherCallRow.status.not_in((CACHED, "skipped")))
        .order_by(TeacherCallRow.id.desc())
        .limit(1)
    )
    row = session.execute(query).first()
    return str(row.problem) if row is not None and row.status == OVER_BUDGET else ""


def sums(session: Session, *, project_id: int | None = None, aspect_id: int | None = None) -> list[Any]:
    """Sums over calls by project, aspect, model, purpose, batch, status, and whether their cost is known."""
    row = TeacherCallRow
    is_priced = row.cost.is_not(None)
    keys = (ProjectRow.ls_id, AspectRow.name, row.model_id, row.purpose, row.is_batch, row.status, is_priced)
    query = (
        select(
            ProjectRow.ls_id.label("project"),
            AspectRow.name.label("aspect"),
            row.model_id,
            row.purpose,
            row.is_batch,
            row.status,
            is_priced.label("is_priced"),
            func.sum(row.number).label("number"),
            func.sum(row.attempts).label("attempts"),
            func.count(row.input_tokens).label("measured"),
            func.sum(row.input_tokens).label("input_tokens"),
            func.sum(row.output_tokens).label("output_tokens"),
            func.sum(row.cached_tokens).label("cached_tokens"),
            func.sum(row.cache_write_tokens).label("cache_write_tokens"),
            func.sum(row.cost).label("cost"),
        )
        .join(ProjectRow, ProjectRow.id == row.project_id, isouter=True)
        .join(AspectRow, AspectRow.id == row.aspect_id, isouter=True)
        .group_by(*keys)
        .order_by(ProjectRow.ls_id, AspectRow.name, row.model_id, row.purpose)
    )
    if project_id is not None:
        query = query.where(row.project_id == project_id)
    if aspect_id is not None:
        query = query.where(row.aspect_id == aspect_id)
    return list(session.execute(query).all())


def token_habits(session: Session, aspect_id: int, model_id: str) -> tuple[int, int, int, int]:
    """What past answers took: number of calls, characters of their prompts, input and output tokens."""
    row = TeacherCallRow
    query = select(
        func.count(), func.sum(row.prompt_chars), func.sum(row.input_tokens), func.sum(row.output_tokens)
    ).where(row.aspect_id == aspect_id, row.model_id == model_id, row.input_tokens > 0, row.output_tokens > 0)
    number, chars, given, answered = session.execute(query).one()
    return number, chars or 0, given or 0, answered or 0


def add_batch(session: Session, *, aspect_id: int, model_id: str, tickets: Sequence[int]) -> int:
    """Put calls that are entered into a new batch; returns our id of it."""
    batch = TeacherBatchRow(aspect_id=aspect_id, model_id=model_id, number=len(tickets), status=OPEN)
    session.add(batch)
    session.flush()
    for part in chunks(tickets):
        query = update(TeacherCallRow).where(TeacherCallRow.id.in_(part))
        session.execute(query.values(batch_id=batch.id, is_batch=True))
    return batch.id


def set_sent(session: Session, batch_id: int, api_id: str) -> None:
    """The API has taken a batch."""
    session.execute(update(TeacherBatchRow).where(TeacherBatchRow.id == batch_id).values(api_id=api_id))


def open_batches(session: Session, aspect_ids: Iterable[int]) -> Sequence[TeacherBatchRow]:
    """The batches of aspects whose answers are not fetched yet, oldest first."""
    query = select(TeacherBatchRow).where(TeacherBatchRow.aspect_id.in_(aspect_ids), TeacherBatchRow.status == OPEN)
    return session.scalars(query.order_by(TeacherBatchRow.id)).all()


def calls_of_batch(session: Session, batch_id: int) -> dict[str, int]:
    """The calls of a batch that have no answer yet: their ids by key."""
    query = select(TeacherCallRow.answer_key, TeacherCallRow.id)
    query = query.where(TeacherCallRow.batch_id == batch_id, TeacherCallRow.status == ASKED)
    return {key: number for key, number in session.execute(query)}  # noqa: C416 - rows are not pairs to mypy


def end_batch(session: Session, batch_id: int, *, status: str) -> None:
    """Nothing more will come of a batch."""
    batch = session.get(TeacherBatchRow, batch_id)
    if batch is not None:
        batch.status, batch.ended_at = status, utcnow()


def keys_under_way(session: Session, aspect_id: int) -> set[str]:
    """The questions of an aspect that a batch is going to answer."""
    query = (
        select(TeacherCallRow.answer_key)
        .join(TeacherBatchRow, TeacherBatchRow.id == TeacherCallRow.batch_id)
        .where(TeacherBatchRow.aspect_id == aspect_id, TeacherBatchRow.status == OPEN, TeacherCallRow.status == ASKED)
    )
    return set(session.scalars(query))


def keys_failed_in_a_batch(session: Session, aspect_id: int) -> set[str]:
    """The questions of an aspect that a batch could not answer: they are asked one by one from then on."""
    row = TeacherCallRow
    query = select(row.answer_key).where(row.aspect_id == aspect_id, row.is_batch, row.status == "failed")
    return set(session.scalars(query))
