"""Tasks on which teacher and student disagree: what a person looks at to believe the scores."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

from handover.domain import Annotation, Kind
from handover.evaluation.scores import counts, errors_of


@dataclass(frozen=True)
class Disagreement:
    """A task on which teacher and student differ. `better` made fewer errors; "" when both made as many."""

    task_id: int
    better: str
    reference: Annotation
    teacher: Annotation | None
    student: Annotation | None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; labels and offsets, no text."""
        answers = {"reference": self.reference, "teacher": self.teacher, "student": self.student}
        shown = {name: answer.to_json() if answer is not None else None for name, answer in answers.items()}
        return {"task_id": self.task_id, "better": self.better, **shown}


def disagreements(
    kind: Kind,
    labels: Collection[str],
    task_ids: Sequence[int],
    references: Sequence[Annotation],
    teacher: Sequence[Annotation | None],
    student: Sequence[Annotation | None],
    *,
    limit: int = 20,
) -> list[Disagreement]:
    """Up to `limit` tasks on which one of both is better or both are wrong in different ways.

    Those with the largest difference in errors first, student's and teacher's wins in turn as far as there are
    both. Errors as for `scores.counts`; lengths have to be the same.
    """
    taught_wrong, learned_wrong = (
        errors_of(kind, counts(kind, labels, references, answers)) for answers in (teacher, student)
    )
    wins: list[tuple[float, Disagreement]] = []
    losses: list[tuple[float, Disagreement]] = []
    others: list[Disagreement] = []
    rows = zip(task_ids, references, teacher, student, taught_wrong - learned_wrong, learned_wrong, strict=True)
    for task_id, reference, taught, learned, lead, wrong in rows:
        row = Disagreement(task_id, _better(lead), reference, taught, learned)
        if lead:
            (wins if lead > 0 else losses).append((abs(lead), row))
        elif wrong and taught != learned:
            others.append(row)
    sides = [[row for _, row in sorted(side, key=lambda pair: -pair[0])] for side in (wins, losses)]
    in_turn = (row for row in chain.from_iterable(zip_longest(*sides)) if row is not None)
    return [*in_turn, *others][:limit]


def _better(lead: float) -> str:
    return "student" if lead > 0 else "teacher" if lead < 0 else ""
