"""Who answers for an aspect now, and the answer: the same for `/predict`, `refresh` and `prefetch`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from handover.domain import Annotation, Aspect, Server, Split
from handover.errors import ArtifactError, ConversionError, NotFoundError, TeacherError
from handover.evaluation.per_label import merge
from handover.evaluation.routing import is_sure
from handover.intake import adopt_project, apply_config, apply_tasks, fingerprint_tasks, options_for, place_tasks
from handover.labelstudio.client import NewPrediction
from handover.labelstudio.convert import write_result
from handover.labelstudio.protocol import TaskIn
from handover.narrow import digest_of, narrowed
from handover.preannotation import Shown, ask, missing_of, shown, stored, teacher_id_of
from handover.runtime import Runtime
from handover.store.models import AspectRow, ProjectRow, StudentRow, TaskRow
from handover.store.projects import aspect_of, aspects_of, project_by_ls_id
from handover.store.tasks import set_pushed, tasks_by_ls_id
from handover.task_texts import problem_of, text_of
from handover.teacher.calls import Purpose
from handover.versions import (
    merged_version_name,
    project_version,
    routed_version_name,
    student_version_name,
    teacher_version,
)

logger = logging.getLogger(__name__)

UNCERTAINTY = "uncertainty"
TASKS_PER_TRANSACTION = 100
Note = Callable[[], None]
"""Bookkeeping that can wait until the caller has its answer."""

GOLD_SCORE = 0.0
"""Score of the empty prediction that keeps gold tasks in the queue under uncertainty sampling."""


@dataclass(frozen=True)
class Served:
    """An aspect and the version that answers for it; `student` is the student's version, None for the teacher.

    With a `threshold` the student answers where it is at least so sure, and the teacher elsewhere; with `held` labels
    it answers for those, the teacher for the others. `teacher_id` is that teacher's.
    """

    row: AspectRow
    aspect: Aspect
    version: str
    student: str | None
    threshold: float | None = None
    held: tuple[str, ...] = ()
    teacher_id: str = ""

    @property
    def asks_teacher(self) -> bool:
        """Whether the teacher answers all or a part."""
        return self.student is None or self.threshold is not None or bool(self.held)

    @property
    def rest(self) -> Served:
        """The teacher that answers what the student does not; the teacher itself where it serves alone."""
        if self.student is None:
            return self
        row = narrowed(self.row, self.held) if self.held else self.row
        return Served(row, aspect_of(row), teacher_version(row.name, self.teacher_id), None)


def live(session: Session, project: ProjectRow) -> list[Served]:
    """What Label Studio shows now."""
    return [
        Served(
            row,
            aspect_of(row),
            row.live_version,
            _student_of(session, row.live_student_id),
            threshold=row.live_threshold,
            held=tuple(row.live_held),
            teacher_id=row.live_teacher_id,
        )
        for row in aspects_of(session, project.id)
    ]


def wanted(session: Session, runtime: Runtime, project: ProjectRow) -> list[Served]:
    """What Label Studio should show: the champion where there is one, else the teacher as configured now."""
    return [_wanted_of(session, runtime, project, row) for row in aspects_of(session, project.id)]


def version_of(served: Sequence[Served]) -> str:
    """The version string of a project."""
    return project_version([s.version for s in served])


def go_live(project: ProjectRow, served: Sequence[Served]) -> None:
    """Serve these from now on: `/setup` and `/predict` move together. Call it inside a write transaction."""
    for s in served:
        s.row.live_version = s.version
        s.row.live_student_id = s.row.champion_id if s.student else None
        s.row.live_threshold = s.threshold
        s.row.live_held = list(s.held)
        s.row.live_teacher_id = s.teacher_id
    project.live_version = version_of(served)


def register(
    runtime: Runtime, ls_project_id: int, label_config: str, *, title: str = "", sampling: str | None = None
) -> ProjectRow:
    """Adopt a project or bring its config up to date; new aspects are served by the teacher at once."""
    with runtime.database.write() as session:
        project = adopt_project(session, ls_project_id, title=title, sampling=sampling)
        update_config(session, runtime, project, label_config)
        return project


def update_config(session: Session, runtime: Runtime, project: ProjectRow, label_config: str) -> bool:
    """Bring the aspects in line with a labeling config; new ones are served by the teacher at once.

    Returns True when an aspect changed. Call it inside a write transaction.
    """
    changed = apply_config(session, project, label_config, max_text_chars=runtime.settings.max_text_chars)
    if changed:
        place_tasks(session, project, options_for(project, runtime.settings))
    if not project.live_version or any(not s.version for s in live(session, project)):
        go_live(project, wanted(session, runtime, project))
    return changed


def _at_once(note: Note) -> None:
    note()


def predict(
    runtime: Runtime,
    ls_project_id: int,
    tasks: Sequence[TaskIn],
    *,
    afterwards: Callable[[Note], None] = _at_once,
) -> list[NewPrediction | None]:
    """One entry per task, None where nothing is to be shown.

    `afterwards` gets what has to be noted once Label Studio has the answer, and calls it. Raises NotFoundError for a
    project that is not registered.
    """
    with runtime.database.read() as session:
        project = project_by_ls_id(session, ls_project_id)
        if project is None:
            raise NotFoundError(f"Project {ls_project_id} is not connected. Connect it with `handover connect`.")
        served = live(session, project)
        known = tasks_by_ls_id(session, project.id, [task.id for task in tasks])
    news = [task for task in tasks if task.id not in known or known[task.id].data != task.data]
    known.update(_learn(runtime, project, served, news))
    rows = [known[task.id] for task in tasks]
    answers = answer(runtime, project, served, rows, may_ask=True)
    predictions = [compose(project, served, row, answers) for row in rows]
    afterwards(partial(_remember, runtime, project, rows, predictions))
    return predictions


def _learn(
    runtime: Runtime, project: ProjectRow, served: Sequence[Served], tasks: Sequence[TaskIn]
) -> dict[int, TaskRow]:
    """Store tasks that are new or changed, some at a time, so that webhooks get their turn at the database."""
    options = options_for(project, runtime.settings)
    found: dict[int, TaskRow] = {}
    for start in range(0, len(tasks), TASKS_PER_TRANSACTION):
        part = tasks[start : start + TASKS_PER_TRANSACTION]
        prints = fingerprint_tasks(part, [s.aspect for s in served], max_text_chars=options.max_text_chars)
        with runtime.database.write() as session:
            found.update(apply_tasks(session, project, part, options, prints=prints))
    return found


Answers = Mapping[tuple[int, int], Shown | None]
"""By (task id, aspect id); a missing key means: no answer yet, try again later."""


def answer(
    runtime: Runtime,
    project: ProjectRow,
    served: Sequence[Served],
    tasks: Sequence[TaskRow],
    *,
    may_ask: bool,
) -> Answers:
    """The answers of those who serve, for all tasks that are not gold. With `may_ask` the teacher is asked
    about what it was not asked before."""
    answers: dict[tuple[int, int], Shown | None] = {}
    blind = [task for task in tasks if task.split != Split.GOLD.value]
    for s in served:
        limit = runtime.settings.max_text_chars
        usable = [task for task in blind if not problem_of(task.data, s.aspect, max_text_chars=limit)]
        # Those without a usable text are not asked about, but that belongs into the books.
        found = _answers_of(runtime, project, s, usable, blind, may_ask=may_ask)
        answers.update({(task_id, s.row.id): value for task_id, value in found.items()})
        answers.update({(task.id, s.row.id): None for task in blind if task not in usable})
    return answers


def compose(project: ProjectRow, served: Sequence[Served], task: TaskRow, answers: Answers) -> NewPrediction | None:
    """The prediction of all aspects together for one task, None where there is nothing to show.

    A gold task never gets content: nothing at all, or under uncertainty sampling an empty prediction, without
    which Label Studio would not offer the task while others have predictions.
    """
    if task.split == Split.GOLD.value:
        if UNCERTAINTY not in project.sampling.lower():
            return None
        return NewPrediction(task.ls_id, [], GOLD_SCORE, version_of(served))
    keys = [(task.id, s.row.id) for s in served]
    if any(key not in answers for key in keys):
        return None
    parts = [(s, answers[key]) for s, key in zip(served, keys, strict=True)]
    given = [(s, part) for s, part in parts if part is not None]
    if not given:
        return None
    result = each_once([region for s, part in given for region in _regions(s, part, task)])
    scores = [part.score for _, part in given if part.score is not None]
    return NewPrediction(task.ls_id, result, min(scores, default=None), version_of(served))


def _regions(served: Served, part: Shown, task: TaskRow) -> list[dict[str, Any]]:
    try:
        text = text_of(task.data, served.aspect)
        return write_result(part.annotation, served.aspect, text, score=part.score, scores=part.by_region)
    except ConversionError as error:  # one stale prediction must not fail the whole batch
        logger.warning("Aspect %s, task %d: %s", served.row.name, task.ls_id, error)
        return []


def each_once(regions: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The regions without repeated ids, which Label Studio's editor does not load: relations bring the regions
    along that they connect, and the aspect these belong to may have predicted the same."""
    found: dict[Any, dict[str, Any]] = {}
    for number, region in enumerate(regions):
        found.setdefault(region.get("id", number), region)  # a relation has no id
    return list(found.values())


