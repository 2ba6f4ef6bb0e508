"""What a model gave back for one prompt: its text, and what is known about how it came to be."""

from __future__ import annotations

from typing import Any

from handover.domain import AnswerStatus


class Completion(str):
    """A completion that carries its circumstances; to everyone else it is the plain string spacy-llm expects.

    `status` tells how the request ended (OK: an answer came, whatever it says). `input_tokens` counts all
    tokens of the prompt, `cached_tokens` those of them that the API read from its prompt cache and
    `cache_write_tokens` those that it wrote into it; None where the model does not say. `latency_ms` runs from
    the first attempt to the last, `attempts` counts them.
    """

    status: AnswerStatus
    problem: str
    model: str
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    cache_write_tokens: int | None
    latency_ms: float | None
    attempts: int
    stop_reason: str

    def __new__(
        cls,
        text: str = "",
        *,
        status: AnswerStatus = AnswerStatus.OK,
        problem: str = "",
        model: str = "",
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cached_tokens: int | None = None,
        cache_write_tokens: int | None = None,
        latency_ms: float | None = None,
        attempts: int = 1,
        stop_reason: str = "",
    ) -> Completion:
        """Make a completion from its text and what is known about it."""
        completion = super().__new__(cls, text)
        completion.status = AnswerStatus(status)
        completion.problem = problem
        completion.model = model
        completion.input_tokens = input_tokens
        completion.output_tokens = output_tokens
        completion.cached_tokens = cached_tokens
        completion.cache_write_tokens = cache_write_tokens
        completion.latency_ms = latency_ms
        completion.attempts = attempts
        completion.stop_reason = stop_reason
        return completion

    @property
    def is_cut_off(self) -> bool:
        """True when the model had to stop before it was done."""
        return self.stop_reason in CUT_OFF

    def to_json(self) -> dict[str, Any]:
        """The completion as plain JSON values; `from_json` reads it back."""
        return {"text": str(self), **vars(self), "status": self.status.value}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Completion:
        """Read what `to_json` wrote."""
        return cls(**value)


CUT_OFF = frozenset({"max_tokens", "model_context_window_exceeded"})
"""The Messages API's stop reasons that mean an unfinished answer (`anthropic.types.StopReason`)."""


NO_ANSWER = Completion(status=AnswerStatus.FAILED, problem="The model gave no answer.")


def as_completion(response: Any) -> Completion:
    """A model's response as a `Completion`.

    spacy-llm hands each response over as a list of one; models that are not ours give plain strings.
    """
    if not isinstance(response, str):
        response = next(iter(response), NO_ANSWER)
    return response if isinstance(response, Completion) else Completion(str(response))
