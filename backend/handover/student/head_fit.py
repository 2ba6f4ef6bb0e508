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
def make_fit(ridge: float, correction_ridge: float, max_steps: int) -> Fit:
    """Solves the regression, with a ridge penalty: first on all texts, then on people's alone, with a penalty for
    leaving the first solution."""

    def fit(
        words: Any, embeddings: np.ndarray, answers: np.ndarray, by_people: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        from scipy import sparse  # noqa: PLC0415 - heavy

        values, columns, starts = words
        matrix = sparse.csr_matrix((values, columns, starts), shape=(len(answers), int(columns.max(initial=-1)) + 1))
        features = sparse.hstack([matrix, sparse.csr_matrix(embeddings)]).tocsr()
        start = np.zeros((features.shape[1] + 1, answers.shape[1]))
        weights = fit_regression(features, answers, start=start, ridge=ridge, max_steps=max_steps)
        if not by_people.all():
            rows = np.flatnonzero(by_people)
            weights = fit_regression(
                features[rows], answers[rows], start=weights, ridge=correction_ridge, max_steps=max_steps
            )
        return weights[:-1], weights[-1]

    return fit
