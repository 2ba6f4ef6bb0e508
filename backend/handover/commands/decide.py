"""Promote, roll back, pin and unpin by hand: recorded with who and why."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.orm import Session

from handover.domain import Outcome, Server
from handover.errors import ConfigError, NotFoundError
from handover.jobs.queue import JobKind
from handover.runtime import Runtime
from handover.store.annotations import last_revision
from handover.store.models import AspectRow, StudentRow
from handover.store.projects import find_aspect
from handover.store.students import champion_of, fits, student_by_version, students_of
from handover.switching import record_by_hand

TEACHER = Server.TEACHER.value


@dataclass(frozen=True)
class Person:
    """Who decides and why. Raises ConfigError without a reason."""

    name: str
    reason: str

    def __post_init__(self) -> None:
        """Fill in the user's name and refuse an empty reason."""
        if not self.reason.strip():
            raise ConfigError('A decision by hand needs a reason: --reason "…". It is kept in the decision log.')
        object.__setattr__(self, "name", self.name.strip() or _user())


def promote(runtime: Runtime, person: Person, *, ls_project_id: int, aspect: str, version: str = "") -> str:
    """Hand over to a student, the newest without a `version`. Raises NotFoundError, ConfigError."""

    def change(session: Session, row: AspectRow) -> str:
        student = _student(runtime, session, row, version)
        _serve(session, row, student, person)
        return f"{row.name} is served by student {student.version} now."

    return _decide(runtime, change, ls_project_id=ls_project_id, aspect=aspect, job=JobKind.REFRESH)


def rollback(runtime: Runtime, person: Person, *, ls_project_id: int, aspect: str, to: str = TEACHER) -> str:
    """Go back to the teacher or to another student. Raises NotFoundError, ConfigError."""

    def change(session: Session, row: AspectRow) -> str:
        student = None if to == TEACHER else _student(runtime, session, row, to)
        _serve(session, row, student, person)
        server = f"student {student.version}" if student is not None else "the teacher"
        note = "" if row.pinned else " The next look at the gold may change that; `handover pin` prevents it."
        return f"{row.name} is served by {server} now.{note}"

    return _decide(runtime, change, ls_project_id=ls_project_id, aspect=aspect, job=JobKind.REFRESH)


def pin(runtime: Runtime, person: Person, *, ls_project_id: int, aspect: str, target: str = "") -> str:
    """Keep whoever serves, or the target from now on. Raises NotFoundError, ConfigError."""

    def change(session: Session, row: AspectRow) -> str:
        champion = champion_of(session, row)
        wanted = champion if not target else None if target == TEACHER else _student(runtime, session, row, target)
        if _id(wanted) != _id(champion):
            _serve(session, row, wanted, person)
        _record(session, row, Outcome.PIN, wanted, person)
        server = f"student {wanted.version}" if wanted is not None else "the teacher"
        return f"{row.name} stays with {server} until `handover unpin`."

    return _decide(runtime, change, ls_project_id=ls_project_id, aspect=aspect, job=JobKind.REFRESH)


def unpin(runtime: Runtime, person: Person, *, ls_project_id: int, aspect: str) -> str:
    """Let gate and watch decide again; what they would have done is done now. Raises NotFoundError, ConfigError."""

    def change(session: Session, row: AspectRow) -> str:
        if not row.pinned:
            raise ConfigError(f"Aspect {row.name!r} is not pinned. `handover status` shows what is.")
        _record(session, row, Outcome.UNPIN, champion_of(session, row), person)
        return f"Gate and watch decide about {row.name} again."

    return _decide(runtime, change, ls_project_id=ls_project_id, aspect=aspect, job=JobKind.LOOK)


def _decide(
    runtime: Runtime, change: Callable[[Session, AspectRow], str], *, ls_project_id: int, aspect: str, job: JobKind
) -> str:
    with runtime.database.write() as session:
        row = find_aspect(session, ls_project_id=ls_project_id, name=aspect)
        done = change(session, row)
    runtime.queue.enqueue(job, row.project_id if job is JobKind.REFRESH else row.id)
    return done


def _serve(session: Session, row: AspectRow, student: StudentRow | None, person: Person) -> None:
    if _id(student) == _id(champion_of(session, row)):
        server = f"student {student.version}" if student is not None else "the teacher"
        raise ConfigError(f"Aspect {row.name!r} is served by {server} already.")
    _record(session, row, Outcome.PROMOTE if student is not None else Outcome.ROLLBACK, student, person)


def _record(session: Session, row: AspectRow, outcome: Outcome, student: StudentRow | None, person: Person) -> None:
    mark = last_revision(session)
    record_by_hand(session, row, outcome, student=student, author=person.name, reason=person.reason, mark=mark)


def _id(student: StudentRow | None) -> int | None:
    return student.id if student is not None else None


def _student(runtime: Runtime, session: Session, row: AspectRow, version: str) -> StudentRow:
    students = students_of(session, row.id)
    if not students:
        raise NotFoundError(f"Aspect {row.name!r} has no student yet. Annotate more tasks, or run `handover retrain`.")
    newest = next((s for s in students if fits(s, row)), students[0])
    student = student_by_version(session, row.id, version) if version else newest
    if student is None:
        known = ", ".join(s.version for s in students)
        raise NotFoundError(f"Aspect {row.name!r} has no student {version!r} (has: {known}).")
    if not fits(student, row):
        raise ConfigError(
            f"Student {student.version} was trained before the labels of aspect {row.name!r} changed and does not know "
            "those it has now. Run `handover retrain`, or take a student that was trained since."
        )
    if not runtime.artifacts.exists(student.version):
        raise NotFoundError(
            f"The files of student {student.version} are gone. Run `handover retrain`, or take another."
        )
    return student


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        return f"user {os.getuid()}" if hasattr(os, "getuid") else "somebody"
