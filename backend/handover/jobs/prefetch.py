"""Teacher answers ahead of the annotator, stored in Label Studio so that opening a task never waits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

from handover.domain import AnswerStatus
from handover.errors import ConfigError, TeacherError
from handover.jobs import batches
from handover.preannotation import ask, missing_of
from handover.runtime import Runtime
from handover.serving import Served, answer, compose, live, unsure, version_of
from handover.store.models import ProjectRow, TaskRow
from handover.store.projects import get_project
from handover.store.tasks import open_tasks, set_pushed, still_open
from handover.teacher.calls import Purpose

logger = logging.getLogger(__name__)

Progress = Callable[[dict[str, object]], None]

CHUNK = 64
"""Tasks asked about before their predictions are pushed: what a killed job loses at most, and what annotators who
are quick wait for."""

FEW = 5
"""So many questions can fail on their own account; when more fail and none is answered, the teacher is away."""


def run(runtime: Runtime, project_id: int, progress: Progress) -> dict[str, object]:
    """Ask the teacher about the next open tasks and push the predictions to Label Studio."""
    with runtime.database.read() as session:
        project = get_project(session, project_id)
        served = live(session, project)
        tasks = list(open_tasks(session, project_id, limit=runtime.settings.prefetch))
    collected = batches.collect(runtime, project, served)
    pushed = push_known(runtime, project, served, _reread(runtime, project, served, tasks))
    report: dict[str, object] = {"collected": collected, "sent": 0, "asked": 0}
    by_teacher = [s for s in served if s.student is None]
    try:
        under_way = {s.row.id: batches.submit(runtime, project, s, tasks) for s in by_teacher}
        report["sent"] = sum(len(ids) for ids in under_way.values())
        for asked, chunk in _ask_missing(runtime, project, served, tasks, under_way):
            pushed += push_known(runtime, project, served, _reread(runtime, project, served, chunk))
            report["asked"] = asked
            progress({"asked": asked, "pushed": pushed})
    except TeacherError as error:
        logger.warning("Project %d: %s", project.ls_id, error)
        report["stopped"] = str(error)
    return {**report, "pushed": pushed}


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
        set_pushed(session, [task for task, p in pairs if p is not None], version)
    return number


def _reread(
    runtime: Runtime, project: ProjectRow, served: Sequence[Served], tasks: Sequence[TaskRow]
) -> Sequence[TaskRow]:
    """The tasks as they are now, without those that annotators finished; none when others are live by now."""
    with runtime.database.read() as session:
        is_live = version_of(live(session, get_project(session, project.id))) == version_of(served)
        return still_open(session, tasks) if is_live else []


def _ask_missing(
    runtime: Runtime,
    project: ProjectRow,
    served: Sequence[Served],
    tasks: Sequence[TaskRow],
    under_way: dict[int, set[int]],
) -> Iterator[tuple[int, Sequence[TaskRow]]]:
    """Ask chunk by chunk; yields how many questions were asked so far and the chunk's tasks.

    What annotators finished or opened meanwhile is not asked about, and nothing after a switch. Raises TeacherError
    when none of many questions was answered: then the others will not be, either.
    """
    asked = 0
    for start in range(0, len(tasks), CHUNK):
        chunk = _reread(runtime, project, served, tasks[start : start + CHUNK])
        before = asked
        for s in served:
            waiting = under_way.get(s.row.id, set())
            own = [task for task in unsure(runtime, s, chunk) if task.id not in waiting]
            missing = missing_of(runtime, s.rest.row, own, s.rest.version)
            answers = ask(runtime, project, s.rest.row, missing, purpose=Purpose.PREFETCH) if missing else []
            asked += len(answers)
            if len(answers) >= FEW and all(a.status is AnswerStatus.FAILED for a in answers):
                raise TeacherError(f"Aspect {s.row.name!r}: no question was answered. {answers[-1].problems[0]}")
        if asked > before:
            yield asked, chunk
