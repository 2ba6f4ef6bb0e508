"""Benchmark sets: texts that people annotated and an LLM answered, one aspect at a time.

A folder a set, with `train.jsonl` and `eval.jsonl`, one object a line: `id`, `text`, `gold` and `teacher`; the last
two hold a label, a label per aspect, or spans (`start`, `end` in code points, `label`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handover.domain import Annotation, Aspect, Kind, Label, Span, Split
from handover.evaluation.split import assign_split
from handover.student.training_set import LabelledText, TrainingSet


@dataclass(frozen=True)
class Item:
    """One text with what people and the teacher say."""

    text: str
    gold: Annotation
    teacher: Annotation


@dataclass(frozen=True)
class BenchSet:
    """One aspect of a set, named `set` or `set.aspect`."""

    name: str
    aspect: Aspect
    train: tuple[Item, ...]
    eval: tuple[Item, ...]

    def training_set(self, size: int, *, dev_share: float, seed: int, silver: bool = False) -> TrainingSet:
        """The first `size` train items in a random order (smaller sets are part of larger ones) as train and dev;
        with `silver` the teacher's answers on the rest, too."""
        ordered = sorted(self.train, key=lambda item: _key(f"{seed} {item.text}"))
        chosen, rest = ordered[:size], ordered[size:]
        is_dev = [assign_split(_key(i.text), gold_share=0.0, dev_share=dev_share) is Split.DEV for i in chosen]
        pairs = [(LabelledText(i.text, i.gold), dev) for i, dev in zip(chosen, is_dev, strict=True)]
        return TrainingSet(
            train=tuple(example for example, dev in pairs if not dev),
            dev=tuple(example for example, dev in pairs if dev),
            silver=tuple(LabelledText(i.text, i.teacher) for i in rest) if silver else (),
        )


def read_sets(folder: Path, names: Sequence[str] = ()) -> Iterator[BenchSet]:
    """The sets in a folder, all or those named; `restaurants` names all of its aspects.

    Raises FileNotFoundError when a folder has no such set.
    """
    known = sorted(path.parent.name for path in folder.glob("*/train.jsonl"))
    for name in known:
        parts = [read_rows(folder / name / f"{part}.jsonl") for part in ("train", "eval")]
        value = parts[0][0]["gold"]
        for aspect in sorted(value) if isinstance(value, dict) else [""]:
            full = f"{name}.{aspect}" if aspect else name
            if not names or name in names or full in names:
                yield bench_set(full, aspect, *parts)
    missing = {name.partition(".")[0] for name in names} - set(known)
    if missing:
        raise FileNotFoundError(f"{folder} has no set {', '.join(sorted(missing))} (has: {', '.join(known)}).")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def bench_set(name: str, part: str, train: list[dict[str, Any]], held_out: list[dict[str, Any]]) -> BenchSet:
    """A set of rows; `part` is the aspect where answers are a label per aspect, else empty."""
    items = [tuple(_item(row, part) for row in rows) for rows in (train, held_out)]
    everything = [item.gold for rows in items for item in rows]
    kind = Kind.CHOICE if any(a.cats for a in everything) else Kind.ENTITIES
    labels = sorted({label for a in everything for label in (*a.cats, *(s.label for s in a.spans))})
    aspect = Aspect(part or name, "text", kind, tuple(Label(label) for label in labels), "text")
    return BenchSet(name, aspect, *items)


def _item(row: dict[str, Any], part: str) -> Item:
    gold, teacher = ((row[who][part] if part else row[who]) for who in ("gold", "teacher"))
    return Item(row["text"], _annotation(gold), _annotation(teacher))


def _annotation(value: Any) -> Annotation:
    if isinstance(value, str):
        return Annotation(cats=(value,))
    return Annotation(spans=tuple(sorted(Span(s["start"], s["end"], s["label"]) for s in value)))


def _key(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
