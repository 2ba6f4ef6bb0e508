"""Any other spacy-llm model, asked one prompt at a time, so that a failed one does not drag others down.

spacy-llm's own models raise on the first request that fails, and with it all answers of the batch are lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Iterable  # noqa: UP035 - spacy-llm reads these hints and knows typing.Iterable only

from handover.domain import AnswerStatus
from handover.teacher.completion import Completion, as_completion
from handover.teacher.fanout import ask_all
from handover.teacher.foreign import Foreign

Model = Callable[[Iterable[Iterable[Any]]], Iterable[Iterable[Any]]]


class Guarded:
    """A model whose exceptions become FAILED completions and whose latency is known."""

    def __init__(self, model: Model, *, concurrency: int = 1) -> None:
        self._model = model
        self._concurrency = concurrency

    def __call__(self, prompts: Iterable[Iterable[Any]]) -> Iterable[Iterable[Any]]:
        """One completion per prompt, in the same nesting."""
        return ask_all(self._ask, prompts, concurrency=self._concurrency)

    def _ask(self, prompt: str) -> Completion:
        started = time.perf_counter()
        response = next(iter(self._model([[prompt]])), ())
        completion = as_completion(response)
        if completion.latency_ms is None and completion.status is not AnswerStatus.FAILED:
            completion.latency_ms = (time.perf_counter() - started) * 1000
        return completion


def make_guarded(model: Model, concurrency: int = 1) -> Model:
    """`handover.Guarded.v1`: wrap another model.

    Several prompts at once are only sent to spacy-llm's REST models, which keep nothing between requests; a model
    in this process (Hugging Face) answers one after another.
    """
    from spacy_llm.models.rest.base import REST  # noqa: PLC0415

    takes_many = isinstance(model, REST) or (isinstance(model, Foreign) and model.takes_many)
    return Guarded(model, concurrency=concurrency if takes_many else 1)
