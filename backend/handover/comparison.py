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
from handover.prices import Tokens, cost, price_of
from handover.runtime import Runtime
from handover.settings import Settings
from handover.store.models import AspectRow, ProjectRow
from handover.store.teacher_examples import like_examples
from handover.teacher.calls import Purpose
from handover.teacher.prompt import Example
from handover.teacher.selection import select
from handover.teacher.teacher import Teacher, TeacherAnswer
from handover.teaching import TeacherPlan, all_guidelines


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

    Numbers that there are not enough tasks for are left out. The second value are the example tasks.
    """
    found = candidates(session, row, examples.train)
    guidelines = all_guidelines(project, row)
    shown: set[int] = set()
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
    session: Session, row: AspectRow, examples: Examples, *, shown: set[int], limit: int, seed: int
) -> tuple[LabelledTask, ...]:
    """At most `limit` dev tasks, by chance but always the same, none of them like an example."""
    alike = like_examples(session, row.id, [task.task_id for task in examples.dev], more=shown)
    usable = [task for task in examples.dev if task.task_id not in alike]
    return tuple(sorted(usable, key=lambda task: _lot(task.task_id, seed))[:limit])


def calls_needed(runtime: Runtime, teacher: Teacher, tasks: Sequence[LabelledTask]) -> int:
    """How many calls it takes to have a teacher's answers for these tasks."""
    unknown = teacher.unknown([task.text for task in tasks], runtime.answers)
    return len({question.key for group in unknown for question in group})


def measure(
    runtime: Runtime,
    aspect: Aspect,
    teachers: Sequence[tuple[Variant, Teacher]],
    tasks: Sequence[LabelledTask],
    *,
    on_done: Callable[[Variant], None],
) -> list[Result]:
    """Ask and score. Tasks about which one of them could not be asked are left out of the scores of all; one that
    could not be asked about any task has `n` 0.

    Raises TeacherError when the first could not be asked about any: then nobody can.
    """
    answers: list[list[TeacherAnswer]] = []
    for variant, teacher in teachers:
        texts = [task.text for task in tasks]
        answers.append(teacher.annotate(texts, runtime.answers, purpose=Purpose.COMPARE.value))
        if not any(map(_was_asked, answers[0])):
            raise TeacherError(f"The teacher gave no answer: {' '.join(answers[0][0].problems)}")
        on_done(variant)
    present = [given for given in answers if any(map(_was_asked, given))]
    asked = [all(map(_was_asked, column)) for column in zip(*present, strict=True)]
    settings = runtime.settings
    return [
        _result(aspect, variant, teacher, tasks, given, asked, settings=settings)
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
    settings: Settings,
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
        interval=interval_95(aspect.kind, table, seed=settings.seed),
        table=table,
        unparsed=statuses[AnswerStatus.UNPARSED],
        refused=statuses[AnswerStatus.REFUSED],
        failed=statuses[AnswerStatus.FAILED],
        input_tokens=_mean([a.input_tokens for a in answers], times=settings.teacher_samples),
        output_tokens=_mean([a.output_tokens for a in answers], times=settings.teacher_samples),
        latency_ms=_mean([a.latency_ms for a in answers]),
        cost_per_1000=_cost(answers, teacher, settings),
    )


def _cost(answers: Sequence[TeacherAnswer], teacher: Teacher, settings: Settings) -> float | None:
    price = price_of(settings.teacher_prices, teacher.model_id)
    known = [
        Tokens(answer.input_tokens, answer.output_tokens, answer.cached_tokens or 0)
        for answer in answers
        if answer.input_tokens is not None and answer.output_tokens is not None
    ]
    if price is None or not known:
        return None
    return sum(cost(price, tokens) for tokens in known) / len(known) * 1000 * settings.teacher_samples


def _mean(values: Sequence[float | None], *, times: int = 1) -> float | None:
    """The mean of what is known; an answer has the tokens of one of its samples."""
    known = [value for value in values if value is not None]
    return times * sum(known) / len(known) if known else None


def _lot(task_id: int, seed: int) -> str:
    return hashlib.sha256(f"{seed}\n{task_id}".encode()).hexdigest()
