"""Teacher answers ahead of the annotator, stored in Label Studio so that opening a task never waits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from handover.errors import ConfigError, TeacherError
from handover.preannotation import ask, needs_asking, stored
from handover.runtime import Runtime
from handover.serving import Served, answer, compose, live, unsure, version_of
from handover.store.models import ProjectRow, TaskRow
from handover.store.projects import get_project
from handover.store.tasks import open_tasks, set_pushed

logger = logging.getLogger(__name__)

Progress = Callable[[dict[str, object]], None]

BATCH = 32
"""Tasks asked about before their answers are stored: what a killed job loses at most."""


def run(runtime: Runtime, project_id: int, progress: Progress) -> dict[str, object]:
    """Ask the teacher about the next open tasks and push the predictions to Label Studio."""
    with runtime.database.read() as session:
        project = get_project(session, project_id)
        served = live(session, project)
        tasks = list(open_tasks(session, project_id, limit=runtime.settings.prefetch))
    asked = 0
    for s in served:
        asked += _ask_missing(runtime, project, s.rest if s.student else s, unsure(runtime, s, tasks), progress)
    pushed = push_known(runtime, project, served, tasks)
    return {"asked": asked, "pushed": pushed}


def push_known(runtime: Runtime, project: ProjectRow, served: Sequence[Served], tasks: Sequence[TaskRow]) -> int:
    """Store in Label Studio what is known about tasks and not there yet; returns how many predictions."""
    version = version_of(served)
    waiting = [task for task in tasks if task.pushed_version != version]
    try:
        client = runtime.label_studio()
    except ConfigError:
        return 0  # Not connected with a token: Label Studio asks for each task when it is opened.
    answers = answer(runtime, project, served, waiting, may_ask=False)
    pairs = [(task, compose(project, served, task, answers)) for task in waiting]
    predictions = [p for _, p in pairs if p is not None]
    number = client.push_predictions(project.ls_id, predictions) if predictions else 0
    with runtime.database.write() as session:
        set_pushed(session, [task.id for task, p in pairs if p is not None], version)
    return number


def _ask_missing(
    runtime: Runtime, project: ProjectRow, served: Served, tasks: Sequence[TaskRow], progress: Progress
) -> int:
    rows = stored(runtime, served.row, tasks, served.version)
    missing = [task for task in tasks if needs_asking(rows.get(task.id))]
    for start in range(0, len(missing), BATCH):
        try:
            ask(runtime, project, served.row, missing[start : start + BATCH])
        except TeacherError as error:
            logger.warning("Aspect %s: %s", served.row.name, error)
            return start
        progress(
            {
                "aspect": served.row.name,
                "asked": start + len(missing[start : start + BATCH]),
                "of": len(missing),
            }
        )
    return len(missing)
