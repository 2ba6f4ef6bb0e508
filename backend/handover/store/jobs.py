"""Queries about jobs: what waits, what runs, how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from handover.store.columns import utcnow
from handover.store.models import JobRow
from handover.store.sql import insert_ignore

ACTIVE = ("queued", "started")


def add_waiting(
    session: Session, *, job_id: str, kind: str, subject_id: int | None, arguments: Mapping[str, object] | None = None
) -> bool:
    """Record a waiting job. False when one of this kind and subject with the same arguments waits already."""
    values: dict[str, object] = {
        "id": job_id,
        "kind": kind,
        "subject_id": subject_id,
        "waiting_key": waiting_key(kind, subject_id, arguments or {}),
        "status": "queued",
        "progress": {},
        "error": "",
        "enqueued_at": utcnow(),
    }
    insert_ignore(session, JobRow, [values])
    session.flush()
    return session.get(JobRow, job_id) is not None


def waiting_key(kind: str, subject_id: int | None, arguments: Mapping[str, object]) -> str:
    """What may wait only once. A job that does more must not be dropped for one that does less: `full`, or without
    `if_due`."""
    given = sorted(name for name, value in arguments.items() if value)
    return ":".join([kind, str(subject_id) if subject_id is not None else "all", *given])


def set_started(session: Session, job_id: str) -> None:
    """The job runs now; another of its kind may wait behind it."""
    row = session.get(JobRow, job_id)
    if row is not None:
        row.status, row.started_at, row.waiting_key, row.error = "started", utcnow(), None, ""


def set_progress(session: Session, job_id: str, progress: dict[str, object]) -> None:
    """Keep how far the job got."""
    row = session.get(JobRow, job_id)
    if row is not None:
        row.progress = progress


def set_ended(session: Session, job_id: str, *, status: str, error: str = "") -> None:
    """The job is over: finished, failed, canceled, or lost."""
    row = session.get(JobRow, job_id)
    if row is not None:
        row.status, row.ended_at, row.waiting_key, row.error = status, utcnow(), None, error


def forget(session: Session, job_id: str) -> None:
    """Remove the row of a job that never reached the queue."""
    session.execute(delete(JobRow).where(JobRow.id == job_id))


def get_job(session: Session, job_id: str) -> JobRow | None:
    """A job by its id."""
    return session.get(JobRow, job_id)


def active_jobs(session: Session) -> Sequence[JobRow]:
    """Jobs that wait or run, as far as the store knows."""
    return session.scalars(select(JobRow).where(JobRow.status.in_(ACTIVE)).order_by(JobRow.enqueued_at)).all()


def is_active(session: Session, kind: str, subject_id: int) -> bool:
    """Whether a job of this kind about this subject waits or runs."""
    query = select(JobRow.id).where(JobRow.kind == kind, JobRow.subject_id == subject_id, JobRow.status.in_(ACTIVE))
    return session.scalar(query.limit(1)) is not None


def recent_jobs(session: Session, *, per_kind: int = 10) -> Sequence[JobRow]:
    """The newest jobs of each kind and all that wait or run, newest first."""
    rank = func.row_number().over(partition_by=JobRow.kind, order_by=JobRow.enqueued_at.desc())
    ranked = select(JobRow.id, rank.label("rank")).subquery()
    newest = select(ranked.c.id).where(ranked.c.rank <= per_kind)
    query = select(JobRow).where(JobRow.id.in_(newest) | JobRow.status.in_(ACTIVE))
    return session.scalars(query.order_by(JobRow.enqueued_at.desc())).all()


def last_job(session: Session, kind: str, subject_id: int) -> JobRow | None:
    """The newest job of a kind about a subject."""
    query = select(JobRow).where(JobRow.kind == kind, JobRow.subject_id == subject_id)
    return session.scalar(query.order_by(JobRow.enqueued_at.desc()).limit(1))
