"""What the suggestions are worth, and how far they pull people along: read from what annotators did with them.

An annotation counts as assisted when the prediction it started from showed something for the aspect; whether it was
left untouched is a comparison of the two, not what somebody pressed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.orm import Session

from handover.domain import Annotation, Aspect
from handover.evaluation.anchoring import AnchoringGap, measure_anchoring
from handover.evaluation.scores import Counts, counts
from handover.evaluation.utility import Utility, UtilityReport, Work, measure_utility
from handover.examples import LabelledTask, load_examples
from handover.labelstudio.convert import read_result
from handover.settings import Settings
from handover.store import annotations as annotation_store
from handover.store.answers import predictions_of
from handover.store.models import AnnotationRow, AspectRow, PredictionRow, TaskRow
from handover.store.projects import aspect_of, find_aspects
from handover.store.teacher_examples import like_examples
from handover.task_texts import text_of
from handover.versions import teacher_version


@dataclass(frozen=True)
class AspectUtility:
    """Utility and anchoring gap of one aspect; `gap` is None with too few tasks in a group."""

    aspect: str
    report: UtilityReport
    gap: AnchoringGap | None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        gap = {**asdict(self.gap), "sentence": self.gap.sentence} if self.gap is not None else None
        return {
            "aspect": self.aspect,
            "total": _row(self.report.total),
            "annotators": [_row(row) for row in self.report.annotators],
            "minutes_saved_95": self.report.minutes_saved_95,
            "anchoring": gap,
        }


def read_utility(session: Session, settings: Settings, *, ls_project_id: int, aspect: str = "") -> list[AspectUtility]:
    """Utility of each active aspect of a project, or of one. Raises NotFoundError."""
    rows = [row for row in find_aspects(session, ls_project_id=ls_project_id, name=aspect) if row.active]
    return [_of_aspect(session, settings, row) for row in rows]


def _of_aspect(session: Session, settings: Settings, row: AspectRow) -> AspectUtility:
    aspect = aspect_of(row)
    pairs = annotation_store.finished(session, row.project_id)
    work = [item for task, annotation in pairs for item in _work(aspect, task, annotation)]
    return AspectUtility(row.name, measure_utility(work, seed=settings.seed), _gap(session, settings, row))


def _work(aspect: Aspect, task: TaskRow, annotation: AnnotationRow) -> Iterator[Work]:
    """The work that an annotation was; nothing for imported ones, or when it is not known what it started from."""
    if annotation.imported:
        return
    text = text_of(task.data, aspect)
    made = read_result(annotation.result, aspect, text).annotation
    if annotation.ls_parent_prediction_id is None or annotation.parent_has_content is False:
        yield Work(annotation.completed_by, assisted=False, seconds=annotation.lead_time)
    elif annotation.parent_result is not None:
        start = read_result(annotation.parent_result, aspect, text).annotation
        assisted = start is not None and _has_suggestion(annotation.parent_result, aspect)
        untouched = assisted and start == made
        yield Work(annotation.completed_by, assisted=assisted, untouched=untouched, seconds=annotation.lead_time)


def _has_suggestion(result: Sequence[dict[str, Any]], aspect: Aspect) -> bool:
    return any(region.get("from_name") == aspect.name for region in result)


def _gap(session: Session, settings: Settings, row: AspectRow) -> AnchoringGap | None:
    """The teacher's score on blind gold and on tasks whose annotation started from what it said."""
    aspect = aspect_of(row)
    examples = load_examples(session, row, max_text_chars=settings.max_text_chars)
    corrected = [*examples.train, *examples.dev]
    shown = like_examples(session, row.id, [task.task_id for task in corrected])
    corrected = [task for task in corrected if task.task_id not in shown]  # their answers stand in the prompt
    answers = _teacher_answers(session, row, [task.task_id for task in (*examples.gold, *corrected)])
    started = _started_from(session, row, aspect)
    blind = [task for task in examples.gold if task.task_id in answers]
    assisted = [t for t in corrected if t.task_id in answers and started.get(t.task_id) == {answers[t.task_id]}]
    tables = [_counts(aspect, tasks, answers) for tasks in (blind, assisted)]
    return measure_anchoring(aspect.kind, *tables, seed=settings.seed)


def _teacher_answers(session: Session, row: AspectRow, task_ids: Sequence[int]) -> dict[int, Annotation]:
    version = teacher_version(row.name, row.teacher_id)
    found = predictions_of(session, task_ids=task_ids, aspect_ids=[row.id])
    return {task_id: _annotation(p) for (task_id, _, v), p in found.items() if v == version and p.status == "ok"}


def _annotation(row: PredictionRow) -> Annotation:
    return Annotation.from_json(row.annotation or {})


def _started_from(session: Session, row: AspectRow, aspect: Aspect) -> dict[int, set[Annotation | None]]:
    """What the annotations of each task started from; None stands for nothing, or for something that is not known."""
    found: dict[int, set[Annotation | None]] = {}
    for task, annotation in annotation_store.finished(session, row.project_id):
        result = annotation.parent_result
        start = read_result(result, aspect, text_of(task.data, aspect)).annotation if result else None
        found.setdefault(task.id, set()).add(start)
    return found


def _counts(aspect: Aspect, tasks: Sequence[LabelledTask], answers: dict[int, Annotation]) -> Counts:
    predictions = [answers[task.task_id] for task in tasks]
    return counts(aspect.kind, aspect.label_names, [task.annotation for task in tasks], predictions)


def _row(row: Utility) -> dict[str, Any]:
    share = {"count": row.untouched.count, "n": row.untouched.n, "interval": row.untouched.interval}
    return {**asdict(row), "untouched": {**share, "share": row.untouched.value}}
