"""How good students get with few annotations: our recipes beside spaCy's quickstart and the teacher.

Same splits, same seeds, side by side. BENCH_DIR has a folder per set with train.jsonl and eval.jsonl, one object a
line: {"id", "text", "gold", "teacher"}; gold and teacher are a label, a label per aspect, or spans. Each cell is kept
in the cache folder, so that a run can be stopped and goes on where it was; delete a file there to measure it again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from handover.student.resources import find_resources
from scripts.benchmarks.quality_cells import METHODS, Setup, run_cell, speed_ratio, teacher_score
from scripts.benchmarks.quality_data import SAMPLE_SETS, SETS, load_set
from scripts.benchmarks.quality_table import ablation_table, main_table
from scripts.benchmarks.sets import BenchSet


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is not measured yet, and print the tables."""
    options = _parse(arguments)
    resources = find_resources(
        encoder=options.encoder, vectors="", transformer=options.transformer, cache_dir=options.cache
    )
    setup = Setup(resources, max_steps=options.max_steps, quickstart_steps=options.quickstart_steps)
    sets = [load_set(name, options.bench_dir) for name in options.sets]
    for data, size, method, seed in _cells(options, sets):
        _measure(data, size, method, seed, setup=setup, cache=options.cache)
    text = _tables(options, sets)
    print(text)
    if options.markdown:
        options.markdown.write_text(text, encoding="utf-8")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/benchmark quality", description=__doc__)
    parser.add_argument("bench_dir", type=Path, help="folder of the benchmark's data")
    parser.add_argument("--sample", action="store_true", help="the sample's desk and stage too")
    parser.add_argument("--sets", nargs="+", choices=[*SETS, *SAMPLE_SETS], help="only these sets")
    parser.add_argument("--methods", nargs="+", choices=METHODS, help="only these methods")
    parser.add_argument("--sizes", nargs="+", default=["100", "200", "400", "all"], help="annotations, or `all`")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--cache", type=Path, default=Path("benchmark-cache"), help="folder of measured cells")
    parser.add_argument("--markdown", type=Path, help="write the tables to this file too")
    parser.add_argument("--encoder", default="", help="as HANDOVER_ENCODER")
    parser.add_argument("--transformer", default="", help="as HANDOVER_TRANSFORMER")
    parser.add_argument("--max-steps", type=int, default=800, help="as HANDOVER_TRAIN_MAX_STEPS")
    parser.add_argument("--quickstart-steps", type=int, default=0, help="stop the quickstart earlier than it says")
    parser.add_argument("--tables-only", action="store_true", help="measure nothing")
    options = parser.parse_args(arguments)
    options.sets = options.sets or [*SETS, *(SAMPLE_SETS if options.sample else ())]
    methods = [name for name in METHODS if name != "transformer" or options.transformer]
    options.methods = options.methods or methods
    options.cache.mkdir(parents=True, exist_ok=True)
    return options


def _cells(options: argparse.Namespace, sets: Sequence[BenchSet]) -> Iterator[tuple[BenchSet, int | None, str, int]]:
    if options.tables_only:
        return
    for seed in options.seeds:
        for size in options.sizes:
            for method in options.methods:
                for data in sets:
                    yield data, None if size == "all" else int(size), method, seed


def _measure(data: BenchSet, size: int | None, method: str, seed: int, *, setup: Setup, cache: Path) -> None:
    path = cache / f"{data.name}.{size or 'all'}.{method}.{seed}.json"
    if path.is_file():
        return
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="handover-benchmark-") as folder:
        rows = run_cell(data, size, method, seed, setup=setup, workdir=Path(folder))
        if method == "base":
            _add_speed(data, rows, Path(folder))
    scratch = path.with_suffix(".partial")
    scratch.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    scratch.replace(path)
    kept = next(row for row in rows if row["kept"])
    print(
        f"{data.name} {size or 'all'} {method} seed {seed}: {kept['name']} {kept['eval']:.3f} "
        f"({time.monotonic() - started:.0f} s)",
        flush=True,
    )


def _add_speed(data: BenchSet, rows: Sequence[dict[str, Any]], workdir: Path) -> None:
    row = next(row for row in rows if row["name"] == "cnn")
    row["speed"], row["speed_ratio"] = speed_ratio(data, workdir / row["recipe"] / row["checkpoint"])


def _tables(options: argparse.Namespace, sets: Sequence[BenchSet]) -> str:
    cells: dict[tuple[str, str, str], list[list[dict[str, Any]]]] = {}
    for path in sorted(options.cache.glob("*.json")):
        name, size, method, _seed = path.name.removesuffix(".json").split(".")
        cells.setdefault((name, size, method), []).append(json.loads(path.read_text(encoding="utf-8")))
    teachers = {data.name: teacher_score(data) for data in sets}
    names = [data.name for data in sets]
    ratios = [row["speed_ratio"] for runs in cells.values() for rows in runs for row in rows if "speed_ratio" in row]
    parts = [main_table(cells, names, options.sizes, teachers), ablation_table(cells, names, options.sizes)]
    if ratios:
        parts.append(
            f"`cnn` against spaCy's default component, words per second: median {statistics.median(ratios):.2f}"
        )
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.exit(main())
