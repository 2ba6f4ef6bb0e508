"""Warnings about a student that serves: its texts are not what they were, or it scores lower than at its handover.

A warning is a row and a line in the status. It never moves anything: whether the teacher would do better on such texts
only the watch can tell, with gold and the teacher's answers to it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.orm import Session

from handover.domain import Annotation, Aspect, Split
from handover.evaluation import spending
from handover.evaluation.drift import Sample, measure_drift, words_of
from handover.evaluation.rollback import judge_drop
from handover.evaluation.scores import Counts, counts
from handover.examples import LabelledTask
from handover.runtime import Runtime
from handover.store.findings import findings_of
from handover.store.models import AspectRow, DecisionRow, FindingRow, StudentRow, TaskRow
from handover.store.projects import aspect_of, get_aspect
from handover.store.students import champion_of, handover_of
from handover.store.tasks import tasks_by_age
from handover.task_texts import problem_of, text_of

logger = logging.getLogger(__name__)

DRIFT = "drift"
DROP = "drop"

MAX_TEXTS = 500
"""Texts of either period that are compared: the newest ones now, the last ones before the handover."""

STEP = 1.2
"""Something is measured again when there is this many times as much of it."""


@dataclass(frozen=True)
class Watched:
    """A student that serves, and the handover since which it does."""

    row: AspectRow
    aspect: Aspect
    champion: StudentRow
    handover: DecisionRow


def watched_of(session: Session, aspect_id: int) -> Watched | None:
    """The student that serves an aspect, None while the teacher does."""
    row = get_aspect(session, aspect_id)
    champion, handover = champion_of(session, row), handover_of(session, row)
    if champion is None or handover is None:
        return None
    return Watched(row, aspect_of(row), champion, handover)


def check_drift(runtime: Runtime, aspect_id: int) -> None:
    """Compare the texts of before and after the handover: labels given, unknown words, confidence.

    Only tasks that no student was trained on (dev and gold) are compared. The new ones are those that were imported
    after the handover.
    """
    with runtime.database.read() as session:
        watched = watched_of(session, aspect_id)
        if watched is None:
            return
        before, now = (_held_out(session, runtime, watched, is_after=after) for after in (False, True))
        alpha = _alpha(session, runtime, watched, DRIFT, n=len(now))
        if alpha is None or min(len(now), len(before)) < runtime.settings.min_gold:
            return
        trained_on = _texts(session, runtime, watched, (Split.TRAIN,), is_after=False, limit=None)
    found = measure_drift(
        watched.aspect.kind,
        _sample(runtime, watched, before),
        _sample(runtime, watched, now),
        labels=watched.aspect.label_names,
        vocabulary=words_of(trained_on),
        alpha=alpha,
        min_texts=runtime.settings.min_gold,
        seed=runtime.settings.seed,
    )
    text = " ".join(found.warnings) or f"No drift in {found.n} texts that came after the handover."
    details = {"n": found.n, "before_n": found.before_n, "alpha": alpha, "signs": [asdict(s) for s in found.signs]}
    _store(runtime, watched, DRIFT, text, details, is_warning=bool(found.warnings))


def check_drop(runtime: Runtime, aspect_id: int, gold: Sequence[LabelledTask]) -> None:
    """Compare the student's score on gold since the handover with that on the gold before it."""
    with runtime.database.read() as session:
        watched = watched_of(session, aspect_id)
        if watched is None:
            return
        before = [task for task in gold if task.revision <= watched.handover.mark]
        now = [task for task in gold if task.revision > watched.handover.mark]
        alpha = _alpha(session, runtime, watched, DROP, n=len(now))
    if alpha is None or min(len(now), len(before)) < runtime.settings.min_gold:
        return
    found = judge_drop(
        watched.aspect.kind,
        _counts(runtime, watched, before),
        _counts(runtime, watched, now),
        alpha=alpha,
        min_gold=runtime.settings.min_gold,
        seed=runtime.settings.seed,
    )
    details = {**asdict(found), "outcome": found.outcome.value}
    _store(runtime, watched, DROP, found.reason, details, is_warning=found.warning)


def _alpha(session: Session, runtime: Runtime, watched: Watched, kind: str, *, n: int) -> float | None:
    """The error rate of the next measurement: all since the handover stay within the gate's. None when none is due."""
    rows = findings_of(session, watched.row.id, kind=kind, since=watched.handover.created_at)
    if rows and n < STEP * rows[-1].details["n"]:
        return None
    spent = [spending.Look(n=row.details["n"], planned=0, alpha=row.details["alpha"]) for row in rows]
    return spending.next_alpha(runtime.settings.alpha, n=n, planned=0, spent=spent)


def _held_out(session: Session, runtime: Runtime, watched: Watched, *, is_after: bool) -> list[str]:
    splits = (Split.DEV, Split.GOLD)
    return _texts(session, runtime, watched, splits, is_after=is_after, limit=MAX_TEXTS)


def _texts(
    session: Session, runtime: Runtime, watched: Watched, splits: Sequence[Split], *, is_after: bool, limit: int | None
) -> list[str]:
    """The usable texts of some splits that were imported after the handover, or before it."""
    since, project_id = watched.handover.created_at, watched.row.project_id
    rows = tasks_by_age(session, project_id, splits=splits, since=since, is_after=is_after, limit=limit)
    return [text_of(row.data, watched.aspect) for row in rows if _is_usable(runtime, watched, row)]


def _is_usable(runtime: Runtime, watched: Watched, row: TaskRow) -> bool:
    return not problem_of(row.data, watched.aspect, max_text_chars=runtime.settings.max_text_chars)


def _sample(runtime: Runtime, watched: Watched, texts: Sequence[str]) -> Sample:
    answers = runtime.students.predict(watched.champion.version, texts, watched.aspect)
    annotations = [answer.annotation or Annotation() for answer in answers]
    return Sample(texts=texts, annotations=annotations, confidences=[answer.score for answer in answers])


def _counts(runtime: Runtime, watched: Watched, tasks: Sequence[LabelledTask]) -> Counts:
    aspect = watched.aspect
    answers = runtime.students.predict(watched.champion.version, [task.text for task in tasks], aspect)
    references = [task.annotation for task in tasks]
    return counts(aspect.kind, aspect.label_names, references, [answer.annotation for answer in answers])


def _store(
    runtime: Runtime, watched: Watched, kind: str, text: str, details: dict[str, Any], *, is_warning: bool
) -> None:
    row = FindingRow(aspect_id=watched.row.id, kind=kind, is_warning=is_warning, text=text, details=details)
    with runtime.database.write() as session:
        session.add(row)
    if is_warning:
        logger.warning("Aspect %s: %s: %s", watched.row.name, kind, text)
