"""Self-consistency: the same question several times, each time put a little differently (Wang et al. 2023,
"Self-Consistency Improves Chain of Thought Reasoning in Language Models").

The newest models take no sampling parameters, and the SDK has none any more. So a further sample shows labels and
examples in another order (models favour what comes first or last), and is drawn at the model's own temperature.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any, Iterable, TypeVar  # noqa: UP035 - spacy-llm reads hints with typing.Iterable only

from spacy.tokens import Doc

from handover.teacher.tasks import HandoverTask
from handover.teacher.votes import SAMPLE_KEY

Item = TypeVar("Item")


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


def _variant(task: HandoverTask, number: int) -> HandoverTask:
    """The task with labels and examples in an order that belongs to this number."""
    labels, examples = _turned(task.question.labels, number), _turned(task.question.examples, number)
    return type(task)(replace(task.question, labels=labels, examples=examples))


def _turned(items: tuple[Item, ...], number: int) -> tuple[Item, ...]:
    """The items beginning with another one for each number; after all had their turn, backwards."""
    if not items:
        return items
    rounds, first = divmod(number, len(items))
    turned = items[first:] + items[:first]
    return turned[::-1] if rounds % 2 else turned
