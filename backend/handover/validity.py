"""Whether the decision under which a student serves still holds.

A decision is about one student, one teacher and certain gold. When the teacher changes (another model, edited
guidelines, hints or examples), or so much of that gold changes that too little is left, it is void and taken again.
Until then the student goes on: it has beaten a teacher, the changed one has not shown anything yet, and moving back
and forth would ask that teacher about every open task. If the teacher returns to what it was, the decision holds again.

What a person decided does not become void: a person takes it back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from handover.domain import Actor
from handover.examples import LabelledTask
from handover.store.models import DecisionRow


class Void(str, Enum):
    """Why a decision does not hold any more."""

    TEACHER = "teacher changed"
    GOLD = "gold changed"


@dataclass(frozen=True)
class Validity:
    """Whether a decision holds: `void` is None when it does, `reason` a sentence when it does not."""

    void: Void | None = None
    reason: str = ""


HOLDS = Validity()


def validity_of(
    handover: DecisionRow | None, *, teacher_id: str, gold: Sequence[LabelledTask], min_gold: int
) -> Validity:
    """Whether a handover still holds for today's teacher and gold. Without a handover there is nothing to be void.

    An empty `teacher_id` (no teacher, or one that cannot be built now) is no other teacher.
    """
    if handover is None or handover.actor == Actor.PERSON.value:
        return HOLDS
    if has_other_teacher(handover, teacher_id):
        return Validity(
            Void.TEACHER,
            f"decision void: teacher changed (it was {handover.teacher_id or 'none'}, now it is {teacher_id}). The "
            "student goes on until a look at the new teacher decides.",
        )
    left = sum(task.revision <= handover.mark for task in gold)
    if left < min_gold:
        return Validity(
            Void.GOLD,
            f"decision void: gold changed (of the gold it rests on {left} tasks are left, at least {min_gold} are "
            "needed). The student goes on until a look at enough gold decides.",
        )
    return HOLDS


def has_other_teacher(handover: DecisionRow | None, teacher_id: str) -> bool:
    """Whether a decision of the gate was about another teacher than this one."""
    if handover is None or handover.actor == Actor.PERSON.value:
        return False
    return teacher_id not in ("", handover.teacher_id)
