"""Write champions, or other students, as one pipeline that does not need Handover."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from handover.errors import NotFoundError
from handover.logic.table import read_logic
from handover.runtime import Runtime
from handover.store.models import AspectRow, ProjectRow, StudentRow
from handover.store.projects import all_projects, aspects_of, project_by_ls_id
from handover.store.students import decision_about, fits, last_evaluation, student_by_version, students_of
from handover.student.export import Logic, export_students
from handover.student.merge import Part
from handover.student.wheel import build_wheel

_TEACHER_ID = re.compile(r"(?P<model>.+)-(?P<prompt_hash>[0-9a-f]{8})")


@dataclass(frozen=True)
class ExportRequest:
    """What to export: projects by Label Studio's ids (none: all), of these the named aspects (none: all), their
    champions or the students with these versions. `logic` is a business logic file. With `wheel`, `target` is the
    folder for the wheel instead of the pipeline's own."""

    target: Path
    projects: tuple[int, ...] = ()
    aspects: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    name: str = ""
    logic: Path | None = None
    wheel: bool = False
    force: bool = False


@dataclass(frozen=True)
class Exported:
    """The folder or wheel that was written, the students in it by aspect, and aspects left out for lack of one."""

    path: Path
    students: dict[str, str]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Choice:
    """An aspect with its student."""

    project: ProjectRow
    row: AspectRow
    student: StudentRow


def export(runtime: Runtime, request: ExportRequest) -> Exported:
    """Export what is asked for. Raises NotFoundError, ConfigError for the business logic, and ArtifactError."""
    logic = read_logic(request.logic) if request.logic is not None else None
    with runtime.database.read() as session:
        choices, left_out = _choose(session, request)
        facts = _named([(choice, _facts(session, choice)) for choice in choices])
    parts = [
        Part(runtime.artifacts.fetch(choice.student.version), fact) for choice, fact in zip(choices, facts, strict=True)
    ]
    path = _write(parts, request, logic)
    return Exported(path, {fact["aspect"]: fact["version"] for fact in facts}, left_out)


def _write(parts: Sequence[Part], request: ExportRequest, logic: Logic | None) -> Path:
    if not request.wheel:
        return export_students(parts, request.target, name=request.name, logic=logic, force=request.force)
    with tempfile.TemporaryDirectory(prefix="handover-wheel-") as folder:
        pipeline = export_students(parts, Path(folder) / "pipeline", name=request.name, logic=logic)
        return build_wheel(pipeline, request.target, force=request.force)


def _choose(session: Session, request: ExportRequest) -> tuple[list[_Choice], tuple[str, ...]]:
    """The aspects with their students, and names of aspects without any (an error for projects that are named)."""
    rows = [
        (project, row)
        for project in _projects(session, request.projects)
        for row in aspects_of(session, project.id)
        if not request.aspects or row.name in request.aspects
    ]
    _check_names(rows, request)
    found = [(project, row, _pick(session, row, request.versions)) for project, row in rows]
    missing = tuple(row.name for _, row, student in found if student is None)
    choices = [_Choice(project, row, student) for project, row, student in found if student is not None]
    if not choices or (missing and request.projects):
        name = missing[0] if missing else ""
        raise NotFoundError(f"Aspect {name!r} has no student yet. Annotate more tasks, or run `handover retrain`.")
    _check_versions(session, choices, request.versions)
    return choices, missing


def _projects(session: Session, wanted: Sequence[int]) -> Sequence[ProjectRow]:
    found = [project_by_ls_id(session, ls_id) for ls_id in wanted] if wanted else [*all_projects(session)]
    for ls_id, project in zip(wanted, found, strict=False):
        if project is None:
            raise NotFoundError(f"Project {ls_id} is not connected. `handover status` lists the projects.")
    return list({project.id: project for project in found if project is not None}.values())


def _check_names(rows: Sequence[tuple[ProjectRow, AspectRow]], request: ExportRequest) -> None:
    known = [row.name for _, row in rows]
    where = f"Project {', '.join(map(str, request.projects))}" if request.projects else "The store"
    for name in request.aspects or ("",):
        if name not in known and (name or not known):
            raise NotFoundError(f"{where} has no aspect {name!r}. See `handover status`.")


def _pick(session: Session, row: AspectRow, versions: Sequence[str]) -> StudentRow | None:
    """The student with one of the versions, else the champion, else the newest that knows today's labels."""
    for version in versions:
        student = student_by_version(session, row.id, version)
        if student is not None:
            return student
    champion = session.get(StudentRow, row.champion_id) if row.champion_id is not None else None
    return champion or next((student for student in students_of(session, row.id) if fits(student, row)), None)


def _check_versions(session: Session, choices: Sequence[_Choice], versions: Sequence[str]) -> None:
    picked = {choice.student.version for choice in choices}
    for version in versions:
        if version not in picked:
            known = [(c.row.name, ", ".join(s.version for s in students_of(session, c.row.id))) for c in choices]
            has = "; ".join(f"{name}: {those}" for name, those in known)
            raise NotFoundError(f"No aspect to export has the student {version!r} (has: {has}).")


def _named(facts: Sequence[tuple[_Choice, dict[str, Any]]]) -> list[dict[str, Any]]:
    """The facts, with the project's id in the names of aspects that several projects have."""
    number = Counter(choice.row.name for choice, _ in facts)
    return [
        {**fact, "aspect": f"{choice.row.name}_{choice.project.ls_id}"} if number[choice.row.name] > 1 else fact
        for choice, fact in facts
    ]


def _facts(session: Session, choice: _Choice) -> dict[str, Any]:
    row, student = choice.row, choice.student
    facts: dict[str, Any] = {
        "aspect": row.name,
        "project": choice.project.title,
        "kind": row.definition["kind"],
        "labels": [label for label, _ in row.definition["labels"]],
        "span_labels": [label for label, _ in row.definition.get("span_labels", ())],
        "text_field": row.definition["text_field"],
        "version": student.version,
        "recipe": student.recipe,
        "is_champion": row.champion_id == student.id,
        "n_train": student.n_train,
        "n_dev": student.n_dev,
        "n_silver": student.n_silver if student.used_silver else 0,
        "dev_score": student.dev_score,
    }
    return facts | _scores(session, student) | _calibration(student)


def _calibration(student: StudentRow) -> dict[str, Any]:
    """The calibration error of whole answers, on examples that the calibration had not seen."""
    document = (student.report.get("calibration") or {}).get("document") or {}
    return {"ece": document["after"]["ece"]} if "after" in document else {}


def _scores(session: Session, student: StudentRow) -> dict[str, Any]:
    evaluation = last_evaluation(session, student.aspect_id, student_id=student.id)
    if evaluation is None:
        return {}
    known = _TEACHER_ID.fullmatch(evaluation.teacher_id)
    scores: dict[str, Any] = {
        "gold": evaluation.n,
        "metric": evaluation.metric,
        "gold_score": evaluation.student_score,
        "teacher": known["model"] if known else evaluation.teacher_id,
        "prompt_hash": known["prompt_hash"] if known else "",
        "teacher_score": evaluation.teacher_score,
    }
    decision = decision_about(session, evaluation)
    if decision is not None:
        scores["decision"] = decision.reason
        scores |= {key: decision.details[key] for key in ("low", "high") if key in decision.details}
    return scores
