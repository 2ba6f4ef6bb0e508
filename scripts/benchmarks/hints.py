"""Whether the hints find label errors: some are planted into the sample data, and looked for.

Precision: the share of the hints that are planted errors; the sample data may have errors of its own, which
count against it. `top`: the same for as many hints as there are errors, the strongest first. Recall: the share
of the errors that have a hint.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from handover.domain import Annotation, Aspect
from handover.examples import LabelledTask
from handover.hints import doubted
from handover.student.cross_validation import answer_unseen
from handover.student.training import LabelledText, TrainOptions
from scripts.benchmarks.confidence import examples_of
from scripts.passes import PASSES

SIZE = 300
ERRORS = 0.06
ROW = "{:10} {:>5} {:>7} {:>6} {:>10} {:>6} {:>7} {:>8}"


def main() -> None:
    """Measure and print."""
    print(ROW.format("pass", "n", "planted", "hints", "precision", "top", "recall", "seconds"))
    for one in PASSES:
        aspect, examples = examples_of(one)
        _measure(aspect, examples[:SIZE])


def _measure(aspect: Aspect, examples: Sequence[LabelledText]) -> None:
    draw = random.Random(0)
    wrong = set(draw.sample(range(len(examples)), round(ERRORS * len(examples))))
    given = [_spoilt(aspect, e, draw) if i in wrong else e for i, e in enumerate(examples)]
    wrong = {i for i in wrong if given[i] != examples[i]}
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        answers = answer_unseen(aspect, given, options=TrainOptions(), workdir=Path(folder))
    tasks = [LabelledTask(i, i, e.text, e.annotation) for i, e in enumerate(given)]
    found = [hint.task_id for hint in doubted(aspect, tasks, answers)]
    hits, top = len(wrong & set(found)), len(wrong & set(found[: len(wrong)]))
    precision = f"{hits / len(found):.2f}" if found else "-"
    numbers = (precision, f"{top / len(wrong):.2f}", f"{hits / len(wrong):.2f}", f"{time.monotonic() - started:.0f}")
    print(ROW.format(aspect.name, len(given), len(wrong), len(found), *numbers), flush=True)


def _spoilt(aspect: Aspect, example: LabelledText, draw: random.Random) -> LabelledText:
    """Another label, or a span forgotten."""
    annotation = example.annotation
    if annotation.cats:
        others = [label for label in aspect.label_names if label not in annotation.cats]
        return LabelledText(example.text, Annotation(cats=(draw.choice(others),)))
    spans = list(annotation.spans)
    if spans:
        spans.pop(draw.randrange(len(spans)))
    return LabelledText(example.text, Annotation(spans=tuple(spans)))


if __name__ == "__main__":
    main()
