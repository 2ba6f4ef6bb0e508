"""What the components of a pipeline say while they decide, at next to no cost.

spaCy throws most of it away: the probabilities of the decisions of its NER, the candidates that `spancat` and
`relation_extractor` did not keep. Here the same components run step by step; the Docs come out the same, and
each network is still run only once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

Floats = NDArray[np.float32]


@dataclass
class Scored:
    """Candidates of a component and their probabilities, shape (candidates, labels)."""

    candidates: list[Any] = field(default_factory=list)
    labels: tuple[str, ...] = ()
    probabilities: Floats = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))
    threshold: float = 0.5


@dataclass
class Trace:
    """A Doc with its annotations, and how they came about.

    `tokens`: the probability of the NER's decision at each token (begin, in, last, unit, out), shape (tokens,);
    a beam would give those of whole entities, at several times the cost. `spans`: candidates are (start, end)
    in characters. `relations`: candidates are pairs of (start, end, label).
    """

    doc: Doc
    tokens: Floats
    spans: Scored = field(default_factory=Scored)
    relations: Scored = field(default_factory=Scored)


def pipe_with_trace(nlp: Language, texts: Sequence[str]) -> Iterator[Trace]:
    """`nlp.pipe`, with what the components said on the way."""
    steps = [(nlp.get_pipe_meta(name).factory, pipe) for name, pipe in nlp.pipeline]
    first = next((i for i, (factory, _) in enumerate(steps) if factory in _WATCHED), len(steps))
    with nlp.select_pipes(disable=nlp.pipe_names[first:]):
        docs = list(nlp.pipe(texts))
    size = nlp.batch_size
    for start in range(0, len(docs), size):
        traces = [Trace(doc, np.ones(len(doc), dtype=np.float32)) for doc in docs[start : start + size]]
        for factory, pipe in steps[first:]:
            watch(factory, pipe, traces)
        yield from traces


def watch(factory: str, pipe: Any, traces: Sequence[Trace]) -> None:
    """Run one component over the Docs of traces, and note what it says on the way."""
    _WATCHED.get(factory, _unwatched)(pipe, traces)


def _unwatched(pipe: Any, traces: Sequence[Trace]) -> None:
    docs = [trace.doc for trace in traces]
    for trace, doc in zip(traces, pipe.pipe(docs) if hasattr(pipe, "pipe") else map(pipe, docs), strict=True):
        trace.doc = doc


def _watch_ner(ner: Any, traces: Sequence[Trace]) -> None:
    """Set entities as `ner.pipe` would, by the same greedy search."""
    docs = [trace.doc for trace in traces]
    full = [i for i, doc in enumerate(docs) if len(doc)]
    states = ner.moves.init_batch(docs)
    if full:
        model = ner.model.predict([docs[i] for i in full])
        alive = [(i, states[i]) for i in full]
        token = 0
        while alive:
            scores = np.ascontiguousarray(model.predict([state for _, state in alive]))
            for (i, _), probability in zip(alive, _top_probability(scores), strict=True):
                traces[i].tokens[token] = probability
            ner.transition_states([state for _, state in alive], scores)
            alive = [(i, state) for i, state in alive if not state.is_final()]
            token += 1
        model.clear_memory()
    ner.set_annotations(docs, states)


def _top_probability(scores: Floats) -> Floats:
    """The highest softmax probability of each row."""
    return np.asarray(1.0 / np.exp(scores - scores.max(axis=1, keepdims=True)).sum(axis=1))


def _watch_spancat(spancat: Any, traces: Sequence[Trace]) -> None:
    docs = [trace.doc for trace in traces]
    indices, scores = spancat.predict(docs)
    spancat.set_annotations(docs, (indices, scores))
    rows, ends = spancat.model.ops.to_numpy(scores), np.cumsum(indices.lengths)
    for trace, end, length in zip(traces, ends, indices.lengths, strict=True):
        if length:
            spans = [trace.doc[start:stop] for start, stop in indices.data[end - length : end]]
            keys = [(span.start_char, span.end_char) for span in spans]
            trace.spans = Scored(keys, spancat.labels, rows[end - length : end], spancat.cfg["threshold"])


def _watch_relations(extractor: Any, traces: Sequence[Trace]) -> None:
    docs = [trace.doc for trace in traces]
    found = extractor.predict(docs)
    extractor.set_annotations(docs, found)
    for trace, (spans, pairs, probabilities) in zip(traces, found, strict=True):
        keys = [(span.start_char, span.end_char, span.label_) for span in spans]
        candidates = [(keys[head], keys[child]) for head, child in pairs]
        trace.relations = Scored(candidates, extractor.labels, probabilities, extractor.cfg["threshold"])


_WATCHED: dict[str, Callable[[Any, Sequence[Trace]], None]] = {
    "ner": _watch_ner,
    "spancat": _watch_spancat,
    "relation_extractor": _watch_relations,
}
