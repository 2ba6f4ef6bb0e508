"""Fetch what webhooks lost: Label Studio's API is the truth, the store follows it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import islice

from sqlalchemy.orm import Session

from handover.annotation_intake import apply_annotation, delete_annotations, set_aside_annotations
from handover.domain import Server
from handover.errors import ArtifactError, ConfigError
from handover.intake import apply_tasks, delete_tasks, fingerprint_tasks, options_for
from handover.jobs import refresh
from handover.jobs.drift import check_drift
from handover.jobs.queue import JobKind
from handover.jobs.trigger import trigger_looks, trigger_retrains
from handover.labelstudio.client import LabelStudioClient, StoredPrediction, TaskState
from handover.runtime import Runtime
from handover.serving import register
from handover.store import annotations as annotation_store
from handover.store import tasks as task_store
from handover.store.columns import utcnow
from handover.store.models import AnnotationRow, ProjectRow, TaskRow
from handover.store.projects import aspect_of, aspects_of, get_project, lock_project
from handover.store.tasks import tasks_by_ls_id

logger = logging.getLogger(__name__)

Progress = Callable[[dict[str, object]], None]

OVERLAP = timedelta(seconds=60)
"""Changes are fetched from this long before the last run, because clocks differ and transactions take time."""

BATCH = 100


def run(runtime: Runtime, project_id: int, progress: Progress, *, full: bool = False) -> dict[str, object]:
    """Bring the store in line with Label Studio; `full` reads all tasks and finds deleted ones too."""
    runtime.queue.mark_lost()
    with runtime.database.read() as session:
        project = get_project(session, project_id)
    try:
        client = runtime.label_studio()
    except ConfigError as error:
        runtime.queue.enqueue(JobKind.PREFETCH, project.id)  # it also fetches the answers of batches
        return {"skipped": str(error)}
    info = client.project(project.ls_id)
    register(runtime, project.ls_id, info.label_config, title=info.title, sampling=info.sampling)
    full = full or project.synced_until is None
    counts = _fetch(runtime, client, project, full=full, progress=progress)
    if full:
        counts["deleted"] = _sweep(runtime, client, project)
    counts["parents"] = _resolve_parents(runtime, client, project)
    _follow_up(runtime, project, shown=info.model_version)
    return dict(counts)


def _fetch(
    runtime: Runtime, client: LabelStudioClient, project: ProjectRow, *, full: bool, progress: Progress
) -> dict[str, int]:
    since = None if full or project.synced_until is None else project.synced_until - OVERLAP
    tasks = changed = 0
    newest = project.synced_until
    started = utcnow()
    for states in _batches(client.task_states(project.ls_id, updated_after=since)):
        changed += _apply(runtime, project, states, started=started)
        tasks += len(states)
        newest = max([state.updated_at for state in states] + ([newest] if newest else []))
        progress({"tasks": tasks, "changed": changed})
    with runtime.database.write() as session:
        # A time that is still to come would hide the changes until then.
        get_project(session, project.id).synced_until = min(newest, started) if newest else None
    return {"tasks": tasks, "changed": changed}


def _apply(runtime: Runtime, project: ProjectRow, states: list[TaskState], *, started: datetime) -> int:
    options = options_for(project, runtime.settings)
    with runtime.database.read() as session:
        known = tasks_by_ls_id(session, project.id, [state.task.id for state in states])
        aspects = [aspect_of(row) for row in aspects_of(session, project.id)]
    fresh = [state.task for state in states if state.task.id not in known]
    prints = fingerprint_tasks(fresh, aspects, max_text_chars=options.max_text_chars)
    with runtime.database.write() as session:
        project = get_project(session, project.id)
        lock_project(session, project.id)
        rows = tasks_by_ls_id(session, project.id, [state.task.id for state in states])
        current = [state.task for state in states if not _is_outdated(session, rows.get(state.task.id), state)]
        rows.update(apply_tasks(session, project, current, options, prints=prints))
        return sum(_apply_annotations(session, project, rows[s.task.id], s, started=started) for s in states)


def _is_outdated(session: Session, row: TaskRow | None, state: TaskState) -> bool:
    """Whether a webhook told more since the page with this state was read: an annotation changes its task, too."""
    if row is None or row.deleted:
        return False
    newest = annotation_store.newest_of_task(session, row.id)
    return newest is not None and newest > state.updated_at


def _apply_annotations(
    session: Session, project: ProjectRow, row: TaskRow, state: TaskState, *, started: datetime
) -> int:
    changed = sum(apply_annotation(session, project, row, annotation) for annotation in state.annotations)
    set_aside_annotations(session, row, [annotation.reason for annotation in state.unreadable])
    present = {a.id for a in state.annotations} | {a.id for a in state.unreadable}
    missing = [a for a in annotation_store.annotations_of_task(session, row.id) if a.ls_id not in present]
    newer = [a.id for a in missing if a.ls_updated_at > state.updated_at]  # the page may have been read before them
    learned = annotation_store.learned_since(session, newer, started - OVERLAP)
    return changed + delete_annotations(session, project, [a.ls_id for a in missing if a.id not in learned])


def _sweep(runtime: Runtime, client: LabelStudioClient, project: ProjectRow) -> int:
    present = client.task_ids(project.ls_id)
    with runtime.database.read() as session:
        missing = sorted(task_store.all_ls_ids(session, project.id) - present)
    # A task may have come after the ids were listed; what is deleted here takes its annotations along.
    gone = [ls_id for ls_id in missing if not client.has_task(ls_id)]
    with runtime.database.write() as session:
        return delete_tasks(session, get_project(session, project.id), gone)


def _resolve_parents(runtime: Runtime, client: LabelStudioClient, project: ProjectRow) -> int:
    """Find out what the predictions that annotators started from showed."""
    with runtime.database.read() as session:
        rows = annotation_store.unresolved_parents(session, project.id)
        parents = {row.ls_parent_prediction_id for row in rows if row.ls_parent_prediction_id is not None}
    found = {parent: client.prediction(parent) for parent in sorted(parents)}
    with runtime.database.write() as session:
        for row in annotation_store.unresolved_parents(session, project.id):
            if row.ls_parent_prediction_id in found:
                set_parent(row, found[row.ls_parent_prediction_id])
    return len(found)


def set_parent(row: AnnotationRow, prediction: StoredPrediction | None) -> None:
    """Keep what an annotation started from. A prediction that is gone cannot be shown to have been empty."""
    row.parent_has_content = prediction is None or bool(prediction.result)
    row.parent_version = prediction.model_version if prediction is not None else ""
    row.parent_result = prediction.result if prediction is not None else None


def _follow_up(runtime: Runtime, project: ProjectRow, *, shown: str) -> None:
    if refresh.is_due(runtime, project.id, shown=shown):
        runtime.queue.enqueue(JobKind.REFRESH, project.id)
    runtime.queue.enqueue(JobKind.PREFETCH, project.id)
    trigger_retrains(runtime, project.id)
    trigger_looks(runtime, project.id)
    _check_drift(runtime, project)


def _check_drift(runtime: Runtime, project: ProjectRow) -> None:
    """New texts need no gold to differ from the old ones."""
    with runtime.database.read() as session:
        served = [row.id for row in aspects_of(session, project.id) if row.server == Server.STUDENT.value]
    for aspect_id in served:
        try:
            check_drift(runtime, aspect_id)
        except ArtifactError:
            logger.exception("Drift of aspect %d cannot be measured", aspect_id)


def _batches(states: Iterable[TaskState]) -> Iterable[list[TaskState]]:
    iterator = iter(states)
    while batch := list(islice(iterator, BATCH)):
        yield batch
