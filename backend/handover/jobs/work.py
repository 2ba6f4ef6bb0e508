"""The functions that RQ calls. Each opens what it needs, keeps its row in the store, and closes again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rq import get_current_job

from handover.errors import HandoverError
from handover.jobs import forecast as forecast_job
from handover.jobs import hints as hints_job
from handover.jobs import prefetch as prefetch_job
from handover.jobs import reconcile as reconcile_job
from handover.jobs import refresh as refresh_job
from handover.jobs import retrain as retrain_job
from handover.jobs.settle import look_and_settle
from handover.runtime import Runtime
from handover.settings import Settings
from handover.store import jobs as job_store

logger = logging.getLogger(__name__)

Progress = Callable[[dict[str, object]], None]
Report = dict[str, object]


def prefetch(project_id: int) -> Report:
    """Teacher answers ahead of the annotator."""
    with _job() as (runtime, progress):
        return prefetch_job.run(runtime, project_id, progress)


def retrain(aspect_id: int, if_due: bool = False) -> Report:
    """Examples, student, and a look at it."""
    with _job() as (runtime, progress):
        return retrain_job.run(runtime, aspect_id, progress, if_due=if_due)


def look(aspect_id: int) -> Report:
    """Scores on gold, decision, promotion or rollback."""
    with _job() as (runtime, _progress):
        return look_and_settle(runtime, aspect_id)


def forecast(aspect_id: int) -> Report:
    """Trainings on nested parts of the data, and how many more tasks it takes."""
    with _job() as (runtime, progress):
        return forecast_job.run(runtime, aspect_id, progress)


def refresh(project_id: int) -> Report:
    """Push the wanted version's predictions and switch to it."""
    with _job() as (runtime, progress):
        return refresh_job.run(runtime, project_id, progress)


def reconcile(project_id: int, full: bool = False) -> Report:
    """Fetch what webhooks lost."""
    with _job() as (runtime, progress):
        return reconcile_job.run(runtime, project_id, progress, full=full)


def hints(aspect_id: int) -> Report:
    """Look for annotations that may be wrong."""
    with _job() as (runtime, progress):
        return hints_job.run(runtime, aspect_id, progress)


@contextmanager
def _job() -> Iterator[tuple[Runtime, Progress]]:
    runtime = Runtime(Settings()).open(migrate=False)  # the worker migrated when it started
    job = get_current_job()
    job_id = job.id if job is not None else ""
    try:
        with runtime.database.write() as session:
            job_store.set_started(session, job_id)
        yield runtime, _progress(runtime, job_id)
    except BaseException as error:  # also RQ's time-out and a stop request: the row must say how it ended
        _end(runtime, job_id, status="failed", error=_sentence(error))
        raise
    else:
        _end(runtime, job_id, status="finished")
    finally:
        runtime.close()


def _progress(runtime: Runtime, job_id: str) -> Progress:
    job = get_current_job()

    def report(progress: Report) -> None:
        if job is not None:
            job.meta["progress"] = progress
            job.save_meta()
        with runtime.database.write() as session:
            job_store.set_progress(session, job_id, progress)

    return report


def _end(runtime: Runtime, job_id: str, *, status: str, error: str = "") -> None:
    with runtime.database.write() as session:
        job_store.set_ended(session, job_id, status=status, error=error)


def _sentence(error: BaseException) -> str:
    """What the status page may show: our own messages whole, of others only the kind."""
    if isinstance(error, HandoverError):
        return str(error)
    return f"{type(error).__name__} (details are in the worker's log)"
