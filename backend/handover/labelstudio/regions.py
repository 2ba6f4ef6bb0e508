"""The regions of a Label Studio result: which belong to a control tag, and how ours are written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from handover.domain import Aspect, Kind, Span
from handover.errors import ConversionError
from handover.labelstudio.spans import RegionValue, shown

Result = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Tag:
    """A control tag, as the regions that it makes name it."""

    name: str
    to_name: str
    type: str


def tag_of(aspect: Aspect) -> Tag:
    """The tag that makes an aspect's regions; for relations, the tag of the regions they connect."""
    name = aspect.spans_from if aspect.kind is Kind.RELATIONS else aspect.name
    return Tag(name, aspect.to_name, "choices" if aspect.kind in {Kind.CHOICE, Kind.CHOICES} else "labels")


def read_values(result: Sequence[Any], tag: Tag) -> tuple[list[RegionValue], list[str]]:
    """The values of a tag's regions, and notes about the malformed ones."""
    values: list[RegionValue] = []
    notes: list[str] = []
    for number, region in enumerate(result, start=1):
        if not isinstance(region, Mapping):
            notes.append(f"Region {number} is {type(region).__name__}, expected an object.")
        elif region.get("from_name") == tag.name:
            note = _problem(region, tag)
            if note:
                notes.append(f"Region {number} {note}.")
            else:
                values.append(RegionValue(number, region.get("id"), region["value"]))
    return values, notes


def span_region(span: Span, tag: Tag, text: str, *, score: float | None = None) -> dict[str, Any]:
    """A span as the region that shows it. Raises ConversionError when it is not inside the text."""
    if not 0 <= span.start < span.end <= len(text):
        raise ConversionError(
            f"Span {span.start}-{span.end} is not inside the text of {len(text)} characters. "
            "It was made for another text; predict again."
        )
    words = text[span.start : span.end]
    # Half a surrogate pair has no UTF-8 form. Without its text a region is read by its offsets, with another it is not.
    shown_text = {"text": words} if _has_utf8(words) else {}
    value = {"start": span.start, "end": span.end, **shown_text, "labels": [span.label]}
    return region(value, tag, score=score)


def region(value: Mapping[str, Any], tag: Tag, *, score: float | None = None) -> dict[str, Any]:
    """A region with an id that depends on tag, label and offsets alone."""
    identity = json.dumps([tag.name, value.get("start"), value.get("end"), value.get("labels")])
    written = {
        "id": hashlib.blake2b(identity.encode(), digest_size=5).hexdigest(),
        "from_name": tag.name,
        "to_name": tag.to_name,
        "type": tag.type,
        "value": value,
    }
    return written if score is None else {**written, "score": score}


def _has_utf8(words: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in words)


def check_labels(labels: Iterable[str], known: Sequence[str], tag: str) -> None:
    """Raises ConversionError for a label that the tag does not have."""
    unknown = sorted(set(labels) - set(known))
    if unknown:
        raise ConversionError(
            f"Label {unknown[0]!r} is not in the labeling config of aspect {tag!r} "
            f"(has: {', '.join(known)}). Predict again with the current config."
        )


def _problem(region: Mapping[str, Any], tag: Tag) -> str:
    if region.get("type") != tag.type:
        return f"has type {shown(region.get('type'))}, expected {tag.type!r}"
    if region.get("to_name", tag.to_name) != tag.to_name:
        return f"is on object {shown(region.get('to_name'))}, expected {tag.to_name!r}"
    if not isinstance(region.get("value"), Mapping):
        return "has no value"
    return ""
