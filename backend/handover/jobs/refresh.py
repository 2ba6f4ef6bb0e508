"""The switch that Label Studio shows: new predictions for the open tasks first, then the version moves.

Label Studio is told before our own `/setup` and `/predict` change, and every step can be repeated: a job that
was interrupted leaves the old version served in full, and its retry completes the switch. Who was wanted and is not
any more when Label Studio shows them is followed by another refresh.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from handover.domain import Split
from handover.errors import ConfigError
from handover.jobs.prefetch import push_known
from handover.jobs.queue import JobKind
from handover.jobs.trigger import trigger_looks
from handover.labelstudio.client import LabelStudioClient
from handover.runtime import Runtime
from handover.serving import Served, go_live, version_of, wanted
from handover.store.models import ProjectRow
from handover.store.projects import get_project
from handover.store.tasks import open_tasks, still_open

logger = logging.getLogger(__name__)

Progress = Callable[[dict[str, object]], None]

BATCH = 500


def run(runtime: Runtime, project_id: int, progress: Progress) -> dict[str, object]:
    """Push the wanted version's predictions for all open tasks, and switch to it.

    Raises ArtifactError when a student that is wanted cannot be loaded: who serves goes on.
    """
    with runtime.database.write() as session:
        project = get_project(session, project_id)
        served = wanted(session, runtime, project)
        # Gold too: `compose` gives it nothing, or what keeps it in the queue under uncertainty sampling.
        tasks = list(open_tasks(session, project_id, splits=Split))
    _check_students(runtime, served)
    version = version_of(served)
    pushed = 0
    for start in range(0, len(tasks), BATCH):
        with runtime.database.read() as session:
            batch = still_open(session, tasks[start : start + BATCH])
        pushed += push_known(runtime, project, served, batch)
        progress({"version": version, "pushed": pushed, "of": len(tasks)})
    _show(runtime, project, version)
    with runtime.database.write() as session:
        project = get_project(session, project_id)
        # What is wanted may have changed meanwhile; only what was pushed goes live.
        now = wanted(session, runtime, project)
        is_wanted = version_of(now) == version
        switched = is_wanted and project.live_version != version
        if is_wanted:
            go_live(project, now)
    if not is_wanted:
        runtime.queue.enqueue(JobKind.REFRESH, project_id)
    if switched and any(s.asks_teacher for s in now):
        runtime.queue.enqueue(JobKind.PREFETCH, project_id)  # a new teacher has answered nothing yet
    trigger_looks(runtime, project.id)  # a changed teacher voids decisions
    logger.info("Project %d shows %s (%d predictions pushed)", project.ls_id, version, pushed)
    return {"version": version, "pushed": pushed}


def is_due(runtime: Runtime, project_id: int, *, shown: str = "") -> bool:
    """Whether Label Studio shows something else than it should. `shown` is what it says it shows, if it is known."""
    with runtime.database.write() as session:
        project = get_project(session, project_id)
        is_elsewhere = bool(shown) and project.ls_ml_backend_id is not None and shown != project.live_version
        return is_elsewhere or version_of(wanted(session, runtime, project)) != project.live_version


def _check_students(runtime: Runtime, served: Sequence[Served]) -> None:
    for s in served:
        if s.student is not None:
            runtime.students.predict(s.student, [], s.aspect)  # loads it


def _show(runtime: Runtime, project: ProjectRow, version: str) -> None:
    client = _client(runtime)
    if client is not None and project.ls_ml_backend_id is not None:
        client.show_version(project.ls_id, project.ls_ml_backend_id, version, auth=runtime.basic_auth)


def _client(runtime: Runtime) -> LabelStudioClient | None:
    try:
        return runtime.label_studio()
    except ConfigError:
        return None  # Without a token the live mode still asks `/predict` under the new version.
