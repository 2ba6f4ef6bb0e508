"""Enqueue `reconcile` for all projects: at start, and every few minutes."""

from __future__ import annotations

import logging
import threading
import time

from handover.errors import HandoverError
from handover.jobs.queue import JobKind
from handover.runtime import Runtime
from handover.store.projects import all_projects

logger = logging.getLogger(__name__)

TICK_SECONDS = 5.0


class Ticker:
    """A thread that enqueues, and looks after the embedded Redis.

    Several servers may tick: of one project at most one reconcile waits.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="handover-ticker", daemon=True)

    def start(self) -> None:
        """Start ticking."""
        self._thread.start()

    def stop(self) -> None:
        """Stop and wait for the thread."""
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        due, full = time.monotonic(), True
        while not self._stop.is_set():
            try:
                self._runtime.ensure_redis()
                if time.monotonic() >= due:
                    enqueue_reconcile(self._runtime, full=full)
                    due, full = time.monotonic() + self._runtime.settings.reconcile_every, False
            except HandoverError as error:
                logger.warning("reconcile could not be enqueued, next try in %.0f s: %s", TICK_SECONDS, error)
            except Exception:  # without this thread lost events would stay lost
                logger.exception("reconcile could not be enqueued, next try in %.0f s", TICK_SECONDS)
            self._stop.wait(TICK_SECONDS)


def enqueue_reconcile(runtime: Runtime, *, full: bool) -> list[str]:
    """Enqueue a reconcile for each project; returns the ids of the new jobs."""
    runtime.queue.mark_lost()
    with runtime.database.read() as session:
        projects = all_projects(session)
    ids = [runtime.queue.enqueue(JobKind.RECONCILE, project.id, arguments={"full": full}) for project in projects]
    return [job_id for job_id in ids if job_id is not None]
