"""The decision log, as data and as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy.orm import Session

from handover.domain import Actor
from handover.store.models import DecisionRow, StudentRow
from handover.store.projects import find_aspects
from handover.store.students import decisions_of

NUMBERS = ("teacher_score", "student_score", "difference", "low", "high", "needed")


def read_decisions(session: Session, *, ls_project_id: int, aspect: str = "") -> list[dict[str, Any]]:
    """All decisions about a project, or about one aspect of it, newest first. Raises NotFoundError."""
    rows = find_aspects(session, ls_project_id=ls_project_id, name=aspect)
    found = [_as_json(session, row.name, decision) for row in rows for decision in decisions_of(session, row.id)]
    return sorted(found, key=lambda decision: decision["at"], reverse=True)


def lines_of(decisions: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The log for people."""
    if not decisions:
        yield "No decision yet. The gate looks when a student is trained and enough gold is annotated."
    for d in decisions:
        who = f"{d['author']} (by hand)" if d["actor"] == Actor.PERSON.value else d["actor"]
        subject = f" {d['student']}" if d["student"] else ""
        yield f"{d['at'][:16].replace('T', ' ')}  {d['aspect']}: {d['outcome']}{subject}, decided by {who}"
        if d["n"]:
            yield (
                f"    n {d['n']}: teacher {d['teacher_score']:.3f}, student {d['student_score']:.3f}, difference "
                f"{d['difference']:+.3f} [{d['low']:+.3f}, {d['high']:+.3f}]"
            )
        yield f"    {d['reason']}"


def _as_json(session: Session, aspect: str, decision: DecisionRow) -> dict[str, Any]:
    student = session.get(StudentRow, decision.student_id) if decision.student_id is not None else None
    return {
        "at": decision.created_at.isoformat(),
        "aspect": aspect,
        "actor": decision.actor,
        "author": decision.author,
        "outcome": decision.outcome,
        "applied": decision.applied,
        "student": student.version if student is not None else "",
        "teacher": decision.teacher_id,
        "n": decision.n,
        "alpha": decision.alpha,
        **{name: decision.details.get(name) for name in NUMBERS},
        "reason": decision.reason,
    }
