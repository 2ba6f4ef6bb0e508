"""The candidates of one training: what is trained on what, what each costs at work, and which is kept."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handover.errors import TrainingError
from handover.student.recipes import strength

if TYPE_CHECKING:
    from spacy.language import Language

TIMED_TEXTS = 100


class Labels(str, Enum):
    """Who labelled what a candidate learns from, beside people: nobody, the teacher, or another candidate."""

    GOLD = "gold"
    SILVER = "silver"
    DISTILLED = "distilled"


@dataclass(frozen=True)
class Run:
    """One training: a recipe on people's annotations, and more."""

    recipe: str
    labels: Labels = Labels.GOLD

    @property
    def suffix(self) -> str:
        """What tells its files from those of the recipe on people's annotations alone."""
        return "" if self.labels is Labels.GOLD else f"+{self.labels.value}"


@dataclass(frozen=True)
class Cost:
    """What a pipeline costs at work: bytes on disk, and words per second on one core of this machine."""

    size: int
    words_per_second: float


@dataclass(frozen=True)
class Budget:
    """The most a student may cost; 0: no limit."""

    max_megabytes: float = 0.0
    min_words_per_second: float = 0.0

    def allows(self, cost: Cost) -> bool:
        """Whether a pipeline may serve."""
        small = not self.max_megabytes or cost.size <= self.max_megabytes * 1e6
        return small and cost.words_per_second >= self.min_words_per_second


@dataclass(frozen=True)
class Candidate:
    """One trained run."""

    run: Run
    dev_score: float
    seconds: float
    steps: int
    cost: Cost
    path: Path

    def to_json(self, *, affordable: bool) -> dict[str, Any]:
        """Its row in the report."""
        return {
            "recipe": self.run.recipe,
            "labels": self.run.labels.value,
            "used_silver": self.run.labels is not Labels.GOLD,
            "dev_score": self.dev_score,
            "seconds": self.seconds,
            "steps": self.steps,
            "checkpoint": self.path.name,
            "size": self.cost.size,
            "words_per_second": round(self.cost.words_per_second),
            "affordable": affordable,
        }


def choose(candidates: Sequence[Candidate], budget: Budget, *, n_dev: int) -> Candidate:
    """The best on dev within the budget; but of those that learned from the same labels and are worse by less than
    a standard error, the recipe that is best elsewhere.

    On the 20 dev texts of 100 annotations, the best on dev was often not the best (docs/recipes.md). Equals: fewer
    answers of machines, and the recipe that comes first. Raises TrainingError when none is within the budget.
    """
    affordable = [c for c in candidates if budget.allows(c.cost)]
    if not affordable:
        smallest, fastest = min(c.cost.size for c in candidates), max(c.cost.words_per_second for c in candidates)
        raise TrainingError(
            f"None of the {len(candidates)} candidates is within the budget of {budget.max_megabytes:g} MB and "
            f"{budget.min_words_per_second:g} words per second: the smallest has {smallest / 1e6:.1f} MB, the fastest "
            f"reads {fastest:.0f} words per second. Change HANDOVER_MAX_MODEL_MB or HANDOVER_MIN_WORDS_PER_SECOND."
        )
    order = list(Labels)
    ordered = sorted(affordable, key=lambda c: order.index(c.run.labels))
    best = max(ordered, key=lambda c: c.dev_score)
    enough = best.dev_score - standard_error(best.dev_score, n_dev)
    near = [c for c in ordered if c.run.labels is best.run.labels and c.dev_score >= enough]
    return min(near, key=lambda c: (strength(c.run.recipe), -c.dev_score))


def standard_error(rate: float, number: int) -> float:
    """The standard error of a score on so many texts, with one success and one failure more, so that a perfect
    score on little data is not taken for certain."""
    smoothed = (rate * number + 1) / (number + 2)
    return math.sqrt(smoothed * (1 - smoothed) / (number + 2))


def measure(nlp: Language, path: Path, texts: Sequence[str]) -> Cost:
    """Size of a saved pipeline, and its speed on some of these texts, tokenisation included."""
    timed = list(texts[:TIMED_TEXTS])
    list(nlp.pipe(timed[:8]))  # the first texts pay for what is built once
    started = time.perf_counter()
    words = sum(len(doc) for doc in nlp.pipe(timed))
    return Cost(folder_size(path), words / max(time.perf_counter() - started, 1e-9))


def folder_size(path: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
