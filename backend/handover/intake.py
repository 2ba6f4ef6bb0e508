"""Bring what Label Studio says into the store: configs and tasks; `annotation_intake` does annotations.

Webhooks and `reconcile` both end here, so that it makes no difference how a change became known. Applying the same
twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from handover.annotation_intake import count_problems, delete_annotations
from handover.domain import Aspect
from handover.errors import ConfigError
from handover.evaluation.split import Fingerprint, assign_split, find_head, fingerprints, key_of
from handover.labelstudio.label_config import parse_label_config
from handover.labelstudio.protocol import TaskIn
from handover.settings import Settings
from handover.store import annotations as annotation_store
from handover.store import tasks as task_store
from handover.store.answers import forget_predictions
from handover.store.columns import utcnow
from handover.store.models import ProjectRow, SetAsideRow, TaskRow
from handover.store.projects import aspect_of, aspects_of, lock_project, project_by_ls_id, put_aspects
from handover.task_texts import problem_of, text_of

_NO_TEXT = key_of("")
"""Tasks with this key have no split yet that means anything: they can be neither annotated nor predicted."""


@dataclass(frozen=True)
class Options:
    """What intake needs of the settings, with the project's own values on top."""

    gold_share: float
    dev_share: float
    max_text_chars: int


def options_for(project: ProjectRow, settings: Settings) -> Options:
    """The options of a project: its own where it has some, else the settings'."""
    return Options(
        gold_share=float((project.options or {}).get("gold_share", settings.gold_share)),
        dev_share=settings.dev_share,
        max_text_chars=settings.max_text_chars,
    )


def adopt_project(session: Session, ls_project_id: int, *, title: str = "", sampling: str | None = None) -> ProjectRow:
    """The row of a Label Studio project, made if it is new."""
    project = project_by_ls_id(session, ls_project_id)
    if project is None:
        project = ProjectRow(ls_id=ls_project_id, options={})
        session.add(project)
        session.flush()
    project.title = title or project.title
    project.sampling = project.sampling if sampling is None else sampling
    return project


def apply_config(session: Session, project: ProjectRow, label_config: str, *, max_text_chars: int) -> bool:
    """Bring the aspects in line with a labeling config. Returns True when an aspect changed.

    Tags that cannot be used are set aside with the reason. A config that cannot be read at all leaves the
    project without active aspects, and says so in the same place.
    """
    if not label_config or label_config == project.label_config:
        return False
    project.label_config = label_config
    session.execute(delete(SetAsideRow).where(SetAsideRow.project_id == project.id, SetAsideRow.subject == "tag"))
    try:
        parsed = parse_label_config(label_config)
    except ConfigError as error:
        _set_aside(session, project, "tag", "", str(error))
        return put_aspects(session, project, ())
    for aside in parsed.set_aside:
        _set_aside(session, project, "tag", aside.name, aside.reason)
    fields = _text_fields(session, project)
    changed = put_aspects(session, project, parsed.aspects)
    if any(fields.get(aspect.name, aspect.text_field) != aspect.text_field for aspect in parsed.aspects):
        _show_another_field(session, project, parsed.aspects, max_text_chars=max_text_chars)
    if changed:
        _review_tasks(session, project, max_text_chars=max_text_chars)
    return changed


def place_tasks(session: Session, project: ProjectRow, options: Options) -> None:
    """Give tasks that had no text until now, for want of a config that shows it, the split that their text has."""
    aspects = [aspect_of(row) for row in aspects_of(session, project.id)]
    texts = {
        row: _split_text(row.data, aspects)[: options.max_text_chars]
        for row in task_store.tasks_by_text_key(session, project.id, _NO_TEXT)
    }
    found = {row: text for row, text in texts.items() if text.strip()}
    _place(session, project, list(found), fingerprints(found.values()), options)


def fingerprint_tasks(
    tasks: Sequence[TaskIn], aspects: Sequence[Aspect], *, max_text_chars: int
) -> dict[int, Fingerprint]:
    """What decides the splits of tasks, by task id. Takes a while for many: call it outside of a transaction."""
    texts = [_split_text(task.data, aspects)[:max_text_chars] for task in tasks]
    return {task.id: found for task, found in zip(tasks, fingerprints(texts), strict=True)}


