"""Does the gate decide right on real data? Students of several sizes against recorded answers of a real LLM.

For each set and training size a student is trained by the default recipes. Then gold comes in, drawn from the
set's eval part, and the gate looks again and again until it hands over or all gold is there. The whole eval part
is taken as the truth: a handover to a student that is not better on it is wrong. Students are cached in --cells.

Where teacher and students are far apart that is no hard test. So every system of a set also plays the student
against every other in the place of the teacher, with the gold in many orders: real answers, and close races.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations
from pathlib import Path

import numpy as np

from handover.domain import Annotation, Decision, Kind, Outcome
from handover.evaluation.bounds import is_better
from handover.evaluation.gate import judge
from handover.evaluation.scores import Counts, counts
from handover.evaluation.simulate import spend, value
from handover.evaluation.spending import Look, next_alpha
from handover.settings import Settings
from handover.student.pipeline import load_student, predict
from handover.student.training import TrainOptions, train_student
from handover.student.version import student_version
from scripts.benchmarks.sets import BenchSet, read_sets

LOOKS = 20
DEFAULTS = {name: field.default for name, field in Settings.model_fields.items()}


@dataclass(frozen=True)
class Row:
    """What the gate did with one student, and what is true about it."""

    name: str
    size: int
    truth: Decision
    last: Decision
    gold: int
    looks: int

    @property
    def wrong(self) -> bool:
        """Handed over to a student that is not better on the whole eval part."""
        return self.last.outcome is Outcome.PROMOTE and self.truth.difference <= 0

    def __str__(self) -> str:
        low, high = self.truth.details["interval_95"]
        return (
            f"| {self.name} | {self.size} | {self.truth.teacher_score:.3f} | {self.truth.student_score:.3f} "
            f"| {self.truth.difference:+.3f} ({low:+.3f} to {high:+.3f}) | {self.last.outcome.value} "
            f"| {self.gold} ({self.looks}) | {'WRONG' if self.wrong else 'right'} |"
        )


HEADER = """\
| set | train + dev | teacher | student | difference (95 % interval), all gold | decision | gold at it (looks) | |
|---|---|---|---|---|---|---|---|"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is missing, judge, print; 1 if a handover was wrong."""
    options = _parse(arguments)
    print(HEADER, flush=True)
    rows: list[Row] = []
    plays: list[Play] = []
    for bench in read_sets(options.folder, options.sets):
        systems = {"teacher": _counts(bench, [item.teacher for item in bench.eval])}
        for size in sorted({min(size or len(bench.train), len(bench.train)) for size in options.sizes}):
            systems[str(size)] = _counts(bench, _answers(bench, size, options))
            rows.append(_row(bench, size, systems, options))
            print(rows[-1], flush=True)
        plays += _races(bench.aspect.kind, systems, options)
    wrong = sum(row.wrong for row in rows)
    taken = sum(row.last.outcome is Outcome.PROMOTE for row in rows)
    print(f"\n{len(rows)} students, {taken} handovers, {wrong} of them wrong.\n")
    _print_races(plays)
    return int(wrong > 0)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/benchmark decisions", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder with the benchmark sets")
    parser.add_argument("--cells", type=Path, default=Path("benchmark-cells"), help="where trained cells are kept")
    parser.add_argument("--sets", nargs="*", default=[], help="names of sets or of aspects, as restaurants.food")
    parser.add_argument(
        "--sizes", nargs="*", type=int, default=[100, 200, 400, 0], help="0: all (default: %(default)s)"
    )
    parser.add_argument("--silver", action="store_true", help="train on the teacher's answers to the rest, too")
    parser.add_argument("--seed", type=int, default=0, help="of the samples, the trainings and the gate")
    parser.add_argument("--orders", type=int, default=20, help="orders of the gold for each pair of systems")
    parser.add_argument("--alpha", type=float, default=DEFAULTS["alpha"], help="error over all looks")
    parser.add_argument("--margin", type=float, default=DEFAULTS["margin"], help="non-inferiority margin")
    return parser.parse_args(arguments)


def _counts(bench: BenchSet, answers: Sequence[Annotation]) -> Counts:
    references = [item.gold for item in bench.eval]
    return counts(bench.aspect.kind, bench.aspect.label_names, references, answers)


