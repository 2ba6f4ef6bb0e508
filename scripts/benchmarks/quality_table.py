"""The benchmark's tables, as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from scripts.benchmarks.quality_cells import METHODS

Rows = list[dict[str, Any]]
Cells = Mapping[tuple[str, str, str], Sequence[Rows]]
"""The rows of each seed, by set, size and method."""


def main_table(cells: Cells, sets: Sequence[str], sizes: Sequence[str], teachers: Mapping[str, float]) -> str:
    """Score on eval of the candidate each method keeps; means over seeds."""
    methods = [method for method in METHODS if any(key[2] == method for key in cells)]
    lines = [_line(["set", "annotated", "teacher", *methods]), _line(["---"] * (3 + len(methods)))]
    for name in sets:
        for size in sizes:
            found = [_kept(cells.get((name, size, method), ())) for method in methods]
            if any(found):
                lines.append(_line([name, size, f"{teachers[name]:.3f}", *found]))
    return "\n".join(lines)


def ablation_table(cells: Cells, sets: Sequence[str], sizes: Sequence[str]) -> str:
    """All candidates: score on dev and on eval, size, words per second, seconds of training; means over seeds."""
    head = ["set", "annotated", "method", "candidate", "dev", "eval", "kept", "MB", "words/s", "seconds"]
    lines = [_line(head), _line(["---"] * len(head))]
    for name in sets:
        for size in sizes:
            for method in METHODS:
                lines += [_line([name, size, method, *row]) for row in _candidates(cells.get((name, size, method), ()))]
    return "\n".join(lines)


def _kept(runs: Sequence[Rows]) -> str:
    values = [row["eval"] for rows in runs for row in rows if row["kept"]]
    return f"{statistics.mean(values):.3f}" if values else ""


def _candidates(runs: Sequence[Rows]) -> list[list[str]]:
    names = dict.fromkeys(row["name"] for rows in runs for row in rows)
    return [_candidate(name, [row for rows in runs for row in rows if row["name"] == name]) for name in names]


def _candidate(name: str, rows: Rows) -> list[str]:
    def mean(key: str, digits: int, scale: float = 1.0) -> str:
        values = [row[key] * scale for row in rows if key in row]
        return f"{statistics.mean(values):.{digits}f}" if values else ""

    kept = sum(row["kept"] for row in rows)
    return [
        name,
        mean("dev_score", 3),
        mean("eval", 3),
        f"{kept}/{len(rows)}",
        mean("size", 1, 1e-6),
        mean("words_per_second", 0),
        mean("seconds", 0),
    ]


def _line(values: Sequence[str]) -> str:
    return "| " + " | ".join(values) + " |"
