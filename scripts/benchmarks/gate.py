"""What the gate promises, by simulation: false handovers, power, rollbacks; and how fast its bootstrap is.

Writes the tables to gate.md and a plot to gate.svg in --out. Seeded: the same arguments write the same tables.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from handover.domain import Kind
from handover.evaluation.bootstrap import paired_bootstrap
from handover.evaluation.simulate import Simulation, World, simulate_gate
from handover.evaluation.simulate_after import simulate_drop, simulate_life, simulate_rollback

LOOKS = 20
FIRST = 30
ALPHA = 0.05
SIZES = (100, 200, 300, 500, 1000)
DIFFERENCES = (0.0, 0.02, 0.05, 0.10)
ENTITY_SHARE = 0.15
"""Runs with entities take longer; this share of the runs is enough to tell."""
CHOICE, ENTITIES = World(), World(kind=Kind.ENTITIES)
EQUALS = {
    "choice, a new student at each look": CHOICE,
    "choice, always the same student": replace(CHOICE, retrained=False),
    "choice, teacher 95 %, differing in 8 %": replace(CHOICE, teacher=0.95, discordance=0.08),
    "choice, teacher 60 %, differing in 40 %": replace(CHOICE, teacher=0.6, discordance=0.4),
    "choice, student 2 points worse": replace(CHOICE, difference=-0.02),
    "entities, a new student at each look": ENTITIES,
    "entities, one span in two tasks": replace(ENTITIES, spans=0.5),
}
"""Worlds in which every handover is wrong."""

INTRO = """\
Written by `scripts/benchmark gate`. Simulated projects: gold comes in, the gate looks {looks} times, each time at
all gold there is so far, and may hand over at any of them (`alpha` {alpha:g} over all looks, margin 0). Where
nothing else is said, the teacher is right in 80 % of the items and student and teacher differ in 20 % of them;
*items* are tasks for `choice` and spans for `entities`. *Naive* is the rule "the student's score on gold is higher
than the teacher's", at the same looks. Rates are shares of {runs:,} simulated projects ({entity_runs:,} for
entities): one of 5 % is known to ± {error:.1%}."""


@dataclass(frozen=True)
class Table:
    """A table of the report."""

    title: str
    text: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"## {self.title}\n\n{_wrapped(self.text)}\n\n{body}\n"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate, print and write; 1 when a promise is broken."""
    options = _parse(arguments)
    power = _power(options.runs)
    false = {name: _simulate(world, 500, options.runs) for name, world in EQUALS.items()}
    tables = [_false_handovers(false), _power_table(power), *_after(options.runs)]
    intro = INTRO.format(
        looks=LOOKS,
        alpha=ALPHA,
        runs=options.runs,
        entity_runs=_entity_runs(options.runs),
        error=2 * _error(options.runs),
    )
    plot = "![Share of projects that handed over, by gold tasks](gate.svg)\n"
    parts = ["# What the gate promises, and keeps\n", _wrapped(intro) + "\n", *tables[:2], plot, *tables[2:]]
    report = "\n".join(map(str, parts))
    print(report)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "gate.md").write_text(report, encoding="utf-8")
    _plot(power, options.out / "gate.svg")
    _speed()
    return int(any(found.gate > ALPHA + 3 * _error(found.runs) for found in false.values()))


