"""List the jobs, and stop one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from handover.jobs.queue import JobKind
from handover.runtime import Runtime
from handover.store.columns import utcnow
from handover.store.jobs import ACTIVE, recent_jobs
from handover.store.models import AspectRow, JobRow, ProjectRow

PER_KIND = 5
ABOUT_ASPECTS = frozenset(kind.value for kind in (JobKind.RETRAIN, JobKind.LOOK, JobKind.FORECAST, JobKind.HINTS))
"""Jobs whose subject is an aspect; that of the others is a project."""


def list_jobs(runtime: Runtime) -> list[str]:
    """A line for each job that waits or runs, and for the newest others: what it is about and how far it is."""
    with runtime.database.read() as session:
        return [_line(session, row) for row in recent_jobs(session, per_kind=PER_KIND)]


def cancel(runtime: Runtime, job_id: str) -> str:
    """Stop a job; returns what became of it. Raises NotFoundError and UnavailableError."""
    status = runtime.queue.cancel(job_id)
    if status == "canceled":
        return f"Canceled {job_id}. Nothing changed: the champion and all stored predictions stay."
    return f"Job {job_id} was {status} before it could be stopped."


def _line(session: Session, row: JobRow) -> str:
    parts = [row.status, f"{row.kind} of {_subject(session, row)}"]
    if row.status in ACTIVE:
        parts.append(f"for {_minutes(row.started_at or row.enqueued_at, utcnow())}")
        parts += _progress(row.progress)
    elif row.started_at and row.ended_at:
        parts.append(f"took {_minutes(row.started_at, row.ended_at)}")
    if row.error and row.status != "canceled":
        parts.append(row.error)
    return f"{row.id}: {', '.join(parts)}"


def _subject(session: Session, row: JobRow) -> str:
    """The name of what a job is about; its number where that is gone."""
    if row.subject_id is None:
        return "everything"
    if row.kind in ABOUT_ASPECTS:
        aspect = session.get(AspectRow, row.subject_id)
        return f"aspect {aspect.name}" if aspect is not None else f"aspect {row.subject_id}"
    project = session.get(ProjectRow, row.subject_id)
    return f"project {project.ls_id}" if project is not None else f"project {row.subject_id}"


def _progress(progress: dict[str, Any]) -> list[str]:
    """What is known of a running job, in words."""
    parts = []
    if "recipe" in progress:
        silver = " with silver" if progress["silver"] else ""
        parts.append(f"{progress['recipe']}{silver} ({progress['candidate']} of {progress['candidates']})")
        parts.append(f"epoch {progress['epoch']}, step {progress['step']}, {progress['score']:.3f} on dev")
    elif "phase" in progress:
        parts.append(str(progress["phase"]))
    else:
        parts += [f"{key} {value}" for key, value in progress.items()]
    if "seconds_left" in progress:
        parts.append(f"at most {_span(progress['seconds_left'])} left")
    return parts


def _minutes(start: datetime, end: datetime) -> str:
    return _span((end - start).total_seconds())


def _span(seconds: float) -> str:
    whole = max(0, round(seconds))
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"
