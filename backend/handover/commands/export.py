"""Write the champion of an aspect, or another student, as a pipeline that needs nothing but spaCy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from handover.errors import NotFoundError
from handover.runtime import Runtime
from handover.store.models import AspectRow, StudentRow
from handover.store.projects import find_aspect
from handover.store.students import decisions_of, last_evaluation, student_by_version, students_of
from handover.student.export import export_student


def export(
    runtime: Runtime, *, ls_project_id: int, aspect: str, target: Path, version: str = "", force: bool = False
) -> tuple[Path, str]:
    """Export a student; returns the folder and the student's version. Raises NotFoundError and ArtifactError."""
    with runtime.database.read() as session:
        row = find_aspect(session, ls_project_id=ls_project_id, name=aspect)
        student = _pick(session, row, version)
        meta = _meta(session, row, student)
    path = export_student(runtime.artifacts.fetch(student.version), target, meta=meta, force=force)
    return path, student.version


def _pick(session: Session, row: AspectRow, version: str) -> StudentRow:
    if version:
        student = student_by_version(session, row.id, version)
        known = ", ".join(s.version for s in students_of(session, row.id)) or "none"
        if student is None:
            raise NotFoundError(f"Aspect {row.name!r} has no student {version!r} (has: {known}).")
        return student
    student = session.get(StudentRow, row.champion_id) if row.champion_id is not None else None
    student = student or next(iter(students_of(session, row.id)), None)
    if student is None:
        raise NotFoundError(f"Aspect {row.name!r} has no student yet. Annotate more tasks, or run `handover retrain`.")
    return student


def _meta(session: Session, row: AspectRow, student: StudentRow) -> dict[str, Any]:
    evaluation = last_evaluation(session, row.id, student_id=student.id)
    decisions = decisions_of(session, row.id, limit=1)
    meta: dict[str, Any] = {
        "aspect": row.name,
        "kind": row.definition["kind"],
        "labels": [label for label, _ in row.definition["labels"]],
        "version": student.version,
        "is_champion": row.champion_id == student.id,
        "n_train": student.n_train,
        "n_dev": student.n_dev,
        "n_silver": student.n_silver if student.used_silver else 0,
        "dev_score": student.dev_score,
    }
    if evaluation is not None:
        meta |= {
            "gold": evaluation.n,
            "metric": evaluation.metric,
            "gold_score": evaluation.student_score,
            "teacher": evaluation.teacher_id,
            "teacher_score": evaluation.teacher_score,
            "decision": decisions[0].reason if decisions else "",
        }
    return meta
