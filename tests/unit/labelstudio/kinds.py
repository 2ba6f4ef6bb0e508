"""Aspects of kinds `choices`, `spans` and `relations`, regions for them, and texts that are hard to count in."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from handover.domain import Aspect, Kind, Label

TOPICS = Aspect("topics", "text", Kind.CHOICES, (Label("Price"), Label("Größe"), Label("Delivery")), "text")
TERMS = Aspect("terms", "text", Kind.SPANS, (Label("PRICE"), Label("GRADE")), "text")
DEALS = Aspect(
    "relations",
    "text",
    Kind.RELATIONS,
    (Label("of"), Label("at")),
    "text",
    span_labels=TERMS.labels,
    spans_from="terms",
)
TEXT = "Secret bids 450 for #1 HMS"  # "Secret" must never turn up in a note

NASTY = st.sampled_from([
    *"abcİßﬁ٣א., ", "ab", "  ", "\n", "\r\n", "\r", "\t", "\u200b", "\u200d", "\ufeff", "\u00a0", "\u2028",
    "e\u0301", "मि", "😀", "👩\u200d👩\u200d👧", "🏴\u200d☠️", "𝒳", "𠀋", "שלום", "\u202eabc\u202c", "\\n",
    "don't",
])  # fmt: skip
TEXTS = st.lists(NASTY, max_size=25).map("".join)


def choices(*labels: Any, **changes: Any) -> dict[str, Any]:
    value = {"choices": list(labels)}
    return {"id": "x", "from_name": "topics", "to_name": "text", "type": "choices", "value": value} | changes


def region(start: Any, end: Any, *labels: Any, id: Any = "x", **value: Any) -> dict[str, Any]:
    value = {"start": start, "end": end, "labels": list(labels) or ["PRICE"]} | value
    return {"id": id, "from_name": "terms", "to_name": "text", "type": "labels", "value": value}


def relation(from_id: Any, to_id: Any, *labels: Any, **changes: Any) -> dict[str, Any]:
    item = {"from_id": from_id, "to_id": to_id, "type": "relation", "direction": "right", "labels": list(labels)}
    return item | changes
