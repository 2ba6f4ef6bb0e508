"""One retrain: from what people finished to a student in the store, and a look at it."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handover.domain import Annotation, Aspect
from handover.errors import TrainingError
from handover.examples import Examples, LabelledTask, load_examples
from handover.fewshot import renew
from handover.held_out import texts_like_gold
from handover.jobs.origin import find_origin
from handover.jobs.queue import JobKind
from handover.jobs.settle import look_and_settle
from handover.jobs.trigger import is_due, look_is_needed
from handover.preannotation import teacher_id_of
from handover.runtime import Runtime
from handover.settings import Settings
from handover.store.annotations import last_revision
from handover.store.answers import answers_on_finished, silver_of
from handover.store.models import AspectRow, PredictionRow, ProjectRow, StudentRow, TaskRow
from handover.store.projects import aspect_of, get_aspect, get_project
from handover.store.students import champion_of, student_by_version
from handover.student.candidates import Budget
from handover.student.recipes import chosen_recipes
from handover.student.resources import find_resources
from handover.student.training import LabelledText, TrainedStudent, TrainingSet, TrainOptions, train_student
from handover.student.training_set import Origin
from handover.student.version import student_version
from handover.task_texts import text_of
from handover.versions import teacher_version

Progress = Callable[[dict[str, object]], None]

WORKDIR = "handover-train-"
"""What the names of the folders begin with in which trainings run."""


@dataclass(frozen=True)
class Snapshot:
    """What a training starts from; annotations that change later belong to the next one."""

    project: ProjectRow
    row: AspectRow
    aspect: Aspect
    examples: Examples
    silver: tuple[LabelledText, ...]
    answers: tuple[LabelledText, ...]
    revision: int

    @property
    def training_set(self) -> TrainingSet:
        """The examples as the trainer takes them."""
        train, dev = _texts(self.examples.train), _texts(self.examples.dev)
        return TrainingSet(train, dev, silver=self.silver, answers=self.answers)


def run(runtime: Runtime, aspect_id: int, progress: Progress, *, if_due: bool = False) -> dict[str, object]:
    """Train on what people finished, then look at the new student on gold, and let the one that serves be looked at.

    With `if_due` only when enough changed since the last training was tried.
    """
    if if_due and not _is_due(runtime, aspect_id):
        return _skip(runtime, aspect_id)
    report = _train_and_compare(runtime, aspect_id, progress)
    # Last, so that this training still had the silver of the teacher that has answered until now.
    if renew(runtime.database, runtime.settings, aspect_id):
        report["examples"] = "renewed"
        with runtime.database.read() as session:
            runtime.queue.enqueue(JobKind.REFRESH, get_aspect(session, aspect_id).project_id)
    return report


def _is_due(runtime: Runtime, aspect_id: int) -> bool:
    with runtime.database.read() as session:
        return is_due(session, get_aspect(session, aspect_id), runtime.settings)


def _skip(runtime: Runtime, aspect_id: int) -> dict[str, object]:
    """Leave out the training, but not the look that may have waited for it."""
    with runtime.database.read() as session:
        is_needed = look_is_needed(session, get_aspect(session, aspect_id), runtime.settings)
    if is_needed:
        runtime.queue.enqueue(JobKind.LOOK, aspect_id)
    return {"skipped": "not due any more"}


def _train_and_compare(runtime: Runtime, aspect_id: int, progress: Progress) -> dict[str, object]:
    snapshot = _snapshot(runtime, aspect_id)
    with runtime.database.write() as session:
        row = get_aspect(session, aspect_id)
        if row.definition == snapshot.row.definition:
            row.attempted_revision = snapshot.revision
    _check_enough(runtime, snapshot)
    progress({"phase": "training", "train": len(snapshot.examples.train), "dev": len(snapshot.examples.dev)})
    student = _train_once(runtime, snapshot, progress)
    if runtime.settings.hints:
        runtime.queue.enqueue(JobKind.HINTS, aspect_id)
    progress({"phase": "evaluating", "student": student.version})
    report = look_and_settle(runtime, aspect_id, student)
    with runtime.database.read() as session:
        champion = champion_of(session, get_aspect(session, aspect_id))
    if champion is not None and champion.id != student.id:
        runtime.queue.enqueue(JobKind.LOOK, aspect_id)
    return report


def _snapshot(runtime: Runtime, aspect_id: int) -> Snapshot:
    with runtime.database.read() as session:
        row = get_aspect(session, aspect_id)
        project = get_project(session, row.project_id)
        revision = last_revision(session)
        examples = load_examples(session, row, max_text_chars=runtime.settings.max_text_chars)
        aspect = aspect_of(row)
        version = teacher_version(row.name, teacher_id_of(runtime, project, row))
        silver = _said(silver_of(session, row, version, min_score=runtime.settings.teacher_min_agreement), aspect)
        texts = [example.text for example in silver]
        avoid = texts_like_gold(session, row, texts, max_text_chars=runtime.settings.max_text_chars)
        silver = tuple(example for example in silver if example.text not in avoid)
        answers = _said(answers_on_finished(session, row, version), aspect)
    return Snapshot(project, row, aspect, examples=examples, silver=silver, answers=answers, revision=revision)


def _said(rows: Sequence[tuple[TaskRow, PredictionRow]], aspect: Aspect) -> tuple[LabelledText, ...]:
    """The teacher's answers as examples."""
    return tuple(
        LabelledText(text_of(task.data, aspect), Annotation.from_json(prediction.annotation))
        for task, prediction in rows
        if prediction.annotation is not None
    )