def _row(bench: BenchSet, size: int, systems: dict[str, Counts], options: argparse.Namespace) -> Row:
    order = np.random.default_rng(options.seed).permutation(len(bench.eval))
    student, teacher = systems[str(size)][order], systems["teacher"][order]
    truth = judge(
        bench.aspect.kind, student, teacher, alpha=options.alpha, margin=options.margin, min_gold=1, seed=options.seed
    )
    last, looks = _play(bench, student, teacher, options)
    return Row(bench.name, size, truth, last, gold=last.n, looks=looks)


def _looks(planned: int) -> list[int]:
    return [int(n) for n in np.unique(np.geomspace(DEFAULTS["min_gold"], planned, LOOKS).astype(int))]


def _play(bench: BenchSet, student: Counts, teacher: Counts, options: argparse.Namespace) -> tuple[Decision, int]:
    """Look at growing gold until the student takes over or all gold is there; the last decision."""
    planned = len(student)
    spent: list[Look] = []
    for n in _looks(planned):
        alpha = next_alpha(options.alpha, n=n, planned=planned, spent=spent)
        decision = judge(
            bench.aspect.kind, student[:n], teacher[:n], alpha=alpha, margin=options.margin, min_gold=1,
            seed=options.seed,
        )  # fmt: skip
        spent.append(Look(n, planned, decision.alpha))
        if decision.outcome is Outcome.PROMOTE:
            break
    return decision, len(spent)


def _answers(bench: BenchSet, size: int, options: argparse.Namespace) -> list[Annotation]:
    """The student's answers to the eval part, from the cache or from a training."""
    examples = bench.training_set(size, dev_share=DEFAULTS["dev_share"], seed=options.seed, silver=options.silver)
    train_options = TrainOptions(seed=options.seed, max_steps=DEFAULTS["train_max_steps"])
    version = student_version(bench.aspect, examples, train_options)
    cell = options.cells / f"{bench.name}-{size}-{version}.json"
    if not cell.exists():
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            trained = train_student(bench.aspect, examples, options=train_options, workdir=Path(folder))
            found = predict(load_student(trained.path), [item.text for item in bench.eval], bench.aspect)
        content = {
            "recipe": trained.recipe,
            "used_silver": trained.used_silver,
            "dev_score": trained.dev_score,
            "seconds": round(time.monotonic() - started, 1),
            "answers": [answer.annotation.to_json() for answer in found],
            "scores": [answer.score for answer in found],
        }
        cell.parent.mkdir(parents=True, exist_ok=True)
        cell.write_text(json.dumps(content), encoding="utf-8")
    return [Annotation.from_json(answer) for answer in json.loads(cell.read_text(encoding="utf-8"))["answers"]]


@dataclass(frozen=True)
class Play:
    """One system in the place of the student, another in that of the teacher, with the gold in some order."""

    difference: float
    gate: bool
    naive: bool


BANDS = (-1.0, -0.05, -0.02, 0.0, 0.02, 0.05, 0.10, 1.0)


def _races(kind: Kind, systems: dict[str, Counts], options: argparse.Namespace) -> Iterator[Play]:
    rng = np.random.default_rng(options.seed)
    looks = _looks(len(systems["teacher"]))
    alphas = spend(options.alpha, looks, max(looks))
    for student, teacher in permutations(systems.values(), 2):
        difference = value(kind, student) - value(kind, teacher)
        for _ in range(options.orders):
            order = rng.permutation(len(teacher))
            yield Play(difference, *_race(kind, student[order], teacher[order], looks, alphas))


def _race(
    kind: Kind, student: Counts, teacher: Counts, looks: Sequence[int], alphas: Sequence[float]
) -> tuple[bool, bool]:
    """Whether the gate, and whether "a higher score", handed over at any look."""
    naive = False
    for n, alpha in zip(looks, alphas, strict=True):
        ahead = value(kind, student[:n]) > value(kind, teacher[:n])
        naive = naive or ahead
        if ahead and is_better(kind, student[:n], teacher[:n], alpha=alpha, resamples=1000, seed=0):
            return True, naive
    return False, naive


def _print_races(plays: Sequence[Play]) -> None:
    print("| real difference | plays | gate hands over | naive |\n|---|---|---|---|")
    bands: defaultdict[tuple[float, float], list[Play]] = defaultdict(list)
    for play in plays:
        bands[next(band for band in pairwise(BANDS) if play.difference <= band[1])].append(play)
    for (low, high), found in sorted(bands.items()):
        gate, naive = (np.mean([getattr(play, who) for play in found]) for who in ("gate", "naive"))
        print(f"| {100 * low:+.0f} to {100 * high:+.0f} points | {len(found)} | {gate:.1%} | {naive:.1%} |")


if __name__ == "__main__":
    sys.exit(main())
