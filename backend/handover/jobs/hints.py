"""Look for annotations that may be wrong, and keep the list."""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from handover.errors import TrainingError
from handover.examples import LabelledTask, load_examples
from handover.hints import Hint, accepted_in_no_time, doubted, same_text
from handover.jobs.retrain import WORKDIR
from handover.runtime import Runtime
from handover.store.hints import replace_hints
from handover.store.models import AspectRow
from handover.store.projects import aspect_of, get_aspect
from handover.student.cross_validation import answer_unseen
from handover.student.training_set import LabelledText, TrainOptions

logger = logging.getLogger(__name__)

Progress = Callable[[dict[str, object]], None]


def run(runtime: Runtime, aspect_id: int, progress: Progress) -> dict[str, object]:
    """Replace the hints about an aspect; returns how many there are by reason."""
    with runtime.database.read() as session:
        row = get_aspect(session, aspect_id)
        examples = load_examples(session, row, max_text_chars=runtime.settings.max_text_chars)
        hints = accepted_in_no_time(session, row)
    tasks = (*examples.train, *examples.dev)
    hints += same_text(tasks)
    hints += _doubted(runtime, row, tasks, progress)
    with runtime.database.write() as session:
        replace_hints(session, aspect_id, [_row(hint) for hint in hints])
    return {"tasks": len(tasks), **Counter(hint.reason.value for hint in hints)}


def _doubted(runtime: Runtime, row: AspectRow, tasks: tuple[LabelledTask, ...], progress: Progress) -> list[Hint]:
    settings, aspect = runtime.settings, aspect_of(row)
    options = TrainOptions(seed=settings.seed, max_steps=settings.train_max_steps, language=settings.language)
    texts = [LabelledText(task.text, task.annotation) for task in tasks]
    try:
        with tempfile.TemporaryDirectory(prefix=WORKDIR) as folder:
            answers = answer_unseen(aspect, texts, options=options, workdir=Path(folder), on_progress=progress)
    except TrainingError as error:  # the other reasons need no student
        logger.info("Aspect %s: no hints by students: %s", row.name, error)
        return []
    return doubted(aspect, tasks, answers)


def _row(hint: Hint) -> dict[str, object]:
    return {
        "task_id": hint.task_id,
        "reason": hint.reason.value,
        "score": hint.score,
        "given": list(hint.given),
        "suggested": list(hint.suggested),
    }
