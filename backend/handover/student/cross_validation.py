"""Answers about annotated texts by students that have not seen them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from handover.domain import Aspect, Kind
from handover.errors import TrainingError
from handover.student.pipeline import load_student
from handover.student.readings import RawAnswer, read_texts
from handover.student.training import train_student
from handover.student.training_set import LabelledText, TrainingSet, TrainOptions

FOLDS = 5
MAX_STEPS = 300
"""Optimizer steps of each training: enough to tell odd labels from others, and a bound on the cost."""

CHEAP = {
    Kind.CHOICE: "choice-bow",
    Kind.CHOICES: "choices-bow",
    Kind.ENTITIES: "entities-cnn",
    Kind.SPANS: "spans-ngram",
    Kind.RELATIONS: "relations-ents",
}


def answer_unseen(
    aspect: Aspect,
    examples: Sequence[LabelledText],
    *,
    options: TrainOptions,
    workdir: Path,
    on_progress: Callable[[dict[str, Any]], None] = lambda info: None,
) -> list[RawAnswer | None]:
    """An answer for each text by a student trained on the other folds; None where a fold cannot be trained on.

    Equal texts are in the same fold. Raises TrainingError when no fold can be trained on.
    """
    folds = [_fold(example.text) for example in examples]
    quick = replace(options, recipes=(CHEAP[aspect.kind],), max_steps=min(options.max_steps, MAX_STEPS))
    answers: list[RawAnswer | None] = [None] * len(examples)
    problem: TrainingError | None = None
    for fold in range(FOLDS):
        inside = tuple(e for e, f in zip(examples, folds, strict=True) if f != fold)
        places = [i for i, f in enumerate(folds) if f == fold]
        on_progress({"fold": fold + 1, "of": FOLDS})
        try:
            trained = train_student(aspect, TrainingSet(inside, ()), options=quick, workdir=workdir / str(fold))
        except TrainingError as error:
            problem = error
            continue
        found = read_texts(load_student(trained.path), [examples[i].text for i in places], aspect)
        for i, answer in zip(places, found, strict=True):
            answers[i] = answer
    if problem is not None and not any(answers):
        raise problem
    return answers


def _fold(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:4], "big") % FOLDS
