"""Several annotations of one task become one, or none when the annotators do not agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

from handover.domain import Annotation, Edge, Kind, Span

Item = TypeVar("Item", str, Span, Edge)

_VOTERS = 3
"""Fewest annotators whose spans or labels are voted on one by one; two who differ are a tie."""


def consensus(kind: Kind, annotations: Sequence[Annotation]) -> Annotation | None:
    """What the annotators of one task say together; None without annotations and for a tie.

    More than half of them have to say the same. Where a task has several answers (any of, spans, relations), each
    label, span or relation is otherwise voted on by itself when there are at least three annotators; one that
    exactly half of them chose is a tie, and so is a vote that leaves nothing although most of them marked
    something. Spans voted for `entities` cannot overlap: two majorities share an annotator, whose spans do not.
    Relations say the same when label and both spans do; spans without a relation have no vote of their own.
    A `choice` without a label is no answer and is ignored.
    """
    answers = [a for a in annotations if a.cats] if kind is Kind.CHOICE else list(annotations)
    if not answers:
        return None
    forms = [_form(kind, answer) for answer in answers]
    form, votes = Counter(forms).most_common(1)[0]
    if 2 * votes > len(answers):
        return answers[forms.index(form)]
    if len(answers) < _VOTERS or kind is Kind.CHOICE:
        return None
    return _vote(kind, answers)


def _form(kind: Kind, annotation: Annotation) -> Hashable:
    """What has to be equal for two annotations to say the same, whatever its order."""
    if kind is Kind.CHOICE:
        return annotation.cats
    if kind is Kind.CHOICES:
        return frozenset(annotation.cats)
    if kind is Kind.RELATIONS:
        return frozenset(annotation.edges)
    return frozenset(annotation.spans)


def _vote(kind: Kind, answers: Sequence[Annotation]) -> Annotation | None:
    if kind is Kind.CHOICES:
        cats = _majority((a.cats for a in answers), len(answers))
        return Annotation(cats=tuple(cats)) if cats else None
    if kind is Kind.RELATIONS:
        edges = _majority((a.edges for a in answers), len(answers))
        marked = Counter(span for answer in answers for span in set(answer.spans))
        kept = {span for span, count in marked.items() if 2 * count > len(answers)}
        # Their end points are among these, because each annotator who drew a relation marked both.
        return Annotation.connecting(kept, edges) if edges else None
    spans = _majority((a.spans for a in answers), len(answers))
    return Annotation(spans=tuple(spans)) if spans else None


def _majority(ballots: Iterable[Iterable[Item]], voters: int) -> list[Item] | None:
    """What more than half of the ballots hold, sorted; None when something is on exactly half of them."""
    votes = Counter(item for ballot in ballots for item in set(ballot))
    if any(2 * count == voters for count in votes.values()):
        return None
    return sorted(item for item, count in votes.items() if 2 * count > voters)
