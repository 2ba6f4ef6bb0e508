"""A student's calibration: fitted on dev when it is trained, kept among its files, applied to every answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from handover.domain import Annotation, Aspect, Kind
from handover.errors import ArtifactError
from handover.evaluation.calibration import (
    Calibrator,
    calibrator_from_json,
    fit_confidences,
    fit_rows,
    held_out,
    reliability,
)
from handover.evaluation.scores import counts
from handover.student.readings import RawAnswer

CALIBRATION = "calibration.json"
"""Beside the pipeline's own files; spaCy does not look at it."""


@dataclass(frozen=True)
class Answer:
    """What a student says about one text.

    `score` is the confidence in [0, 1] that all of it is right, None if unknown; `scores` holds one for each
    region: the chosen labels, or the spans and then the relations, in the order of the annotation.
    """

    annotation: Annotation
    score: float | None = None
    scores: tuple[float, ...] = ()


@dataclass(frozen=True)
class Calibration:
    """The calibrators of a student. `labels` works on distributions over labels (kind `choice`), `regions` on
    single labels or spans, `relations` on relations, `document` on whole answers."""

    labels: Calibrator = field(default_factory=Calibrator)
    regions: Calibrator = field(default_factory=Calibrator)
    relations: Calibrator = field(default_factory=Calibrator)
    document: Calibrator = field(default_factory=Calibrator)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; `calibration_from_json` reads them back."""
        return {name: getattr(self, name).to_json() for name in ("labels", "regions", "relations", "document")}

    def answers(self, raws: Sequence[RawAnswer], kind: Kind) -> list[Answer]:
        """Raw answers with their calibrated confidences, in their order. The annotations stay as they are."""
        if kind is Kind.CHOICE:
            return self._choices(raws)
        return [self._other(raw) for raw in raws]

    def answer(self, raw: RawAnswer, kind: Kind) -> Answer:
        """One raw answer with its calibrated confidences."""
        return self.answers([raw], kind)[0]

    def _choices(self, raws: Sequence[RawAnswer]) -> list[Answer]:
        if not raws:
            return []
        labels = np.stack([raw.labels for raw in raws])
        tops = self.labels.apply_rows(labels).max(axis=1, initial=0.0).tolist()
        return [
            Answer(raw.annotation, top, (top,)) if raw.regions else Answer(raw.annotation)
            for raw, top in zip(raws, tops, strict=True)
        ]

    def _other(self, raw: RawAnswer) -> Answer:
        scores = (*self.regions.apply(raw.regions).tolist(), *self.relations.apply(raw.relations).tolist())
        return Answer(raw.annotation, float(self.document.apply(raw.document)), scores)


def fit_calibration(
    aspect: Aspect, raws: Sequence[RawAnswer], references: Sequence[Annotation]
) -> tuple[Calibration, dict[str, Any]]:
    """Fit on dev answers and what people said; also returns a JSON-ready report.

    The report holds, for documents and regions, the method, the calibration error before, and after on
    examples that a fit had not seen.
    """
    if aspect.kind is Kind.CHOICE:
        return _fit_choice(aspect, raws, references)
    single = counts(aspect.kind, aspect.label_names, references, [raw.annotation for raw in raws])
    exact = (single[:, 1] + single[:, 2] == 0).astype(float)
    pairs = {
        "document": ([raw.document for raw in raws], exact),
        "regions": _regions(aspect, raws, references),
        "relations": _relations(raws, references),
    }
    fitted, report = {}, {}
    for name, (confidences, correct) in pairs.items():
        fitted[name] = fit_confidences(confidences, correct)
        if len(confidences):
            report[name] = _report(fitted[name], confidences, correct, fit_confidences)
    return Calibration(**fitted), report


def save_calibration(calibration: Calibration, folder: Path) -> None:
    """Write the calibration into a student's folder."""
    (folder / CALIBRATION).write_text(json.dumps(calibration.to_json(), indent=2) + "\n", encoding="utf-8")


def load_calibration(folder: Path) -> Calibration:
    """Read a student's calibration; one that changes nothing where there is none (older students).

    Raises ArtifactError when the file is no calibration.
    """
    path = folder / CALIBRATION
    if not path.is_file():
        return Calibration()
    try:
        return calibration_from_json(dict(json.loads(path.read_text(encoding="utf-8"))))
    except (ValueError, TypeError) as error:
        raise ArtifactError(f"{path} is no calibration ({type(error).__name__}). Train the student again.") from error


def calibration_from_json(content: Mapping[str, Any]) -> Calibration:
    """Read what `Calibration.to_json` wrote. Raises TypeError or ArtifactError when it is something else."""
    return Calibration(**{name: calibrator_from_json(value) for name, value in content.items()})


def _fit_choice(
    aspect: Aspect, raws: Sequence[RawAnswer], references: Sequence[Annotation]
) -> tuple[Calibration, dict[str, Any]]:
    number = {label: i for i, label in enumerate(aspect.label_names)}
    rows = np.array([raw.labels for raw in raws]).reshape(len(raws), len(number))
    truth = np.array([number[reference.cats[0]] for reference in references], dtype=np.int64)
    fitted = fit_rows(rows, truth)
    right = rows.argmax(axis=1) == truth
    before = reliability(rows.max(axis=1, initial=0.0), right)
    after = reliability(held_out(fit_rows, rows, truth).max(axis=1, initial=0.0), right)
    document = _summary(fitted) | {"before": before.to_json(), "after": after.to_json()}
    return Calibration(labels=fitted), {"document": document}


def _report(
    fitted: Calibrator, confidences: Any, correct: Any, fit: Callable[[Any, Any], Calibrator]
) -> dict[str, Any]:
    before = reliability(confidences, correct)
    after = reliability(held_out(fit, confidences, correct), correct)
    return _summary(fitted) | {"before": before.to_json(), "after": after.to_json()}


def _summary(fitted: Calibrator) -> dict[str, Any]:
    return {"method": fitted.method} | ({"reason": fitted.reason} if fitted.reason else {})


def _regions(
    aspect: Aspect, raws: Sequence[RawAnswer], references: Sequence[Annotation]
) -> tuple[list[float], list[float]]:
    """Confidences of regions and whether they are right: of `choices` all labels, chosen or not, else what was
    marked."""
    confidences: list[float] = []
    correct: list[float] = []
    for raw, reference in zip(raws, references, strict=True):
        if aspect.kind is Kind.CHOICES:
            confidences += raw.labels.tolist()
            correct += [float(label in reference.cats) for label in aspect.label_names]
        else:
            confidences += raw.regions
            correct += [float(span in reference.spans) for span in raw.annotation.spans]
    return confidences, correct


def _relations(raws: Sequence[RawAnswer], references: Sequence[Annotation]) -> tuple[list[float], list[float]]:
    confidences: list[float] = []
    correct: list[float] = []
    for raw, reference in zip(raws, references, strict=True):
        expected = set(reference.edges)
        confidences += raw.relations
        correct += [float(edge in expected) for edge in raw.annotation.edges]
    return confidences, correct
