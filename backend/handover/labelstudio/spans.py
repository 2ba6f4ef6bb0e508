"""The regions of a <Labels> tag read as spans: each one checked, repaired or dropped with a reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from handover.domain import Span
from handover.labelstudio.offsets import RegionFinder


@dataclass(frozen=True)
class RegionValue:
    """The value of a region, the position of the region in its result (from 1), and its id as it came."""

    number: int
    id: Any
    value: Mapping[str, Any]


@dataclass(frozen=True)
class SpanReading:
    """The spans that could be read, sorted, and notes about the regions that gave none.

    `repaired` counts the spans that were moved; `lost` says that something was marked that cannot be read, `unknown`
    that it has a label which the config does not have.
    `by_region` tells which spans came from the region with an id: several where a region has several labels.
    """

    spans: tuple[Span, ...]
    repaired: int
    notes: tuple[str, ...]
    lost: bool
    unknown: bool
    by_region: Mapping[str, tuple[Span, ...]]


@dataclass(frozen=True)
class _Found:
    span: Span
    repaired: bool
    region: Any


@dataclass(frozen=True)
class _Dropped:
    """Why a region or one of its labels gives no span. If `lost`, the annotator did mark something there."""

    note: str
    lost: bool = True
    unknown: bool = False


def read_spans(
    values: Iterable[RegionValue], labels: Sequence[str], text: str, *, overlapping: bool = False
) -> SpanReading:
    """Read the values of a tag's regions. Nothing in them raises.

    With `overlapping`, spans may share characters and a region may have several labels, each of which makes a
    span; without, only the longest of spans that overlap is kept.
    """
    finder = RegionFinder(text)
    found: list[_Found] = []
    dropped: list[tuple[int, _Dropped]] = []
    for value in values:
        for item in _read_region(value, labels, finder, several=overlapping):
            if isinstance(item, _Found):
                found.append(item)
            else:
                dropped.append((value.number, item))
    kept, clashes = _without_repeats(found) if overlapping else _without_overlaps(found, labels, len(text))
    return SpanReading(
        spans=tuple(sorted(item.span for item in kept)),
        repaired=sum(item.repaired for item in kept),
        notes=(*(f"Region {number} {item.note}." for number, item in dropped), *clashes),
        lost=any(item.lost for _, item in dropped),
        unknown=any(item.unknown for _, item in dropped),
        by_region=_by_region(found),
    )


def _read_region(
    region: RegionValue, labels: Sequence[str], finder: RegionFinder, *, several: bool
) -> list[_Found | _Dropped]:
    given = label_list(region.value.get("labels"))
    if given is None:
        return [_Dropped("has no list of labels")]
    given = list(dict.fromkeys(given)) if several else given
    if not given or (len(given) > 1 and not several):
        return [_Dropped(f"has {len(given)} labels, expected {'at least ' if several else ''}one")]
    return [_read_span(region, label, labels, finder) for label in given]


def _read_span(region: RegionValue, label: str, labels: Sequence[str], finder: RegionFinder) -> _Found | _Dropped:
    if label not in labels:
        return _Dropped(f"has label {shown(label)}, which is not in the labeling config", unknown=True)
    offsets = _offsets(region.value)
    if offsets is None:
        return _Dropped("has no whole-number offsets")
    start, end = offsets
    where = f"at {start}-{end} ({shown(label)})"
    if start >= end:
        return _Dropped(f"{where} is empty", lost=start > end)
    expected = region.value.get("text")
    place = finder.find(start, end, expected if isinstance(expected, str) else None)
    if place is None:
        return _Dropped(f"{where} does not fit the text of {len(finder.text)} characters")
    trimmed = finder.trim(*place)
    if trimmed[0] >= trimmed[1]:
        return _Dropped(f"{where} holds white space only", lost=False)
    return _Found(Span(*trimmed, label), repaired=trimmed != offsets, region=region.id)


def _by_region(found: Iterable[_Found]) -> dict[str, tuple[Span, ...]]:
    spans: dict[str, tuple[Span, ...]] = {}
    for item in found:
        if isinstance(item.region, str):
            spans[item.region] = (*spans.get(item.region, ()), item.span)
    return spans


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


def _without_repeats(found: list[_Found]) -> tuple[list[_Found], list[str]]:
    """Each span once."""
    kept: dict[Span, _Found] = {}
    notes: list[str] = []
    for item in sorted(found, key=lambda f: (f.span, f.repaired)):
        if kept.setdefault(item.span, item) is not item:
            notes.append(f"Span {item.span.start}-{item.span.end} ({shown(item.span.label)}) repeats another one.")
    return list(kept.values()), notes


def _without_overlaps(found: list[_Found], labels: Sequence[str], length: int) -> tuple[list[_Found], list[str]]:
    """The longest of overlapping spans, the leftmost of equally long ones, then in the order of the labels.

    The same rule as `spacy.util.filter_spans`, but independent of the order of the regions.
    """
    rank = {label: i for i, label in enumerate(labels)}
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
