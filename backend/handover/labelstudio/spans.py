"""The regions of kind `entities` read as spans: each one checked, repaired or dropped with a reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from handover.domain import Aspect, Span
from handover.labelstudio.offsets import RegionFinder


@dataclass(frozen=True)
class SpanReading:
    """The spans that could be read, sorted and free of overlaps, and notes about the regions that gave none.

    `repaired` counts the spans that were moved; `lost` says that something was marked that cannot be read.
    """

    spans: tuple[Span, ...]
    repaired: int
    notes: tuple[str, ...]
    lost: bool


@dataclass(frozen=True)
class _Found:
    span: Span
    repaired: bool


@dataclass(frozen=True)
class _Dropped:
    """Why a region gives no span. If `lost`, the annotator did mark something there."""

    note: str
    lost: bool = True


def read_spans(values: Iterable[tuple[int, Mapping[str, Any]]], aspect: Aspect, text: str) -> SpanReading:
    """Read the numbered values of an aspect's regions. Nothing in them raises."""
    finder = RegionFinder(text)
    found: list[_Found] = []
    notes: list[str] = []
    lost = False
    for number, value in values:
        item = _read_span(value, aspect, finder)
        if isinstance(item, _Found):
            found.append(item)
        else:
            notes.append(f"Region {number} {item.note}.")
            lost = lost or item.lost
    kept, clashes = _without_overlaps(found, aspect, len(text))
    spans = tuple(sorted(item.span for item in kept))
    return SpanReading(spans, sum(item.repaired for item in kept), (*notes, *clashes), lost)


def _read_span(value: Mapping[str, Any], aspect: Aspect, finder: RegionFinder) -> _Found | _Dropped:
    label = _one_label(value, aspect)
    if isinstance(label, _Dropped):
        return label
    offsets = _offsets(value)
    if offsets is None:
        return _Dropped("has no whole-number offsets")
    start, end = offsets
    where = f"at {start}-{end} ({shown(label)})"
    if start >= end:
        return _Dropped(f"{where} is empty", lost=start > end)
    expected = value.get("text")
    place = finder.find(start, end, expected if isinstance(expected, str) else None)
    if place is None:
        return _Dropped(f"{where} does not fit the text of {len(finder.text)} characters")
    trimmed = finder.trim(*place)
    if trimmed[0] >= trimmed[1]:
        return _Dropped(f"{where} holds white space only", lost=False)
    return _Found(Span(*trimmed, label), repaired=trimmed != offsets)


def _one_label(value: Mapping[str, Any], aspect: Aspect) -> str | _Dropped:
    labels = label_list(value.get("labels"))
    if labels is None:
        return _Dropped("has no list of labels")
    if len(labels) != 1:
        return _Dropped(f"has {len(labels)} labels, expected one")
    if labels[0] not in aspect.label_names:
        return _Dropped(f"has label {shown(labels[0])}, which is not in the labeling config")
    return labels[0]


def label_list(labels: Any) -> list[str] | None:
    """A list of label names; Label Studio reads a bare string as a list of one."""
    labels = [labels] if isinstance(labels, str) else labels
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        return None
    return labels


def _offsets(value: Mapping[str, Any]) -> tuple[int, int] | None:
    """Start and end as given; those of HTML regions are XPaths, with the offsets in two other places."""
    places = [(value.get("start"), value.get("end"))]
    if isinstance(nested := value.get("globalOffsets"), Mapping):
        places.append((nested.get("start"), nested.get("end")))
    if isinstance(value.get("text"), str):
        # These are relative to an HTML node, so they are only worth a try if a text can prove them.
        places.append((value.get("startOffset"), value.get("endOffset")))
    for start, end in places:
        if _is_offset(start) and _is_offset(end):
            return start, end
    return None


def _is_offset(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _without_overlaps(found: list[_Found], aspect: Aspect, length: int) -> tuple[list[_Found], list[str]]:
    """The longest of overlapping spans, the leftmost of equally long ones, then in the order of the labels.

    The same rule as `spacy.util.filter_spans`, but independent of the order of the regions.
    """
    rank = {label: i for i, label in enumerate(aspect.label_names)}
    taken = bytearray(length)
    kept: list[_Found] = []
    notes: list[str] = []
    for item in sorted(found, key=lambda f: (f.span.start - f.span.end, f.span.start, rank[f.span.label], f.repaired)):
        span = item.span
        # A span that is not longer than the ones before can only overlap them with one of its ends.
        if taken[span.start] or taken[span.end - 1]:
            notes.append(f"Span {span.start}-{span.end} ({shown(span.label)}) overlaps or repeats another one.")
            continue
        taken[span.start : span.end] = b"\x01" * (span.end - span.start)
        kept.append(item)
    return kept, notes


def shown(value: Any) -> str:
    """A value from outside, short enough for a message."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
