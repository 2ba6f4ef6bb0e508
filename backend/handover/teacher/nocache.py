"""A spacy-llm cache that keeps nothing.

spacy-llm's `BatchCache` takes texts with the same words in another order for the same text, and knows neither
labels nor model. The answers are cached by `Teacher` instead, by model and full prompt.
"""

from __future__ import annotations

from typing import Any

from spacy.tokens import Doc
from spacy.vocab import Vocab


class NoCache:
    """Implements `spacy_llm.ty.Cache`."""

    prompt_template: str | None = None

    def initialize(self, vocab: Vocab, task: Any) -> None:
        """Nothing to prepare."""

    def add(self, doc: Doc) -> None:
        """Nothing is kept."""

    def __contains__(self, doc: Doc) -> bool:
        return False

    def __getitem__(self, doc: Doc) -> Doc | None:
        return None


def make_no_cache() -> NoCache:
    """`handover.NoCache.v1`."""
    return NoCache()