def apply_tasks(
    session: Session,
    project: ProjectRow,
    tasks: Sequence[TaskIn],
    options: Options,
    *,
    prints: Mapping[int, Fingerprint] | None = None,
    revive: bool = True,
) -> dict[int, TaskRow]:
    """Store new tasks and changed data; returns the rows by Label Studio's task id.

    `revive` says whether the caller knows that the tasks exist; an event that comes late does not.
    """
    lock_project(session, project.id)
    known = task_store.tasks_by_ls_id(session, project.id, [task.id for task in tasks])
    aspects = [aspect_of(row) for row in aspects_of(session, project.id)]
    fresh = list({task.id: task for task in tasks if task.id not in known}.values())
    if fresh:
        missing = [task for task in fresh if prints is None or task.id not in prints]
        made = fingerprint_tasks(missing, aspects, max_text_chars=options.max_text_chars)
        _add_tasks(session, project, fresh, aspects, options, {**(prints or {}), **made})
    for task in tasks:
        row = known.get(task.id)
        if row is not None and (row.data != task.data or (row.deleted and revive)):
            _change_task(session, project, row, task, aspects, options)
            row.deleted = row.deleted and not revive
    if fresh:
        known.update(task_store.tasks_by_ls_id(session, project.id, [task.id for task in fresh]))
    return known


def delete_tasks(session: Session, project: ProjectRow, ls_ids: Sequence[int]) -> int:
    """Mark tasks and their annotations as deleted. Returns how many tasks changed."""
    lock_project(session, project.id)
    task_ids = task_store.mark_deleted(session, project.id, ls_ids)
    for task_id in task_ids:
        rows = annotation_store.annotations_of_task(session, task_id)
        delete_annotations(session, project, [row.ls_id for row in rows])
        session.execute(delete(SetAsideRow).where(SetAsideRow.task_id == task_id))
    return len(task_ids)


def _set_aside(
    session: Session, project: ProjectRow, subject: str, name: str, reason: str, *, task: TaskRow | None = None
) -> None:
    task_id = task.id if task is not None else None
    session.add(SetAsideRow(project_id=project.id, task_id=task_id, subject=subject, name=name, reason=reason))


def _add_tasks(
    session: Session,
    project: ProjectRow,
    tasks: Sequence[TaskIn],
    aspects: Sequence[Aspect],
    options: Options,
    by_id: Mapping[int, Fingerprint],
) -> None:
    rows = [TaskRow(project_id=project.id, ls_id=task.id, data=task.data) for task in tasks]
    _place(session, project, rows, [by_id[task.id] for task in tasks], options)
    session.add_all(rows)
    session.flush()
    for row in rows:
        _check_task(session, project, row, aspects, max_text_chars=options.max_text_chars)


def _place(
    session: Session, project: ProjectRow, rows: Sequence[TaskRow], prints: Sequence[Fingerprint], options: Options
) -> None:
    """Give tasks their group, and with it the split that the group has already or gets now."""
    groups = _group(session, prints)
    known = task_store.splits_of_groups(session, project.id, groups)
    for row, fingerprint, group in zip(rows, prints, groups, strict=True):
        fresh = assign_split(group, gold_share=options.gold_share, dev_share=options.dev_share)
        row.text_key, row.group_key, row.split = fingerprint.key, group, known.get(group, fresh).value


def _change_task(
    session: Session,
    project: ProjectRow,
    row: TaskRow,
    task: TaskIn,
    aspects: Sequence[Aspect],
    options: Options,
) -> None:
    if row.data != task.data:
        # The split stays: what was held out must not become training data by an edit, nor the reverse.
        row.data, row.data_changed_at, row.pushed_version = task.data, _changed_at(session, row, task), ""
        fingerprint = fingerprint_tasks([task], aspects, max_text_chars=options.max_text_chars)[task.id]
        if row.text_key == _NO_TEXT:
            _place(session, project, [row], [fingerprint], options)
        elif fingerprint.key != _NO_TEXT:
            row.text_key = fingerprint.key
        forget_predictions(session, [row.id])
    session.execute(delete(SetAsideRow).where(SetAsideRow.task_id == row.id, SetAsideRow.annotation_id.is_(None)))
    _check_task(session, project, row, aspects, max_text_chars=options.max_text_chars)


