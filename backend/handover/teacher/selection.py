"""Which corrected tasks to show in the prompt: all labels, the teacher's own mistakes, nothing twice, short first.

Greedy: one text after the other, first of all the one with most labels that no chosen text has yet. Among
equals the best sum of four parts between 0 and 1 wins: how rarely its labels were chosen so far, whether the
teacher was wrong about it (until half of the examples are mistakes, from then on whether it was right: a prompt
of nothing but odd cases misleads), how little it resembles what was chosen, and how short it is.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from handover.domain import Annotation

MAX_TEXT_CHARS = 2_000
"""Longer texts are never examples: the prompt is paid for with every task."""

MAX_CHARS = 12_000
"""Characters of all examples together."""

NOTHING = ""
"""Stands for a label where an annotation is empty: "there is nothing to mark" has to be shown too."""

_GRAM = 3


@dataclass(frozen=True)
class Candidate:
    """A finished train task; `mistaken` says whether the teacher's stored answer differs from the annotation."""

    task_id: int
    text: str
    annotation: Annotation
    mistaken: bool = False

    @cached_property
    def labels(self) -> frozenset[str]:
        """The labels it shows."""
        found = self.annotation
        labels = {*found.cats, *(span.label for span in found.spans), *(edge.label for edge in found.relations)}
        return frozenset(labels or {NOTHING})

    @cached_property
    def grams(self) -> frozenset[str]:
        """Its character trigrams, which need no words and so suit every language."""
        text = " ".join(self.text.casefold().split())
        return frozenset(text[i : i + _GRAM] for i in range(max(1, len(text) - _GRAM + 1)))


def select(candidates: Sequence[Candidate], number: int, *, seed: int) -> tuple[Candidate, ...]:
    """Up to `number` of the candidates, best first; the same for the same candidates in whatever order.

    Fewer where texts are too long (`MAX_TEXT_CHARS`, together `MAX_CHARS`) or there are no more.
    """
    pool = sorted((c for c in candidates if 0 < len(c.text) <= MAX_TEXT_CHARS), key=lambda c: _lot(c, seed))
    chosen = _Chosen(number)
    likeness = dict.fromkeys((c.task_id for c in pool), 0.0)
    while len(chosen.all) < number:
        fitting = [c for c in pool if len(c.text) + chosen.chars <= MAX_CHARS]
        if not fitting:
            break
        best = max(fitting, key=lambda c: chosen.worth(c, likeness[c.task_id]))
        chosen.add(best)
        pool = [c for c in fitting if c is not best and c.grams != best.grams]
        for c in pool:
            likeness[c.task_id] = max(likeness[c.task_id], _jaccard(c.grams, best.grams))
    return tuple(chosen.all)


class _Chosen:
    """What was chosen so far, and what one more is worth."""

    def __init__(self, number: int) -> None:
        self.all: list[Candidate] = []
        self.chars = 0
        self._labels: Counter[str] = Counter()
        self._mistakes_left = (number + 1) // 2

    def add(self, candidate: Candidate) -> None:
        self.all.append(candidate)
        self.chars += len(candidate.text)
        self._labels.update(candidate.labels)
        self._mistakes_left -= candidate.mistaken

    def worth(self, candidate: Candidate, likeness: float) -> tuple[int, float]:
        rarity = sum(1 / (1 + self._labels[label]) for label in candidate.labels) / len(candidate.labels)
        lesson = candidate.mistaken if self._mistakes_left > 0 else not candidate.mistaken
        brevity = 1 - len(candidate.text) / MAX_TEXT_CHARS
        new = sum(not self._labels[label] for label in candidate.labels)
        return new, rarity + lesson + (1 - likeness) + brevity


def _jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / len(a | b)


def _lot(candidate: Candidate, seed: int) -> str:
    """The order among equals: by chance, but always the same."""
    return hashlib.sha256(f"{seed}\n{candidate.task_id}\n{candidate.text}".encode("utf-8", "surrogatepass")).hexdigest()
