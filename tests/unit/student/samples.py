"""Aspects and made-up examples."""

from __future__ import annotations

from handover.domain import Annotation, Aspect, Kind, Label, Span
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
