"""Questions that may wait a day, for less: prefetch through the teacher's batches.

A batch and the questions in it are rows of the store before it is sent, so that a worker that starts anew finds it
and fetches its answers. Whoever opens a task that is in a batch gets a live answer; what a batch could not answer is
asked one by one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from handover.domain import AnswerStatus
from handover.errors import NotFoundError, TeacherError
from handover.patience import patiently
from handover.preannotation import keep_known, missing_of
from handover.runtime import Runtime
from handover.serving import Served
from handover.store import ledger as store
from handover.store.columns import utcnow
from handover.store.models import AspectRow, ProjectRow, TaskRow, TeacherBatchRow
from handover.store.projects import aspect_of, get_aspect
from handover.store.tasks import open_tasks
from handover.task_texts import problem_of, text_of
from handover.teacher.calls import Outcome, Purpose
from handover.teacher.completion import Completion
from handover.teacher.teacher import BatchModel, Sample, Teacher

logger = logging.getLogger(__name__)

MAX_REQUESTS = 10_000
MAX_CHARS = 20_000_000
"""Size of one batch; the API takes 100,000 requests and 256 MB, with the prompts as JSON."""

SENDING = timedelta(minutes=20)
"""A batch that has no id of the API after this time was never sent: its process died on the way."""


def submit(runtime: Runtime, project: ProjectRow, served: Served, tasks: Sequence[TaskRow]) -> set[int]:
    """Send the questions that tasks still need as a batch, if there are enough of them.

    Returns the tasks that a batch, this or an earlier one, is going to answer. Raises TeacherError when the teacher
    cannot be built.
    """
    teacher = runtime.teacher_for(project, served.row)
    if teacher is None or not runtime.settings.teacher_batch_from or teacher.batches is None:
        return set()
    questions = _questions(runtime, teacher, served, tasks)
    with runtime.database.read() as session:
        waiting = store.keys_under_way(session, served.row.id)
        live_only = store.keys_failed_in_a_batch(session, served.row.id)
    new = {q.key: q for group in questions.values() for q in group if q.key not in waiting | live_only}
    if len(new) >= runtime.settings.teacher_batch_from:
        for part in _parts(list(new.values())):
            waiting |= _send(runtime, teacher, teacher.batches, served, part)
    return {task_id for task_id, group in questions.items() if group and all(q.key in waiting for q in group)}


def collect(runtime: Runtime, project: ProjectRow, served: Sequence[Served]) -> int:
    """Fetch the answers of batches that have ended into the cache, the ledger and the predictions.

    Returns how many answers came. A batch that cannot be asked about now stays for the next time, and so do those of
    aspects that a student serves: nothing leaves for them any more.
    """
    by_teacher = [s for s in served if s.student is None]
    with runtime.database.read() as session:
        batches = store.open_batches(session, [s.row.id for s in by_teacher])
    number = 0
    for batch in batches:
        try:
            number += _collect(runtime, project, batch)
        except TeacherError as error:
            logger.warning("Batch %s of project %d: %s", batch.api_id, project.ls_id, error)
    if number:
        with runtime.database.read() as session:
            tasks = open_tasks(session, project.id)
        for s in by_teacher:
            keep_known(runtime, project, s.row, missing_of(runtime, s.row, tasks, s.version))
    return number


def _questions(runtime: Runtime, teacher: Teacher, served: Served, tasks: Sequence[TaskRow]) -> dict[int, list[Sample]]:
    """What would have to be asked about each task that has no prediction, by the task's id."""
    limit = runtime.settings.max_text_chars
    missing = missing_of(runtime, served.row, tasks, served.version)
    askable = [task for task in missing if not problem_of(task.data, served.aspect, max_text_chars=limit)]
    groups = teacher.unknown([text_of(task.data, served.aspect) for task in askable], runtime.answers)
    return {task.id: group for task, group in zip(askable, groups, strict=True)}


