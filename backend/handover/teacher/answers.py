"""The JSON in which the teacher answers: its schema, how it is read, and how it is written.

Reading is tolerant about what stands around the JSON (prose, code fences), about trailing commas and about
the case and spacing of labels, where that leaves one possible meaning. Anything else is an `AnswerError`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from handover.domain import Annotation, Kind, Span

OBJECT_START = re.compile(r'\{(?=\s*["}])')
STRING_OR_TRAILING_COMMA = re.compile(r'("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])', re.DOTALL)


class AnswerError(ValueError):
    """A completion cannot be read as an answer. The message never quotes the completion or the text."""


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class ChoiceAnswer(_Strict):
    """The answer for kind `choice`."""

    label: str


class EntityAnswer(_Strict):
    """One entity of an answer, in the words of the text."""

    text: str
    label: str


class EntitiesAnswer(_Strict):
    """The answer for kind `entities`, in order of appearance."""

    entities: list[EntityAnswer]


@dataclass(frozen=True)
class Mention:
    """Words that the teacher says are in the text. `label` is None when it is not a label of the aspect."""

    text: str
    label: str | None


AnswerT = TypeVar("AnswerT", bound=_Strict)


def answer_schema(kind: Kind, labels: Sequence[str]) -> dict[str, Any]:
    """The JSON schema of an answer, within what the Messages API's structured outputs accept."""
    label = {"type": "string", "enum": list(labels)}
    if kind is Kind.CHOICE:
        return _object({"label": label})
    entity = _object({"text": {"type": "string"}, "label": label})
    return _object({"entities": {"type": "array", "items": entity}})


def parse_choice(completion: str, labels: Sequence[str]) -> str:
    """The label that a completion chooses. Raises AnswerError."""
    answer = _read(completion, ChoiceAnswer)
    label = match_label(answer.label, labels)
    if label is None:
        raise AnswerError(f"the label is not one of the {len(labels)} labels of the aspect")
    return label


def parse_entities(completion: str, labels: Sequence[str]) -> list[Mention]:
    """The mentions that a completion lists, in its order. Raises AnswerError."""
    answer = _read(completion, EntitiesAnswer)
    return [Mention(entity.text, match_label(entity.label, labels)) for entity in answer.entities]


def match_label(value: str, labels: Sequence[str]) -> str | None:
    """The configured label that is meant; None when there is none, or more than one."""
    if value in labels:
        return value
    alike = [label for label in labels if _folded(label) == _folded(value)]
    return alike[0] if len(alike) == 1 else None


def completion_for(kind: Kind, text: str, answer: str | Annotation | Sequence[Mapping[str, Any]]) -> str:
    """The completion that a model would have given for an answer that is known already.

    `answer` is an `Annotation`, a label (kind `choice`), or spans as mappings with `start`, `end` and `label`
    (kind `entities`). Raises ValueError when it does not fit the kind or the text.
    """
    annotation = answer if isinstance(answer, Annotation) else _annotation(kind, answer)
    if kind is Kind.CHOICE:
        if len(annotation.cats) != 1:
            raise ValueError(f"kind 'choice' needs exactly one label, got {len(annotation.cats)}")
        return _dump({"label": annotation.cats[0]})
    spans = sorted(annotation.spans)
    if not all(0 <= span.start < span.end <= len(text) for span in spans):
        raise ValueError(f"a span lies outside of the text, which has {len(text)} characters")
    return _dump({"entities": [{"text": text[s.start : s.end], "label": s.label} for s in spans]})


def _annotation(kind: Kind, answer: str | Sequence[Mapping[str, Any]]) -> Annotation:
    if kind is Kind.CHOICE and isinstance(answer, str):
        return Annotation(cats=(answer,))
    if kind is Kind.ENTITIES and not isinstance(answer, str):
        return Annotation(spans=tuple(Span(s["start"], s["end"], s["label"]) for s in answer))
    raise ValueError(f"an answer of type {type(answer).__name__} does not fit kind '{kind.value}'")


def _read(completion: str, shape: type[AnswerT]) -> AnswerT:
    """The one answer of this shape in a completion; two that differ are as bad as none."""
    found, problem = _answers(completion, shape)
    if not found:
        found, _ = _answers(_without_trailing_commas(completion), shape)
    if len(found) > 1:
        raise AnswerError(f"it holds {len(found)} different answers")
    if not found:
        raise AnswerError(problem)
    return found[0]


def _answers(completion: str, shape: type[AnswerT]) -> tuple[list[AnswerT], str]:
    """The different answers of this shape, and what is wrong with what is not one."""
    found: list[AnswerT] = []
    problem = "there is no complete JSON object in it"
    for value in _json_objects(completion):
        try:
            answer = shape.model_validate(value)
        except ValidationError as error:
            problem = _sentence(error)
            continue
        if answer not in found:
            found.append(answer)
    return found, problem


def _json_objects(text: str) -> Iterator[Any]:
    """The outermost JSON objects in a text. One that never ends also ends the search: what is inside it was
    not meant to stand alone."""
    # strict=False lets models write a line break inside a string as it is.
    decoder = json.JSONDecoder(strict=False, object_pairs_hook=_without_duplicates)
    start = OBJECT_START.search(text)
    while start is not None:
        try:
            value, end = decoder.raw_decode(text, start.start())
        except json.JSONDecodeError as error:
            if error.msg.startswith("Unterminated") or not text[error.pos :].strip():
                return
            end = start.start() + 1
        except RecursionError:
            return
        else:
            yield value
        start = OBJECT_START.search(text, end)


def _without_trailing_commas(completion: str) -> str:
    return STRING_OR_TRAILING_COMMA.sub(lambda match: match[1] or "", completion[completion.find("{") :])


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(keys) != len(set(keys)):
        raise json.JSONDecodeError("a key is given twice", "{}", 0)
    return dict(pairs)


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"the JSON is not of the right form: {where}: {first['msg']}"


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    required = list(properties)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _folded(label: str) -> str:
    return " ".join(label.casefold().split())


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
