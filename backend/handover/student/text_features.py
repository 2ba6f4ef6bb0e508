"""Texts as numbers for linear models: which words and pairs of words, and, with an encoder, what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from handover.student.encoder import Floats

if TYPE_CHECKING:
    from spacy.language import Language


def text_features(nlp: Language, texts: Sequence[str], embeddings: Floats | None = None) -> Any:
    """A sparse matrix, one row a text: tf-idf of lower-cased words and pairs, each row of length 1, and beside it
    the embeddings if there are any. `nlp` needs nothing but a tokenizer.

    Logarithmic counts and smoothed inverse document frequency, as usual (Manning et al., Introduction to
    Information Retrieval, 2008, chapter 6).
    """
    from scipy import sparse  # noqa: PLC0415 - heavy

    words = _weighted(_counts([_terms(nlp, text) for text in texts]))
    return words if embeddings is None else sparse.hstack([words, sparse.csr_matrix(embeddings)]).tocsr()


def _terms(nlp: Language, text: str) -> list[str]:
    words = [token.lower_ for token in nlp.make_doc(text) if not token.is_space]
    return words + [f"{first} {second}" for first, second in pairwise(words)]


def _counts(terms: Sequence[Sequence[str]]) -> Any:
    from scipy import sparse  # noqa: PLC0415 - heavy

    columns: dict[str, int] = {}
    flat = [columns.setdefault(term, len(columns)) for row in terms for term in row]
    rows = np.repeat(np.arange(len(terms)), [len(row) for row in terms])
    shape = (len(terms), max(1, len(columns)))
    return sparse.csr_matrix((np.ones(len(flat)), (rows, flat)), shape=shape)


def _weighted(counts: Any) -> Any:
    from scipy import sparse  # noqa: PLC0415 - heavy

    texts_with = np.bincount(counts.indices, minlength=counts.shape[1])
    rarity = np.log((1 + counts.shape[0]) / (1 + texts_with)) + 1
    weighted = counts.copy()
    weighted.data = 1 + np.log(weighted.data)
    weighted = weighted @ sparse.diags(rarity)
    lengths = np.sqrt(weighted.multiply(weighted).sum(axis=1)).A1
    return sparse.diags(1 / np.maximum(lengths, 1e-12)) @ weighted
