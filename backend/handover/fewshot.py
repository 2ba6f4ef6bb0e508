"""Examples for the teacher's prompt, chosen from what people corrected on train tasks.

They are chosen anew at steps (50, 100, 200, 400, … finished train tasks): each choice is a new prompt and with
it a new teacher, whose answers are paid for again and which the gate judges again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from handover.domain import Annotation, Kind, Server
from handover.evaluation.consensus import consensus
from handover.evaluation.split import NEAR_DUPLICATE, fingerprints, similarity
from handover.examples import LabelledTask, load_examples
from handover.settings import Settings
from handover.store.database import Database
from handover.store.models import AspectRow, TeacherExampleRow
from handover.store.projects import aspect_of, get_aspect, get_project
from handover.store.teacher_examples import (
    edited_held_out,
    replace_examples,
    shown_examples,
    stored_examples,
    tasks_fit_to_show,
    teacher_predictions,
)
from handover.task_texts import text_of
from handover.teacher.selection import Candidate, select
from handover.teaching import examples_wanted
from handover.versions import teacher_version

logger = logging.getLogger(__name__)

FIRST_STEP = 50
"""Finished train tasks at which the first examples are chosen; every doubling is the next step."""


def step_of(finished: int) -> int:
    """How many steps have been reached with so many finished train tasks: 0 below 50, 1 from 50, 2 from 100, …"""
    return (finished // FIRST_STEP).bit_length()


def next_step(finished: int) -> int:
    """The number of finished train tasks at which the next examples are chosen."""
    return FIRST_STEP * 2 ** step_of(finished)


def candidates(session: Session, row: AspectRow, train: Sequence[LabelledTask]) -> list[Candidate]:
    """Which of these finished train tasks may be shown to the teacher, and where it was wrong before."""
    aspect = aspect_of(row)
    ids = [task.task_id for task in train]
    fit = tasks_fit_to_show(session, ids)
    given = teacher_predictions(session, row, ids, prefix=teacher_version(aspect.name, "?").removesuffix("?"))
    found = [
        Candidate(
            task.task_id,
            task.text,
            task.annotation,
            mistaken=_differs(aspect.kind, given.get(task.task_id), task.annotation),
        )
        for task in train
        if task.task_id in fit
    ]
    held_out = [text_of(task.data, aspect) for task in edited_held_out(session)]
    return _unlike(found, [text for text in held_out if text])


def choose(session: Session, row: AspectRow, number: int, *, settings: Settings) -> tuple[Candidate, ...]:
    """The examples to show if they were chosen now; the same on every call as long as nothing changes."""
    train = load_examples(session, row, max_text_chars=settings.max_text_chars).train
    return select(candidates(session, row, train), number, seed=settings.seed)


def renew(database: Database, settings: Settings, aspect_id: int) -> bool:
    """Choose an aspect's examples anew if a step was reached since the last time, or another number is wanted.

    Returns True when what the prompt shows has changed. Nothing happens while a student serves: its teacher is
    only measured. Doing it twice changes nothing.
    """
    with database.read() as session:
        row = get_aspect(session, aspect_id)
        wanted = examples_wanted(settings, get_project(session, row.project_id), row)
        if not wanted or row.server == Server.STUDENT.value:
            return False
        train = load_examples(session, row, max_text_chars=settings.max_text_chars).train
        step = step_of(len(train))
        if not _is_due(stored_examples(session, row.id), wanted=wanted, step=step):
            return False
        chosen = select(candidates(session, row, train), wanted, seed=settings.seed)
    return store(database, row, chosen, wanted=wanted, step=step)


def store(database: Database, row: AspectRow, chosen: Sequence[Candidate], *, wanted: int, step: int) -> bool:
    """Make these the aspect's examples. Returns True when what the prompt shows has changed."""
    field = aspect_of(row).text_field
    with database.write() as session:
        before = _content(shown_examples(session, row.id, text_field=field))
        fit = tasks_fit_to_show(session, [candidate.task_id for candidate in chosen])
        rows = [
            {
                "task_id": candidate.task_id,
                "step": step,
                "wanted": wanted,
                "text_field": field,
                "text": candidate.text,
                "text_key": fit[candidate.task_id].text_key,
                "annotation": candidate.annotation.to_json(),
            }
            for candidate in chosen
            if candidate.task_id in fit
        ]
        replace_examples(session, row.id, rows)
        changed = before != _content(shown_examples(session, row.id, text_field=field))
    logger.info("Aspect %s: %d examples at step %d (changed: %s)", row.name, len(rows), step, changed)
    return changed


def _is_due(rows: Sequence[TeacherExampleRow], *, wanted: int, step: int) -> bool:
    if not step:
        return False
    return not rows or rows[0].wanted != wanted or rows[0].step < step


def _content(rows: Sequence[TeacherExampleRow]) -> list[tuple[str, dict[str, Any]]]:
    return [(row.text, row.annotation) for row in rows]


def _differs(kind: Kind, answer: dict[str, Any] | None, annotation: Annotation) -> bool:
    """Whether a stored answer says something else than the annotators: two voters agree or are a tie."""
    return answer is not None and consensus(kind, [Annotation.from_json(answer), annotation]) is None


def _unlike(found: list[Candidate], texts: Sequence[str]) -> list[Candidate]:
    """Those that are not nearly the same as one of these texts."""
    if not texts:
        return found
    avoid = [fingerprint.signature for fingerprint in fingerprints(texts)]
    prints = fingerprints(candidate.text for candidate in found)
    return [
        candidate
        for candidate, own in zip(found, prints, strict=True)
        if all(similarity(own.signature, other) < NEAR_DUPLICATE for other in avoid)
    ]
