"""Label Studio regions ⇄ `Annotation` ⇄ spaCy `Doc`: the single place for it.

Regions come from people, other tools and old versions, so nothing in them is believed: what cannot be read
is set aside with a reason that never holds the task's text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from handover.domain import Annotation, Aspect, Kind, Span
from handover.labelstudio.doc_annotation import DocReading, annotation_from_doc, doc_from_annotation
from handover.labelstudio.regions import Result, check_labels, read_values, region, span_region, tag_of
from handover.labelstudio.relations import read_relations, write_relations
from handover.labelstudio.spans import RegionValue, label_list, read_spans, shown

__all__ = [
    "DocReading",
    "Reading",
    "annotation_from_doc",
    "doc_from_annotation",
    "read_result",
    "task_text",
    "write_result",
]

_UNDEFINED = "$undefined$"  # the field of tasks that were imported from a plain text file


@dataclass(frozen=True)
class Reading:
    """What a Label Studio result says for one aspect.

    `annotation` is None when the question was not answered, or its answer cannot be read. An empty one is an
    answer for all kinds but `choice`: nothing applies, nothing is in the text. `repaired` counts the spans that
    were moved.
    """

    annotation: Annotation | None
    repaired: int
    set_aside: tuple[str, ...]


def task_text(data: Mapping[str, Any], aspect: Aspect) -> str | None:
    """The text that an aspect is about; None if the task's data has none. `$a.b` is field b of field a."""
    value: Any = data
    for key in aspect.text_field.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    value = data.get(_UNDEFINED) if value is None else value
    return value if isinstance(value, str) else None


def read_result(result: Result, aspect: Aspect, text: str) -> Reading:
    """Read a submitted annotation's or a prediction's regions as one aspect's annotation of `text`.

    Only regions of the aspect's control tag are looked at. No region ever raises: one that is malformed is
    set aside. If nothing is left of a result in which something was marked, there is no annotation: an empty
    one would teach that there is nothing in the text. Nor is there one when a label is not in the config: it was
    renamed, for all that can be seen here, and the rest alone would teach that there is nothing where it was.

    Label Studio stores no region for a question to which "none of them" is the answer. So no region means just
    that for kind `choices`, unless the tag is required, in which case people cannot submit such an answer and
    the annotation came from elsewhere.
    """
    if not isinstance(result, (list, tuple)):
        return Reading(None, 0, (f"The result is {type(result).__name__}, expected a list.",))
    if aspect.kind is Kind.RELATIONS:
        found = read_relations(result, aspect, text)
        return Reading(found.annotation, found.repaired, found.notes)
    values, notes = read_values(result, tag_of(aspect))
    read = {Kind.CHOICE: _read_choice, Kind.CHOICES: _read_choices}.get(aspect.kind, _read_spans)
    return read(values, notes, aspect, text)


def write_result(
    annotation: Annotation,
    aspect: Aspect,
    text: str,
    *,
    score: float | None = None,
    scores: Mapping[str | Span, float] | None = None,
) -> list[dict[str, Any]]:
    """The regions with which Label Studio shows an annotation of `text` as a prediction.

    Ids depend on control tag, label and offsets alone, so the same prediction is written the same way each
    time, and the end points of relations are the same regions as those of the aspect they belong to. Each
    region carries `score`, or the one of `scores` for its span or for the least certain of its labels.

    Raises ConversionError if a label or a span does not belong to the aspect or the text.
    """
    scores = scores or {}
    if aspect.kind is Kind.RELATIONS:
        return write_relations(annotation, aspect, text, score=score, scores=scores)
    check_labels([*annotation.cats, *(span.label for span in annotation.spans)], aspect.label_names, aspect.name)
    tag = tag_of(aspect)
    if aspect.kind in {Kind.CHOICE, Kind.CHOICES}:
        given = [scores[label] for label in annotation.cats if label in scores]
        value = {"choices": list(annotation.cats)}
        return [region(value, tag, score=min(given, default=score))] if annotation.cats else []
    return [span_region(span, tag, text, score=scores.get(span, score)) for span in annotation.spans]


def _read_choice(values: list[RegionValue], notes: list[str], aspect: Aspect, text: str) -> Reading:
    chosen, problems = _chosen(values, aspect)
    if len(chosen) > 1:
        problems.append(f"{len(chosen)} choices are selected, expected one.")
    readable = len(chosen) == 1 and not chosen - set(aspect.label_names)
    return Reading(Annotation(cats=tuple(chosen)) if readable else None, 0, (*notes, *problems))


def _read_choices(values: list[RegionValue], notes: list[str], aspect: Aspect, text: str) -> Reading:
    chosen, problems = _chosen(values, aspect)
    cats = tuple(label for label in aspect.label_names if label in chosen)
    unanswered = len(cats) < len(chosen) or (not cats and (aspect.required or notes or problems))
    return Reading(None if unanswered else Annotation(cats=cats), 0, (*notes, *problems))


def _chosen(values: Iterable[RegionValue], aspect: Aspect) -> tuple[set[str], list[str]]:
    """All labels that were chosen, unknown ones too, and what is wrong with them."""
    chosen: dict[str, None] = {}
    problems: list[str] = []
    for value in values:
        labels = label_list(value.value.get("choices"))
        if labels is None:
            problems.append(f"Region {value.number} has no list of choices.")
        else:
            chosen.update(dict.fromkeys(labels))
    unknown = (label for label in chosen if label not in aspect.label_names)
    problems += [f"Choice {shown(label)} is not in the labeling config." for label in unknown]
    return set(chosen), problems


def _read_spans(values: list[RegionValue], notes: list[str], aspect: Aspect, text: str) -> Reading:
    reading = read_spans(values, aspect.label_names, text, overlapping=aspect.kind is Kind.SPANS)
    lost = bool(notes) or reading.lost
    unreadable = reading.unknown or (lost and not reading.spans)
    annotation = None if unreadable else Annotation(spans=reading.spans)
    return Reading(annotation, reading.repaired, (*notes, *reading.notes))
