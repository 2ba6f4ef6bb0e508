"""Bring annotations into the store, with every state they had, and count what of them cannot be used.

Webhooks and `reconcile` both end here; applying the same twice changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete
from sqlalchemy.orm import Session

from handover.domain import Aspect
from handover.labelstudio.convert import read_result
from handover.labelstudio.protocol import AnnotationIn
from handover.store import annotations as annotation_store
from handover.store.columns import utcnow
from handover.store.models import AnnotationRow, ProjectRow, SetAsideRow, TaskRow
from handover.store.projects import aspect_of, aspects_of, lock_project
from handover.task_texts import text_of

MAX_REASONS = 20
"""Reasons that are kept of one annotation; the rest is only counted."""

SETTLED = timedelta(seconds=60)
"""A time so long ago was not made up while a page was read. Not more than the overlap of two reconciles."""


def apply_annotation(
    session: Session, project: ProjectRow, task: TaskRow, annotation: AnnotationIn, *, revive: bool = True
) -> bool:
    """Store a new or changed annotation. Returns False when it was known already or is older than what is known.

    `revive` says whether the caller knows that the annotation exists; an event that comes late does not.
    """
    lock_project(session, project.id)
    row = annotation_store.annotations_by_ls_id(session, project.id, [annotation.id]).get(annotation.id)
    if row is not None and not _is_news(row, task, annotation, revive=revive):
        _saw(row, annotation, is_live=not revive)
        return False
    action = "updated" if row is not None else "created"
    revision, imported = _revision_for(session, row, annotation), _is_imported(row, annotation)
    if row is None:
        row = AnnotationRow(project_id=project.id, task_id=task.id, ls_id=annotation.id)
    _fill(row, task, annotation, revision=revision)
    row.imported = imported
    session.add(row)
    session.flush()
    annotation_store.add_history(session, row, action)
    _check_result(session, project, task, row)
    return True


def delete_annotations(session: Session, project: ProjectRow, ls_ids: Sequence[int]) -> int:
    """Mark annotations as deleted. Returns how many changed."""
    lock_project(session, project.id)
    rows = annotation_store.annotations_by_ls_id(session, project.id, ls_ids).values()
    gone = [row for row in rows if not row.deleted]
    for row in gone:
        row.deleted, row.revision = True, annotation_store.next_revision(session)
        annotation_store.add_history(session, row, "deleted")
        session.execute(delete(SetAsideRow).where(SetAsideRow.annotation_id == row.id))
    return len(gone)


def set_aside_annotations(session: Session, task: TaskRow, reasons: Sequence[str]) -> None:
    """Count the annotations of a task that cannot be read at all, instead of those that were counted before."""
    mine = (SetAsideRow.task_id == task.id, SetAsideRow.subject == "annotation", SetAsideRow.annotation_id.is_(None))
    session.execute(delete(SetAsideRow).where(*mine))
    for reason in reasons:
        row = SetAsideRow(project_id=task.project_id, task_id=task.id, subject="annotation", reason=reason)
        session.add(row)


def _is_news(row: AnnotationRow, task: TaskRow, annotation: AnnotationIn, *, revive: bool) -> bool:
    if annotation.updated_at < row.ls_updated_at:
        return False
    if row.deleted and not revive:
        return annotation.updated_at > row.ls_updated_at
    moved = row.task_id != task.id  # Label Studio does that when it removes duplicated tasks
    return row.deleted or moved or row.imported != _is_imported(row, annotation) or not _is_same(row, annotation)


def _is_same(row: AnnotationRow, annotation: AnnotationIn) -> bool:
    return (
        row.result == annotation.result
        and row.was_cancelled == annotation.was_cancelled
        and row.ground_truth == annotation.ground_truth
    )


def _saw(row: AnnotationRow, annotation: AnnotationIn, *, is_live: bool) -> None:
    """Submitted again without a change: nothing older counts any more, and it is about the text of that time.

    What is read much later would be stamped with the time of reading each time, were Label Studio's clock far ahead;
    so of that a time counts only once it has passed.
    """
    if not row.deleted and (is_live or annotation.updated_at < utcnow() - SETTLED):
        row.ls_updated_at = max(row.ls_updated_at, annotation.updated_at)


def _is_imported(row: AnnotationRow | None, annotation: AnnotationIn) -> bool:
    """Whether it counts as imported: until somebody marks it as ground truth in Label Studio, which marks what it
    imports by itself. So only a mark counts that was not there before."""
    if row is None or annotation.is_bulk:
        return annotation.is_imported
    return row.imported and not (annotation.ground_truth and not row.ground_truth)


def _revision_for(session: Session, row: AnnotationRow | None, annotation: AnnotationIn) -> int:
    """The next one; for an annotation that was only taken for deleted, or is on another task now, that of its content:
    it was counted and looked at under that."""
    if row is None or not _is_same(row, annotation):
        return annotation_store.next_revision(session)
    return annotation_store.content_revision(session, row)


def _fill(row: AnnotationRow, task: TaskRow, annotation: AnnotationIn, *, revision: int) -> None:
    if annotation.parent_prediction != row.ls_parent_prediction_id:
        row.parent_has_content, row.parent_result, row.parent_version = None, None, ""
    row.task_id = task.id
    row.result = annotation.result
    row.was_cancelled = annotation.was_cancelled
    row.ground_truth = annotation.ground_truth
    row.completed_by = annotation.completed_by
    row.lead_time = annotation.lead_time
    row.ls_parent_prediction_id = annotation.parent_prediction
    row.ls_updated_at = annotation.updated_at
    row.deleted = False
    row.revision = revision


def _check_result(session: Session, project: ProjectRow, task: TaskRow, row: AnnotationRow) -> None:
    """Count what of an annotation had to be repaired or cannot be used."""
    session.execute(delete(SetAsideRow).where(SetAsideRow.annotation_id == row.id))
    if not row.was_cancelled:
        count_problems(session, task, row, [aspect_of(a) for a in aspects_of(session, project.id)])


def count_problems(session: Session, task: TaskRow, row: AnnotationRow, aspects: Sequence[Aspect]) -> None:
    """Count, aspect by aspect, what of an annotation had to be repaired or cannot be used."""
    for aspect in aspects:
        reading = read_result(row.result, aspect, text_of(task.data, aspect))
        found = Counter((reason, False) for reason in reading.set_aside[:MAX_REASONS])
        if len(reading.set_aside) > MAX_REASONS:
            found["further parts of the same annotation", False] = len(reading.set_aside) - MAX_REASONS
        found.update({("offsets repaired", True): reading.repaired} if reading.repaired else {})
        for (reason, repaired), number in found.items():
            subject = SetAsideRow(subject="annotation", name=aspect.name, reason=reason, repaired=repaired)
            subject.project_id, subject.task_id, subject.annotation_id = task.project_id, task.id, row.id
            subject.number = number
            session.add(subject)
