"""Annotations that may be wrong, for a person to look at. Nothing is ever altered, and gold is not looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from sqlalchemy.orm import Session

from handover.domain import Annotation, AnswerStatus, Aspect, Kind, Span
from handover.evaluation.label_errors import Mark, Suspicion, doubted_choices, doubted_labels, doubted_marks
from handover.evaluation.split import normalise
from handover.examples import LabelledTask
from handover.labelstudio.convert import read_result
from handover.store.answers import predictions_of
from handover.store.hints import quick_annotations
from handover.store.models import AspectRow
from handover.store.projects import aspect_of
from handover.student.readings import RawAnswer
from handover.task_texts import text_of

QUICK_SECONDS = 2.0
"""Nobody reads a text and a suggestion in less."""


class Reason(str, Enum):
    """Why an annotation may be wrong."""

    DOUBTED = "doubted"
    SAME_TEXT = "same_text"
    QUICK = "quick"


@dataclass(frozen=True)
class Hint:
    """An annotation to look at again. `given` is what people said and `suggested` what else it may be, as labels,
    of spans with their offsets. The larger `score`, the more suspicious, among hints of the same reason."""

    task_id: int
    reason: Reason
    score: float
    given: tuple[str, ...]
    suggested: tuple[str, ...] = ()


def doubted(aspect: Aspect, tasks: Sequence[LabelledTask], answers: Sequence[RawAnswer | None]) -> list[Hint]:
    """Annotations that students doubt which have not seen them; `answers` as from `answer_unseen`."""
    pairs = [(task, a) for task, a in zip(tasks, answers, strict=True) if a is not None]
    found = ((pairs[s.index][0], s) for s in _suspicions(aspect, pairs))
    return [Hint(task.task_id, Reason.DOUBTED, s.score, s.given, s.suggested) for task, s in found]


def _suspicions(aspect: Aspect, pairs: Sequence[tuple[LabelledTask, RawAnswer]]) -> list[Suspicion]:
    cats = [task.annotation.cats for task, _ in pairs]
    labels = aspect.label_names
    if aspect.kind is Kind.CHOICE:
        known = [i for i, chosen in enumerate(cats) if chosen[0] in labels]
        found = doubted_choices([pairs[i][1].labels for i in known], [cats[i][0] for i in known], labels)
        return [Suspicion(known[s.index], s.score, s.given, s.suggested) for s in found]
    if aspect.kind is Kind.CHOICES:
        return doubted_labels([answer.labels for _, answer in pairs], cats, labels)
    predicted = [_confident_marks(answer) for _, answer in pairs]
    given = [_marks(task.annotation) for task, _ in pairs]
    return doubted_marks(predicted, given, [answer.document for _, answer in pairs])


def _confident_marks(answer: RawAnswer) -> list[tuple[Mark, float]]:
    """What a student marked, with its confidences: spans and then relations, as in the annotation."""
    return list(zip(_marks(answer.annotation), (*answer.regions, *answer.relations), strict=True))


def _marks(annotation: Annotation) -> list[Mark]:
    spans = [(span.label, _place(span)) for span in annotation.spans]
    edges = [(label, _place(head), _place(child)) for head, child, label in annotation.edges]
    return [*spans, *edges]


def _place(span: Span) -> str:
    return f"{span.start}-{span.end}"


def same_text(tasks: Sequence[LabelledTask]) -> list[Hint]:
    """Annotations of texts that were annotated more than once, in different ways; upper case and white space do
    not make a text another. Suggested is what most of them say."""
    groups: dict[str, list[LabelledTask]] = {}
    for task in tasks:
        groups.setdefault(normalise(task.text), []).append(task)
    return [hint for group in groups.values() for hint in _odd_ones(group)]


def _odd_ones(group: Sequence[LabelledTask]) -> Iterable[Hint]:
    votes = Counter(task.annotation for task in group)
    (most, number), *others = votes.most_common()
    if not others:
        return
    is_tie = others[0][1] == number
    for task in group:
        if is_tie or task.annotation != most:
            rest = {word for a in votes if a != task.annotation for word in _words(a)} if is_tie else _words(most)
            score = 1 - votes[task.annotation] / len(group)
            yield Hint(task.task_id, Reason.SAME_TEXT, score, _words(task.annotation), tuple(sorted(rest)))


def _words(annotation: Annotation) -> tuple[str, ...]:
    return (*annotation.cats, *(" ".join(mark) for mark in _marks(annotation)))


def accepted_in_no_time(session: Session, row: AspectRow) -> list[Hint]:
    """Annotations that say just what was suggested, and took less time than reading does.

    Known only for suggestions that are in the store (the teacher's), and where Label Studio tells the time.
    """
    aspect = aspect_of(row)
    quick = quick_annotations(session, row.project_id, seconds=QUICK_SECONDS)
    stored = predictions_of(session, task_ids=[task.id for task, _ in quick], aspect_ids=[row.id])
    suggested: dict[int, list[Annotation]] = {}
    for (task_id, _, _), prediction in stored.items():
        if prediction.status == AnswerStatus.OK.value and prediction.annotation is not None:
            suggested.setdefault(task_id, []).append(Annotation.from_json(prediction.annotation))
    hints: dict[int, Hint] = {}
    for task, annotation in quick:
        said = read_result(annotation.result, aspect, text_of(task.data, aspect)).annotation
        if said is not None and said in suggested.get(task.id, []):
            score = 1 - (annotation.lead_time or 0.0) / QUICK_SECONDS
            hints.setdefault(task.id, Hint(task.id, Reason.QUICK, score, _words(said)))
    return list(hints.values())
