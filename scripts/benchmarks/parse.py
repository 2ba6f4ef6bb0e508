"""Are recorded answers read back exactly? Replays those of a benchmark folder as completions of a model.

Each answer is written as the JSON that a model would have given, in which spans are words without offsets, and goes
through the teacher's parser and grounding. Then it is compared with the recording. What an answer mentions is a label
or a span; mentions are

- in words: recorded as beginning or ending inside a word ("salt" in "salty"), which a recording should not do: the
  teacher takes whole words only, so such a mention is placed elsewhere or not at all; not counted below
- exact: where the recording says, with the label it says
- shifted: the words and label of a recorded mention, in another place
- invented: anything else that the recording does not have
- not grounded: left out, and listed as problems
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

import spacy
from rich.console import Console
from rich.table import Table

from handover.domain import Annotation
from handover.teacher.answers import completion_for
from handover.teacher.doc_answer import read_answer
from handover.teacher.grounding import cuts_word
from handover.teacher.tasks import task_for
from scripts.benchmarks.sets import BenchSet, read_sets

COLUMNS = ("texts", "parsed", "mentions", "in words", "exact", "shifted", "invented", "not grounded")

Mentioned = tuple[tuple[int, ...], tuple[str, ...]]
"""Where, as offsets, and what."""


def main() -> int:
    """Replay and print; 1 when a mention was shifted or invented."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder with one folder a set")
    table = Table("set", *COLUMNS)
    total: Counter[str] = Counter()
    for bench in read_sets(parser.parse_args().folder):
        counts = replay(bench)
        total += counts
        table.add_row(bench.name, *(str(counts[column]) for column in COLUMNS))
    table.add_row("all", *(str(total[column]) for column in COLUMNS))
    Console(width=120).print(table)
    return int(bool(total["shifted"] or total["invented"]))


def replay(bench: BenchSet) -> Counter[str]:
    """The counts of one set, train and eval together."""
    items = [*bench.train, *bench.eval]
    nlp, task = spacy.blank("xx"), task_for(bench.aspect)
    completions = [completion_for(bench.aspect.kind, item.text, item.teacher) for item in items]
    docs = task.parse_responses([nlp.make_doc(item.text) for item in items], completions)
    counts: Counter[str] = Counter()
    for item, doc in zip(items, docs, strict=True):
        counts += _compare(item.teacher, read_answer(doc).annotation, item.text)
    return counts


def _compare(recorded: Annotation, read: Annotation | None, text: str) -> Counter[str]:
    said = _mentions(recorded, text)
    in_words = {mention for mention in said if any(cuts_word(text, place) for place in mention[0])}
    expected, found = said - in_words, _mentions(read or Annotation(), text)
    missing, extra = _words(expected - found), _words(found - expected) - _words(in_words)
    shifted = extra & missing
    return Counter({
        "texts": 1,
        "parsed": int(read is not None),
        "mentions": len(said),
        "in words": len(in_words),
        "exact": len(expected & found),
        "shifted": shifted.total(),
        "invented": (extra - shifted).total(),
        "not grounded": (missing - shifted).total(),
    })  # fmt: skip


def _mentions(annotation: Annotation, text: str) -> set[Mentioned]:
    labels: set[Mentioned] = {((), (label,)) for label in annotation.cats}
    return labels | {((s.start, s.end), (text[s.start : s.end], s.label)) for s in annotation.spans}


def _words(mentions: set[Mentioned]) -> Counter[tuple[str, ...]]:
    return Counter(words for _, words in mentions)


if __name__ == "__main__":
    sys.exit(main())
