"""The sets of the benchmark: texts with people's and the teacher's answers, as the trainer takes them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handover.domain import Annotation, Aspect, Kind, Label, Span
from handover.student.training import LabelledText, TrainingSet
from scripts.passes import SAMPLES

DEV_SHARE = 0.2
ASPECTS = ("food", "service", "price", "ambience")
SETS = ("issues", *(f"restaurants-{name}" for name in ASPECTS), "queries", "fashion", "ingredients")
SAMPLE_SETS = ("desk", "stage")


@dataclass(frozen=True)
class Row:
    """A text with what people and what the teacher say about it."""

    text: str
    gold: Annotation
    teacher: Annotation


@dataclass(frozen=True)
class BenchmarkSet:
    """One aspect: what may be learned from, and what is only scored on."""

    name: str
    aspect: Aspect
    train: tuple[Row, ...]
    eval: tuple[Row, ...]

    def examples(self, size: int | None, seed: int) -> TrainingSet:
        """`size` rows (None: all) as annotated by people, a fifth of them dev; the teacher answers for the rest."""
        rows = list(self.train)
        random.Random(seed).shuffle(rows)
        annotated, pool = rows[:size], rows[size:] if size is not None else []
        cut = round(DEV_SHARE * len(annotated))
        return TrainingSet(
            train=tuple(LabelledText(row.text, row.gold) for row in annotated[cut:]),
            dev=tuple(LabelledText(row.text, row.gold) for row in annotated[:cut]),
            silver=tuple(LabelledText(row.text, row.teacher) for row in pool),
            answers=tuple(LabelledText(row.text, row.teacher) for row in annotated[cut:]),
        )


def load_set(name: str, folder: Path) -> BenchmarkSet:
    """Read a set by name; those of the sample come from the project itself. Raises SystemExit when it is missing."""
    if name == "desk":
        rows = _sample("tickets/tickets.jsonl", name)
        return _build(name, rows[288:], rows[:288])
    if name == "stage":
        rows = _sample("market/messages.jsonl", name)
        return _build(name, rows[180:], rows[:180])
    base, _, aspect = name.partition("-")
    pick: Callable[[Any], Any] = (lambda value: value[aspect]) if aspect else (lambda value: value)
    train, held_out = (_read(folder / base / f"{part}.jsonl", pick) for part in ("train", "eval"))
    return _build(name, train, held_out)


def _sample(path: str, aspect: str) -> list[Mapping[str, Any]]:
    return _read(SAMPLES / path, lambda value: value[aspect])


def _read(path: Path, pick: Callable[[Any], Any]) -> list[Mapping[str, Any]]:
    if not path.is_file():
        raise SystemExit(f"There is no {path}: expected a folder per set with train.jsonl and eval.jsonl.")
    with path.open(encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    return [{"text": r["text"], "gold": pick(r["gold"]), "teacher": pick(r["teacher"])} for r in records]


def _build(name: str, train: list[Mapping[str, Any]], held_out: list[Mapping[str, Any]]) -> BenchmarkSet:
    kind = Kind.CHOICE if isinstance(train[0]["gold"], str) else Kind.ENTITIES
    labels = sorted({label for record in (*train, *held_out) for label in _labels(record["gold"])})
    aspect = Aspect(name=name, to_name="text", kind=kind, labels=tuple(map(Label, labels)), text_field="text")
    return BenchmarkSet(name, aspect, *(tuple(_row(record) for record in part) for part in (train, held_out)))


def _row(record: Mapping[str, Any]) -> Row:
    return Row(record["text"], _annotation(record["gold"]), _annotation(record["teacher"]))


def _labels(answer: Any) -> set[str]:
    return {answer} if isinstance(answer, str) else {span["label"] for span in answer}


def _annotation(answer: Any) -> Annotation:
    if isinstance(answer, str):
        return Annotation(cats=(answer,))
    return Annotation(spans=tuple(sorted(Span(s["start"], s["end"], s["label"]) for s in answer)))
