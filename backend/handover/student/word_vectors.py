"""Static word vectors distilled from a sentence encoder: what a word means at the price of a look-up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from handover.student.encoder import Floats, encoder_id, load_encoder
from handover.student.files import appearing

if TYPE_CHECKING:
    from handover.student.sentence_head import Encoder

WIDTH = 128
FORMAT = 1


def distilled_vectors(encoder_folder: Path, *, language: str, cache_dir: Path) -> Path:
    """A spaCy pipeline with nothing but vectors for the whole words of an encoder's vocabulary.

    Made once (about half a minute) and kept in `cache_dir`. Each word is encoded by itself, and the embeddings
    are reduced to their 128 principal components (as in model2vec, Tulkens & van Dongen, 2024). Words that are not
    there have none; case does not count.
    """
    target = cache_dir / f"vectors-{encoder_id(encoder_folder)}-{WIDTH}-{language}-{FORMAT}"
    if not (target / "meta.json").is_file():
        encoder = load_encoder(encoder_folder)
        words = whole_words(encoder)
        with appearing(target) as scratch:
            write_vectors(words, principal_components(encoder.encode(words), WIDTH), language=language, path=scratch)
    return target


def whole_words(encoder: Encoder) -> list[str]:
    """The entries of an encoder's vocabulary that are words, lower-cased, sorted."""
    vocabulary = encoder.tokenizer.get_vocab()
    by_mark = any(token.startswith("▁") for token in vocabulary)
    tokens = (token[1:] for token in vocabulary if token.startswith("▁")) if by_mark else iter(vocabulary)
    special = ("##", "[", "<")
    return sorted({token.lower() for token in tokens if token and not token.startswith(special)})


def principal_components(vectors: Floats, width: int) -> Floats:
    """The vectors, centred and turned to their `width` main directions, with a standard deviation of 1."""
    centred = vectors - vectors.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    reduced = centred @ directions[:, ::-1][:, :width]
    scaled: Floats = (reduced / max(float(reduced.std()), 1e-9)).astype(np.float32)
    return scaled


def write_vectors(words: Sequence[str], vectors: Floats, *, language: str, path: Path) -> None:
    """Save a spaCy pipeline with these vectors, one per lower-cased word.

    spaCy forgets on disk that vectors are looked up by the lower-cased word, so the other ways to write a word are
    keys of the same row.
    """
    import spacy  # noqa: PLC0415 - heavy
    from spacy.vectors import Vectors  # noqa: PLC0415 - heavy

    nlp = spacy.blank(language)
    nlp.vocab.vectors = Vectors(data=vectors, keys=list(words), name="distilled")
    for row, word in enumerate(words):
        for written in {word.capitalize(), word.upper()} - {word}:
            nlp.vocab.vectors.add(written, row=row)
    nlp.to_disk(path)
