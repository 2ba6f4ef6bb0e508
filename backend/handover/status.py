"""Where every aspect stands, as plain data for the command line, the status page and scripts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.orm import Session

from handover.domain import Outcome, Server
from handover.examples import load_examples
from handover.settings import Settings
from handover.store import annotations as annotation_store
from handover.store.answers import count_by_status
from handover.store.jobs import recent_jobs
from handover.store.ledger import last_stop
from handover.store.models import AspectRow, EvaluationRow, JobRow, ProjectRow, StudentRow
from handover.store.projects import all_projects, aspects_of
from handover.store.students import decisions_of, last_evaluation
from handover.store.tasks import count_by_split, count_finished_tasks
from handover.totals import Totals, read_totals, total_of


@dataclass(frozen=True)
class AspectStatus:
    """Where one aspect stands.

    Scores are None before the first look at the gold; `reason` belongs to the newest decision, `promotion` to
    the newest one that handed over from teacher to student.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    server: str
    live_version: str
    teacher_id: str
    train: int
    dev: int
    gold: int
    voided: int
    ties: int
    unusable: int
    changed: int
    answers: dict[str, int]
    metric: str
    teacher_score: float | None
    student_score: float | None
    student: str
    scored_on: int
    interval: tuple[float, float] | None
    decision: str
    reason: str
    promotion: str
    spent: Totals


@dataclass(frozen=True)
class ProjectStatus:
    """Where one project stands. `teacher_stopped` says why a budget keeps the teacher from being asked."""

    ls_id: int
    title: str
    live_version: str
    tasks: dict[str, int]
    finished: int
    aspects: tuple[AspectStatus, ...]
    set_aside: tuple[dict[str, Any], ...]
    teacher_stopped: str


@dataclass(frozen=True)
class Status:
    """All projects and the newest jobs; money is in `currency`."""

    projects: tuple[ProjectStatus, ...]
    jobs: tuple[dict[str, Any], ...]
    currency: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def read_status(session: Session, settings: Settings) -> Status:
    """Read the status of everything from the store."""
    projects = tuple(_project(session, settings, row) for row in all_projects(session))
    return Status(
        projects=projects, jobs=tuple(_job(row) for row in recent_jobs(session)), currency=settings.teacher_currency
    )


def _project(session: Session, settings: Settings, project: ProjectRow) -> ProjectStatus:
    aside = annotation_store.set_aside_counts(session, project.id)
    return ProjectStatus(
        ls_id=project.ls_id,
        title=project.title,
        live_version=project.live_version,
        tasks=count_by_split(session, project.id),
        finished=count_finished_tasks(session, project.id),
        aspects=tuple(_aspect(session, settings, row) for row in aspects_of(session, project.id)),
        set_aside=tuple(
            {"subject": subject, "name": name, "reason": reason, "repaired": repaired, "count": number}
            for subject, name, reason, repaired, number in aside
        ),
        teacher_stopped=last_stop(session, project.id),
    )


def _aspect(session: Session, settings: Settings, row: AspectRow) -> AspectStatus:
    examples = load_examples(session, row, max_text_chars=settings.max_text_chars)
    evaluation = last_evaluation(session, row.id)
    decisions = decisions_of(session, row.id)
    decision = decisions[0] if decisions else None
    # Only looks at the gold spend of alpha; a student that replaces another is no handover.
    promotions = [d.reason for d in decisions if d.outcome == Outcome.PROMOTE.value and d.alpha > 0]
    interval = (decision.details["low"], decision.details["high"]) if decision and "low" in decision.details else None
    return AspectStatus(
        name=row.name,
        kind=row.definition["kind"],
        labels=tuple(label for label, _ in row.definition["labels"]),
        server=row.server if row.live_student_id or row.server == Server.TEACHER.value else "switching to student",
        live_version=row.live_version,
        teacher_id=row.teacher_id,
        train=len(examples.train),
        dev=len(examples.dev),
        gold=len(examples.gold),
        voided=examples.voided,
        ties=examples.ties,
        unusable=examples.unusable,
        changed=annotation_store.changed_since(session, row.project_id, row.trained_revision),
        answers=count_by_status(session, row.id, row.live_version),
        decision=decision.outcome if decision else "",
        reason=decision.reason if decision else "No look at the gold yet.",
        promotion=promotions[0] if promotions else "",
        interval=interval,
        spent=total_of(read_totals(session, settings.teacher_prices, aspect_id=row.id)),
        **_scores(session, evaluation),
    )


def _scores(session: Session, evaluation: EvaluationRow | None) -> dict[str, Any]:
    if evaluation is None:
        return {"metric": "", "teacher_score": None, "student_score": None, "student": "", "scored_on": 0}
    student = session.get(StudentRow, evaluation.student_id)
    return {
        "metric": evaluation.metric,
        "teacher_score": evaluation.teacher_score,
        "student_score": evaluation.student_score,
        "student": student.version if student is not None else "",
        "scored_on": evaluation.n,
    }


def _job(row: JobRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": row.kind,
        "status": row.status,
        "progress": row.progress,
        "error": row.error,
        "enqueued_at": row.enqueued_at.isoformat(),
        "seconds": (row.ended_at - row.started_at).total_seconds() if row.ended_at and row.started_at else None,
    }
