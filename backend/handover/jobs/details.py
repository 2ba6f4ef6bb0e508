"""What an evaluation keeps besides its two scores: tables per label, confusions, and where the answers differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from handover.domain import Annotation
from handover.evaluation.agreement import measure_agreement
from handover.evaluation.bootstrap import paired_bootstrap
from handover.evaluation.scores import Scores
from handover.jobs.compare import Compared
from handover.jobs.situation import Situation

MAX_EXAMPLES = 50
"""Disagreements that are kept of one evaluation; how many there were is counted in full."""


def evaluation_details(compared: Compared, teacher: Scores, student: Scores, *, seed: int) -> dict[str, Any]:
    """Details and 95 % intervals of both scores, how well people agree, and the gold tasks on which somebody was wrong,
    by Label Studio's ids.

    Annotations are kept as labels and offsets; the tasks' texts are not part of it.
    """
    found = list(_disagreements(compared))
    return {
        "teacher": teacher.details,
        "student": student.details,
        "teacher_interval": _interval(compared, compared.teacher, seed=seed),
        "student_interval": _interval(compared, compared.answered, seed=seed),
        "agreement": _agreement(compared.situation, seed=seed),
        "disagreements": found[:MAX_EXAMPLES],
        "n_disagreements": len(found),
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


def _disagreements(compared: Compared) -> Iterator[dict[str, Any]]:
    """Gold tasks on which teacher or student is wrong; those on which only the student is, first."""
    rows = []
    for task, teacher, student in zip(compared.tasks, compared.teacher, compared.answered, strict=True):
        right = (_same(teacher, task.annotation), _same(student, task.annotation))
        if not all(right):
            rows.append((right, task.ls_task_id, task.annotation, teacher, student))
    rows.sort(key=lambda row: (row[0] != (True, False), row[0] != (False, True), row[1]))
    for (teacher_right, student_right), ls_task_id, gold, teacher, student in rows:
        yield {
            "ls_task_id": ls_task_id,
            "teacher_right": teacher_right,
            "student_right": student_right,
            "gold": gold.to_json(),
            "teacher": teacher.to_json() if teacher is not None else None,
            "student": student.to_json() if student is not None else None,
        }


def _same(answer: Annotation | None, gold: Annotation) -> bool:
    """Equal whatever the order of labels and spans."""
    if answer is None:
        return False
    return (set(answer.cats), set(answer.spans), set(_edges(answer))) == (
        set(gold.cats),
        set(gold.spans),
        set(_edges(gold)),
    )


def _edges(annotation: Annotation) -> Iterator[tuple[Any, ...]]:
    return ((annotation.spans[r.head], annotation.spans[r.child], r.label) for r in annotation.relations)
