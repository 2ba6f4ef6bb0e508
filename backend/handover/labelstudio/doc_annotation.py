"""`Annotation` ⇄ spaCy `Doc`: cats for choices, ents for entities, `doc.spans["sc"]` for spans and relations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handover.doc_relations import SPANS_KEY, get_relations, mark_relations, mark_spans
from handover.domain import Annotation, Aspect, Kind, Relation, Span
from handover.errors import ConversionError

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc
    from spacy.tokens import Span as DocSpan

CHOSEN = 0.5
"""A label of kind `choices` is chosen when its score in `doc.cats` is at least this."""


@dataclass(frozen=True)
class DocReading:
    """A Doc with an annotation on it, and the number of spans that do not end where tokens do."""

    doc: Doc
    misaligned: int


def annotation_from_doc(doc: Doc, aspect: Aspect) -> Annotation | None:
    """What a teacher's or student's Doc says for an aspect; None if the Doc says nothing about it.

    For kind `choice` that is the label with the highest score, the first one of the config among equals; for
    `choices` all labels with a score of at least 0.5, which may be none. Labels unknown to the aspect are left
    out, and the relations that would need them.
    """
    if aspect.kind in {Kind.CHOICE, Kind.CHOICES}:
        return _chosen(doc, aspect)
    if aspect.kind is Kind.ENTITIES:
        return Annotation(spans=tuple(_known(doc.ents, aspect))) if doc.has_annotation("ENT_IOB") else None
    if SPANS_KEY not in doc.spans:
        return None
    if aspect.kind is Kind.SPANS:
        return Annotation(spans=tuple(sorted(set(_known(doc.spans[SPANS_KEY], aspect)))))
    return _connected(doc, aspect)


def doc_from_annotation(nlp: Language, text: str, annotation: Annotation | None, aspect: Aspect) -> DocReading:
    """A Doc that carries an annotation, for training and scoring.

    The tokens of an entity that does not align with the tokens are left without entity annotation, so that
    training does not learn that they are outside of entities. Spans of the other kinds that do not align are
    left out, with their relations. Labels unknown to the aspect are ignored.

    Raises ConversionError if the tokenizer changes the text.
    """
    doc = nlp.make_doc(text)
    if doc.text != text:
        raise ConversionError(
            f"The tokenizer of language {nlp.lang!r} changes the text ({len(text)} characters became "
            f"{len(doc.text)}), so offsets would shift. Use a tokenizer that keeps the text as it is."
        )
    if annotation is None:
        return DocReading(doc, 0)
    if aspect.kind in {Kind.CHOICE, Kind.CHOICES}:
        return DocReading(_set_cats(doc, annotation, aspect), 0)
    if aspect.kind is Kind.RELATIONS:
        return DocReading(doc, mark_relations(doc, _of_aspect(annotation, aspect)))
    spans = [span for span in annotation.spans if span.label in aspect.label_names]
    return DocReading(doc, _set_entities(doc, spans) if aspect.kind is Kind.ENTITIES else mark_spans(doc, spans))


def _chosen(doc: Doc, aspect: Aspect) -> Annotation | None:
    scored = [label for label in aspect.label_names if label in doc.cats]
    if not scored:
        return None
    if aspect.kind is Kind.CHOICES:
        return Annotation(cats=tuple(label for label in scored if doc.cats[label] >= CHOSEN))
    return Annotation(cats=(max(scored, key=doc.cats.__getitem__),))


def _known(spans: Iterable[DocSpan], aspect: Aspect) -> list[Span]:
    found = (Span(span.start_char, span.end_char, span.label_) for span in spans)
    return [span for span in found if span.label in aspect.span_label_names]


def _connected(doc: Doc, aspect: Aspect) -> Annotation | None:
    edges = get_relations(doc)
    if edges is None:
        return None
    spans = tuple(Span(span.start_char, span.end_char, span.label_) for span in doc.spans[SPANS_KEY])
    return _of_aspect(Annotation(spans=spans, relations=tuple(Relation(*edge) for edge in edges)), aspect)


def _set_cats(doc: Doc, annotation: Annotation, aspect: Aspect) -> Doc:
    chosen = set(annotation.cats) & set(aspect.label_names)
    if chosen or aspect.kind is Kind.CHOICES:
        doc.cats = {label: float(label in chosen) for label in aspect.label_names}
    return doc


def _set_entities(doc: Doc, spans: Iterable[Span]) -> int:
    aligned: list[DocSpan] = []
    unknown: set[int] = set()
    misaligned = 0
    for span in spans:
        found = doc.char_span(span.start, span.end, label=span.label)
        # NER training refuses entities with white space at their ends (E024).
        if found is not None and not (found[0].is_space or found[-1].is_space):
            aligned.append(found)
            continue
        misaligned += 1
        touched = doc.char_span(span.start, span.end, alignment_mode="expand")
        unknown.update(range(touched.start, touched.end) if touched is not None else ())
    doc.set_ents(aligned, missing=[doc[i : i + 1] for i in sorted(unknown)], default="outside")
    return misaligned


def _of_aspect(annotation: Annotation, aspect: Aspect) -> Annotation:
    """The relations whose labels the aspect has, and the spans whose labels it has."""
    known = {span for span in annotation.spans if span.label in aspect.span_label_names}
    edges = [edge for edge in annotation.edges if edge[2] in aspect.label_names and known.issuperset(edge[:2])]
    return Annotation.connecting(known, edges)
