"""Whether a training may go on from an earlier student's weights: score and seconds beside a training that starts anew.

The data grow as in a project: every size holds the one before, and what is dev stays dev. Annotations of people alone.

    scripts/benchmark warm BENCH_DIR [--sets issues queries] [--sizes 100 150 225 340 500]
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from handover.domain import Kind
from handover.student.pipeline import load_student
from handover.student.training import LabelledText, TrainedStudent, TrainingSet, TrainOptions, train_student
from handover.student.training_set import Origin
from scripts.benchmarks.quality_cells import eval_score
from scripts.benchmarks.quality_data import SETS, load_set
from scripts.benchmarks.sets import BenchSet

RECIPES = {Kind.CHOICE: "choice-cnn", Kind.ENTITIES: "entities-cnn"}
DEV_EVERY = 5
ROW = "{:20} {:>6} {:>8} {:>8} {:>10} {:>10}"


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="scripts/benchmark warm", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bench_dir", type=Path)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["issues", "queries"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[100, 150, 225, 340, 500])
    parser.add_argument("--max-steps", type=int, default=800, help="as HANDOVER_TRAIN_MAX_STEPS")
    given = parser.parse_args(arguments)
    print(ROW.format("set", "n", "anew", "warm", "anew, s", "warm, s"))
    differences, ratios = [], []
    for name in given.sets:
        for difference, ratio in _measure(load_set(name, given.bench_dir), given.sizes, given.max_steps):
            differences.append(difference)
            ratios.append(ratio)
    print(
        f"warm - anew: mean {statistics.mean(differences):+.3f}, worst {min(differences):+.3f}; "
        f"seconds, median ratio {statistics.median(ratios):.2f}"
    )


def _measure(data: BenchSet, sizes: Sequence[int], max_steps: int) -> list[tuple[float, float]]:
    """Per size after the first: the difference of the scores on eval, and the ratio of the seconds."""
    recipe, found = RECIPES[data.aspect.kind], []
    with tempfile.TemporaryDirectory() as folder:
        origin: Origin | None = None
        for size in sizes:
            examples, runs = grown(data, size), {}
            for name, start in (("anew", None), ("warm", origin)):
                options = TrainOptions(max_steps=max_steps, recipes=(recipe,), origin=start)
                if name == "anew" or start is not None:
                    runs[name] = _train(data, examples, options, Path(folder) / f"{size}-{name}")
            student = runs.get("warm", runs["anew"])[0]
            origin = Origin(student.path, str(size), recipe, trained_anew=sizes[0])
            if "warm" in runs:
                (_, anew, anew_seconds), (_, warm, warm_seconds) = runs["anew"], runs["warm"]
                shown = (f"{anew:.3f}", f"{warm:.3f}", f"{anew_seconds:.1f}", f"{warm_seconds:.1f}")
                print(ROW.format(data.name, size, *shown), flush=True)
                found.append((warm - anew, warm_seconds / anew_seconds))
    return found


def grown(data: BenchSet, size: int) -> TrainingSet:
    """The first `size` rows, always in the same order; every fifth is dev."""
    rows = list(data.train)
    random.Random(0).shuffle(rows)
    texts = [LabelledText(row.text, row.gold) for row in rows[:size]]
    dev = texts[::DEV_EVERY]
    return TrainingSet(tuple(text for i, text in enumerate(texts) if i % DEV_EVERY), tuple(dev))


def _train(
    data: BenchSet, examples: TrainingSet, options: TrainOptions, folder: Path
) -> tuple[TrainedStudent, float, float]:
    started = time.monotonic()
    trained = train_student(data.aspect, examples, options=options, workdir=folder)
    seconds = time.monotonic() - started
    return trained, eval_score(data, load_student(trained.path)), seconds


if __name__ == "__main__":
    main(sys.argv[1:])