def _changed_at(session: Session, row: TaskRow, task: TaskIn) -> datetime:
    """A time by Label Studio's clock which only those annotations have reached that are about the changed text."""
    at = task.updated_at or utcnow()
    newest = annotation_store.newest_of_task(session, row.id)
    return at if newest is None else max(at, newest + timedelta(microseconds=1))


def _check_task(
    session: Session, project: ProjectRow, row: TaskRow, aspects: Sequence[Aspect], *, max_text_chars: int
) -> None:
    for aspect in aspects:
        problem = problem_of(row.data, aspect, max_text_chars=max_text_chars)
        if problem:
            _set_aside(session, project, "task", aspect.name, problem, task=row)


def _review_tasks(session: Session, project: ProjectRow, *, max_text_chars: int) -> None:
    """After a change of the config: what is set aside may have changed with it."""
    query = select(TaskRow).where(TaskRow.project_id == project.id, ~TaskRow.deleted)
    aspects = [aspect_of(row) for row in aspects_of(session, project.id)]
    session.execute(delete(SetAsideRow).where(SetAsideRow.project_id == project.id, SetAsideRow.subject == "task"))
    for row in session.scalars(query):
        _check_task(session, project, row, aspects, max_text_chars=max_text_chars)
        row.pushed_version = ""
    mine = (SetAsideRow.project_id == project.id, SetAsideRow.annotation_id.is_not(None))
    session.execute(delete(SetAsideRow).where(*mine))
    for task, annotation in annotation_store.finished(session, project.id):
        count_problems(session, task, annotation, aspects)


def _text_fields(session: Session, project: ProjectRow) -> dict[str, str]:
    rows = aspects_of(session, project.id, active_only=False)
    return {row.name: aspect_of(row).text_field for row in rows}


def _show_another_field(
    session: Session, project: ProjectRow, aspects: Sequence[Aspect], *, max_text_chars: int
) -> None:
    """To whom annotates, it is as if the text of the tasks had been edited: gold from before says nothing about it.

    The time is ours; where Label Studio's clock is ahead it is after the newest annotation.
    """
    newest = annotation_store.newest_by_task(session, project.id)
    for row in session.scalars(select(TaskRow).where(TaskRow.project_id == project.id)):
        key = key_of(_split_text(row.data, aspects)[:max_text_chars])
        if key not in (row.text_key, _NO_TEXT) and row.text_key != _NO_TEXT:
            at = newest.get(row.id)
            row.text_key = key
            row.data_changed_at = max(utcnow(), at + timedelta(microseconds=1)) if at is not None else utcnow()


def _split_text(data: Mapping[str, Any], aspects: Sequence[Aspect]) -> str:
    """The text that decides the split: what the aspects of the project are about."""
    return "\n".join(sorted({text_of(data, aspect) for aspect in aspects}))


def _group(session: Session, prints: Sequence[Fingerprint]) -> list[str]:
    """The group of each text: the one it was given before, that of an earlier near-identical text, or its own."""
    candidates = task_store.candidate_groups(session, [band for p in prints for band in p.bands])
    known = task_store.groups_by_text(session, [p.key for p in prints])
    added: dict[str, tuple[bytes, Sequence[str]]] = {}
    for fingerprint in prints:
        if fingerprint.key in known:
            continue
        near = (pair for band in fingerprint.bands for pair in candidates.get(band, ()))
        group = find_head(fingerprint.signature, near)
        if group is None:
            group = fingerprint.key
            added[group] = (fingerprint.signature, fingerprint.bands)
            for band in fingerprint.bands:
                candidates.setdefault(band, []).append((group, fingerprint.signature))
        known[fingerprint.key] = group
    task_store.add_groups(session, added)
    return [known[p.key] for p in prints]
