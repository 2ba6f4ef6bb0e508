"""Where every aspect stands, as plain data for the command line, the status page and scripts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.orm import Session

from handover.domain import Server
from handover.examples import load_examples
from handover.settings import Settings
from handover.store import annotations as annotation_store
from handover.store.answers import count_by_status, frequent_problem
from handover.store.findings import newest_findings
from handover.store.jobs import recent_jobs
from handover.store.ledger import last_stop
from handover.store.models import AspectRow, DecisionRow, EvaluationRow, JobRow, ProjectRow, StudentRow
from handover.store.projects import all_projects, aspects_of
from handover.store.students import decision_about, decisions_of, handover_of, last_evaluation, switches_of
from handover.store.tasks import count_by_split, count_finished_tasks
from handover.totals import Totals, read_totals, total_of
from handover.validity import validity_of

SERVING = ("drift", "drop")
"""Kinds of findings that are about a student that serves."""


@dataclass(frozen=True)
class AspectStatus:
    """Where one aspect stands.

    Scores are None before the first look at the gold; they and the `interval` of their difference are on `scored_on`
    gold tasks, with tables per label, confusions and disagreements in `evaluation`. `reason` belongs to the newest
    decision, `switch` and `switch_reason` to the last handover or rollback. `problem` is why most of the `answers` that
    are not shown are not. `void` says why the decision for the student that serves does not hold any more, and is
    empty while it does.
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
    like_gold: int
    changed: int
    answers: dict[str, int]
    problem: str
    metric: str
    teacher_score: float | None
    student_score: float | None
    student: str
    scored_on: int
    interval: tuple[float, float] | None
    evaluation: dict[str, Any] | None
    decision: str
    reason: str
    switch: str
    switch_reason: str
    void: str
    threshold: float | None
    held: tuple[str, ...]
    pinned: bool
    findings: tuple[dict[str, Any], ...]
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
        aspects=tuple(_aspect(session, settings, project, row) for row in aspects_of(session, project.id)),
        set_aside=tuple(
            {"subject": subject, "name": name, "reason": reason, "repaired": repaired, "count": number}
            for subject, name, reason, repaired, number in aside
        ),
        teacher_stopped=last_stop(session, project.id),
    )


def _aspect(session: Session, settings: Settings, project: ProjectRow, row: AspectRow) -> AspectStatus:
    examples = load_examples(session, row, max_text_chars=settings.max_text_chars)
    decision = next(iter(decisions_of(session, row.id, limit=1)), None)
    switch = next(reversed(switches_of(session, row.id)), None)
    handover = handover_of(session, row)
    validity = validity_of(handover, teacher_id=row.teacher_id, gold=examples.gold, min_gold=settings.min_gold)
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
        like_gold=examples.like_gold,
        changed=annotation_store.changed_since(session, row.project_id, row.trained_revision),
        answers=count_by_status(session, row.id, row.live_version),
        problem=frequent_problem(session, row.id, row.live_version),
        decision=decision.outcome if decision else "",
        reason=decision.reason if decision else "No look at the gold yet.",
        switch=switch.outcome if switch is not None else "",
        switch_reason=switch.reason if switch is not None else "",
        void=validity.reason,
        threshold=row.threshold,
        held=tuple(row.held),
        pinned=row.pinned,
        findings=_findings(session, row, handover),
        spent=total_of(read_totals(session, settings.teacher_prices, aspect_id=row.id)),
        **_scores(session, settings, project, _evaluation(session, settings, row)),
    )


def _findings(session: Session, row: AspectRow, handover: DecisionRow | None) -> tuple[dict[str, Any], ...]:
    """The newest finding of each kind; those about a student that serves count while it does."""
    since = handover.created_at if handover is not None else None
    rows = [
        finding
        for finding in newest_findings(session, row.id)
        if finding.kind not in SERVING or (since is not None and finding.created_at >= since)
    ]
    return tuple(
        {"kind": f.kind, "is_warning": f.is_warning, "text": f.text, "details": f.details,
         "at": f.created_at.isoformat()}
        for f in rows
    )  # fmt: skip


def _evaluation(session: Session, settings: Settings, row: AspectRow) -> EvaluationRow | None:
    """The newest scores on enough gold to say something, else the newest at all."""
    enough = last_evaluation(session, row.id, min_gold=settings.min_gold)
    return enough or last_evaluation(session, row.id)


def _scores(
    session: Session, settings: Settings, project: ProjectRow, evaluation: EvaluationRow | None
) -> dict[str, Any]:
    if evaluation is None:
        nothing = dict.fromkeys(("teacher_score", "student_score", "interval", "evaluation"))
        return {"metric": "", "student": "", "scored_on": 0, **nothing}
    student = session.get(StudentRow, evaluation.student_id)
    decision = decision_about(session, evaluation)
    numbers = decision.details if decision is not None else {}
    return {
        "metric": evaluation.metric,
        "teacher_score": evaluation.teacher_score,
        "student_score": evaluation.student_score,
        "student": student.version if student is not None else "",
        "scored_on": evaluation.n,
        # -1 is the bound of a difference that was not tested.
        "interval": (numbers["low"], numbers["high"]) if numbers.get("low", -1) > -1 else None,
        "evaluation": {
            **evaluation.details,
            "at": evaluation.created_at.isoformat(),
            "disagreements": [
                {**row, "url": task_url(settings, project, row["task_id"])}
                for row in evaluation.details.get("disagreements", ())
            ],
        },
    }


def task_url(settings: Settings, project: ProjectRow, ls_task_id: int) -> str:
    """Where Label Studio shows a task."""
    return f"{settings.label_studio_url.rstrip('/')}/projects/{project.ls_id}/data?task={ls_task_id}"


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
