"""Compare ways to ask the teacher on dev, and say how to adopt the best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from shlex import quote

import numpy as np

from handover.comparison import (
    Result,
    Variant,
    calls_needed,
    dev_tasks,
    measure,
    variants,
)
from handover.domain import Aspect
from handover.errors import ConfigError
from handover.evaluation.bootstrap import paired_bootstrap
from handover.evaluation.scores import metric_of
from handover.examples import LabelledTask, load_examples
from handover.runtime import Runtime
from handover.store.annotations import count_assisted
from handover.store.models import AspectRow, ProjectRow
from handover.store.projects import aspect_of, find_aspect, get_project
from handover.teacher.teacher import Teacher

Say = Callable[[str], None]
Confirm = Callable[[str], bool]

MIN_TASKS = 10
HEADER = ("", "n", "score", "95 % interval", "unparsed", "refused", "failed", "tokens", "per 1,000 tasks", "latency")


def compare(
    runtime: Runtime,
    *,
    ls_project_id: int,
    aspect: str,
    limit: int,
    numbers: Sequence[int],
    say: Say,
    confirm: Confirm,
) -> list[Result]:
    """Score all ways to ask on the same dev tasks and print a table; empty when the calls are declined.

    Raises ConfigError when there is no teacher or too little dev, TeacherError when one cannot be built.
    """
    with runtime.database.read() as session:
        row = find_aspect(session, ls_project_id=ls_project_id, name=aspect)
        project = get_project(session, row.project_id)
    found, tasks = _prepare(runtime, project, row, numbers=numbers, limit=limit)
    teachers = _teachers(runtime, row, found)
    calls = sum(calls_needed(runtime, teacher, tasks) for _, teacher in teachers)
    questions = len(teachers) * len(tasks)
    say(
        f"Aspect {row.name!r}: {len(teachers)} ways to ask about {len(tasks)} dev tasks. That makes {calls:,} calls; "
        f"{questions - calls:,} answers are known already."
    )
    if calls and not confirm(f"Make {calls:,} calls now?"):
        say("Nothing was asked.")
        return []
    results = measure(runtime, aspect_of(row), teachers, tasks, on_done=lambda v: say(f"  asked: {v.name}"))
    _show(runtime, results, tasks, row=row, ls_project_id=ls_project_id, say=say)
    return results


def _prepare(
    runtime: Runtime, project: ProjectRow, row: AspectRow, *, numbers: Sequence[int], limit: int
) -> tuple[list[Variant], tuple[LabelledTask, ...]]:
    settings = runtime.settings
    now = runtime.teacher_plan(project, row)
    with runtime.database.read() as session:
        examples = load_examples(session, row, max_text_chars=settings.max_text_chars)
        found, shown = variants(session, settings, project, row, numbers=numbers, now=now, examples=examples)
        tasks = dev_tasks(session, row, examples, shown=shown, limit=limit, seed=settings.seed)
    if len(tasks) < MIN_TASKS:
        raise ConfigError(
            f"Aspect {row.name!r} has {len(tasks)} finished dev tasks; a comparison needs at least {MIN_TASKS}. "
            "Annotate more tasks: about every sixth is dev."
        )
    return found, tasks


def _teachers(runtime: Runtime, row: AspectRow, found: Sequence[Variant]) -> list[tuple[Variant, Teacher]]:
    pairs = [(variant, runtime.teacher_from(row, variant.plan)) for variant in found]
    teachers = [(variant, teacher) for variant, teacher in pairs if teacher is not None]
    if not teachers:
        raise ConfigError("HANDOVER_TEACHER is none: there is no teacher to compare. Set it to claude or recorded.")
    return teachers


def _show(
    runtime: Runtime,
    results: Sequence[Result],
    tasks: Sequence[LabelledTask],
    *,
    row: AspectRow,
    ls_project_id: int,
    say: Say,
) -> None:
    aspect = aspect_of(row)
    header = [metric_of(aspect.kind) if name == "score" else name for name in HEADER]
    for line in table([header, *(_cells(result, runtime.settings.teacher_currency) for result in results)]):
        say(line)
    say("* how the teacher is asked now. Tokens: mean in + out for a task.")
    with runtime.database.read() as session:
        assisted = count_assisted(session, [task.task_id for task in tasks])
    if assisted:
        say(
            f"{assisted} of the {len(tasks)} dev tasks were annotated with a suggestion in sight. People drift towards "
            "what they are shown: the teacher that made the suggestions looks better here than it is."
        )
    say(_verdict(results, aspect, ls_project_id, seed=runtime.settings.seed))


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as aligned lines, the first column to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]


def _cells(result: Result, currency: str) -> list[str]:
    low, high = result.interval
    tokens = result.input_tokens, result.output_tokens
    return [
        f"{'*' if result.variant.is_now else ' '} {result.variant.name}",
        str(result.n),
        f"{result.score:.3f}",
        f"{low:.3f} to {high:.3f}",
        str(result.unparsed),
        str(result.refused),
        str(result.failed),
        "unknown" if None in tokens else f"{tokens[0]:,.0f} + {tokens[1]:,.0f}",
        "no price" if result.cost_per_1000 is None else f"{result.cost_per_1000:,.2f} {currency}".rstrip(),
        "unknown" if result.latency_ms is None else f"{result.latency_ms:,.0f} ms",
    ]


def _verdict(results: Sequence[Result], aspect: Aspect, ls_project_id: int, *, seed: int) -> str:
    """Which is best, how sure that is, and the command that adopts it."""
    now = next(result for result in results if result.variant.is_now)
    best = max(
        results, key=lambda r: (r.n > 0, r.score, r is now, -len(r.variant.plan.examples), -r.variant.guidelines)
    )
    if best is now:
        return f"Nothing is better than how the teacher is asked now ({now.variant.name}). Leave it."
    adopt = f"Adopt it: {_command(best.variant, aspect, ls_project_id)}"
    if not now.n:
        return f"Best: {best.variant.name}. How the teacher is asked now gave no answer at all.\n{adopt}"
    resampled = paired_bootstrap(aspect.kind, best.table, now.table, seed=seed)
    low, high = np.quantile(resampled, [0.025, 0.975])
    sure = "" if low > 0 else " That may be chance: compare on more dev tasks, or take the cheaper one."
    return (
        f"Best: {best.variant.name}, {best.score - now.score:+.3f} against now "
        f"(95 % interval {low:+.3f} to {high:+.3f}).{sure}\n{adopt}"
    )


def _brevity(variant: Variant) -> tuple[int, int]:
    return -len(variant.plan.examples), -len(variant.plan.guidelines)


def _command(variant: Variant, aspect: Aspect, ls_project_id: int) -> str:
    guidelines = "--with-guidelines" if variant.guidelines else "--without-guidelines"
    return f"handover teacher use -p {ls_project_id} -a {quote(aspect.name)} --examples {variant.examples} {guidelines}"
