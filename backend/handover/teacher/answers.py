"""The JSON in which the teacher answers: its schema, how it is read, and how it is written.

Labels are matched without regard to case and spacing, where that leaves one possible meaning. A label that the
aspect does not have is None in what is read, so that the task can count it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator

from handover.domain import Annotation, Kind, Relation, Span
from handover.teacher.json_answer import AnswerError, AnswerShape, read_shape

__all__ = [
    "AnswerError",
    "Edge",
    "Graph",
    "Mention",
    "answer_schema",
    "completion_for",
    "match_label",
    "parse_choice",
    "parse_choices",
    "parse_entities",
    "parse_relations",
    "parse_spans",
]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _whole(value: Any) -> Any:
    """Models without structured outputs write numbers as strings now and then."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() else value


Number = Annotated[int, BeforeValidator(_whole)]


class ChoiceAnswer(AnswerShape):
    """The answer for kind `choice`."""

    label: str


class ChoicesAnswer(AnswerShape):
    """The answer for kind `choices`: all labels that apply, perhaps none."""

    labels: Annotated[list[str], BeforeValidator(_listed)]


class SpanAnswer(AnswerShape):
    """One stretch of an answer, in the words of the text."""

    text: str
    label: str


class EntitiesAnswer(AnswerShape):
    """The answer for kind `entities`, in order of appearance."""

    entities: list[SpanAnswer]


class SpansAnswer(AnswerShape):
    """The answer for kind `spans`, in order of appearance."""

    spans: list[SpanAnswer]


class NumberedAnswer(SpanAnswer):
    """A stretch that relations refer to by its number."""

    number: Number


class RelationAnswer(AnswerShape):
    """One relation, between the spans with these numbers."""

    head: Number
    child: Number
    label: str


class RelationsAnswer(AnswerShape):
    """The answer for kind `relations`."""

    spans: list[NumberedAnswer]
    relations: list[RelationAnswer]


@dataclass(frozen=True)
class Mention:
    """Words that the teacher says are in the text. `label` is None when it is not a label of the aspect."""

    text: str
    label: str | None


@dataclass(frozen=True)
class Edge:
    """A relation by the numbers of its spans. `label` is None when it is not a label of the aspect."""

    head: int
    child: int
    label: str | None


@dataclass(frozen=True)
class Graph:
    """Mentions, the number that each was given, and the edges between these numbers."""

    mentions: tuple[Mention, ...]
    numbers: tuple[int, ...]
    edges: tuple[Edge, ...]


def answer_schema(kind: Kind, labels: Sequence[str], span_labels: Sequence[str] = ()) -> dict[str, Any]:
    """The JSON schema of an answer, within what the Messages API's structured outputs accept.

    `span_labels` are those of the spans that relations connect.
    """
    label = _one_of(labels)
    if kind is Kind.CHOICE:
        return _object({"label": label})
    if kind is Kind.CHOICES:
        return _object({"labels": _list_of(label)})
    if kind is Kind.RELATIONS:
        number, text = {"type": "integer"}, {"type": "string"}
        span = _object({"number": number, "text": text, "label": _one_of(span_labels)})
        relation = _object({"head": number, "child": number, "label": label})
        return _object({"spans": _list_of(span), "relations": _list_of(relation)})
    span = _object({"text": {"type": "string"}, "label": label})
    return _object({_list_name(kind): _list_of(span)})


def parse_choice(completion: str, labels: Sequence[str]) -> str:
    """The label that a completion chooses. Raises AnswerError."""
    answer = read_shape(completion, ChoiceAnswer)
    label = match_label(answer.label, labels)
    if label is None:
        raise AnswerError(f"the label is not one of the {len(labels)} labels of the aspect")
    return label


def parse_choices(completion: str, labels: Sequence[str]) -> list[str | None]:
    """The labels that a completion chooses, in its order; None for one that the aspect does not have. Raises
    AnswerError."""
    return [match_label(label, labels) for label in read_shape(completion, ChoicesAnswer).labels]


def parse_entities(completion: str, labels: Sequence[str]) -> list[Mention]:
    """The mentions that a completion lists, in its order. Raises AnswerError."""
    return _mentions(read_shape(completion, EntitiesAnswer).entities, labels)


def parse_spans(completion: str, labels: Sequence[str]) -> list[Mention]:
    """The mentions that a completion lists, in its order. Raises AnswerError."""
    return _mentions(read_shape(completion, SpansAnswer).spans, labels)