def _error(runs: int) -> float:
    """The standard error of a rate of `ALPHA`."""
    return float((ALPHA * (1 - ALPHA) / runs) ** 0.5)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/benchmark gate", description=__doc__)
    parser.add_argument("--runs", type=int, default=2000, help="simulated projects a cell (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="where to write (default: %(default)s)")
    return parser.parse_args(arguments)


def _looks(last: int) -> list[int]:
    return [int(n) for n in np.geomspace(FIRST, last, LOOKS).round()]


def _entity_runs(runs: int) -> int:
    return max(1, round(runs * ENTITY_SHARE))


def _simulate(world: World, last: int, runs: int) -> Simulation:
    runs = runs if world.kind is Kind.CHOICE else _entity_runs(runs)
    return simulate_gate(world, looks=_looks(last), alpha=ALPHA, runs=runs, resamples=1000)


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _false_handovers(false: Mapping[str, Simulation]) -> Table:
    rows = [[name, _percent(found.gate), _percent(found.naive)] for name, found in false.items()]
    text = (
        "The student is exactly as good as the teacher, or worse; every handover is wrong. Gold grows to 500 tasks. "
        "The gate stays within 5 %, in all of these worlds."
    )
    return Table("False handovers", text, ["world", "gate", "naive"], rows)


Power = dict[tuple[float, int], Simulation]


def _power(runs: int) -> Power:
    return {
        (difference, n): _simulate(replace(CHOICE, difference=difference), n, runs)
        for difference in DIFFERENCES
        for n in SIZES
    }


def _power_table(power: Power) -> Table:
    rows = []
    for difference in DIFFERENCES:
        for who in ("gate", "naive"):
            shares = [_percent(getattr(power[difference, n], who)) for n in SIZES]
            rows.append([f"{100 * difference:+.0f} points" if difference else "none", who, *shares])
    text = (
        "How often the student takes over until there is so much gold (`choice`, a new student at each look), by its "
        "real advantage. The first two rows are errors, the others successes. The naive rule finds real advantages "
        "sooner, for the same reason for which it hands over to almost any student."
    )
    header = ["advantage", "rule", *(f"{n:,} gold" for n in SIZES)]
    return Table("Power", text, header, rows)


def _after(runs: int) -> Iterator[Table]:
    yield _rollbacks(runs)
    yield _lives(runs)
    yield _drops(runs)


def _rollbacks(runs: int) -> Table:
    rows = []
    for lag in (0.0, 0.02, 0.05, 0.10, 0.20):
        world = replace(CHOICE, difference=-lag, discordance=0.24)
        row = [f"{100 * lag:.0f} points behind" if lag else "as good as the teacher"]
        for last in (100, 300, 1000):
            row.append(_percent(simulate_rollback(world, looks=_looks(last), alpha=ALPHA, runs=runs).gate))
        rows.append([*row, _percent(simulate_rollback(world, looks=_looks(300), alpha=ALPHA, runs=runs).naive)])
    entities = simulate_rollback(ENTITIES, looks=_looks(300), runs=_entity_runs(runs), resamples=1000)
    rows.append(["as good, entities", "", _percent(entities.gate), "", _percent(entities.naive)])
    text = (
        "After a handover new gold comes in, the teacher answers it in the background, and the gate looks 20 times. "
        "The student stays the same; the share of projects that were rolled back until there is so much new gold "
        "(student and teacher differ in 24 % of the tasks)."
    )
    header = ["the student is", "100 new gold", "300", "1,000", "naive at 300"]
    return Table("Rollbacks", text, header, rows)


def _lives(runs: int) -> Table:
    rows = []
    number = max(1, runs // 10)
    for difference in (0.0, 0.02, 0.05, 0.10):
        world = replace(CHOICE, difference=difference, retrained=False)
        life = simulate_life(world, looks=list(range(20, 1201, 20)), alpha=ALPHA, runs=number)
        name = f"{100 * difference:+.0f} points" if difference else "none"
        rows.append([name, f"{life.handovers:.2f}", f"{life.rollbacks:.3f}", f"{life.naive:.2f}"])
    text = (
        f"Whole projects with 1,200 gold tasks and 60 looks ({number:,} each): how often the side that serves "
        "changes, per project. The naive rule always lets the one with the higher score serve."
    )
    return Table("Flapping", text, ["advantage", "handovers", "rollbacks", "naive switches"], rows)


def _drops(runs: int) -> Table:
    rows = []
    number = max(1, runs // 5)
    for drop in (0.0, 0.05, 0.10, 0.20):
        cells = [
            _percent(simulate_drop(replace(CHOICE, difference=advantage), drop=drop, looks=_looks(300), runs=number))
            for advantage in (0.03, 0.10)
        ]
        rows.append([f"{100 * drop:.0f} points" if drop else "none", *cells])
    text = (
        "Without the teacher's answers on new gold, the student's own score is compared with that at its handover: "
        f"the share of projects with a warning within 20 looks at up to 300 new gold tasks ({number:,} each). The "
        "students were chosen by the gate at 60, 120 or 240 gold tasks, which flatters them; a drop has to exceed "
        "2 points for that reason."
    )
    header = ["real drop", "student 3 points ahead at its handover", "10 points ahead"]
    return Table("Warnings about a drop", text, header, rows)


def _plot(power: Power, path: Path) -> None:
    import matplotlib as mpl  # noqa: PLC0415 - only for the plot

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "gate", "svg.fonttype": "none", "font.size": 10})
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
    for number, difference in enumerate(DIFFERENCES):
        name = f"student {100 * difference:+.0f} points" if difference else "student as good as the teacher"
        shares = [power[difference, n].gate for n in SIZES]
        axes.plot(SIZES, shares, color=f"C{number}", marker="o", label=f"gate, {name}")
    naive = [power[0.0, n].naive for n in SIZES]
    axes.plot(SIZES, naive, color="C0", marker="x", linestyle="--", label="naive, student as good as the teacher")
    axes.axhline(ALPHA, color="0.6", linewidth=1, linestyle=":")
    axes.annotate("5 %", (SIZES[-1], ALPHA), textcoords="offset points", xytext=(0, 4), color="0.4")
    axes.set(xlabel="gold tasks in the end", ylabel="share of projects that handed over", ylim=(0, 1.03))
    axes.grid(alpha=0.25)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _speed() -> None:
    """10,000 resamples of 1,000 documents, the median of five."""
    rng = np.random.default_rng(0)
    for name, mean in (("about two spans a document", 2.0), ("about twelve", 12.0)):
        tables = [rng.poisson(mean, (1000, 3)).astype(float) for _ in range(2)]
        seconds = [_timed(*tables) for _ in range(5)]
        print(f"Paired bootstrap, 10,000 resamples of 1,000 documents, {name}: {statistics.median(seconds):.2f} s")


def _timed(student: np.ndarray, teacher: np.ndarray) -> float:
    started = time.perf_counter()
    paired_bootstrap(Kind.ENTITIES, student, teacher, resamples=10_000, seed=0)
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
