"""What the quality benchmark learns from: some rows as annotated by people, the teacher's answers for the rest."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

from handover.student.training import LabelledText, TrainingSet
from scripts.benchmarks.sets import BenchSet, bench_set, read_rows, read_sets
from scripts.passes import SAMPLES

DEV_SHARE = 0.2
ASPECTS = ("food", "service", "price", "ambience")
SETS = ("issues", *(f"restaurants-{name}" for name in ASPECTS), "queries", "fashion", "ingredients")
SAMPLE_SETS = {"desk": ("tickets/tickets.jsonl", 288), "stage": ("market/messages.jsonl", 180)}
"""Passes of the sample: their file, and how many of its rows are only scored on."""


def load_set(name: str, folder: Path) -> BenchSet:
    """Read a set by name; those of the sample come from the project itself. Raises SystemExit when it is missing."""
    if name in SAMPLE_SETS:
        path, held_out = SAMPLE_SETS[name]
        rows = read_rows(SAMPLES / path)
        return bench_set(name, name, rows[held_out:], rows[:held_out])
    try:
        (found,) = read_sets(folder, [name.replace("-", ".")])
    except FileNotFoundError as error:
        raise SystemExit(f"{error} Expected a folder per set with train.jsonl and eval.jsonl.") from error
    return replace(found, name=name)


def annotated(data: BenchSet, size: int | None, seed: int) -> TrainingSet:
    """`size` rows (None: all) as annotated by people, a fifth of them dev; the teacher answers for the rest."""
    rows = list(data.train)
    random.Random(seed).shuffle(rows)
    done, pool = rows[:size], rows[size:] if size is not None else []
    cut = round(DEV_SHARE * len(done))
    return TrainingSet(
        train=tuple(LabelledText(row.text, row.gold) for row in done[cut:]),
        dev=tuple(LabelledText(row.text, row.gold) for row in done[:cut]),
        silver=tuple(LabelledText(row.text, row.teacher) for row in pool),
        answers=tuple(LabelledText(row.text, row.teacher) for row in done[cut:]),
    )
