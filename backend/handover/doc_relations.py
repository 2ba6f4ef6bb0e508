"""Spans that may overlap, and relations between them, on a spaCy `Doc`.

The spans are in `doc.spans["sc"]`, the edges between them in `doc._.relations`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from handover.domain import Annotation
from handover.domain import Span as ExactSpan

if TYPE_CHECKING:
    from spacy.tokens import Doc, Span

SPANS_KEY = "sc"
"""The span group of kinds `spans` and `relations`: spaCy's own default, as `spancat` uses it."""

EXTENSION = "relations"

Edge = tuple[int, int, str]
"""Head and child as indices into the span group, and the label."""


def register_relations() -> None:
    """Make `doc._.relations` known to spaCy; doing it twice changes nothing."""
    from spacy.tokens import Doc  # noqa: PLC0415 - heavy

    if not Doc.has_extension(EXTENSION):
        Doc.set_extension(EXTENSION, default=None)


def get_relations(doc: Doc) -> list[Edge] | None:
    """The edges between the spans of `doc.spans["sc"]`; None if the Doc says nothing about relations."""
    register_relations()
    edges = doc._.get(EXTENSION)
    if edges is None or SPANS_KEY not in doc.spans:
        return None
    return [(int(head), int(child), str(label)) for head, child, label in edges]


def set_relations(doc: Doc, spans: Sequence[Span], relations: Iterable[Edge]) -> None:
    """Put spans and the edges between them on a Doc; the edges are indices into `spans` as given.

    The group holds the spans sorted by position, and the edges are renumbered with them. Raises IndexError
    when an edge names a span that is not there.
    """
    register_relations()
    edges = list(relations)
    if any(not 0 <= index < len(spans) for head, child, _ in edges for index in (head, child)):
        raise IndexError(f"A relation names a span that is not one of the {len(spans)} spans.")
    order = sorted(range(len(spans)), key=lambda i: (spans[i].start_char, spans[i].end_char, spans[i].label_))
    place = {index: position for position, index in enumerate(order)}
    doc.spans[SPANS_KEY] = [spans[index] for index in order]
    doc._.set(EXTENSION, sorted((place[head], place[child], label) for head, child, label in edges))


def mark_spans(doc: Doc, spans: Iterable[ExactSpan]) -> int:
    """Put exact spans into the span group. Returns how many do not begin and end with a token and are left out."""
    found = [doc.char_span(span.start, span.end, label=span.label) for span in sorted(spans)]
    doc.spans[SPANS_KEY] = [span for span in found if span is not None]
    return sum(span is None for span in found)


def mark_relations(doc: Doc, annotation: Annotation) -> int:
    """Put an annotation's spans and relations on a Doc.

    Returns how many spans do not begin and end with a token; they are left out with their relations.
    """
    found = [doc.char_span(span.start, span.end, label=span.label) for span in annotation.spans]
    aligned = [index for index, span in enumerate(found) if span is not None]
    place = {index: position for position, index in enumerate(aligned)}
    edges = [(r.head, r.child, r.label) for r in annotation.relations if r.head in place and r.child in place]
    set_relations(
        doc, [found[index] for index in aligned], [(place[head], place[child], label) for head, child, label in edges]
    )
    return len(found) - len(aligned)
