"""The teacher's answers by hash of model and full prompt: what has been asked once costs nothing again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from handover.domain import AnswerStatus
from handover.teacher.completion import Completion


def cache_key(model_id: str, prompt: str, *, sample: int = 0) -> str:
    """SHA-256 of model id, full rendered prompt and, for a further sample of it, the sample's number, in hex."""
    content = f"{model_id}\n{prompt}" if not sample else f"{model_id}\n{prompt}\nsample {sample}"
    return hashlib.sha256(content.encode("utf-8")).hexdigest()


@dataclass(frozen=True)
class CachedAnswer:
    """One answer as it is kept. `status` says how the completion was understood when it came."""

    key: str
    model_id: str
    completion: str = field(repr=False)
    status: AnswerStatus
    problems: tuple[str, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    latency_ms: float | None = None
    stop_reason: str = ""

    def to_completion(self) -> Completion:
        """What an `AnswerCache` gives back for this answer; it is read anew each time it is used."""
        return Completion(
            self.completion,
            status=self.status,
            problem="; ".join(self.problems),
            model=self.model_id,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cached_tokens=self.cached_tokens,
            latency_ms=self.latency_ms,
            stop_reason=self.stop_reason,
        )


class AnswerCache(Protocol):
    """Where answers are kept. Failed ones are never put into it."""

    def get(self, keys: Sequence[str]) -> Mapping[str, Completion]:
        """The completions among these keys that are known."""

    def put(self, entries: Sequence[CachedAnswer]) -> None:
        """Keep answers; an answer with a known key replaces the old one."""


class MemoryCache:
    """An `AnswerCache` that lives as long as its process."""

    def __init__(self) -> None:
        self._answers: dict[str, CachedAnswer] = {}

    def get(self, keys: Sequence[str]) -> Mapping[str, Completion]:
        """The completions among these keys that are known."""
        return {key: self._answers[key].to_completion() for key in keys if key in self._answers}

    def put(self, entries: Sequence[CachedAnswer]) -> None:
        """Keep answers; an answer with a known key replaces the old one."""
        self._answers.update({entry.key: entry for entry in entries})
