"""What a student says, with the raw confidences that spaCy itself computes and throws away.

`RawAnswer.document` is the confidence in the least certain of all decisions about a text, also of those that
marked nothing: that is what sorts a student's errors to the front.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from handover.domain import Annotation, Aspect, Kind, Span
from handover.labelstudio.convert import annotation_from_doc
from handover.student.confidence import Scored, Trace, pipe_with_trace

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

Floats = NDArray[np.float64]
SpanKey = tuple[int, int, str]

_EPSILON = 1e-6


@dataclass(frozen=True)
class RawAnswer:
    """An annotation and how sure the networks are, all in [0, 1].

    `labels`: the probability of each label of the aspect, for kinds `choice` and `choices`. `regions`: one for
    each chosen label, or each span. `relations`: one for each relation. `document`: the whole answer.
    """

    annotation: Annotation
    document: float
    regions: tuple[float, ...] = ()
    relations: tuple[float, ...] = ()
    labels: Floats = field(default_factory=lambda: np.zeros(0))


def read_texts(nlp: Language, texts: Sequence[str], aspect: Aspect) -> list[RawAnswer]:
    """One raw answer per text, in their order; each text goes through the network once.

    Raises ConversionError for an aspect of an unsupported kind.
    """
    if aspect.kind in (Kind.CHOICE, Kind.CHOICES):
        return [_read_cats(doc, aspect) for doc in nlp.pipe(texts)]
    return [_read_spans(trace, aspect) for trace in pipe_with_trace(nlp, texts)]


def read_trace(trace: Trace, aspect: Aspect) -> RawAnswer:
    """The raw answer of a Doc that all components of the aspect have seen."""
    if aspect.kind in (Kind.CHOICE, Kind.CHOICES):
        return _read_cats(trace.doc, aspect)
    return _read_spans(trace, aspect)


def decision(probabilities: Any, threshold: float = 0.5) -> Floats:
    """How sure yes-or-no decisions are, 0.5 right at the threshold: the probability of what was decided, after
    the odds are shifted so that yes and no are equally likely at the threshold."""
    p = np.clip(np.asarray(probabilities, dtype=np.float64), _EPSILON, 1 - _EPSILON)
    odds = p / (1 - p) * ((1 - threshold) / threshold)
    shifted = odds / (1 + odds)
    return np.asarray(np.maximum(shifted, 1 - shifted))


def _read_cats(doc: Doc, aspect: Aspect) -> RawAnswer:
    annotation = annotation_from_doc(doc, aspect) or Annotation()
    labels = np.array([doc.cats.get(name, 0.0) for name in aspect.label_names])
    chosen = tuple(doc.cats[name] for name in annotation.cats)
    sure = max(chosen, default=0.0) if aspect.kind is Kind.CHOICE else _least(decision(labels))
    return RawAnswer(annotation, sure, regions=chosen, labels=labels)


def _read_spans(trace: Trace, aspect: Aspect) -> RawAnswer:
    annotation = annotation_from_doc(trace.doc, aspect) or Annotation()
    spans, relations = _of_spans(trace), _of_relations(trace)
    ends = annotation.spans
    return RawAnswer(
        annotation,
        min(_least(trace.tokens), _least_of(trace.spans), _least_of(trace.relations)),
        regions=tuple(spans[s.start, s.end, s.label] for s in ends),
        relations=tuple(relations[_key(ends[r.head]), _key(ends[r.child]), r.label] for r in annotation.relations),
    )


def _of_spans(trace: Trace) -> dict[SpanKey, float]:
    """How sure each span of a Doc is: of an entity, all decisions at its tokens together."""
    doc = trace.doc
    found = {(e.start_char, e.end_char, e.label_): float(trace.tokens[e.start : e.end].prod()) for e in doc.ents}
    return found | {(*key, label): p for key, label, p in _kept(trace.spans)}


def _of_relations(trace: Trace) -> dict[tuple[SpanKey, SpanKey, str], float]:
    return {(*ends, label): p for ends, label, p in _kept(trace.relations)}


def _kept(scored: Scored) -> Iterator[tuple[Any, str, float]]:
    """The candidates that were kept, each with its label and probability."""
    for row, column in zip(*np.nonzero(scored.probabilities >= scored.threshold), strict=True):
        yield scored.candidates[row], scored.labels[column], float(scored.probabilities[row, column])


def _least_of(scored: Scored) -> float:
    return _least(decision(scored.probabilities, scored.threshold))


def _least(sure: Any) -> float:
    return float(sure.min(initial=1.0))


def _key(span: Span) -> SpanKey:
    return span.start, span.end, span.label
