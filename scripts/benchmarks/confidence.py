"""Whether a student's confidence finds its errors, and means what it says, on the sample data.

For each pass a student is trained on a part and asked about the rest. AUROC: how often an answer that is right
has a higher confidence than one that is wrong (0.5 is chance). First fifth: the share of all errors among the
fifth of the texts that uncertainty sampling would show first (0.2 is chance). ECE: the distance between
confidence and accuracy, as spaCy says it and calibrated.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from handover.domain import Annotation, Aspect, Span
from handover.evaluation.calibration import reliability
from handover.labelstudio.label_config import parse_label_config
from handover.student.calibrate import load_calibration
from handover.student.pipeline import load_student
from handover.student.readings import read_texts
from handover.student.training import LabelledText, TrainingSet, TrainOptions, train_student
from scripts.passes import PASSES, Pass

ROW = "{:10} {:9} {:>6} {:>6} {:>6} {:>7} {:>12} {:>9} {:>11}"


def main() -> None:
    """Measure and print."""
    print(ROW.format("pass", "of", "train", "n", "right", "AUROC", "first fifth", "ECE raw", "calibrated"))
    for one in PASSES:
        aspect, examples = examples_of(one)
        _measure(aspect, examples)


def examples_of(one: Pass) -> tuple[Aspect, list[LabelledText]]:
    """The aspect of a pass and its annotated texts, in an order that means nothing."""
    (aspect,) = parse_label_config(one.config.read_text()).aspects
    rows = [LabelledText(text, _annotation(gold)) for text, gold in one.gold().items()]
    return aspect, sorted(rows, key=lambda e: hashlib.sha256(e.text.encode()).hexdigest())


def _annotation(gold: object) -> Annotation:
    if isinstance(gold, str):
        return Annotation(cats=(gold,))
    assert isinstance(gold, list)
    return Annotation(spans=tuple(Span(span["start"], span["end"], span["label"]) for span in gold))


def _measure(aspect: Aspect, examples: list[LabelledText]) -> None:
    n_train = min(250, len(examples) // 3)
    train, dev = examples[:n_train], examples[n_train : n_train + n_train // 3]
    test = examples[len(train) + len(dev) :]
    with tempfile.TemporaryDirectory() as folder:
        parts = TrainingSet(tuple(train), tuple(dev))
        trained = train_student(aspect, parts, options=TrainOptions(max_steps=400), workdir=Path(folder))
        calibration = load_calibration(trained.path)
        raws = read_texts(load_student(trained.path), [e.text for e in test], aspect)
    answers = [calibration.answer(raw, aspect.kind) for raw in raws]
    right = [raw.annotation == e.annotation for raw, e in zip(raws, test, strict=True)]
    _print(aspect, "texts", len(train), [raw.document for raw in raws], [a.score for a in answers], right)
    if any(raw.annotation.spans for raw in raws):
        pairs = list(zip(raws, test, strict=True))
        spans = [span in e.annotation.spans for raw, e in pairs for span in raw.annotation.spans]
        flat = [[p for raw in raws for p in raw.regions], [p for a in answers for p in a.scores]]
        _print(aspect, "spans", len(train), *flat, spans)


def _print(aspect: Aspect, of: str, n_train: int, raw: ArrayLike, calibrated: ArrayLike, right: ArrayLike) -> None:
    scores, truth = np.asarray(calibrated, dtype=float), np.asarray(right, dtype=bool)
    first = np.argsort(scores, kind="stable")[: len(scores) // 5]
    share = (~truth[first]).sum() / max(1, (~truth).sum())
    before, after = reliability(raw, truth).ece, reliability(scores, truth).ece
    numbers = (f"{truth.mean():.3f}", f"{auroc(scores, truth):.3f}", f"{share:.2f}", f"{before:.3f}", f"{after:.3f}")
    print(ROW.format(aspect.name, of, n_train, len(truth), *numbers), flush=True)


def auroc(scores: np.ndarray, truth: np.ndarray) -> float:
    """The chance that a right answer has a higher score than a wrong one, ties half."""
    if truth.all() or not truth.any():
        return float("nan")
    ordered = np.sort(scores)
    ranks = (np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right") + 1) / 2
    positive = int(truth.sum())
    return float((ranks[truth].sum() - positive * (positive + 1) / 2) / (positive * (len(truth) - positive)))


if __name__ == "__main__":
    main()
