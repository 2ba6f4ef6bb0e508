"""What an evaluation keeps besides its two scores: tables per label, confusions, and where the answers differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from handover.domain import Annotation
from handover.evaluation.scores import Scores
from handover.jobs.compare import Compared

MAX_EXAMPLES = 50
"""Disagreements that are kept of one evaluation; how many there were is counted in full."""


def evaluation_details(compared: Compared, teacher: Scores, student: Scores) -> dict[str, Any]:
    """Details of both scores, and the gold tasks on which somebody was wrong, by Label Studio's ids.

    Annotations are kept as labels and offsets; the tasks' texts are not part of it.
    """
    found = list(_disagreements(compared))
    return {
        "teacher": teacher.details,
        "student": student.details,
        "disagreements": found[:MAX_EXAMPLES],
        "n_disagreements": len(found),
        "left_out": compared.left_out,
    }


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
