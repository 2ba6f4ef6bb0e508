"""How sure a student is of its entities, at next to no cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

Certainty = NDArray[np.float32]


def pipe_with_certainty(nlp: Language, texts: Sequence[str]) -> Iterator[tuple[Doc, Certainty]]:
    """`nlp.pipe`, and for each Doc the probability of the decision taken at each token, shape (tokens,).

    spaCy's NER takes one decision per token (begin, in, last, unit, out) and throws the scores away. Here the
    same greedy search runs step by step and keeps them: the entities are the same, and the network is still
    run only once. A beam would give entity probabilities, at several times the cost.
    """
    ner: Any = nlp.get_pipe("ner")
    with nlp.select_pipes(disable=["ner"]):
        docs = list(nlp.pipe(texts))
    size = nlp.batch_size
    for start in range(0, len(docs), size):
        batch = docs[start : start + size]
        yield from zip(batch, _parse(ner, batch), strict=True)


def _parse(ner: Any, docs: Sequence[Doc]) -> list[Certainty]:
    """Set the entities of docs as `ner.pipe` would; returns the probability of each token's decision."""
    certainty: list[Certainty] = [np.ones(len(doc), dtype=np.float32) for doc in docs]
    full = [i for i, doc in enumerate(docs) if len(doc)]
    states = ner.moves.init_batch(docs)
    if full:
        model = ner.model.predict([docs[i] for i in full])
        alive = [(i, states[i]) for i in full]
        token = 0
        while alive:
            scores = np.ascontiguousarray(model.predict([state for _, state in alive]))
            for (i, _), probability in zip(alive, _top_probability(scores), strict=True):
                certainty[i][token] = probability
            ner.transition_states([state for _, state in alive], scores)
            alive = [(i, state) for i, state in alive if not state.is_final()]
            token += 1
        model.clear_memory()
    ner.set_annotations(docs, states)
    return certainty


def _top_probability(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """The highest softmax probability of each row."""
    return 1.0 / np.exp(scores - scores.max(axis=1, keepdims=True)).sum(axis=1)
