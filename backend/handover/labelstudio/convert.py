"""Label Studio regions ⇄ `Annotation` ⇄ spaCy `Doc`: the single place for it.

Regions come from people, other tools and old versions, so nothing in them is believed: what cannot be read
is set aside with a reason that never holds the task's text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from handover.domain import Annotation, Aspect, Kind, Span
from handover.errors import ConversionError
from handover.labelstudio.spans import label_list, read_spans, shown

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc
    from spacy.tokens import Span as DocSpan

_UNDEFINED = "$undefined$"  # the field of tasks that were imported from a plain text file
_TYPES = {Kind.CHOICE: "choices", Kind.ENTITIES: "labels"}


@dataclass(frozen=True)
class Reading:
    """What a Label Studio result says for one aspect.

    `annotation` is None when the question was not answered, or its answer cannot be read; an empty annotation
    of kind `entities` says that there is nothing in the text. `repaired` counts the spans that were moved.
    """

    annotation: Annotation | None
    repaired: int
    set_aside: tuple[str, ...]


@dataclass(frozen=True)
class DocReading:
    """A Doc with an annotation on it, and the number of spans that do not end where tokens do."""

    doc: Doc
    misaligned: int


def task_text(data: Mapping[str, Any], aspect: Aspect) -> str | None:
    """The text that an aspect is about; None if the task's data has none. `$a.b` is field b of field a."""
    value: Any = data
    for key in aspect.text_field.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    value = data.get(_UNDEFINED) if value is None else value
    return value if isinstance(value, str) else None


def read_result(result: Sequence[Mapping[str, Any]], aspect: Aspect, text: str) -> Reading:
    """Read an annotation's or prediction's regions as one aspect's annotation of `text`.

    Only regions of the aspect's control tag are looked at. No region ever raises: one that is malformed is
    set aside. If nothing is left of a result in which something was marked, there is no annotation: an empty
    one would teach that there is nothing in the text.

    Raises ConversionError for an aspect of an unsupported kind.
    """
    _check_kind(aspect)
    if not isinstance(result, (list, tuple)):
        return Reading(None, 0, (f"The result is {type(result).__name__}, expected a list.",))
    values, notes = _values(result, aspect)
    read = _read_choice if aspect.kind is Kind.CHOICE else _read_entities
    return read(values, notes, aspect, text)


def write_result(
    annotation: Annotation, aspect: Aspect, text: str, *, score: float | None = None
) -> list[dict[str, Any]]:
    """The regions with which Label Studio shows an annotation of `text` as a prediction.

    Ids depend on aspect, label and offsets alone, so the same prediction is written the same way each time.

    Raises ConversionError if a label or a span does not belong to the aspect or the text.
    """
    _check_kind(aspect)
    _check_labels([*annotation.cats, *(span.label for span in annotation.spans)], aspect)
    if aspect.kind is Kind.CHOICE:
        values = [{"choices": list(annotation.cats)}] if annotation.cats else []
    else:
        values = [_span_value(span, text) for span in annotation.spans]
    return [_region(value, aspect, score) for value in values]


def annotation_from_doc(doc: Doc, aspect: Aspect) -> Annotation | None:
    """What a teacher's or student's Doc says for an aspect; None if the Doc says nothing about it.

    For kind `choice` that is the label with the highest score, the first one of the config among equals.
    Raises ConversionError for an aspect of an unsupported kind.
    """
    _check_kind(aspect)
    if aspect.kind is Kind.CHOICE:
        scored = [label for label in aspect.label_names if label in doc.cats]
        return Annotation(cats=(max(scored, key=doc.cats.__getitem__),)) if scored else None
    if not doc.has_annotation("ENT_IOB"):
        return None
    spans = (Span(ent.start_char, ent.end_char, ent.label_) for ent in doc.ents)
    return Annotation(spans=tuple(span for span in spans if span.label in aspect.label_names))


def doc_from_annotation(nlp: Language, text: str, annotation: Annotation | None, aspect: Aspect) -> DocReading:
    """A Doc that carries an annotation, for training and scoring.

    The tokens of a span that does not align with the tokens are left without entity annotation, so that
    training does not learn that they are outside of entities. Labels unknown to the aspect are ignored.

    Raises ConversionError if the tokenizer changes the text, or for an aspect of an unsupported kind.
    """
    _check_kind(aspect)
    doc = nlp.make_doc(text)
    if doc.text != text:
        raise ConversionError(
            f"The tokenizer of language {nlp.lang!r} changes the text ({len(text)} characters became "
            f"{len(doc.text)}), so offsets would shift. Use a tokenizer that keeps the text as it is."
        )
    if annotation is None:
        return DocReading(doc, 0)
    if aspect.kind is Kind.CHOICE:
        chosen = set(annotation.cats) & set(aspect.label_names)
        doc.cats = {label: float(label in chosen) for label in aspect.label_names} if chosen else {}
        return DocReading(doc, 0)
    return DocReading(doc, _set_entities(doc, [s for s in annotation.spans if s.label in aspect.label_names]))


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


