"""What several samples of one question have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from handover.domain import Annotation, Kind, Relation, Span

SAMPLE_KEY = "handover_sample"
"""Where a doc says which of the samples it is: an index, 0 for the question as it is."""


def vote(kind: Kind, answers: Sequence[Annotation], *, samples: int) -> tuple[Annotation, float]:
    """What most of the samples say, and how far they agree with it, from 0 to 1.

    Kind `choice`: the label with the most votes, of equals the one that came first. Other kinds: each label, span
    or relation that more than half of the `samples` hold. A sample agrees to the share of what it holds in common
    with the vote (Dice); samples without an answer, of which `answers` has none, do not agree. Spans voted for do
    not overlap where those of single answers do not: any two majorities share a sample.
    """
    if kind is Kind.CHOICE:
        ((winner, most),) = Counter(answers).most_common(1)
        return winner, most / samples
    ballots = [_items(answer) for answer in answers]
    votes = Counter(item for ballot in ballots for item in ballot)
    elected = {item for item, number in votes.items() if 2 * number > samples}
    agreement = sum(_dice(ballot, elected) for ballot in ballots) / samples
    return _annotation(elected, answers), agreement


_Item = tuple[str, Any]


def _items(annotation: Annotation) -> set[_Item]:
    spans = annotation.spans
    relations = {("relation", (spans[r.head], spans[r.child], r.label)) for r in annotation.relations}
    return {("cat", cat) for cat in annotation.cats} | {("span", span) for span in spans} | relations


def _dice(one: set[_Item], other: set[_Item]) -> float:
    return 2 * len(one & other) / (len(one) + len(other)) if one or other else 1.0


def _annotation(elected: set[_Item], answers: Sequence[Annotation]) -> Annotation:
    """The annotation of what was voted for. A relation's spans are in each answer that holds it, so they won too."""
    order = list(dict.fromkeys(cat for answer in answers for cat in answer.cats))
    spans: list[Span] = sorted(value for name, value in elected if name == "span")
    relations = sorted(
        Relation(spans.index(value[0]), spans.index(value[1]), value[2])
        for name, value in elected
        if name == "relation"
    )
    cats = tuple(cat for cat in order if ("cat", cat) in elected)
    return Annotation(cats=cats, spans=tuple(spans), relations=tuple(relations))
