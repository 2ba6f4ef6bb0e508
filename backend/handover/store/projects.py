"""Queries about projects and aspects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from handover.domain import Actor, Aspect, Kind, Label, Outcome, Server
from handover.errors import NotFoundError
from handover.store.answers import forget_answers
from handover.store.models import AspectRow, DecisionRow, ProjectRow, StudentRow


def project_by_ls_id(session: Session, ls_id: int) -> ProjectRow | None:
    """The connected project with this Label Studio id, None if it is not connected."""
    return session.scalar(select(ProjectRow).where(ProjectRow.ls_id == ls_id))


def get_project(session: Session, project_id: int) -> ProjectRow:
    """A project by our id. Raises NotFoundError."""
    row = session.get(ProjectRow, project_id)
    if row is None:
        raise NotFoundError(f"Project {project_id} is not in the store. `handover status` lists the projects.")
    return row


def lock_project(session: Session, project_id: int) -> None:
    """Let no other transaction change the project's tasks and annotations until this one ends: what is read to decide
    whether something is news must stay so. (SQLite has one writer anyway.)"""
    session.execute(select(ProjectRow.id).where(ProjectRow.id == project_id).with_for_update(key_share=True))


def all_projects(session: Session) -> Sequence[ProjectRow]:
    """All connected projects, oldest first."""
    return session.scalars(select(ProjectRow).order_by(ProjectRow.id)).all()


def get_aspect(session: Session, aspect_id: int) -> AspectRow:
    """An aspect by our id. Raises NotFoundError."""
    row = session.get(AspectRow, aspect_id)
    if row is None:
        raise NotFoundError(f"Aspect {aspect_id} is not in the store. `handover status` lists the aspects.")
    return row


def aspects_of(session: Session, project_id: int, *, active_only: bool = True) -> Sequence[AspectRow]:
    """The aspects of a project in the order of its labeling config."""
    query = select(AspectRow).where(AspectRow.project_id == project_id)
    if active_only:
        query = query.where(AspectRow.active)
    return session.scalars(query.order_by(AspectRow.position, AspectRow.id)).all()


def find_aspect(session: Session, *, ls_project_id: int, name: str) -> AspectRow:
    """An aspect by Label Studio's project id and its control tag's name. Raises NotFoundError."""
    query = (
        select(AspectRow)
        .join(ProjectRow, ProjectRow.id == AspectRow.project_id)
        .where(ProjectRow.ls_id == ls_project_id)
    )
    rows = session.scalars(query.order_by(AspectRow.position)).all()
    matches = [row for row in rows if row.name == name or (not name and len(rows) == 1)]
    if matches:
        return matches[0]
    known = ", ".join(row.name for row in rows)
    if not rows:
        raise NotFoundError(f"Project {ls_project_id} is not connected. See `handover status` for those that are.")
    if not name:
        raise NotFoundError(f"Project {ls_project_id} has several aspects: {known}. Say which one with --aspect.")
    raise NotFoundError(f"Project {ls_project_id} has no aspect {name!r} (has: {known}). See `handover status`.")


def find_aspects(session: Session, *, ls_project_id: int, name: str = "") -> Sequence[AspectRow]:
    """All aspects of a connected project, or the one with this name. Raises NotFoundError."""
    if name:
        return [find_aspect(session, ls_project_id=ls_project_id, name=name)]
    project = project_by_ls_id(session, ls_project_id)
    if project is None:
        raise NotFoundError(f"Project {ls_project_id} is not connected. `handover status` lists the projects.")
    return aspects_of(session, project.id, active_only=False)


def aspect_of(row: AspectRow) -> Aspect:
    """The aspect that a row describes."""
    value = row.definition
    return Aspect(
        name=row.name,
        to_name=value["to_name"],
        kind=Kind(value["kind"]),
        labels=tuple(Label(name, hint) for name, hint in value["labels"]),
        text_field=value["text_field"],
        question=value.get("question", ""),
        span_labels=tuple(Label(name, hint) for name, hint in value.get("span_labels", ())),
        spans_from=value.get("spans_from", ""),
        required=value.get("required", False),
    )


def definition_of(aspect: Aspect) -> dict[str, object]:
    """What a row keeps of an aspect; `aspect_of` reads it back."""
    definition: dict[str, object] = {
        "to_name": aspect.to_name,
        "kind": aspect.kind.value,
        "labels": _pairs(aspect.labels),
        "text_field": aspect.text_field,
        "question": aspect.question,
    }
    # Only where they mean something, so that the rows of other kinds stay equal.
    if aspect.required:
        definition["required"] = True
    if aspect.kind is Kind.RELATIONS:
        definition |= {"span_labels": _pairs(aspect.span_labels), "spans_from": aspect.spans_from}
    return definition


def _pairs(labels: Sequence[Label]) -> list[list[str]]:
    return [[label.name, label.hint] for label in labels]


def put_aspects(session: Session, project: ProjectRow, aspects: Sequence[Aspect]) -> bool:
    """Make the project's aspects equal to `aspects`; aspects that went are kept, inactive.

    Returns True when anything changed.
    """
    rows = {row.name: row for row in aspects_of(session, project.id, active_only=False)}
    changed = False
    for position, aspect in enumerate(aspects):
        changed |= _put_aspect(session, project, rows.pop(aspect.name, None), aspect, position)
    for row in rows.values():
        changed |= row.active
        row.active = False
    session.flush()
    return changed


def _put_aspect(session: Session, project: ProjectRow, row: AspectRow | None, aspect: Aspect, position: int) -> bool:
    definition = definition_of(aspect)
    if row is None:
        row = AspectRow(project_id=project.id, name=aspect.name, definition=definition, server=Server.TEACHER.value)
        row.position = position
        session.add(row)
        return True
    if row.active and row.definition == definition:
        row.position = position
        return False
    if row.definition["text_field"] != aspect.text_field:
        forget_answers(session, row.id)
        _forget_champion(
            session, row, "The labeling config shows another field, and the student answered for the old one."
        )
        row.trained_revision = row.attempted_revision = row.looked_revision = 0
    elif _answers_of(row.definition) != _answers_of(definition):
        _forget_champion(session, row, "The labels changed, and the student only knows those it was trained with.")
        row.trained_revision = row.attempted_revision = row.looked_revision = 0
    row.definition, row.active, row.position = definition, True, position
    return True


def _answers_of(definition: dict[str, Any]) -> tuple[Any, ...]:
    """What can be answered: another hint or question makes another teacher, but no other answers."""
    names = [{name for name, _ in definition.get(key, ())} for key in ("labels", "span_labels")]
    return definition["kind"], *names, definition.get("spans_from")


def _forget_champion(session: Session, row: AspectRow, reason: str) -> None:
    if row.server == Server.STUDENT.value:
        decision = DecisionRow(aspect_id=row.id, student_id=row.champion_id, outcome=Outcome.ROLLBACK.value, details={})
        decision.actor, decision.applied, decision.teacher_id = Actor.CONFIG.value, True, row.teacher_id
        decision.reason = reason
        session.add(decision)
    row.server, row.champion_id, row.threshold, row.held = Server.TEACHER.value, None, None, []
    row.pinned = False


def versions_of(session: Session, *, ls_project_id: int | None) -> list[str]:
    """What Label Studio shows now, and all versions of students behind it, newest first."""
    projects = [p for p in all_projects(session) if ls_project_id in (None, p.ls_id)]
    found = [project.live_version for project in projects]
    for row in (row for project in projects for row in aspects_of(session, project.id)):
        query = select(StudentRow.version).where(StudentRow.aspect_id == row.id).order_by(StudentRow.id.desc())
        found += [f"{row.name}-student-{version}" for version in session.scalars(query)]
    return list(dict.fromkeys(version for version in found if version))
