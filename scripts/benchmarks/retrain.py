"""What a training costs as the data grows, in seconds and in memory, each in a process of its own as a job has it.

The sample data is enlarged by texts put together from the halves of others, so that new texts are as long and as
varied as the real ones. A fifth is dev. `first`: nothing but the imports, the floor of every worker.

    scripts/benchmark retrain [PASS ...] [--sizes 100,500,2000,10000]
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from handover.domain import Annotation, Span
from handover.student.training import LabelledText, TrainingSet, TrainOptions, train_student
from scripts.benchmarks.confidence import examples_of
from scripts.passes import PASSES

SIZES = (100, 500, 2000, 10_000)
ROW = "{:10} {:>7} {:>9} {:>9} {:>8} {:>6}  {}"


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("passes", nargs="*", default=["stage", "terms"])
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    given = parser.parse_args(arguments)
    print(ROW.format("pass", "n", "seconds", "peak MB", "student", "dev", "kept"))
    for name in given.passes:
        for size in (0, *map(int, given.sizes.split(","))):
            _print(name, size, _in_a_process(name, size))


def _in_a_process(name: str, size: int) -> dict[str, object]:
    command = [sys.executable, "-m", "scripts.benchmarks.retrain", "--one", name, str(size)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(run.stdout.splitlines()[-1]))


def _print(name: str, size: int, found: dict[str, object]) -> None:
    shown = (found.get(key, "") for key in ("seconds", "peak_mb", "student_mb", "dev_score", "kept"))
    print(ROW.format(name, size or "first", *shown), flush=True)


def train_one(name: str, size: int) -> dict[str, object]:
    """Train on `size` texts, none for 0; returns what it cost."""
    aspect, examples = examples_of(next(one for one in PASSES if one.name == name))
    found: dict[str, object] = {}
    started = time.monotonic()
    if size:
        rows = enlarged(examples, size)
        parts = TrainingSet(tuple(rows[size // 5 :]), tuple(rows[: size // 5]))
        with tempfile.TemporaryDirectory() as folder:
            trained = train_student(aspect, parts, options=TrainOptions(), workdir=Path(folder))
            kept = next(row for row in trained.report["candidates"] if row["recipe"] == trained.recipe)
        found = {
            "kept": f"{trained.recipe} after {kept['steps']} steps",
            "dev_score": round(trained.dev_score, 3),
            "student_mb": f"{kept['size'] / 1e6:.1f} MB",
        }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # kilobytes on Linux
    return found | {"seconds": round(time.monotonic() - started, 1), "peak_mb": round(peak)}


def enlarged(examples: Sequence[LabelledText], size: int) -> list[LabelledText]:
    """`size` different texts: the examples, and then the first half of one before the second half of another
    with the same label, or whole ones put together where spans are marked."""
    draw = random.Random(0)
    rows = {example.text: example for example in examples[:size]}
    while len(rows) < size:
        a = draw.choice(examples)
        b = draw.choice([e for e in examples if e.annotation.cats == a.annotation.cats])
        joined = _joined(a, b)
        rows.setdefault(joined.text, joined)
    return draw.sample(list(rows.values()), size)


def _joined(a: LabelledText, b: LabelledText) -> LabelledText:
    if a.annotation.cats:
        first, second = a.text.split(), b.text.split()
        words = first[: (len(first) + 1) // 2] + second[len(second) // 2 :]
        return LabelledText(" ".join(words), a.annotation)
    shift = len(a.text) + 1
    moved = tuple(Span(s.start + shift, s.end + shift, s.label) for s in b.annotation.spans)
    return LabelledText(f"{a.text} {b.text}", Annotation(spans=(*a.annotation.spans, *moved)))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(train_one(sys.argv[2], int(sys.argv[3]))))
    else:
        main(sys.argv[1:])
