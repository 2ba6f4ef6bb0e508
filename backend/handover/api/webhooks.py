"""What each webhook of Label Studio does. Everything here is quick; what is not becomes a job."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from sqlalchemy.orm import Session

from handover.annotation_intake import apply_annotation, delete_annotations
from handover.intake import apply_tasks, delete_tasks, options_for
from handover.jobs.queue import JobKind
from handover.jobs.trigger import lookahead_is_low, trigger_looks, trigger_retrains
from handover.labelstudio.protocol import TaskIn, WebhookRequest
from handover.runtime import Runtime
from handover.serving import update_config
from handover.store.annotations import count_finished
from handover.store.models import EventRow, ProjectRow
from handover.store.projects import project_by_ls_id

logger = logging.getLogger(__name__)

MAX_INLINE = 40
MAX_INLINE_REGIONS = 2_000
MAX_INLINE_CHARS = 500_000
"""Events with more annotations and tasks, regions, or characters than this are left to a reconcile."""

START_TRAINING = "START_TRAINING"
TASKS_DELETED = "TASKS_DELETED"

Handler = Callable[[Runtime, Session, ProjectRow, WebhookRequest], tuple[str, list[JobKind]]]


def handle(runtime: Runtime, event: WebhookRequest) -> dict[str, Any]:
    """Apply one event; returns what was done about it and the jobs that were enqueued."""
    with runtime.database.write() as session:
        project = _project_of(session, event)
        outcome, kinds = _apply(runtime, session, project, event)
        session.add(_event_row(event, outcome))
    forced = event.action == START_TRAINING
    full = event.action == TASKS_DELETED
    jobs = _enqueue(runtime, project.id, kinds, forced=forced, full=full) if project is not None else []
    return {"outcome": outcome, "jobs": jobs}


def _apply(
    runtime: Runtime, session: Session, project: ProjectRow | None, event: WebhookRequest
) -> tuple[str, list[JobKind]]:
    if project is None:
        return "ignored: the project is not connected", []
    handler = HANDLERS.get(event.action)
    if handler is None:
        return "ignored: nothing to do for this action", []
    return handler(runtime, session, project, event)


def _annotated(
    runtime: Runtime, session: Session, project: ProjectRow, event: WebhookRequest
) -> tuple[str, list[JobKind]]:
    annotations, tasks = event.annotation_list, event.task_list
    if _is_large(event):
        return "a large event: left to reconcile", [JobKind.RECONCILE]
    options = options_for(project, runtime.settings)
    rows = apply_tasks(session, project, _as_annotated(event), options, revive=False)
    changed = 0
    for index, annotation in enumerate(annotations):
        ls_task_id = annotation.task or (tasks[index].id if index < len(tasks) else None)
        task = rows.get(ls_task_id) if ls_task_id is not None else None
        if task is None:
            return "an annotation came without its task: left to reconcile", [JobKind.RECONCILE]
        changed += apply_annotation(session, project, task, annotation, revive=False)
    needs_look = any(a.parent_prediction is not None for a in annotations)
    is_gold = any(row.split == "gold" for row in rows.values())
    kinds = [JobKind.RETRAIN]
    if lookahead_is_low(session, project, runtime.settings):
        kinds.append(JobKind.PREFETCH)
    if needs_look and is_gold:
        kinds.append(JobKind.RECONCILE)
    return f"{changed} changed", kinds


def _as_annotated(event: WebhookRequest) -> list[TaskIn]:
    """The tasks of an event as they were when they were annotated: their texts are what annotators saw."""
    at = min((annotation.updated_at for annotation in event.annotation_list), default=None)
    return [task.model_copy(update={"updated_at": at}) for task in event.task_list]


def _is_large(event: WebhookRequest) -> bool:
    """Whether applying an event would take longer than Label Studio waits."""
    regions = sum(len(annotation.result) for annotation in event.annotation_list)
    characters = sum(len(value) for task in event.task_list for value in task.data.values() if isinstance(value, str))
    parts = len(event.annotation_list) + len(event.task_list)
    return parts > MAX_INLINE or regions > MAX_INLINE_REGIONS or characters > MAX_INLINE_CHARS


def _annotations_deleted(
    _runtime: Runtime, session: Session, project: ProjectRow, event: WebhookRequest
) -> tuple[str, list[JobKind]]:
    number = delete_annotations(session, project, [a.id for a in event.annotations or []])
    return f"{number} deleted", [JobKind.RETRAIN]


def _tasks_created(
    _runtime: Runtime, _session: Session, _project: ProjectRow, _event: WebhookRequest
) -> tuple[str, list[JobKind]]:
    return "new tasks are fetched", [JobKind.RECONCILE]


def _tasks_deleted(
    _runtime: Runtime, session: Session, project: ProjectRow, event: WebhookRequest
) -> tuple[str, list[JobKind]]:
    before = count_finished(session, project.id)
    number = delete_tasks(session, project, [task.id for task in event.tasks or []])
    kinds = [JobKind.RETRAIN]
    if count_finished(session, project.id) < before:
        kinds.append(JobKind.RECONCILE)  # a full one: "Remove duplicated tasks" moves annotations without a word
    return f"{number} tasks deleted", kinds


def _project_updated(
    runtime: Runtime, session: Session, project: ProjectRow, event: WebhookRequest
) -> tuple[str, list[JobKind]]:
    if event.project is None:
        return "ignored: the event carries no project", []
    project.title = event.project.title or project.title
    if not update_config(session, runtime, project, event.project.label_config):
        return "no aspect changed", []
    return "aspects changed", [JobKind.REFRESH, JobKind.PREFETCH, JobKind.RETRAIN]


def _start_training(
    _runtime: Runtime, _session: Session, _project: ProjectRow, _event: WebhookRequest
) -> tuple[str, list[JobKind]]:
    return "training was asked for", [JobKind.RETRAIN]


HANDLERS: dict[str, Handler] = {
    "ANNOTATION_CREATED": _annotated,
    "ANNOTATION_UPDATED": _annotated,
    "ANNOTATIONS_CREATED": _annotated,
    "ANNOTATIONS_DELETED": _annotations_deleted,
    "TASKS_CREATED": _tasks_created,
    TASKS_DELETED: _tasks_deleted,
    "PROJECT_UPDATED": _project_updated,
    START_TRAINING: _start_training,
}


def _enqueue(runtime: Runtime, project_id: int, kinds: list[JobKind], *, forced: bool, full: bool) -> list[str]:
    jobs: list[str | None] = []
    for kind in dict.fromkeys(kinds):
        if kind is JobKind.RECONCILE and full:
            jobs.append(runtime.queue.enqueue(kind, project_id, arguments={"full": True}))
        elif kind is JobKind.RETRAIN:
            jobs += trigger_retrains(runtime, project_id, force=forced)
            jobs += trigger_looks(runtime, project_id)
        else:
            jobs.append(runtime.queue.enqueue(kind, project_id))
    return [job_id for job_id in jobs if job_id is not None]


def _project_of(session: Session, event: WebhookRequest) -> ProjectRow | None:
    return project_by_ls_id(session, event.project.id) if event.project is not None else None


def _event_row(event: WebhookRequest, outcome: str) -> EventRow:
    summary = {
        "annotations": [a.id for a in event.annotation_list][:100],
        "deleted": [a.id for a in event.annotations or []][:100],
        "tasks": [*(task.id for task in event.task_list), *(task.id for task in event.tasks or [])][:100],
    }
    return EventRow(
        ls_project_id=event.project.id if event.project else None,
        action=event.action,
        summary=summary,
        outcome=outcome,
    )
