"""Examples of disagreement: wins of both sides in turn, the largest first, and no text."""

from __future__ import annotations

import json

from handover.domain import Annotation, Kind, Span
from handover.evaluation.disagreements import disagreements

LABELS = ("a", "b", "c")


def cats(letters: str) -> list[Annotation | None]:
    return [Annotation(cats=(letter,)) if letter != "." else None for letter in letters]


def test_disagreements_show_wins_of_both_in_turn_and_then_other_errors() -> None:
    references = [a for a in cats("aaaaaaa") if a]
    found = disagreements(Kind.CHOICE, LABELS, range(10, 17), references, cats("abbb.ac"), cats("aaaabbb"))
    assert [(row.task_id, row.better) for row in found] == [
        (11, "student"), (15, "teacher"), (12, "student"), (13, "student"), (14, ""), (16, ""),
    ]  # fmt: skip
    assert found[4].teacher is None


def test_disagreements_start_with_the_largest_difference() -> None:
    full = Annotation(spans=tuple(Span(10 * i, 10 * i + 4, "a") for i in range(4)))
    teacher = [Annotation(spans=full.spans[:k]) for k in (3, 0, 4)]
    found = disagreements(Kind.ENTITIES, LABELS, [1, 2, 3], [full] * 3, teacher, [full] * 3)
    assert [row.task_id for row in found] == [2, 1]


def test_disagreements_are_limited_and_plain_data() -> None:
    references = [a for a in cats("a" * 30) if a]
    found = disagreements(Kind.CHOICE, LABELS, range(30), references, cats("." * 30), cats("a" * 30), limit=3)
    assert len(found) == 3
    assert json.loads(json.dumps(found[0].to_json())) == {
        "task_id": 0,
        "better": "student",
        "reference": {"cats": ["a"], "spans": [], "relations": []},
        "teacher": None,
        "student": {"cats": ["a"], "spans": [], "relations": []},
    }


def test_disagreements_of_equal_answers_are_none() -> None:
    references = [a for a in cats("abc") if a]
    assert disagreements(Kind.CHOICE, LABELS, [1, 2, 3], references, cats("abb"), cats("abb")) == []
    both = [Annotation(cats=("a", "b")), Annotation(cats=("b", "a"))]
    assert disagreements(Kind.CHOICES, LABELS, [1], both[:1], both[:1], both[1:]) == []
