"""The text of a task that an aspect is about, and whether it can be used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from handover.domain import Aspect
from handover.labelstudio.convert import task_text


def text_of(data: Mapping[str, Any], aspect: Aspect) -> str:
    """The text of a task's data that an aspect is about, empty when there is none."""
    return task_text(data, aspect) or ""


def problem_of(data: Mapping[str, Any], aspect: Aspect, *, max_text_chars: int) -> str:
    """Why a task cannot be used for an aspect; empty when it can."""
    text = task_text(data, aspect)
    field = aspect.text_field
    if text is None:
        given = type(data[field]).__name__ if field in data else "no value"
        return f"Field {field!r}, which the labeling config shows as ${field}, holds {given}, expected a text."
    if not text.strip():
        return f"Field {field!r} is empty."
    if len(text) > max_text_chars:
        return f"Field {field!r} has {len(text)} characters, more than the limit of {max_text_chars}."
    return ""
