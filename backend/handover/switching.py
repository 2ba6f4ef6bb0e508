"""Who serves, changed by a decision: the one place where an aspect's server and champion move, with the row that says
why. What Label Studio shows follows with the next `refresh`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from handover.domain import Actor, Decision, Outcome, Server
from handover.store.models import AspectRow, DecisionRow, EvaluationRow, StudentRow

PARTS = ("routing", "labels")
"""Details about what a student could answer in part; they are kept with the evaluation."""

PIN_NOTE = "Not done: the aspect is pinned."


def moves(decision: Decision) -> bool:
    """Whether a decision changes who serves (or confirms the student that does)."""
    return decision.outcome in (Outcome.PROMOTE, Outcome.ROLLBACK)


def record(
    session: Session,
    row: AspectRow,
    student: StudentRow | None,
    decision: Decision,
    *,
    actor: Actor,
    evaluation: EvaluationRow,
    planned: int,
    mark: int,
) -> DecisionRow:
    """Store a decision on an evaluation, and carry it out unless the aspect is pinned."""
    applied = moves(decision) and not row.pinned
    reason = f"{decision.reason} {PIN_NOTE}" if moves(decision) and row.pinned else decision.reason
    found = DecisionRow(
        aspect_id=row.id,
        evaluation_id=evaluation.id,
        student_id=student.id if student is not None else None,
        teacher_id=evaluation.teacher_id,
        outcome=decision.outcome.value,
        reason=reason,
        actor=actor.value,
        applied=applied,
        mark=mark,
        n=decision.n,
        planned=planned,
        alpha=decision.alpha,
        details=details_of(decision),
    )
    session.add(found)
    if applied:
        carry_out(row, found)
    return found


def record_by_hand(
    session: Session,
    row: AspectRow,
    outcome: Outcome,
    *,
    student: StudentRow | None,
    author: str,
    reason: str,
    mark: int,
) -> DecisionRow:
    """Store what a person decided, and carry it out."""
    found = DecisionRow(
        aspect_id=row.id,
        student_id=student.id if student is not None else None,
        teacher_id=row.teacher_id,
        outcome=outcome.value,
        reason=reason,
        actor=Actor.PERSON.value,
        author=author,
        applied=True,
        mark=mark,
        details={},
    )
    session.add(found)
    carry_out(row, found)
    return found


def carry_out(row: AspectRow, decision: DecisionRow) -> None:
    """Move the aspect's server, champion or pin as a decision says."""
    if decision.outcome == Outcome.PROMOTE.value:
        row.server, row.champion_id = Server.STUDENT.value, decision.student_id
        row.threshold, row.held = decision.details.get("threshold"), decision.details.get("held") or []
    elif decision.outcome == Outcome.ROLLBACK.value:
        row.server, row.champion_id, row.threshold, row.held = Server.TEACHER.value, None, None, []
    elif decision.outcome in (Outcome.PIN.value, Outcome.UNPIN.value):
        row.pinned = decision.outcome == Outcome.PIN.value


def details_of(decision: Decision) -> dict[str, Any]:
    """The numbers of a decision as JSON values."""
    return {
        "teacher_score": decision.teacher_score,
        "student_score": decision.student_score,
        "difference": decision.difference,
        "low": decision.low,
        "high": decision.high,
        "margin": decision.margin,
        "needed": decision.needed,
        **{name: value for name, value in decision.details.items() if name not in PARTS},
    }
