"""What the gate does over many looks, by simulation: false handovers, power, and what a naive rule would have done.

Gold documents come in, and at every look a student, new or the same, is judged on all of them. Only counts are
simulated; they go through the very functions that the gate uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from handover.domain import Kind
from handover.evaluation.bounds import is_better, lower_bound
from handover.evaluation.scores import Counts, metric
from handover.evaluation.spending import Look, next_alpha


@dataclass(frozen=True)
class World:
    """What is true in the simulation.

    `teacher` is the share of items (documents, for spans: spans) the teacher gets right, `difference` how much
    more the student does, `discordance` the share that exactly one of them gets right (at least `difference`).
    Entities: `spans` a document on average, Poisson distributed, and one false alarm for each wrong one.
    `retrained`: each look judges a new student, which differs from the teacher on other items.
    """

    kind: Kind = Kind.CHOICE
    teacher: float = 0.8
    difference: float = 0.0
    discordance: float = 0.2
    spans: float = 2.0
    retrained: bool = True

    @property
    def student_right(self) -> tuple[float, float]:
        """How often the student is right where the teacher is wrong, and where it is right.

        Raises ValueError when teacher, difference and discordance contradict each other.
        """
        wins = (self.discordance + self.difference) / 2
        losses = (self.discordance - self.difference) / 2
        if not (0 < self.teacher < 1 and 0 <= wins <= 1 - self.teacher and 0 <= losses <= self.teacher):
            raise ValueError(
                f"No student has discordance {self.discordance} and difference {self.difference} to a teacher "
                f"of {self.teacher}: wins {wins:.3f} must be at most {1 - self.teacher:.3f} and losses not "
                "negative."
            )
        return wins / (1 - self.teacher), 1 - losses / self.teacher


@dataclass(frozen=True)
class Simulation:
    """Results over `runs` runs: the share of runs in which the student took over at any of the looks.

    `gate` is this package's gate, `naive` the rule "its score on gold is higher than the teacher's". `median_n`
    is the gold at the gate's handover in the median run that had one, `spent` the mean error used by all looks.
    """

    world: World
    runs: int
    gate: float
    naive: float
    median_n: float | None
    spent: float


def simulate_gate(
    world: World,
    *,
    looks: Sequence[int],
    planned: int | None = None,
    alpha: float = 0.05,
    margin: float = 0.0,
    runs: int = 1000,
    resamples: int = 2000,
    seed: int = 0,
) -> Simulation:
    """Play `runs` projects. `looks` are the gold documents at each look, not falling; `planned` their expected end.

    Seeded: the same arguments give the same result. Raises ValueError for a `World` that cannot be.
    """
    rng = np.random.default_rng(seed)
    alphas = _alphas(alpha, looks, planned or max(looks))
    gate: list[int] = []
    naive = 0
    for _ in range(runs):
        students, teacher = _draw(world, max(looks), len(looks), rng)
        ahead = False
        for number, (n, level) in enumerate(zip(looks, alphas, strict=True)):
            student, rival = students[number if world.retrained else 0][:n], teacher[:n]
            difference = float(metric(world.kind, student.sum(axis=0)) - metric(world.kind, rival.sum(axis=0)))
            ahead = ahead or difference > 0
            if difference > -margin and _promotes(world.kind, student, rival, level, margin, resamples, seed):
                gate.append(n)
                break
        naive += ahead
    return Simulation(
        world=world,
        runs=runs,
        gate=len(gate) / runs,
        naive=naive / runs,
        median_n=float(np.median(gate)) if gate else None,
        spent=float(sum(alphas)),
    )


def no_better(world: World) -> World:
    """The same world with a student exactly as good as the teacher."""
    return replace(world, difference=0.0)


def _alphas(alpha: float, looks: Sequence[int], planned: int) -> list[float]:
    spent: list[Look] = []
    for n in looks:
        spent.append(Look(n, planned, next_alpha(alpha, n=n, planned=planned, spent=spent)))
    return [look.alpha for look in spent]


def _promotes(
    kind: Kind, student: Counts, teacher: Counts, alpha: float, margin: float, resamples: int, seed: int
) -> bool:
    if margin == 0:  # The same answer as from the bound, without computing what is below zero.
        return is_better(kind, student, teacher, alpha=alpha, resamples=resamples, seed=seed)
    return lower_bound(kind, student, teacher, alpha=alpha, resamples=resamples, seed=seed) > -margin


def _draw(
    world: World, n: int, looks: int, rng: np.random.Generator
) -> tuple[list[Counts], Counts]:
    """The counts of a student for each look (one, if it stays the same) and of the teacher."""
    where_wrong, where_right = world.student_right
    sizes = np.ones(n, dtype=np.int64) if world.kind is Kind.CHOICE else rng.poisson(world.spans, n)
    teacher = rng.binomial(sizes, world.teacher)
    students = [
        rng.binomial(teacher, where_right) + rng.binomial(sizes - teacher, where_wrong)
        for _ in range(looks if world.retrained else 1)
    ]
    return [_counts(world.kind, sizes, right) for right in students], _counts(world.kind, sizes, teacher)


def _counts(kind: Kind, sizes: NDArray[np.int64], right: NDArray[np.int64]) -> Counts:
    if kind is Kind.CHOICE:
        return np.stack([right, sizes], axis=1).astype(np.float64)
    wrong = sizes - right
    return np.stack([right, wrong, wrong], axis=1).astype(np.float64)
