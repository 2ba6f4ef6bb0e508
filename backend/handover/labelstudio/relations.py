"""The relations of a Label Studio result ⇄ `Annotation`.

Label Studio has one relation for each ordered pair of regions: `{"type": "relation", "from_id", "to_id",
"direction", "labels"}`, without a name of its tag. Its direction is right (as it says), left (the other way
round) or bi (both); labels are missing where the annotator chose none. One whose region does not exist keeps
the editor from loading the whole result (seen in Label Studio 1.23.2: `stores/RelationStore.js`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from handover.domain import Annotation, Aspect, Edge, Relation, Span
from handover.errors import ConversionError
from handover.labelstudio.regions import Result, check_labels, read_values, span_region, tag_of
from handover.labelstudio.spans import label_list, read_spans, shown


@dataclass(frozen=True)
class RelationReading:
    """What could be read; `annotation` is None if relations were drawn and none of them can be read, or if one cannot
    be read for a label that the config does not have."""

    annotation: Annotation | None
    repaired: int
    notes: tuple[str, ...]


@dataclass
class _Edges:
    """What was read of the relations so far, and why the others were dropped."""

    found: set[Edge] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    unknown: bool = False

    def drop(self, number: int, why: str, *, unknown: bool = False) -> None:
        self.notes.append(f"Relation {number} {why}.")
        self.unknown |= unknown


def read_relations(result: Result, aspect: Aspect, text: str) -> RelationReading:
    """Read the relations between the regions of the aspect's <Labels> tag. Nothing in them raises.

    The annotation holds the spans of all these regions, connected or not; a relation of a region with several
    labels holds for each of its spans. What is wrong with regions that no relation needs is left to the aspect
    of their own tag.
    """
    values, _ = read_values(result, tag_of(aspect))
    spans = read_spans(values, aspect.span_label_names, text, overlapping=True)
    edges = _Edges()
    for number, item in enumerate(result, start=1):
        if isinstance(item, Mapping) and item.get("type") == "relation":
            _read(item, number, aspect, regions=spans.by_region, edges=edges)
    if edges.notes and (not edges.found or edges.unknown or spans.unknown):
        return RelationReading(None, 0, tuple(edges.notes))
    return RelationReading(Annotation.connecting(spans.spans, edges.found), spans.repaired, tuple(edges.notes))


def write_relations(
    annotation: Annotation, aspect: Aspect, text: str, *, score: float | None, scores: Mapping[Any, float]
) -> list[dict[str, Any]]:
    """The regions that relations connect, and the relations. Spans that none of them needs are left out: they
    are for the aspect of their own tag to say.

    Raises ConversionError if a label or a span does not belong to the aspect or the text.
    """
    spans, tag = annotation.spans, tag_of(aspect)
    used = sorted({index for relation in annotation.relations for index in (relation.head, relation.child)})
    if used and not 0 <= used[0] <= used[-1] < len(spans):
        raise ConversionError(f"A relation names a span that is not one of the {len(spans)} spans. Predict again.")
    check_labels((relation.label for relation in annotation.relations), aspect.label_names, aspect.name)
    check_labels((spans[index].label for index in used), aspect.span_label_names, aspect.spans_from)
    regions = {index: span_region(spans[index], tag, text, score=scores.get(spans[index], score)) for index in used}
    ids = {index: region["id"] for index, region in regions.items()}
    return [*regions.values(), *_items(annotation.relations, ids, aspect.label_names)]


def _read(
    item: Mapping[str, Any], number: int, aspect: Aspect, *, regions: Mapping[str, Sequence[Span]], edges: _Edges
) -> None:
    first, second = (regions.get(str(item.get(key)), ()) for key in ("from_id", "to_id"))
    labels = label_list(item.get("labels")) if item.get("labels") is not None else []
    direction = item.get("direction", "right")
    if not (first and second):
        edges.drop(number, f"connects something else than two readable regions of {aspect.spans_from!r}")
    elif direction not in ("left", "right", "bi"):
        edges.drop(number, f"has direction {shown(direction)}, expected left, right or bi")
    elif not labels:
        edges.drop(number, "has no label" if labels is not None else "has no list of labels")
    else:
        _add(labels, number, aspect, ends=_directed(first, second, direction), edges=edges)


def _directed(first: Sequence[Span], second: Sequence[Span], direction: str) -> list[tuple[Span, Span]]:
    forwards = [(head, child) for head in first for child in second]
    backwards = [(child, head) for head, child in forwards]
    return {"right": forwards, "left": backwards, "bi": forwards + backwards}[direction]


def _add(
    labels: Sequence[str], number: int, aspect: Aspect, *, ends: Sequence[tuple[Span, Span]], edges: _Edges
) -> None:
    for label in labels:
        if label in aspect.label_names:
            edges.found.update((head, child, label) for head, child in ends)
        else:
            edges.drop(number, f"has label {shown(label)}, which is not in the labeling config", unknown=True)


def _items(relations: Sequence[Relation], ids: Mapping[int, str], order: Sequence[str]) -> list[dict[str, Any]]:
    """One item for each pair of regions; one for both ways where these have the same labels."""
    labels: dict[tuple[int, int], set[str]] = {}
    for relation in relations:
        labels.setdefault((relation.head, relation.child), set()).add(relation.label)
    items = []
    for (head, child), names in sorted(labels.items()):
        both_ways = head != child and labels.get((child, head)) == names
        if both_ways and head > child:
            continue
        items.append({
            "from_id": ids[head],
            "to_id": ids[child],
            "type": "relation",
            "direction": "bi" if both_ways else "right",
            "labels": [label for label in order if label in names],
        })  # fmt: skip
    return items
