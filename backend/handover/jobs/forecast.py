"""How many more tasks it takes to beat the teacher: small trainings on nested parts of the data, and a curve.

Gold is not touched: the students of the curve are scored on dev. What they have to reach there is the score of the
newest student on dev, plus what it lacked to the teacher when the gate compared both on the same gold.
"""

from __future__ import annotations

import logging
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from handover.domain import Aspect
from handover.errors import TrainingError
from handover.evaluation.forecast import LearningPoint, forecast, nested_sizes
from handover.examples import Examples, LabelledTask, load_examples
from handover.runtime import Runtime
from handover.store.models import AspectRow, EvaluationRow, FindingRow, StudentRow
from handover.store.projects import aspect_of, get_aspect
from handover.store.students import decision_about, last_evaluation
from handover.student.training import LabelledText, TrainingSet, TrainOptions, train_student
from handover.student.training_set import MIN_DEV

logger = logging.getLogger(__name__)

FORECAST = "forecast"

SEEDS = 3
SIZES = 4
LEAST = 20
"""Fewest train tasks of the smallest training."""

Progress = Callable[[dict[str, object]], None]


@dataclass(frozen=True)
class Goal:
    """What a student lacks to the teacher on gold, by how much that may be wrong (standard error), and per label the
    teacher's score. `recipe` is that of the student compared, `ceiling` how well people agree.
    """

    lag: float
    noise: float
    recipe: str
    ceiling: float = 1.0
    per_label: Mapping[str, float] = field(default_factory=dict)


def run(runtime: Runtime, aspect_id: int, progress: Progress) -> dict[str, object]:
    """Train on nested parts of the train tasks, fit the curve and store the forecast. Raises TrainingError."""
    settings = runtime.settings
    with runtime.database.read() as session:
        row = get_aspect(session, aspect_id)
        examples = load_examples(session, row, max_text_chars=settings.max_text_chars)
        goal = _goal(session, row)
    sizes = _sizes(row.name, examples)
    aspect = aspect_of(row)
    points = []
    for number, point in enumerate(_points(runtime, aspect, examples, sizes, goal.recipe), start=1):
        points.append(point)
        progress({"step": "forecast", "training": number, "of": len(sizes) * SEEDS, "n": point.n_train})
    now = sum(p.score for p in points if p.n_train == sizes[-1]) / SEEDS
    found = forecast(
        points,
        target=min(1.0, now + goal.lag),
        label_targets=goal.per_label,
        ceiling=goal.ceiling,
        noise=goal.noise,
        seed=settings.seed,
    )
    details = {**asdict(found), "points": [asdict(p) for p in points], "lag": goal.lag, "recipe": goal.recipe}
    with runtime.database.write() as session:
        session.add(FindingRow(aspect_id=aspect_id, kind=FORECAST, text=found.sentence, details=details))
    logger.info("Aspect %s: %s", row.name, found.sentence)
    return {"sentence": found.sentence}


def _sizes(name: str, examples: Examples) -> tuple[int, ...]:
    sizes = nested_sizes(len(examples.train), least=LEAST, most=SIZES)
    if len(sizes) < SIZES - 1 or len(examples.dev) < MIN_DEV:
        raise TrainingError(
            f"Aspect {name!r} has {len(examples.train)} train and {len(examples.dev)} dev tasks; a forecast needs at "
            f"least {LEAST * 2 ** (SIZES - 2)} and {MIN_DEV}. Annotate more tasks that are not gold."
        )
    return sizes


def _goal(session: Session, row: AspectRow) -> Goal:
    """From the newest comparison on gold with today's teacher. Raises TrainingError without one."""
    evaluation = last_evaluation(session, row.id, min_gold=1)
    student = session.get(StudentRow, evaluation.student_id) if evaluation is not None else None
    if evaluation is None or student is None or evaluation.teacher_id != row.teacher_id:
        raise TrainingError(
            f"Aspect {row.name!r} has no comparison with its teacher on gold yet, so there is nothing to beat. "
            "`handover status` says what is missing."
        )
    decision = decision_about(session, evaluation)
    low, high = (decision.details.get("interval_95") if decision is not None else None) or (-0.5, 0.5)
    return Goal(
        lag=evaluation.teacher_score - evaluation.student_score,
        noise=(high - low) / 3.92,  # the width of a 95 % interval in standard errors
        recipe=student.recipe,
        ceiling=_ceiling(evaluation),
        per_label=_per_label(evaluation.details.get("teacher", {})),
    )


def _ceiling(evaluation: EvaluationRow) -> float:
    agreement = evaluation.details.get("agreement")
    return float(agreement["high"]) if agreement and agreement["high"] is not None else 1.0


def _per_label(details: Mapping[str, Any]) -> dict[str, float]:
    tables = [table for name, table in details.items() if name.endswith("_per_type")]
    return {label: float(row["f"]) for table in tables for label, row in table.items()}


def _points(
    runtime: Runtime, aspect: Aspect, examples: Examples, sizes: Sequence[int], recipe: str
) -> Iterator[LearningPoint]:
    """One training for each seed and size; the sizes of a seed are nested."""
    for seed in range(SEEDS):
        order = list(examples.train)
        random.Random(seed).shuffle(order)
        for size in sizes:
            yield _point(runtime, aspect, order[:size], examples.dev, recipe=recipe, seed=seed)


def _point(
    runtime: Runtime,
    aspect: Aspect,
    train: Sequence[LabelledTask],
    dev: Sequence[LabelledTask],
    *,
    recipe: str,
    seed: int,
) -> LearningPoint:
    settings = runtime.settings
    recipes = (recipe,) if recipe else ()
    options = TrainOptions(seed=seed, max_steps=settings.train_max_steps, language=settings.language, recipes=recipes)
    with tempfile.TemporaryDirectory(prefix="handover-forecast-") as folder:
        trained = train_student(
            aspect, TrainingSet(train=_texts(train), dev=_texts(dev)), options=options, workdir=Path(folder)
        )
    return LearningPoint(len(train), seed, trained.dev_score, _per_label(trained.report.get("dev", {})))


def _texts(tasks: Sequence[LabelledTask]) -> tuple[LabelledText, ...]:
    return tuple(LabelledText(task.text, task.annotation) for task in tasks)
