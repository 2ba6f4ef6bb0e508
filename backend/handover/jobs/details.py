"""What an evaluation keeps besides its two scores: tables per label, confusions, and where the answers differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from handover.domain import Annotation
from handover.evaluation.agreement import measure_agreement
from handover.evaluation.bootstrap import paired_bootstrap
from handover.evaluation.disagreements import disagreements
from handover.evaluation.scores import Scores
from handover.jobs.compare import Compared
from handover.jobs.situation import Situation

MAX_EXAMPLES = 50
"""Disagreements that are kept of one evaluation."""


def evaluation_details(compared: Compared, teacher: Scores, student: Scores, *, seed: int) -> dict[str, Any]:
    """Details and 95 % intervals of both scores, how well people agree, and gold tasks on which both differ, by
    Label Studio's ids.

    Annotations are kept as labels and offsets; the tasks' texts are not part of it.
    """
    return {
        "teacher": teacher.details,
        "student": student.details,
        "teacher_interval": _interval(compared, compared.teacher, seed=seed),
        "student_interval": _interval(compared, compared.answered, seed=seed),
        "agreement": _agreement(compared.situation, seed=seed),
        "disagreements": _disagreements(compared),
        "left_out": compared.left_out,
    }


def _interval(compared: Compared, answers: Sequence[Annotation | None], *, seed: int) -> list[float] | None:
    """The 95 % bootstrap interval of a score."""
    if not compared.n:
        return None
    table = compared.counts(answers)
    # Against an opponent that never scores, the difference is the score.
    values = paired_bootstrap(compared.situation.aspect.kind, table, np.zeros_like(table), resamples=2000, seed=seed)
    return [float(value) for value in np.quantile(values, [0.025, 0.975])]


def _agreement(situation: Situation, *, seed: int) -> dict[str, Any] | None:
    """Agreement of people who annotated the same gold blind: no model can be shown to be better than that."""
    tasks, aspect = situation.examples.independent, situation.aspect
    if not tasks:
        return None
    return asdict(measure_agreement(aspect.kind, tasks, labels=aspect.label_names, seed=seed))


def _disagreements(compared: Compared) -> list[dict[str, Any]]:
    aspect = compared.situation.aspect
    rows = disagreements(
        aspect.kind,
        aspect.label_names,
        [task.ls_task_id for task in compared.tasks],
        compared.references,
        compared.teacher,
        compared.answered,
        limit=MAX_EXAMPLES,
    )
    return [row.to_json() for row in rows]
