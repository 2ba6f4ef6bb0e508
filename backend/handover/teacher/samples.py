"""Self-consistency: the same question several times, each time put a little differently, and what the answers have
in common (Wang et al. 2023, "Self-Consistency Improves Chain of Thought Reasoning in Language Models").

The newest models take no sampling parameters, and the SDK has none any more. So a further sample shows labels and
examples in another order (models favour what comes first or last), and is drawn at the model's own temperature.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from handover.domain import Annotation, Kind, Relation, Span

if TYPE_CHECKING:
    from spacy.tokens import Doc

    from handover.teacher.tasks import HandoverTask

SAMPLE_KEY = "handover_sample"
"""Where a doc says which of the samples it is: an index, 0 for the question as it is."""


class SampledTask:
    """A task whose docs may ask for its variants; answers are read as those of the first."""

    def __init__(self, task: HandoverTask, samples: int) -> None:
        self.question = task.question
        self.samples = samples
        self._variants = [task, *(_variant(task, number) for number in range(1, samples))]

    @property
    def prompt_hash(self) -> str:
        """The task's own hash, and the number of samples: votes are other answers than a single one's."""
        content = f"{self._variants[0].prompt_hash}\n{self.samples} samples"
        return hashlib.sha256(content.encode()).hexdigest()

    def generate_prompts(self, docs: Iterable[Doc]) -> Iterable[Any]:
        """One prompt per doc, from the variant that it asks for."""
        for doc in docs:
            yield from self._variants[doc.user_data.get(SAMPLE_KEY, 0)].generate_prompts([doc])

    def parse_responses(self, docs: Iterable[Doc], responses: Iterable[Any]) -> Iterable[Doc]:
        """Read answers; they name labels, whose order does not matter."""
        return self._variants[0].parse_responses(docs, responses)


def with_samples(task: HandoverTask, samples: int) -> HandoverTask | SampledTask:
    """The task, with variants if there is to be more than one sample."""
    return task if samples == 1 else SampledTask(task, samples)


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


def _variant(task: HandoverTask, number: int) -> HandoverTask:
    """The task with labels and examples in an order that belongs to this number."""
    draw = random.Random(number)
    labels, examples = list(task.question.labels), list(task.question.examples)
    draw.shuffle(labels)
    draw.shuffle(examples)
    return type(task)(replace(task.question, labels=tuple(labels), examples=tuple(examples)))


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