def _answers_of(
    runtime: Runtime,
    project: ProjectRow,
    served: Served,
    tasks: Sequence[TaskRow],
    every: Sequence[TaskRow],
    *,
    may_ask: bool,
) -> Mapping[int, Shown | None]:
    """The answers to tasks with a usable text; `every` holds the others, too."""
    if served.student is None:
        return _by_teacher(runtime, project, served, every, may_ask)
    found = _by_student(runtime, served, tasks)
    if served.held:
        return _merged(served, found, _by_teacher(runtime, project, served.rest, tasks, may_ask))
    if served.threshold is None:
        return found
    sure = {task_id: value for task_id, value in found.items() if is_sure(value.score, served.threshold)}
    rest = [task for task in tasks if task.id not in sure]
    return {**sure, **_by_teacher(runtime, project, served.rest, rest, may_ask)}


def _merged(
    served: Served, student: Mapping[int, Shown], teacher: Mapping[int, Shown | None]
) -> Mapping[int, Shown | None]:
    """Both answers as one. Without the teacher's there is none: half an answer looks like a whole one."""
    found: dict[int, Shown | None] = {}
    for task_id, rest in teacher.items():
        own = student.get(task_id)
        if own is not None and rest is not None:
            merged = merge(served.aspect.kind, rest.annotation, own.annotation, student_labels=served.held)
            found[task_id] = Shown(merged or Annotation(), own.score)
        elif rest is None:
            found[task_id] = None
    return found


