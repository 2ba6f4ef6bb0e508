"""What the component `sentence_head` is fitted with, by the names that its recipe uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from spacy.util import registry

from handover.student.encoder import remembering_encoder
from handover.student.linear import fit_regression
from handover.student.sentence_head import Encoder, Fit


@registry.misc("handover.Encoder.v1")
def make_encoder_loader(path: str) -> Callable[[], Encoder]:
    """Loads the encoder in a folder."""
    return lambda: remembering_encoder(Path(path)).encoder


@registry.misc("handover.Embeddings.v1")
def make_embed(path: str) -> Callable[[Sequence[str]], np.ndarray]:
    """Embeds texts with the encoder in a folder, each once per process."""
    return lambda texts: remembering_encoder(Path(path)).encode(texts)


@registry.misc("handover.SoftmaxRegression.v1")
def make_fit(ridge: float, max_steps: int) -> Fit:
    """Solves the regression, with a ridge penalty."""

    def fit(words: Any, embeddings: np.ndarray, answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        from scipy import sparse  # noqa: PLC0415 - heavy

        values, columns, starts = words
        width = int(columns.max(initial=-1)) + 1
        matrix = sparse.csr_matrix((values, columns, starts), shape=(len(answers), width))
        features = sparse.hstack([matrix, sparse.csr_matrix(embeddings)]).tocsr()
        return fit_regression(features, answers, ridge=ridge, max_steps=max_steps)

    return fit