def parse_relations(completion: str, labels: Sequence[str], span_labels: Sequence[str]) -> Graph:
    """The numbered mentions and the relations that a completion lists, in its order. Raises AnswerError."""
    answer = read_shape(completion, RelationsAnswer)
    return Graph(
        mentions=tuple(_mentions(answer.spans, span_labels)),
        numbers=tuple(span.number for span in answer.spans),
        edges=tuple(Edge(r.head, r.child, match_label(r.label, labels)) for r in answer.relations),
    )


def match_label(value: str, labels: Sequence[str]) -> str | None:
    """The configured label that is meant; None when there is none, or more than one."""
    if value in labels:
        return value
    alike = [label for label in labels if _folded(label) == _folded(value)]
    return alike[0] if len(alike) == 1 else None


Known = str | Annotation | Sequence[Any] | Mapping[str, Any]
"""An answer that is known already: an `Annotation`; a label (kind `choice`); a list of labels (`choices`); spans as
mappings with `start`, `end` and `label` (`entities`, `spans`); a mapping with such `spans` and with `relations`,
mappings with `head`, `child` (positions in `spans`, from 0) and `label` (`relations`)."""


def completion_for(kind: Kind, text: str, answer: Known) -> str:
    """The completion that a model would have given for an answer that is known already.

    Raises ValueError when it does not fit the kind or the text.
    """
    annotation = answer if isinstance(answer, Annotation) else _annotation(kind, answer)
    if kind is Kind.CHOICE:
        if len(annotation.cats) != 1:
            raise ValueError(f"kind 'choice' needs exactly one label, got {len(annotation.cats)}")
        return _dump({"label": annotation.cats[0]})
    if kind is Kind.CHOICES:
        return _dump({"labels": list(annotation.cats)})
    if not all(0 <= span.start < span.end <= len(text) for span in annotation.spans):
        raise ValueError(f"a span lies outside of the text, which has {len(text)} characters")
    if kind is Kind.RELATIONS:
        return _dump(_graph(text, annotation))
    spans = [annotation.spans[index] for index in _in_order(annotation.spans)]
    return _dump({_list_name(kind): [{"text": text[s.start : s.end], "label": s.label} for s in spans]})


def _annotation(kind: Kind, answer: Any) -> Annotation:
    if kind is Kind.CHOICE and isinstance(answer, str):
        return Annotation(cats=(answer,))
    if kind is Kind.RELATIONS and isinstance(answer, Mapping):
        relations = tuple(Relation(r["head"], r["child"], r["label"]) for r in answer["relations"])
        return Annotation(spans=_spans(answer["spans"]), relations=relations)
    if isinstance(answer, Sequence) and not isinstance(answer, str):
        if kind is Kind.CHOICES and all(isinstance(label, str) for label in answer):
            return Annotation(cats=tuple(answer))
        if kind in {Kind.ENTITIES, Kind.SPANS}:
            return Annotation(spans=_spans(answer))
    raise ValueError(f"an answer of type {type(answer).__name__} does not fit kind '{kind.value}'")


def _spans(values: Sequence[Mapping[str, Any]]) -> tuple[Span, ...]:
    return tuple(Span(value["start"], value["end"], value["label"]) for value in values)


def _graph(text: str, annotation: Annotation) -> dict[str, Any]:
    order = _in_order(annotation.spans)
    number = {index: place for place, index in enumerate(order, start=1)}
    if any(index not in number for r in annotation.relations for index in (r.head, r.child)):
        raise ValueError(f"a relation names a span that is not one of the {len(order)} spans")
    spans = [(number[index], annotation.spans[index]) for index in order]
    return {
        "spans": [{"number": n, "text": text[s.start : s.end], "label": s.label} for n, s in spans],
        "relations": [
            {"head": number[r.head], "child": number[r.child], "label": r.label} for r in annotation.relations
        ],
    }


def _in_order(spans: Sequence[Span]) -> list[int]:
    """The indices of spans in order of appearance, an outer one before those inside of it."""
    return sorted(range(len(spans)), key=lambda i: (spans[i].start, -spans[i].end, spans[i].label))


def _mentions(answers: Sequence[SpanAnswer], labels: Sequence[str]) -> list[Mention]:
    return [Mention(answer.text, match_label(answer.label, labels)) for answer in answers]


def _list_name(kind: Kind) -> str:
    return "entities" if kind is Kind.ENTITIES else "spans"


def _one_of(labels: Sequence[str]) -> dict[str, Any]:
    return {"type": "string", "enum": list(labels)}


def _list_of(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    required = list(properties)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _folded(label: str) -> str:
    return " ".join(label.casefold().split())


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
