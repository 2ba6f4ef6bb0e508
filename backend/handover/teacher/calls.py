"""What a teacher tells whoever keeps the books: each question before it is asked, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from handover.domain import AnswerStatus
from handover.teacher.completion import Completion

BYTES_PER_TOKEN = 2
"""Fewer bytes of UTF-8 than this never make a token on average: natural language has three or four."""

SCHEMA_TOKENS = 500
"""Allowance for what the API adds to a prompt with a schema."""


OUTPUT_TOKENS = 4096
"""Allowance for the answer of a model whose config does not limit it."""


class Purpose(str, Enum):
    """Why a teacher is asked."""

    PREDICT = "predict"
    PREFETCH = "prefetch"
    GOLD = "gold"
    CHECK = "check"
    COMPARE = "compare"
    OTHER = "other"


class CallStatus(str, Enum):
    """What the books say besides `AnswerStatus`."""

    ASKED = "asked"
    CACHED = "cached"
    OVER_BUDGET = "over budget"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Call:
    """One question that is about to be asked, with the most tokens that it can take."""

    key: str
    model_id: str
    purpose: str
    prompt_chars: int
    max_input_tokens: int
    max_output_tokens: int
    is_free: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of a question."""

    status: AnswerStatus
    completion: Completion
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Admission:
    """Which questions may be asked: one ticket each, in order; `problem` says why not the rest of them."""

    tickets: tuple[int, ...]
    problem: str = ""


class Ledger(Protocol):
    """The books of one aspect."""

    def open(self, calls: Sequence[Call]) -> Admission:
        """Enter questions before they are asked, as many of them as the budget allows."""

    def close(self, outcomes: Mapping[int, Outcome], *, model_id: str, is_free: bool) -> None:
        """Enter what came of questions, by their tickets."""

    def note(self, status: CallStatus, *, purpose: str, model_id: str, number: int, problem: str = "") -> None:
        """Enter a number of questions that were not asked, and why."""


class NoLedger:
    """Books that are not kept: everything may be asked."""

    def open(self, calls: Sequence[Call]) -> Admission:
        """Admit all."""
        return Admission(tuple(range(len(calls))))

    def close(self, outcomes: Mapping[int, Outcome], *, model_id: str, is_free: bool) -> None:
        """Nothing is kept."""

    def note(self, status: CallStatus, *, purpose: str, model_id: str, number: int, problem: str = "") -> None:
        """Nothing is kept."""


def most_tokens(prompt: str) -> int:
    """More tokens than a prompt can have."""
    return len(prompt.encode("utf-8", errors="replace")) // BYTES_PER_TOKEN + SCHEMA_TOKENS
