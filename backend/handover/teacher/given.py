"""What a teacher is built with and a config cannot or must not hold: its task and its API key.

Free text does not survive a config unchanged (`${` is an interpolation there), and secrets do not belong into
one. So the config names the functions below, and these find what `giving` holds while the pipeline is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from handover.errors import ConfigError

NO_KEY = SecretStr("")


@dataclass(frozen=True)
class Given:
    """`task` is a spacy-llm task, None outside of `giving`; `model` the section of a model that is built late."""

    task: Any = None
    api_key: SecretStr = NO_KEY
    model: dict[str, Any] | None = None


_given: ContextVar[Given | None] = ContextVar("handover_given", default=None)


@contextmanager
def giving(value: Given) -> Iterator[None]:
    """Hold this value for all that is built inside the `with` block, in this thread."""
    token = _given.set(value)
    try:
        yield
    finally:
        _given.reset(token)


def given() -> Given:
    """What is being held."""
    return _given.get() or Given()


def make_given_task() -> Any:
    """`handover.Given.v1`: the task of the aspect that a teacher is being built for. Raises ConfigError."""
    task = given().task
    if task is None:
        raise ConfigError(
            "The task 'handover.Given.v1' only exists while Handover builds a teacher. "
            "Use 'handover.Choice.v1' or 'handover.Entities.v1' in a config of your own."
        )
    return task
