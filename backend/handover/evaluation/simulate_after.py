"""What happens after a handover, by simulation: false and missed rollbacks, flapping, warnings about drops.

The same worlds as in `simulate`; `World.difference` is below zero where the student has fallen behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from handover.domain import Outcome
from handover.evaluation.bounds import is_better
from handover.evaluation.rollback import judge_drop
from handover.evaluation.scores import Counts
from handover.evaluation.simulate import Simulation, World, draw, play, promotes, spend, value
from handover.evaluation.spending import Look, next_alpha


def simulate_rollback(
    world: World,
    *,
    looks: Sequence[int],
    planned: int | None = None,
    alpha: float = 0.05,
    runs: int = 1000,
    resamples: int = 2000,
    seed: int = 0,
) -> Simulation:
    """Play `runs` handovers with `looks` new gold documents, rising, that have shadow answers of the teacher.

    In the result `gate` is the share of runs that were rolled back at any look, `naive` what "its score on new
    gold is lower than the teacher's" would have rolled back. Raises ValueError for a `World` that cannot be.
    """
    exchanged = World(
        kind=world.kind,
        teacher=world.teacher + world.difference,
        difference=-world.difference,
        discordance=world.discordance,
        spans=world.spans,
        retrained=False,
    )
    alphas = spend(alpha, looks, planned or max(looks))
    return play(exchanged, looks, alphas, margin=0.0, runs=runs, resamples=resamples, seed=seed)


@dataclass(frozen=True)
class Life:
    """Mean numbers of switches in `runs` projects: handovers and rollbacks, of this package and of the rule that
    always lets the one with the higher score on all gold serve.
    """

    runs: int
    handovers: float
    rollbacks: float
    naive: float


def simulate_life(
    world: World,
    *,
    looks: Sequence[int],
    alpha: float = 0.05,
    runs: int = 200,
    resamples: int = 2000,
    seed: int = 0,
) -> Life:
    """Play whole projects: handovers, rollbacks, handovers again, each with the gold that counts for it."""
    rng = np.random.default_rng(seed)
    handovers, rollbacks, naive = [], [], []
    for _ in range(runs):
        students, teacher = draw(world, max(looks), len(looks), rng)
        tables = [(students[i if world.retrained else 0][:n], teacher[:n]) for i, n in enumerate(looks)]
        switches = _switches(world, tables, alpha=alpha, resamples=resamples, seed=seed)
        handovers.append((switches + 1) // 2)
        rollbacks.append(switches // 2)
        naive.append(_naive_switches(world, tables))
    return Life(runs, float(np.mean(handovers)), float(np.mean(rollbacks)), float(np.mean(naive)))


def _switches(world: World, tables: Sequence[tuple[Counts, Counts]], *, alpha: float, resamples: int, seed: int) -> int:
    """The number of switches in one project, the teacher serving first."""
    total, start, switches = len(tables[-1][1]), 0, 0
    spent: list[Look] = []
    for student, teacher in tables:
        n = len(teacher) - start
        level = next_alpha(alpha, n=n, planned=total - start, spent=spent)
        spent.append(Look(n, total - start, level))
        sides = (student[start:], teacher[start:]) if switches % 2 == 0 else (teacher[start:], student[start:])
        if is_better(world.kind, *sides, alpha=level, resamples=resamples, seed=seed):
            switches += 1
            start = len(teacher) if switches % 2 else start
            spent = []
    return switches


def _naive_switches(world: World, tables: Sequence[tuple[Counts, Counts]]) -> int:
    ahead = [value(world.kind, student) > value(world.kind, teacher) for student, teacher in tables]
    return sum(now != before for before, now in zip([False, *ahead], ahead, strict=False))


def simulate_drop(
    world: World,
    *,
    drop: float = 0.0,
    at_handover: Sequence[int] = (60, 120, 240),
    looks: Sequence[int],
    alpha: float = 0.05,
    runs: int = 500,
    resamples: int = 1000,
    seed: int = 0,
) -> float:
    """The share of handovers after which `judge_drop` warns at any of the `looks` at new gold.

    Each run has the gate choose a student at one of the looks `at_handover`, so that its score there is as flattering
    as it is in life; runs without a handover do not count. `drop` is how much its true share of right items falls
    afterwards. Raises ValueError when the student of the world is not ahead: it would hardly ever be chosen.
    """
    if world.difference <= 0:
        raise ValueError(f"No handover to look back on: the student is {world.difference:+g} ahead, expected above 0.")
    rng = np.random.default_rng(seed)
    later = World(kind=world.kind, teacher=world.teacher + world.difference - drop, discordance=0.0, spans=world.spans)
    warned: list[bool] = []
    while len(warned) < runs:
        before = _chosen(world, at_handover, alpha=alpha, resamples=resamples, rng=rng, seed=seed)
        if before is not None:
            _, now = draw(later, max(looks), 1, rng)
            warned.append(_warns(world, before, now, looks=looks, alpha=alpha, resamples=resamples, seed=seed))
    return float(np.mean(warned))


def _chosen(
    world: World, looks: Sequence[int], *, alpha: float, resamples: int, rng: np.random.Generator, seed: int
) -> Counts | None:
    """The counts of a student on the gold at which the gate handed over to it."""
    students, teacher = draw(world, max(looks), len(looks), rng)
    levels = spend(alpha, looks, max(looks))
    for i, (n, level) in enumerate(zip(looks, levels, strict=True)):
        student = students[i if world.retrained else 0][:n]
        if promotes(world.kind, student, teacher[:n], alpha=level, margin=0.0, resamples=resamples, seed=seed):
            return student
    return None


def _warns(
    world: World, before: Counts, now: Counts, *, looks: Sequence[int], alpha: float, resamples: int, seed: int
) -> bool:
    levels = spend(alpha, looks, max(looks))
    return any(
        judge_drop(
            world.kind, before, now[:n], alpha=level, min_gold=1, rolls_back=True, resamples=resamples, seed=seed
        ).outcome
        is Outcome.ROLLBACK
        for n, level in zip(looks, levels, strict=True)
    )
