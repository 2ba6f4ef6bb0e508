"""Thresholds of a student, chosen on dev and put where plain spaCy looks for them.

spaCy chooses a label, a span or a relation from a probability of 0.5 on, whatever makes the best F. Of spans
and relations the threshold is part of the component. `doc.cats` has none: there each label's bias is moved
until its own threshold comes out as 0.5, so that a plain spaCy pipeline chooses the same labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from handover.domain import Annotation, Aspect, Kind, Span
from handover.student.confidence import Scored, pipe_with_trace
from handover.student.pipeline import load_student
from handover.student.readings import read_texts
from handover.student.training_set import LabelledText

if TYPE_CHECKING:
    from spacy.language import Language

Floats = NDArray[np.float64]

GRID = np.arange(1, 20) / 20
MIN_POSITIVE = 10
"""A label with fewer dev texts shares the threshold of all: its own would be luck."""


def set_thresholds(aspect: Aspect, dev: Sequence[LabelledText], path: Path) -> dict[str, float]:
    """Choose the thresholds of a saved student on dev and save it with them; returns them by label or component.

    Empty for kinds without any, and where nothing better than 0.5 is found.
    """
    tune = _TUNERS.get(aspect.kind)
    if tune is None or not dev:
        return {}
    nlp = load_student(path)
    # The student is saved again, and no word of dev with it: hence the memory zones.
    found = tune(nlp, aspect, dev)
    if found:
        nlp.to_disk(path)
    return found


def best_threshold(probabilities: Floats, truth: NDArray[np.bool_], *, missed: int = 0) -> float:
    """The threshold with the highest F, of equals the one nearest to 0.5.

    `truth` says which candidates are right; `missed` counts what should have been found and is no candidate.
    """
    values = [_f(probabilities >= t, truth, missed=missed) for t in GRID]
    return float(min(GRID[np.isclose(values, max(values))], key=lambda t: abs(t - 0.5)))


def label_thresholds(probabilities: Floats, truth: NDArray[np.bool_]) -> Floats:
    """A threshold per label for the highest micro-averaged F, shapes (n, labels): one for all first, then label
    by label where there are enough examples, the others held."""
    shared = best_threshold(probabilities, truth)
    thresholds = np.full(probabilities.shape[1], shared)
    for column in np.nonzero(truth.sum(axis=0) >= MIN_POSITIVE)[0]:
        trials = np.tile(thresholds, (len(GRID), 1))
        trials[:, column] = GRID
        values = [_f(probabilities >= trial, truth) for trial in trials]
        thresholds[column] = min(GRID[np.isclose(values, max(values))], key=lambda t: abs(t - shared))
    return thresholds


def _f(chosen: Any, truth: Any, *, missed: int = 0) -> float:
    hits = int((chosen & truth).sum())
    expected = int(truth.sum()) + missed
    return 2 * hits / (int(chosen.sum()) + expected) if hits else 0.0


def _tune_choices(nlp: Language, aspect: Aspect, dev: Sequence[LabelledText]) -> dict[str, float]:
    with nlp.memory_zone():
        raws = read_texts(nlp, [e.text for e in dev], aspect)
    probabilities = np.array([raw.labels for raw in raws])
    truth = np.array([[label in e.annotation.cats for label in aspect.label_names] for e in dev])
    thresholds = dict(zip(aspect.label_names, label_thresholds(probabilities, truth).tolist(), strict=True))
    pipe: Any = next(pipe for _, pipe in nlp.pipeline if hasattr(pipe, "labels"))
    layer = _output_layer(pipe.model, len(pipe.labels))
    if layer is None or all(value == 0.5 for value in thresholds.values()):
        return {}
    chosen = np.array([thresholds.get(label, 0.5) for label in pipe.labels])
    shift = np.log(chosen / (1 - chosen)).astype(np.float32)
    layer.set_param("b", layer.get_param("b") - layer.ops.asarray(shift))
    return thresholds


def _output_layer(layer: Any, size: int) -> Any:
    """The last layer with one bias per label: the logistic function is applied to what it says."""
    for child in reversed(layer.layers):
        found = _output_layer(child, size)
        if found is not None:
            return found
    return layer if layer.has_param("b") and layer.get_param("b").shape == (size,) else None


def _tune_spans(nlp: Language, aspect: Aspect, dev: Sequence[LabelledText]) -> dict[str, float]:
    if "spancat" not in nlp.pipe_names:
        return {}
    with nlp.memory_zone():
        found = [trace.spans for trace in pipe_with_trace(nlp, [e.text for e in dev])]
    expected = [{(s.start, s.end, s.label) for s in e.annotation.spans} for e in dev]
    return _set(nlp, "spancat", _best_of(found, expected))


def _tune_relations(nlp: Language, aspect: Aspect, dev: Sequence[LabelledText]) -> dict[str, float]:
    spans = _tune_spans(nlp, aspect, dev)
    with nlp.memory_zone():
        found = [trace.relations for trace in pipe_with_trace(nlp, [e.text for e in dev])]
    return spans | _set(nlp, "relation_extractor", _best_of(found, [_edges(e.annotation) for e in dev]))


def _best_of(found: Sequence[Scored], expected: Sequence[set[Any]]) -> float:
    """The best threshold for the candidates of several docs."""
    probabilities: list[float] = []
    truth: list[bool] = []
    for scored, wanted in zip(found, expected, strict=True):
        probabilities += scored.probabilities.ravel().tolist()
        truth += [(*candidate, label) in wanted for candidate in scored.candidates for label in scored.labels]
    missed = sum(map(len, expected)) - sum(truth)
    return best_threshold(np.array(probabilities), np.array(truth, dtype=bool), missed=missed)


def _set(nlp: Language, name: str, threshold: float) -> dict[str, float]:
    pipe: Any = nlp.get_pipe(name)
    pipe.cfg["threshold"] = threshold
    return {name: threshold}


def _edges(annotation: Annotation) -> set[Any]:
    return {(_key(head), _key(child), label) for head, child, label in annotation.edges}


def _key(span: Span) -> tuple[int, int, str]:
    return span.start, span.end, span.label


_TUNERS = {Kind.CHOICES: _tune_choices, Kind.SPANS: _tune_spans, Kind.RELATIONS: _tune_relations}
