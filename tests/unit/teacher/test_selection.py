"""Which texts become examples."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from handover.domain import Annotation, Span
from handover.teacher.selection import MAX_CHARS, MAX_TEXT_CHARS, NOTHING, Candidate, select


def chosen(number: int, label: str, *, text: str = "", mistaken: bool = False) -> Candidate:
    words = random.Random(number).choices("copper zinc diesel wheat sugar urea cotton coffee nickel corn".split(), k=6)
    return Candidate(number, text or f"{' '.join(words)} {number * 7919}", Annotation(cats=(label,)), mistaken)


def marked(number: int, *labels: str, text: str = "") -> Candidate:
    spans = tuple(Span(i, i + 1, label) for i, label in enumerate(labels))
    return Candidate(number, text or f"text {number * 104729} of {number * 7919}", Annotation(spans=spans))


MANY = [chosen(i, ("Bid", "Bid", "Bid", "Offer", "Trade")[i % 5], mistaken=i % 4 == 0) for i in range(200)]


@pytest.mark.parametrize("number", [3, 8, 16])
def test_selection_shows_every_label(number: int) -> None:
    labels = Counter(c.annotation.cats[0] for c in select(MANY, number, seed=0))
    assert set(labels) == {"Bid", "Offer", "Trade"}
    assert max(labels.values()) <= number / 2 + 1, "no label takes over because it is frequent"


def test_selection_is_the_same_in_any_order_and_depends_on_the_seed() -> None:
    shuffled = random.Random(1).sample(MANY, len(MANY))
    assert select(shuffled, 8, seed=0) == select(MANY, 8, seed=0)
    equals = [chosen(i, "Bid", text=f"text {i:03d}") for i in range(50)]
    assert select(equals, 1, seed=0) != select(equals, 1, seed=1)


def test_selection_prefers_mistakes_for_half_of_the_examples() -> None:
    assert sum(c.mistaken for c in select(MANY, 8, seed=0)) == 4
    few = [chosen(i, "Bid", mistaken=i == 77) for i in range(100)]
    assert 77 in {c.task_id for c in select(few, 4, seed=0)}
    only_mistakes = [chosen(i, "Bid", mistaken=True) for i in range(10)]
    assert len(select(only_mistakes, 8, seed=0)) == 8


def test_selection_shows_nothing_twice() -> None:
    same = [chosen(i, "Bid", text=text) for i, text in enumerate(["we BUY  copper", "we buy copper"] * 3)]
    assert len(select(same, 4, seed=0)) == 1
    alike = [chosen(i, "Bid", text=f"we buy {20 + i} lots of copper at the market today") for i in range(20)]
    other = chosen(99, "Bid", text="any diesel out of Rotterdam is of interest to us now")
    assert 99 in {c.task_id for c in select([*alike, other], 2, seed=0)}


def test_selection_prefers_short_texts_and_keeps_within_its_bounds() -> None:
    short = chosen(1, "Bid", text="we buy copper")
    long = chosen(2, "Bid", text="we buy copper " * 80)
    assert select([long, short], 1, seed=0) == (short,)
    too_long = chosen(3, "Offer", text="x" * (MAX_TEXT_CHARS + 1))
    assert select([too_long], 4, seed=0) == ()
    big = [chosen(i, "Bid", text=f"{random.Random(i).randbytes(900).hex()}{i}") for i in range(20)]
    found = select(big, 16, seed=0)
    assert 0 < sum(len(c.text) for c in found) <= MAX_CHARS
    assert len(found) == MAX_CHARS // 1801


def test_selection_covers_the_labels_of_spans_and_their_absence() -> None:
    pool = [marked(i, "PRICE") for i in range(30)] + [marked(50, "PLACE", "PRICE"), marked(51)]
    found = select(pool, 2, seed=0)
    assert {label for c in found for label in c.labels} == {"PRICE", "PLACE", NOTHING}


@pytest.mark.parametrize("number", [0, 5])
def test_selection_of_nothing_is_nothing(number: int) -> None:
    assert select([], number, seed=0) == ()
    assert select(MANY, 0, seed=0) == ()