def _send(
    runtime: Runtime, teacher: Teacher, model: BatchModel, served: Served, questions: Sequence[Sample]
) -> set[str]:
    """Send one batch, as far as the budget allows; returns the keys that are under way.

    When the API does not take it, the questions are left to be asked one by one.
    """
    ledger = runtime.ledger_for(served.row)
    calls = [teacher.call(question, purpose=Purpose.PREFETCH.value) for question in questions]
    batch_id, admission = ledger.open_batch(calls)
    prompts = {q.key: q.prompt for q in questions[: len(admission.tickets)] if q.prompt is not None}
    try:
        api_id = model.send_batch(prompts) if prompts else ""
    except TeacherError as error:
        logger.warning("Aspect %s: %s", served.row.name, error)
        ledger.give_up_batch(batch_id, str(error))
        return set()
    if not prompts:
        ledger.give_up_batch(batch_id, admission.problem)
        return set()
    patiently(runtime.database, lambda session: store.set_sent(session, batch_id, api_id))
    logger.info("Aspect %s: batch %s with %d questions", served.row.name, api_id, len(prompts))
    return set(prompts)


def _collect(runtime: Runtime, project: ProjectRow, batch: TeacherBatchRow) -> int:
    with runtime.database.read() as session:
        row = get_aspect(session, batch.aspect_id)
    ledger = runtime.ledger_for(row)
    if not batch.api_id:
        if utcnow() - batch.created_at > SENDING:
            ledger.give_up_batch(batch.id, "The process that was sending the batch died.")
        return 0
    teacher = runtime.teacher_for(project, row)
    if teacher is None or teacher.batches is None:
        return 0  # HANDOVER_TEACHER changed: nothing is sent, and the batch can still be fetched later.
    try:
        completions = teacher.batches.fetch_batch(batch.api_id)
    except NotFoundError as error:
        ledger.give_up_batch(batch.id, str(error))
        return 0
    if completions is None:
        return 0
    outcomes = _understood(runtime, row, teacher, completions)
    _put(runtime, teacher, batch, outcomes)
    ledger.close_batch(batch.id, outcomes, model_id=batch.model_id)
    return sum(outcome.status is not AnswerStatus.FAILED for outcome in outcomes.values())


def _understood(
    runtime: Runtime, row: AspectRow, teacher: Teacher, completions: Mapping[str, Completion]
) -> dict[str, Outcome]:
    """What completions mean, by key: read with the tasks they are about, where those are still open."""
    aspect = aspect_of(row)
    with runtime.database.read() as session:
        tasks = open_tasks(session, row.project_id)
    texts = [text for task in tasks if (text := text_of(task.data, aspect))]
    questions = {question.key: question for text in texts for question in teacher.questions(text) if question.key}
    return {
        key: teacher.understand(questions[key], completion)
        if key in questions
        else Outcome(completion.status, completion, (completion.problem,) if completion.problem else ())
        for key, completion in completions.items()
    }


def _put(runtime: Runtime, teacher: Teacher, batch: TeacherBatchRow, outcomes: Mapping[str, Outcome]) -> None:
    """Keep the answers. Where a live one came first, that is what people saw, and it stays."""
    known = runtime.answers.get(list(outcomes))
    runtime.answers.put(
        [
            replace(teacher.to_cache(key, outcome), model_id=batch.model_id)
            for key, outcome in outcomes.items()
            if outcome.status is not AnswerStatus.FAILED and key not in known
        ]
    )


def _parts(questions: Sequence[Sample]) -> Iterator[list[Sample]]:
    """The questions in batches that the API takes."""
    part: list[Sample] = []
    chars = 0
    for question in questions:
        size = len(question.prompt or "")
        if part and (len(part) >= MAX_REQUESTS or chars + size > MAX_CHARS):
            yield part
            part, chars = [], 0
        part.append(question)
        chars += size
    if part:
        yield part
