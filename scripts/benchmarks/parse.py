"""Are recorded answers read back exactly? Replays those of a benchmark folder as completions of a model.

The folder has one folder a set, with `*.jsonl` files of records `{"text", "gold", "teacher"}`; an answer is a label, a
label for each aspect, a list of labels, a list of spans or spans with relations, as `handover.teacher.recorded` reads
them. Each answer is written as the JSON that a model would have given, in which spans are words without offsets, and
goes through the teacher's parser and grounding. Then it is compared with the recording:

- in words: recorded mentions that begin or end inside a word ("salt" in "salty"), which the recording should not hold:
  the teacher takes whole words only, so such a mention is placed elsewhere or not at all; not counted below
- exact: where the recording says, with the label it says
- shifted: the words and label of a recorded mention, in another place
- invented: anything else that the recording does not have
- not grounded: mentions that were left out, and counted as problems
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from handover.domain import Annotation, Aspect, Kind, Label, Relation, Span
from handover.errors import HandoverError
from handover.settings import TeacherChoice
from handover.teacher import MemoryCache, TeacherAnswer, TeacherSpec, build_teacher
from handover.teacher.grounding import cuts_word

COLUMNS = ("texts", "answers", "parsed", "mentions", "in words", "exact", "shifted", "invented", "not grounded")


@dataclass(frozen=True)
class Recording:
    """The recorded answers of one aspect by text, and the aspect they belong to."""

    aspect: Aspect
    answers: Mapping[str, Annotation]


def main() -> int:
    """Replay and print; 1 when a mention was shifted or invented."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder with one folder a set")
    folder = parser.parse_args().folder
    table = Table("set", *COLUMNS)
    total: Counter[str] = Counter()
    try:
        for file in sorted(folder.rglob("*.jsonl")):
            counts = replay(file)
            total += counts
            table.add_row(str(file.relative_to(folder)), *(str(counts[column]) for column in COLUMNS))
    except (OSError, ValueError, HandoverError) as error:
        sys.exit(f"{folder} cannot be replayed: {error}")
    table.add_row("all", *(str(total[column]) for column in COLUMNS))
    Console(width=130).print(table)
    return int(bool(total["shifted"] or total["invented"]))


def replay(file: Path) -> Counter[str]:
    """The counts of one file."""
    records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    counts = Counter(texts=len({record["text"] for record in records}))
    for recording in _recordings(records, file.parent.name):
        spec = TeacherSpec(TeacherChoice.RECORDED, recorded=file)
        teacher = build_teacher(recording.aspect, spec)
        assert teacher is not None
        texts = list(recording.answers)
        for text, answer in zip(texts, teacher.annotate(texts, MemoryCache()), strict=True):
            counts += _compare(recording.answers[text], answer, text)
    return counts


def _recordings(records: Sequence[Mapping[str, Any]], name: str) -> Iterator[Recording]:
    """One for each aspect of a file; of several records for a text the last one counts, as for the teacher."""
    by_aspect: dict[str, dict[str, Any]] = {}
    for record in records:
        answer = record["teacher"]
        several = isinstance(answer, dict) and "relations" not in answer
        for aspect, value in answer.items() if several else [(name, answer)]:
            by_aspect.setdefault(aspect, {})[record["text"]] = value
    for aspect, answers in by_aspect.items():
        kind = _kind_of(answers.values())
        read = {text: _annotation(kind, value) for text, value in answers.items()}
        yield Recording(_aspect(aspect, kind, read.values()), read)


def _kind_of(answers: Any) -> Kind:
    shapes = {type(answer) for answer in answers}
    if shapes == {str}:
        return Kind.CHOICE
    if shapes == {dict}:
        return Kind.RELATIONS
    parts = {type(part) for answer in answers for part in answer}
    return Kind.CHOICES if parts == {str} else Kind.ENTITIES


def _annotation(kind: Kind, answer: Any) -> Annotation:
    if kind in {Kind.CHOICE, Kind.CHOICES}:
        return Annotation(cats=(answer,) if isinstance(answer, str) else tuple(answer))
    spans = tuple(
        Span(s["start"], s["end"], s["label"]) for s in (answer["spans"] if kind is Kind.RELATIONS else answer)
    )
    edges = answer["relations"] if kind is Kind.RELATIONS else ()
    return Annotation(spans=spans, relations=tuple(Relation(e["head"], e["child"], e["label"]) for e in edges))


def _aspect(name: str, kind: Kind, answers: Any) -> Aspect:
    spans = sorted({span.label for answer in answers for span in answer.spans})
    edges = sorted({relation.label for answer in answers for relation in answer.relations})
    cats = sorted({label for answer in answers for label in answer.cats})
    labels = edges if kind is Kind.RELATIONS else cats or spans
    span_labels = tuple(Label(label) for label in spans) if kind is Kind.RELATIONS else ()
    return Aspect(name, "text", kind, tuple(map(Label, labels)), "text", span_labels=span_labels)


def _compare(recorded: Annotation, answer: TeacherAnswer, text: str) -> Counter[str]:
    said = _mentions(recorded, text)
    in_words = {mention for mention in said if any(cuts_word(text, place) for place in mention[0])}
    expected, found = said - in_words, _mentions(answer.annotation or Annotation(), text)
    missing, extra = _words(expected - found), _words(found - expected)
    extra -= _words(in_words)
    shifted = extra & missing
    return Counter({
        "answers": 1,
        "parsed": int(answer.annotation is not None),
        "mentions": len(said),
        "in words": len(in_words),
        "exact": len(expected & found),
        "shifted": shifted.total(),
        "invented": (extra - shifted).total(),
        "not grounded": (missing - shifted).total(),
    })  # fmt: skip


Mentioned = tuple[tuple[int, ...], tuple[str, ...]]
"""Where, as offsets, and what."""


def _words(mentions: set[Mentioned]) -> Counter[tuple[str, ...]]:
    return Counter(words for _, words in mentions)


def _mentions(annotation: Annotation, text: str) -> set[Mentioned]:
    """Everything that an annotation says: labels, spans, relations."""
    spans = annotation.spans
    said: set[Mentioned] = {((), (label,)) for label in annotation.cats}
    said |= {((s.start, s.end), (text[s.start : s.end], s.label)) for s in spans}
    for relation in annotation.relations:
        ends = (spans[relation.head], spans[relation.child])
        words = [part for s in ends for part in (text[s.start : s.end], s.label)]
        said.add((tuple(offset for s in ends for offset in (s.start, s.end)), (relation.label, *words)))
    return said


if __name__ == "__main__":
    sys.exit(main())
