"""What people annotated, as examples for one aspect: train, dev, and the gold that is still blind."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from sqlalchemy.orm import Session

from handover.domain import Annotation, Aspect, Split
from handover.evaluation.consensus import consensus
from handover.held_out import texts_like_gold
from handover.labelstudio.convert import read_result
from handover.store import annotations as annotation_store
from handover.store.models import AnnotationRow, AspectRow, TaskRow
from handover.store.projects import aspect_of
from handover.task_texts import problem_of, text_of


@dataclass(frozen=True)
class LabelledTask:
    """A task with the annotation its annotators agree on.

    `revision` is that of its newest annotation, `group` the key of the near-identical texts it belongs to.
    """

    task_id: int
    ls_task_id: int
    text: str
    annotation: Annotation
    revision: int = 0
    group: str = ""


@dataclass(frozen=True)
class Examples:
    """The usable annotations of an aspect by split, and why others are missing.

    `voided` counts gold tasks that were not annotated blind, `ties` tasks without a majority, `unusable` tasks
    whose text or annotation cannot be used, `like_gold` train and dev tasks that are left out because their text is
    nearly that of a gold task. `independent` is what each annotator said about gold tasks that
    several of them annotated blind, ties included.
    """

    train: tuple[LabelledTask, ...]
    dev: tuple[LabelledTask, ...]
    gold: tuple[LabelledTask, ...]
    voided: int
    ties: int
    unusable: int
    independent: tuple[Mapping[Hashable, Annotation], ...] = ()
    like_gold: int = 0

    @property
    def gold_hash(self) -> str:
        """Identifies the gold: texts and annotations."""
        return hash_of(self.gold)


def hash_of(tasks: Iterable[LabelledTask]) -> str:
    """Identifies labelled tasks: texts and annotations."""
    rows = sorted((task.ls_task_id, task.text, json.dumps(task.annotation.to_json())) for task in tasks)
    payload = json.dumps([list(row) for row in rows], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(payload.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def load_examples(session: Session, aspect_row: AspectRow, *, max_text_chars: int) -> Examples:
    """Read all finished annotations of an aspect's project as examples."""
    aspect = aspect_of(aspect_row)
    by_split: dict[Split, list[LabelledTask]] = {split: [] for split in Split}
    independent: list[Mapping[Hashable, Annotation]] = []
    voided = ties = unusable = 0
    for task, rows in _by_task(annotation_store.finished(session, aspect_row.project_id)):
        text = text_of(task.data, aspect)
        if problem_of(task.data, aspect, max_text_chars=max_text_chars):
            unusable += 1
            continue
        split = Split(task.split)
        usable = [row for row in rows if split is not Split.GOLD or is_blind(row, task)]
        voided += split is Split.GOLD and len(usable) < len(rows) and not usable
        annotations = _read(usable, aspect, text)
        if not annotations:
            unusable += bool(usable)
            continue
        if split is Split.GOLD and len(usable) > 1:
            independent.append(_by_annotator(usable, aspect, text))
        agreed = consensus(aspect.kind, annotations)
        if agreed is None:
            ties += 1
            continue
        revision = max(row.revision for row in usable)
        by_split[split].append(LabelledTask(task.id, task.ls_id, text, agreed, revision, task.group_key))
    train, dev, gold = (tuple(by_split[split]) for split in (Split.TRAIN, Split.DEV, Split.GOLD))
    several = tuple(answers for answers in independent if len(answers) > 1)
    found = Examples(train, dev, gold, voided=voided, ties=ties, unusable=unusable, independent=several)
    return _unlike_gold(session, aspect_row, found, max_text_chars=max_text_chars)


def _unlike_gold(session: Session, row: AspectRow, found: Examples, *, max_text_chars: int) -> Examples:
    """The same without train and dev tasks whose text is nearly that of a gold task."""
    texts = [task.text for task in (*found.train, *found.dev)]
    avoid = texts_like_gold(session, row, texts, max_text_chars=max_text_chars)
    train, dev = (tuple(t for t in tasks if t.text not in avoid) for tasks in (found.train, found.dev))
    return replace(found, train=train, dev=dev, like_gold=len(texts) - len(train) - len(dev))


def _by_annotator(rows: Sequence[AnnotationRow], aspect: Aspect, text: str) -> Mapping[Hashable, Annotation]:
    """The last annotation of each person."""
    found: dict[Hashable, Annotation] = {}
    for row in rows:
        annotation = read_result(row.result, aspect, text).annotation
        if row.completed_by is not None and not row.imported and annotation is not None:
            found[row.completed_by] = annotation
    return found


def is_blind(row: AnnotationRow, task: TaskRow) -> bool:
    """Whether an annotation of a gold task was made without seeing an answer.

    Not blind: started from a prediction with content (or one nobody has looked at yet); imported and not
    marked as ground truth since; made before the task's text was changed.
    """
    if row.ls_parent_prediction_id is not None and row.parent_has_content is not False:
        return False
    if row.imported:
        return False
    return task.data_changed_at is None or row.ls_updated_at >= task.data_changed_at


def _by_task(
    rows: Sequence[tuple[TaskRow, AnnotationRow]],
) -> Iterable[tuple[TaskRow, list[AnnotationRow]]]:
    for _, group in groupby(rows, key=lambda pair: pair[0].id):
        pairs = list(group)
        yield pairs[0][0], [annotation for _, annotation in pairs]


def _read(rows: Sequence[AnnotationRow], aspect: Aspect, text: str) -> list[Annotation]:
    """The annotations of people, or imported ones where there are no others; those marked as ground truth alone
    where there are any."""
    own = [row for row in rows if not row.imported] or list(rows)
    chosen = [row for row in own if row.ground_truth] or own
    readings = (read_result(row.result, aspect, text).annotation for row in chosen)
    return [annotation for annotation in readings if annotation is not None]
