"""What follows from a look: the evaluation and the decision are stored and carried out in one transaction."""

from __future__ import annotations

import logging

from sqlalchemy.orm import Session

from handover.domain import Outcome
from handover.jobs.drift import check_drift, check_drop
from handover.jobs.look import Known, Look, take_look
from handover.jobs.queue import JobKind
from handover.jobs.situation import Situation, read_situation
from handover.runtime import Runtime
from handover.store.models import AspectRow, DecisionRow, EvaluationRow, StudentRow
from handover.store.projects import get_aspect
from handover.store.students import decision_about, fits, subject_of, switches_of
from handover.switching import PIN_NOTE, carry_out, record

logger = logging.getLogger(__name__)

Report = dict[str, object]

MOVING = (Outcome.PROMOTE.value, Outcome.ROLLBACK.value)


def look_and_settle(runtime: Runtime, aspect_id: int, student: StudentRow | None = None) -> Report:
    """Look at a student (without one: at the one that serves, else the newest) and do what the decision says."""
    situation = read_situation(runtime, aspect_id)
    with runtime.database.read() as session:
        looked_at = student or subject_of(session, situation.row)
    if looked_at is None:
        return {"outcome": "no student yet"}
    if not fits(looked_at, situation.row):
        return {"student": looked_at.version, "outcome": "the labels changed since it was trained"}
    look = take_look(runtime, situation, looked_at)
    with runtime.database.write() as session:
        row = get_aspect(session, aspect_id)
        row.teacher_id = situation.teacher_id or row.teacher_id
        is_as_it_was = _is_as_it_was(row, situation)
        decision = _follow(session, row, look) if is_as_it_was else None
        if is_as_it_was and (student is None or look is not None):
            row.looked_revision = situation.revision
    if decision is not None and decision.applied:
        runtime.queue.enqueue(JobKind.REFRESH, situation.project.id)
    check_drop(runtime, aspect_id, situation.examples.gold)
    check_drift(runtime, aspect_id)
    return _report(situation, looked_at, decision)


def _report(situation: Situation, student: StudentRow, decision: DecisionRow | None) -> Report:
    if decision is None:
        return {"student": student.version, "outcome": "no new gold"}
    logger.info("Aspect %s: %s", situation.row.name, decision.reason)
    return {"student": student.version, "outcome": decision.outcome, "reason": decision.reason}


def _follow(session: Session, row: AspectRow, look: Look | Known | None) -> DecisionRow | None:
    if isinstance(look, Known):
        return _withheld(session, row, look.evaluation)
    return _store(session, row, look) if look is not None else None


def _store(session: Session, row: AspectRow, look: Look) -> DecisionRow:
    session.add(look.evaluation)
    session.flush()
    return record(
        session,
        row,
        look.student,
        look.decision,
        actor=look.actor,
        evaluation=look.evaluation,
        planned=look.planned,
        mark=look.situation.revision,
    )


def _is_as_it_was(row: AspectRow, situation: Situation) -> bool:
    """Whether nobody moved the server meanwhile: a person, or a changed labeling config.

    One with other labels forgets the last training, too, so it is seen while the teacher serves.
    """
    before = situation.row
    same_server = (row.server, row.champion_id) == (before.server, before.champion_id)
    same_labels = row.trained_revision == before.trained_revision
    if not (same_server and same_labels):
        logger.warning("Aspect %s: who serves or the labels changed during the look; it does not count", row.name)
    return same_server and same_labels


def _withheld(session: Session, row: AspectRow, evaluation: EvaluationRow) -> DecisionRow | None:
    """Carry out what a pin withheld, if nobody has moved the server since."""
    decision = decision_about(session, evaluation)
    if row.pinned or decision is None or decision.applied or decision.outcome not in MOVING:
        return None
    switches = switches_of(session, row.id)
    if switches and switches[-1].id > decision.id:
        return None
    return _again(session, row, decision, evaluation)


def _again(session: Session, row: AspectRow, decision: DecisionRow, evaluation: EvaluationRow) -> DecisionRow:
    found = DecisionRow(
        aspect_id=row.id,
        evaluation_id=evaluation.id,
        student_id=decision.student_id,
        teacher_id=decision.teacher_id,
        outcome=decision.outcome,
        reason=f"Done now that the aspect is not pinned any more: {decision.reason.removesuffix(PIN_NOTE).strip()}",
        actor=decision.actor,
        applied=True,
        mark=decision.mark,
        n=decision.n,
        planned=decision.planned,
        alpha=0.0,  # the look was paid for when it was taken
        details=decision.details,
    )
    session.add(found)
    carry_out(row, found)
    return found
