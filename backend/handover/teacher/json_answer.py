"""One JSON object of a known shape, found in a completion.

Reading is tolerant about what stands around the JSON (prose, code fences) and about trailing commas, where that
leaves one possible meaning. Anything else is an `AnswerError`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

OBJECT_START = re.compile(r'\{(?=\s*["}])')
STRING_OR_TRAILING_COMMA = re.compile(r'("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])', re.DOTALL)


class AnswerError(ValueError):
    """A completion cannot be read as an answer. The message never quotes the completion or the text."""


class AnswerShape(BaseModel):
    """Base of the answers' shapes: types are checked, further keys ignored."""

    model_config = ConfigDict(strict=True, frozen=True)


AnswerT = TypeVar("AnswerT", bound=AnswerShape)


def read_shape(completion: str, shape: type[AnswerT]) -> AnswerT:
    """The one answer of this shape in a completion; two that differ are as bad as none. Raises AnswerError."""
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
        except (RecursionError, ValueError):  # too deep, or a number with thousands of digits
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
