"""What the gate does over many looks, by simulation: false handovers, power, and what a naive rule would have
done.

Gold documents come in, and at every look a student, new or the same, is judged on all of them. Only counts
are simulated; they go through the very functions that the gate uses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handover.domain import Kind
from handover.evaluation.bounds import is_better, lower_bound
from handover.evaluation.scores import Counts, metric
from handover.evaluation.spending import Look, next_alpha


@dataclass(frozen=True)
class World:
    """What is true in the simulation.

    `teacher` is the share of items (documents, for spans: spans) the teacher gets right, `difference` how
    much more the student does, `discordance` the share that exactly one of them gets right (at least
    `difference`). Entities: `spans` a document on average, Poisson distributed, and one false alarm for each
    wrong one. `retrained`: each look judges a new student, which differs from the teacher on other items.
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
        slack = 1e-9  # 1 - 0.8 is a little less than 0.2.
        fits = -slack <= wins <= 1 - self.teacher + slack and -slack <= losses <= self.teacher + slack
        if not (0 < self.teacher < 1 and fits):
            raise ValueError(
                f"No student differs from a teacher of {self.teacher} in {self.discordance} of the items and is "
                f"{self.difference} better: it would win {wins:.3f} and lose {losses:.3f} of them."
            )
        return min(1.0, max(0.0, wins) / (1 - self.teacher)), min(1.0, 1 - losses / self.teacher)


@dataclass(frozen=True)
class Simulation:
    """Results over `runs` runs: the share of runs in which the student took over at any of the looks.

    `gate` is this package's gate, `naive` the rule "its score on gold is higher than the teacher's".
    `median_n` is the gold at the gate's handover in the median run that had one, `spent` the mean error used
    by all looks.
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
    """Play `runs` projects with `looks` gold documents at the looks, rising, of `planned` in the end.

    Seeded: the same arguments give the same result. Raises ValueError for a `World` that cannot be.
    """
    alphas = spend(alpha, looks, planned or max(looks))
    return play(world, looks, alphas, margin=margin, runs=runs, resamples=resamples, seed=seed)


def play(
    world: World,
    looks: Sequence[int],
    alphas: Sequence[float],
    *,
    margin: float,
    runs: int,
    resamples: int,
    seed: int,
) -> Simulation:
    """`simulate_gate` with the error rate of each look given."""
    rng = np.random.default_rng(seed)
    gate: list[int] = []
    naive = 0
    for _ in range(runs):
        ahead = False
        for (student, teacher), level in zip(_project(world, looks, rng), alphas, strict=True):
            difference = value(world.kind, student) - value(world.kind, teacher)
            ahead = ahead or difference > 0
            if difference > -margin and promotes(
                world.kind, student, teacher, alpha=level, margin=margin, resamples=resamples, seed=seed
            ):
                gate.append(len(student))
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


def spend(alpha: float, looks: Sequence[int], planned: int) -> list[float]:
    """The error rate of each look, one after the other."""
    spent: list[Look] = []
    for n in looks:
        spent.append(Look(n, planned, next_alpha(alpha, n=n, planned=planned, spent=spent)))
    return [look.alpha for look in spent]


def value(kind: Kind, table: Counts) -> float:
    """The metric on all documents."""
    return float(metric(kind, table.sum(axis=0)))


def promotes(
    kind: Kind, student: Counts, teacher: Counts, *, alpha: float, margin: float, resamples: int, seed: int
) -> bool:
    """Whether the gate would hand over."""
    if margin == 0:  # The same answer as from the bound, without computing what is below zero.
        return is_better(kind, student, teacher, alpha=alpha, resamples=resamples, seed=seed)
    return lower_bound(kind, student, teacher, alpha=alpha, resamples=resamples, seed=seed) > -margin


def _project(world: World, looks: Sequence[int], rng: np.random.Generator) -> Iterator[tuple[Counts, Counts]]:
    """The counts of student and teacher at each look of one project."""
    students, teacher = draw(world, max(looks), len(looks), rng)
    for number, n in enumerate(looks):
        yield students[number if world.retrained else 0][:n], teacher[:n]


def draw(world: World, n: int, looks: int, rng: np.random.Generator) -> tuple[list[Counts], Counts]:
    """Counts on `n` documents: of a student for each look (one, if it stays the same), and of the teacher."""
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
