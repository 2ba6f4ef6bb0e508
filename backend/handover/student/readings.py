"""What a student says, with the raw confidences that spaCy itself computes and throws away.

`RawAnswer.document` is the confidence in the least certain of all decisions about a text, also of those that
marked nothing: that is what sorts a student's errors to the front.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from handover.domain import Annotation, Aspect, Kind
from handover.labelstudio.convert import annotation_from_doc
from handover.student.confidence import Certainty, pipe_with_certainty

if TYPE_CHECKING:
    from spacy.language import Language

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
    read = _READERS.get(aspect.kind, _read_cats)
    return list(read(nlp, texts, aspect))


def decision(probabilities: Floats, threshold: float = 0.5) -> Floats:
    """How sure a yes-or-no decision is, 0.5 right at the threshold: the probability of what was decided, after
    the odds are shifted so that the threshold is where yes and no are equally likely."""
    p = np.clip(probabilities, _EPSILON, 1 - _EPSILON)
    odds = p / (1 - p) * ((1 - threshold) / threshold)
    shifted = odds / (1 + odds)
    return np.asarray(np.maximum(shifted, 1 - shifted))


def _read_cats(nlp: Language, texts: Sequence[str], aspect: Aspect) -> Iterator[RawAnswer]:
    for doc in nlp.pipe(texts):
        annotation = annotation_from_doc(doc, aspect) or Annotation()
        labels = np.array([doc.cats.get(name, 0.0) for name in aspect.label_names])
        chosen = tuple(doc.cats[name] for name in annotation.cats)
        single = aspect.kind is Kind.CHOICE
        least = max(chosen, default=0.0) if single else float(decision(labels).min(initial=1.0))
        yield RawAnswer(annotation, least, regions=chosen, labels=labels)


def _read_entities(nlp: Language, texts: Sequence[str], aspect: Aspect) -> Iterator[RawAnswer]:
    for doc, certainty in pipe_with_certainty(nlp, texts):
        annotation = annotation_from_doc(doc, aspect) or Annotation()
        sure = {key: float(certainty[ent.start : ent.end].prod()) for key, ent in _keyed(doc.ents)}
        yield RawAnswer(annotation, _least(certainty), regions=_of_spans(annotation, sure))


def _least(certainty: Certainty) -> float:
    return float(certainty.min(initial=1.0))


def _keyed(spans: Iterable[Any]) -> Iterator[tuple[SpanKey, Any]]:
    for span in spans:
        yield (span.start_char, span.end_char, span.label_), span


def _of_spans(annotation: Annotation, sure: Mapping[SpanKey, float]) -> tuple[float, ...]:
    return tuple(sure[span.start, span.end, span.label] for span in annotation.spans)


_READERS = {Kind.ENTITIES: _read_entities}