def _values(result: Sequence[Any], aspect: Aspect) -> tuple[list[tuple[int, Mapping[str, Any]]], list[str]]:
    """The numbered values of the aspect's regions, and notes about the malformed ones."""
    values: list[tuple[int, Mapping[str, Any]]] = []
    notes: list[str] = []
    for number, region in enumerate(result, start=1):
        if not isinstance(region, Mapping):
            notes.append(f"Region {number} is {type(region).__name__}, expected an object.")
        elif region.get("from_name") == aspect.name:
            note = _region_problem(region, aspect)
            if note:
                notes.append(f"Region {number} {note}.")
            else:
                values.append((number, region["value"]))
    return values, notes


def _region_problem(region: Mapping[str, Any], aspect: Aspect) -> str:
    if region.get("type") != _TYPES[aspect.kind]:
        return f"has type {shown(region.get('type'))}, expected {_TYPES[aspect.kind]!r}"
    if region.get("to_name", aspect.to_name) != aspect.to_name:
        return f"is on object {shown(region.get('to_name'))}, expected {aspect.to_name!r}"
    if not isinstance(region.get("value"), Mapping):
        return "has no value"
    return ""


def _read_choice(values: list[tuple[int, Mapping[str, Any]]], notes: list[str], aspect: Aspect, text: str) -> Reading:
    chosen: dict[str, None] = {}
    for number, value in values:
        labels = label_list(value.get("choices"))
        if labels is None:
            notes.append(f"Region {number} has no list of choices.")
        else:
            chosen.update(dict.fromkeys(labels))
    notes += [
        f"Choice {shown(label)} is not in the labeling config." for label in chosen if label not in aspect.label_names
    ]
    if len(chosen) > 1:
        notes.append(f"{len(chosen)} choices are selected, expected one.")
    readable = len(chosen) == 1 and not set(chosen) - set(aspect.label_names)
    return Reading(Annotation(cats=tuple(chosen)) if readable else None, 0, tuple(notes))


def _read_entities(values: list[tuple[int, Mapping[str, Any]]], notes: list[str], aspect: Aspect, text: str) -> Reading:
    reading = read_spans(values, aspect, text)
    lost = bool(notes) or reading.lost
    annotation = None if lost and not reading.spans else Annotation(spans=reading.spans)
    return Reading(annotation, reading.repaired, (*notes, *reading.notes))


def _span_value(span: Span, text: str) -> dict[str, Any]:
    if not 0 <= span.start < span.end <= len(text):
        raise ConversionError(
            f"Span {span.start}-{span.end} is not inside the text of {len(text)} characters. "
            "It was made for another text; predict again."
        )
    return {"start": span.start, "end": span.end, "text": text[span.start : span.end], "labels": [span.label]}


def _region(value: dict[str, Any], aspect: Aspect, score: float | None) -> dict[str, Any]:
    identity = json.dumps([aspect.name, value.get("start"), value.get("end"), value.get("labels")])
    region = {
        "id": hashlib.blake2b(identity.encode(), digest_size=5).hexdigest(),
        "from_name": aspect.name,
        "to_name": aspect.to_name,
        "type": _TYPES[aspect.kind],
        "value": value,
    }
    return region if score is None else {**region, "score": score}


def _check_kind(aspect: Aspect) -> None:
    if aspect.kind not in _TYPES:
        supported = ", ".join(kind.value for kind in _TYPES)
        raise ConversionError(
            f"Aspect {aspect.name!r} is of kind {aspect.kind.value}, supported are {supported}. Leave it out."
        )


def _check_labels(labels: Iterable[str], aspect: Aspect) -> None:
    unknown = sorted(set(labels) - set(aspect.label_names))
    if unknown:
        raise ConversionError(
            f"Label {unknown[0]!r} is not in the labeling config of aspect {aspect.name!r} "
            f"(has: {', '.join(aspect.label_names)}). Predict again with the current config."
        )