def _check_enough(runtime: Runtime, snapshot: Snapshot) -> None:
    number, needed = len(snapshot.examples.train) + len(snapshot.examples.dev), runtime.settings.min_train
    if number < needed:
        raise TrainingError(
            f"Aspect {snapshot.aspect.name!r} has {number} usable train and dev annotations, a training needs {needed} "
            f"(HANDOVER_MIN_TRAIN). Annotate {needed - number} more tasks that are not gold."
        )


def _train_once(runtime: Runtime, snapshot: Snapshot, progress: Progress) -> StudentRow:
    """The student of this content: the one that is stored already, or a freshly trained one."""
    origin = find_origin(runtime, snapshot.row, len(snapshot.examples.train))
    options = _options(runtime.settings, snapshot.aspect, origin)
    version = student_version(snapshot.aspect, snapshot.training_set, options)
    with runtime.database.read() as session:
        known = student_by_version(session, snapshot.row.id, version)
    if known is None or not runtime.artifacts.exists(version):
        known = _train(runtime, snapshot, options, version, progress)
    with runtime.database.write() as session:
        row = get_aspect(session, snapshot.row.id)
        if row.attempted_revision == snapshot.revision:  # else the labels changed meanwhile: nothing knows the new ones
            row.trained_revision = snapshot.revision
    return known


def _options(settings: Settings, aspect: Aspect, origin: Origin | None) -> TrainOptions:
    resources = find_resources(
        encoder=settings.encoder,
        vectors=settings.vectors,
        transformer=settings.transformer,
        cache_dir=settings.data_dir / "cache",
    )
    return TrainOptions(
        seed=settings.seed,
        max_steps=settings.train_max_steps,
        language=settings.language,
        recipes=chosen_recipes(aspect.kind, settings.recipes),
        resources=resources,
        budget=Budget(settings.max_model_mb, settings.min_words_per_second),
        origin=origin,
    )


def _train(runtime: Runtime, snapshot: Snapshot, options: TrainOptions, version: str, progress: Progress) -> StudentRow:
    started = time.monotonic()

    def report(info: dict[str, Any]) -> None:
        progress({"phase": "training", **info, **time_left(info, time.monotonic() - started)})

    remove_workdirs(older_than=runtime.settings.train_timeout)
    with tempfile.TemporaryDirectory(prefix=WORKDIR) as folder:
        trained = train_student(
            snapshot.aspect,
            snapshot.training_set,
            options=options,
            workdir=Path(folder),
            on_progress=report,
        )
        uri = runtime.artifacts.save(trained.path, version, {"aspect": snapshot.aspect.name})
    row = _student_row(snapshot, trained, version=version, uri=uri, seconds=time.monotonic() - started)
    with runtime.database.write() as session:
        known = student_by_version(session, snapshot.row.id, version)
        if known is not None:
            return known
        session.add(row)
    return row


def time_left(info: Mapping[str, Any], seconds: float) -> dict[str, float]:
    """How long a training took so far, and at most will still take, in seconds.

    At most, because most trainings stop before their last step.
    """
    done = (info["candidate"] - 1 + info["step"] / info["max_steps"]) / info["candidates"]
    left = {"seconds_left": round(seconds / done - seconds, 1)} if done > 0 else {}
    return {"seconds": round(seconds, 1), **left}


def remove_workdirs(*, older_than: float) -> None:
    """Remove the folders of trainings that were killed: those older, in seconds, than a training may be."""
    for path in Path(tempfile.gettempdir()).glob(f"{WORKDIR}*"):
        with contextlib.suppress(FileNotFoundError):  # another worker does the same
            if time.time() - path.stat().st_mtime > older_than:
                shutil.rmtree(path, ignore_errors=True)


def _student_row(snapshot: Snapshot, trained: TrainedStudent, *, version: str, uri: str, seconds: float) -> StudentRow:
    return StudentRow(
        aspect_id=snapshot.row.id,
        version=version,
        recipe=trained.recipe,
        uri=uri,
        n_train=len(snapshot.examples.train),
        n_dev=len(snapshot.examples.dev),
        n_silver=len(snapshot.silver),
        used_silver=trained.used_silver,
        dev_score=trained.dev_score,
        report=trained.report,
        seconds=seconds,
    )


def _texts(tasks: tuple[LabelledTask, ...]) -> tuple[LabelledText, ...]:
    return tuple(LabelledText(task.text, task.annotation) for task in tasks)
