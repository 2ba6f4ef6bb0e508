"""When a job is due: a retrain when enough annotations changed, a look when enough gold did or the teacher, a prefetch
when the lookahead runs low.
"""

from __future__ import annotations

import math

from sqlalchemy.orm import Session

from handover.jobs.queue import JobKind
from handover.runtime import Runtime
from handover.settings import Settings
from handover.store.annotations import changed_gold_since, changed_since, count_finished
from handover.store.jobs import is_active
from handover.store.models import AspectRow, ProjectRow
from handover.store.projects import aspects_of
from handover.store.students import handover_of, subject_of, was_compared
from handover.store.tasks import count_open_by_push
from handover.validity import has_other_teacher


def changes_needed(finished: int, settings: Settings) -> int:
    """How many changed annotations start a training when `finished` annotations were there the last time."""
    return max(settings.retrain_after, math.ceil(settings.retrain_growth * finished))


def is_due(session: Session, aspect: AspectRow, settings: Settings) -> bool:
    """Whether enough changed since the last training was tried, and there is enough to train on.

    Counted from the last try and not from the last success, so that a training that fails is not repeated with
    every annotation.
    """
    finished = count_finished(session, aspect.project_id)
    if count_finished(session, aspect.project_id, held_out=False) < settings.min_train:
        return False
    changed = changed_since(session, aspect.project_id, aspect.attempted_revision)
    return changed >= changes_needed(finished - changed, settings)


def look_is_due(session: Session, aspect: AspectRow, settings: Settings) -> bool:
    """Whether a look is needed and no training waits or runs: that ends with a look, at a newer student."""
    return not is_active(session, JobKind.RETRAIN.value, aspect.id) and look_is_needed(session, aspect, settings)


def look_is_needed(session: Session, aspect: AspectRow, settings: Settings) -> bool:
    """Whether there is a student to look at and enough gold changed since the last look, or the teacher did."""
    student = subject_of(session, aspect)
    if student is None:
        return False
    gold = count_finished(session, aspect.project_id) - count_finished(session, aspect.project_id, held_out=False)
    if gold < settings.min_gold:
        return False
    is_new_teacher = has_other_teacher(handover_of(session, aspect), aspect.teacher_id)
    if is_new_teacher and not was_compared(session, student.id, aspect.teacher_id, min_gold=settings.min_gold):
        return True
    changed = changed_gold_since(session, aspect.project_id, aspect.looked_revision)
    return changed >= max(settings.look_after, math.ceil(settings.look_growth * (gold - changed)))


def lookahead_is_low(session: Session, project: ProjectRow, settings: Settings) -> bool:
    """Whether less than half of the tasks that the teacher should be ahead of the annotators are answered."""
    answered, waiting = count_open_by_push(session, project.id, project.live_version)
    return waiting > 0 and answered < settings.prefetch / 2


def trigger_retrains(runtime: Runtime, project_id: int, *, force: bool = False) -> list[str]:
    """Enqueue a retrain for each aspect of a project that is due, or for all with `force`; returns the job ids."""
    with runtime.database.read() as session:
        rows = [row for row in aspects_of(session, project_id) if force or is_due(session, row, runtime.settings)]
    # What comes while a training starts, before that notes what it saw, may enqueue another one: that asks again.
    arguments: dict[str, object] = {} if force else {"if_due": True}
    ids = [runtime.queue.enqueue(JobKind.RETRAIN, row.id, arguments=arguments) for row in rows]
    return [job_id for job_id in ids if job_id is not None]


def trigger_looks(runtime: Runtime, project_id: int) -> list[str]:
    """Enqueue a look for each aspect of a project that is due; returns the job ids."""
    with runtime.database.read() as session:
        rows = [row for row in aspects_of(session, project_id) if look_is_due(session, row, runtime.settings)]
    ids = [runtime.queue.enqueue(JobKind.LOOK, row.id) for row in rows]
    return [job_id for job_id in ids if job_id is not None]
