"""Ways to ask the teacher, side by side on the same dev tasks."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from handover.domain import AnswerStatus, Aspect
from handover.errors import TeacherError
from handover.evaluation.interval import interval_95
from handover.evaluation.scores import Counts, counts, metric
from handover.examples import Examples, LabelledTask
from handover.fewshot import candidates
from handover.runtime import Runtime
from handover.settings import Settings
from handover.store.models import AspectRow, ProjectRow
from handover.store.teacher_examples import overlapping_tasks, stored_examples
from handover.teacher.cache import cache_key
from handover.teacher.prompt import Example
from handover.teacher.selection import select
from handover.teacher.teacher import Teacher, TeacherAnswer
from handover.teaching import TeacherPlan, all_guidelines


@dataclass(frozen=True)
class Price:
    """What a model costs per million tokens; `cached` is for input tokens that the API read from its cache."""

    input: float
    output: float
    cached: float


PriceOf = Callable[[str], Price | None]
"""From a teacher's model id to its price, None where none is known."""


@dataclass(frozen=True)
class Variant:
    """One way to ask. `examples` is how many are shown, None for the ones in use that were chosen earlier."""

    plan: TeacherPlan
    examples: int | None
    guidelines: bool
    is_now: bool = False

    @property
    def name(self) -> str:
        """What is special about it."""
        shown = "examples in use" if self.examples is None else f"{self.examples or 'no'} examples"
        return f"{shown}, {'with' if self.guidelines else 'no'} guidelines"


@dataclass(frozen=True)
class Result:
    """What came of one way to ask, on `n` tasks. Means are per task; None where the model does not tell.

    `table` has the counts of each task, in the same order for all results of a comparison.
    """

    variant: Variant
    teacher_id: str
    n: int
    score: float
    interval: tuple[float, float]
    table: Counts
    unparsed: int
    refused: int
    failed: int
    input_tokens: float | None
    output_tokens: float | None
    latency_ms: float | None
    cost_per_1000: float | None


def variants(
    session: Session,
    settings: Settings,
    project: ProjectRow,
    row: AspectRow,
    *,
    numbers: Sequence[int],
    now: TeacherPlan,
    examples: Examples,
) -> tuple[list[Variant], set[int]]:
    """Every number of examples, with guidelines and, where there are any, without; and how it is asked now.

    Numbers that there are not enough tasks for are left out. The second value are the example tasks of all.
    """
    found = candidates(session, row, examples.train)
    guidelines = all_guidelines(project, row)
    shown = {example.task_id for example in stored_examples(session, row.id)}
    plans: dict[TeacherPlan, Variant] = {}
    for number in sorted(set(numbers)):
        chosen = select(found, number, seed=settings.seed)
        if len(chosen) < number:
            continue
        shown |= {candidate.task_id for candidate in chosen}
        given = tuple(Example(candidate.text, candidate.annotation) for candidate in chosen)
        for text in dict.fromkeys((guidelines, "")):
            plan = TeacherPlan(text, given, now.config)
            plans[plan] = Variant(plan, number, bool(text), is_now=plan == now)
    if now not in plans:
        number_now = None if now.examples else 0
        plans = {now: Variant(now, number_now, bool(now.guidelines), is_now=True), **plans}
    return list(plans.values()), shown


def dev_tasks(
    session: Session, examples: Examples, *, shown: set[int], limit: int, seed: int
) -> tuple[LabelledTask, ...]:
    """At most `limit` dev tasks, by chance but always the same, none of them like an example."""
    alike = overlapping_tasks(session, [task.task_id for task in examples.dev], shown)
    usable = [task for task in examples.dev if task.task_id not in alike]
    return tuple(sorted(usable, key=lambda task: _lot(task.task_id, seed))[:limit])


def unknown_answers(runtime: Runtime, teacher: Teacher, tasks: Sequence[LabelledTask]) -> int:
    """How many calls it takes to have a teacher's answers for these tasks."""
    keys = {cache_key(teacher.model_id, teacher.prompt(task.text)) for task in tasks}
    return len(keys) - len(runtime.answers.get(sorted(keys)))


def measure(
    runtime: Runtime,
    aspect: Aspect,
    teachers: Sequence[tuple[Variant, Teacher]],
    tasks: Sequence[LabelledTask],
    *,
    price_of: PriceOf,
    on_done: Callable[[Variant], None],
) -> list[Result]:
    """Ask and score. Tasks about which one of them could not be asked are left out of the scores of all; one that
    could not be asked about any task has `n` 0.

    Raises TeacherError when the first could not be asked about any: then nobody can.
    """
    answers: list[list[TeacherAnswer]] = []
    for variant, teacher in teachers:
        answers.append(teacher.annotate([task.text for task in tasks], runtime.answers))
        if not any(map(_was_asked, answers[0])):
            raise TeacherError(f"The teacher gave no answer: {' '.join(answers[0][0].problems)}")
        on_done(variant)
    present = [given for given in answers if any(map(_was_asked, given))]
    asked = [all(map(_was_asked, column)) for column in zip(*present, strict=True)]
    seed = runtime.settings.seed
    return [
        _result(aspect, variant, teacher, tasks, given, asked, price=price_of(teacher.model_id), seed=seed)
        for (variant, teacher), given in zip(teachers, answers, strict=True)
    ]


def _was_asked(answer: TeacherAnswer) -> bool:
    return answer.status is not AnswerStatus.FAILED


def _result(
    aspect: Aspect,
    variant: Variant,
    teacher: Teacher,
    tasks: Sequence[LabelledTask],
    answers: Sequence[TeacherAnswer],
    asked: Sequence[bool],
    *,
    price: Price | None,
    seed: int,
) -> Result:
    triples = zip(tasks, answers, asked, strict=True)
    pairs = [(t.annotation, a.annotation) for t, a, ok in triples if ok and _was_asked(a)]
    table = counts(aspect.kind, aspect.label_names, [r for r, _ in pairs], [p for _, p in pairs])
    statuses = Counter(answer.status for answer in answers)
    return Result(
        variant=variant,
        teacher_id=teacher.id,
        n=len(pairs),
        score=float(metric(aspect.kind, table.sum(axis=0))),
        interval=interval_95(aspect.kind, table, seed=seed),
        table=table,
        unparsed=statuses[AnswerStatus.UNPARSED],
        refused=statuses[AnswerStatus.REFUSED],
        failed=statuses[AnswerStatus.FAILED],
        input_tokens=_mean([a.input_tokens for a in answers]),
        output_tokens=_mean([a.output_tokens for a in answers]),
        latency_ms=_mean([a.latency_ms for a in answers]),
        cost_per_1000=_cost(answers, price),
    )


def _cost(answers: Sequence[TeacherAnswer], price: Price | None) -> float | None:
    told = [a for a in answers if a.input_tokens is not None and a.output_tokens is not None]
    if price is None or not told:
        return None
    cached = sum(a.cached_tokens or 0 for a in told)
    fresh = sum(a.input_tokens or 0 for a in told) - cached
    written = sum(a.output_tokens or 0 for a in told)
    millionths = fresh * price.input + cached * price.cached + written * price.output
    return millionths / 1_000_000 / len(told) * 1000


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _lot(task_id: int, seed: int) -> str:
    return hashlib.sha256(f"{seed}\n{task_id}".encode()).hexdigest()