def unsure(runtime: Runtime, served: Served, tasks: Sequence[TaskRow]) -> list[TaskRow]:
    """The tasks that the teacher has to answer for: all, none, or those the student is not sure of."""
    if served.student is None or served.held:
        return list(tasks)
    if served.threshold is None:
        return []
    limit = runtime.settings.max_text_chars
    usable = [task for task in tasks if not problem_of(task.data, served.aspect, max_text_chars=limit)]
    found = _by_student(runtime, served, usable)
    return [t for t in usable if t.id not in found or not is_sure(found[t.id].score, served.threshold)]


def _by_student(runtime: Runtime, served: Served, tasks: Sequence[TaskRow]) -> dict[int, Shown]:
    if not tasks or served.student is None:
        return {}
    texts = [text_of(task.data, served.aspect) for task in tasks]
    try:
        predictions = runtime.students.predict(served.student, texts, served.aspect)
    except ArtifactError:
        logger.exception("Student %s of aspect %s cannot be loaded", served.student, served.row.name)
        return {}
    pairs = zip(tasks, predictions, strict=True)
    return {task.id: Shown(p.annotation or Annotation(), p.score, p.scores) for task, p in pairs}


def _by_teacher(
    runtime: Runtime, project: ProjectRow, served: Served, tasks: Sequence[TaskRow], may_ask: bool
) -> dict[int, Shown | None]:
    missing = missing_of(runtime, served.row, tasks, served.version) if may_ask else []
    is_current = served.version == teacher_version(served.row.name, teacher_id_of(runtime, project, served.row))
    if missing and is_current:
        try:
            ask(runtime, project, served.row, missing, purpose=Purpose.PREDICT)
        except TeacherError as error:
            logger.warning("Aspect %s: %s", served.row.name, error)
    rows = stored(runtime, served.row, tasks, served.version)
    return {task_id: shown(row) for task_id, row in rows.items() if row.status != "failed"}


def _wanted_of(session: Session, runtime: Runtime, project: ProjectRow, row: AspectRow) -> Served:
    student = _student_of(session, row.champion_id) if row.server == Server.STUDENT.value else None
    teacher_id = teacher_id_of(runtime, project, row)
    if student is not None:
        # One that cannot be built now is no other teacher: the decision about the last one still holds.
        row.teacher_id = teacher_id or row.teacher_id
        return _by_champion(runtime, project, row, student)
    row.teacher_id = teacher_id
    return Served(row, aspect_of(row), teacher_version(row.name, row.teacher_id), None)


def _by_champion(runtime: Runtime, project: ProjectRow, row: AspectRow, student: str) -> Served:
    aspect = aspect_of(row)
    if row.held:
        teacher_id = teacher_id_of(runtime, project, narrowed(row, row.held))
        version = merged_version_name(row.name, student, digest_of(row.held), teacher_id)
        return Served(row, aspect, version, student, held=tuple(row.held), teacher_id=teacher_id)
    if row.threshold is not None:
        version = routed_version_name(row.name, student, row.threshold, row.teacher_id)
        return Served(row, aspect, version, student, threshold=row.threshold, teacher_id=row.teacher_id)
    return Served(row, aspect, student_version_name(row.name, student), student)


def _student_of(session: Session, student_id: int | None) -> str | None:
    student = session.get(StudentRow, student_id) if student_id is not None else None
    return student.version if student is not None else None


def _remember(
    runtime: Runtime,
    project: ProjectRow,
    tasks: Sequence[TaskRow],
    predictions: Sequence[NewPrediction | None],
) -> None:
    """Label Studio stores what `/predict` answers; `refresh` need not push it again."""
    pairs = zip(tasks, predictions, strict=True)
    news = [t for t, p in pairs if p is not None and t.pushed_version != p.model_version]
    if news:
        with runtime.database.write() as session:
            set_pushed(session, news, project.live_version)
