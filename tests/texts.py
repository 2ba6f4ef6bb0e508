"""Aspects and made-up examples."""

from __future__ import annotations

from handover.domain import Annotation, Aspect, Kind, Label, Relation, Span
from handover.student.training import LabelledText

SECRET = "Zyxomat"
"""A word of every training text that must never leave with a pipeline."""

STAGE = Aspect(
    name="stage",
    to_name="text",
    kind=Kind.CHOICE,
    labels=(Label("Bid"), Label("Offer"), Label("Never used")),
    text_field="text",
)
TERMS = Aspect(
    name="terms",
    to_name="text",
    kind=Kind.ENTITIES,
    labels=(Label("PRICE"), Label("PLACE"), Label("Never: used.")),
    text_field="text",
)
TOPICS = Aspect(
    name="topics",
    to_name="text",
    kind=Kind.CHOICES,
    labels=(Label("Price"), Label("Place"), Label("Never used")),
    text_field="text",
)
PHRASES = Aspect(
    name="phrases",
    to_name="text",
    kind=Kind.SPANS,
    labels=(Label("OFFER"), Label("PLACE"), Label("Never used")),
    text_field="text",
)
TRADES = Aspect(
    name="trades",
    to_name="text",
    kind=Kind.RELATIONS,
    labels=(Label("BUYS_FROM"), Label("Never used")),
    text_field="text",
    span_labels=(Label("WHO"),),
    spans_from="who",
)


def choice(number: int, *, start: int = 0) -> tuple[LabelledText, ...]:
    """Texts of which the even ones are bids."""
    names = [("Bid", "seeks"), ("Offer", "sells")]
    return tuple(
        LabelledText(f"{SECRET} {names[i % 2][1]} cargo number {i}", Annotation(cats=(names[i % 2][0],)))
        for i in range(start, start + number)
    )


def entities(number: int, *, start: int = 0) -> tuple[LabelledText, ...]:
    """Texts with a place and a price."""
    examples = []
    for i in range(start, start + number):
        place = ["Oslo", "Rotterdam", "Santos"][i % 3]
        text = f"{SECRET} pays {100 + i} dollars in {place} today"
        at = text.index(place)
        spans = (Span(len(SECRET) + 6, len(SECRET) + 9, "PRICE"), Span(at, at + len(place), "PLACE"))
        examples.append(LabelledText(text, Annotation(spans=spans)))
    return tuple(examples)


def choices(number: int, *, start: int = 0) -> tuple[LabelledText, ...]:
    """Texts about a price, a place, both, or neither."""
    examples = []
    for i in range(start, start + number):
        cats = ("Price",) * (i % 2) + ("Place",) * (i // 2 % 2)
        parts = [f"{SECRET} writes {i}", "at 90 dollars" if i % 2 else "", "near Oslo" if i // 2 % 2 else ""]
        examples.append(LabelledText(" ".join(part for part in parts if part), Annotation(cats=cats)))
    return tuple(examples)


def overlapping(number: int, *, start: int = 0) -> tuple[LabelledText, ...]:
    """Texts with an offer that has a place in it."""
    examples = []
    for i in range(start, start + number):
        place = ["Oslo", "Rotterdam", "Santos"][i % 3]
        offer = f"sells {['wheat', 'zinc'][i % 2]} in {place}"
        text = f"{SECRET} {i} {offer} today"
        at, inner = text.index(offer), text.index(place)
        spans = (Span(at, at + len(offer), "OFFER"), Span(inner, inner + len(place), "PLACE"))
        examples.append(LabelledText(text, Annotation(spans=spans)))
    return tuple(examples)


def related(number: int, *, start: int = 0) -> tuple[LabelledText, ...]:
    """Texts with two who trade, the verb tells in which direction, and one who looks on."""
    names = ["Anna", "Bert", "Cleo", "Dora", "Emil"]
    examples = []
    for i in range(start, start + number):
        a, b, c = (names[(i + k * (1 + i % 2)) % 5] for k in range(3))
        verb, edge = [("sells to", Relation(1, 0, "BUYS_FROM")), ("buys from", Relation(0, 1, "BUYS_FROM"))][i % 2]
        text = f"{a} {verb} {b} while {c} looks at {SECRET} {i}"
        places = [text.index(name) for name in (a, b, c)]
        spans = tuple(Span(at, at + 4, "WHO") for at in places)
        examples.append(LabelledText(text, Annotation(spans=spans, relations=(edge,))))
    return tuple(examples)
