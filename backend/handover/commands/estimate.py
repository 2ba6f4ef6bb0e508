"""What asking the teacher about a project would take, before it is spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console

from handover.commands.ledger import money
from handover.errors import NotFoundError, TeacherError
from handover.prices import Price, Tokens, cost, price_of
from handover.runtime import Runtime
from handover.store import ledger as store
from handover.store.models import AspectRow, ProjectRow
from handover.store.projects import aspect_of, aspects_of, project_by_ls_id
from handover.store.tasks import to_be_answered
from handover.task_texts import problem_of, text_of
from handover.teacher.teacher import Sample, Teacher

CHARS_PER_TOKEN = 3.5
"""Of English text and JSON, a little on the dear side."""

OUTPUT_TOKENS = 60
"""Of an answer, as long as the aspect has none to learn from."""

FEW = 10
"""So many answers of its own an aspect needs to be measured by them."""


@dataclass(frozen=True)
class Estimate:
    """What the questions of one aspect that are still to be asked would take.

    `tasks` are open or gold, `known` of them are answered already, `questions` counts samples too. Costs are None
    without a price: `plain`, with the API's prompt `cached`, in `batch`es, and both.
    """

    aspect: str
    model: str
    tasks: int
    known: int
    questions: int
    input_tokens: int
    cacheable_tokens: int
    output_tokens: int
    measured_on: int
    plain: float | None
    cached: float | None
    batch: float | None
    batch_cached: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def estimate(runtime: Runtime, *, ls_project_id: int) -> list[Estimate]:
    """Estimate each aspect of a project from its rendered prompts and past answers. Asks nothing of anyone.

    Raises NotFoundError, and TeacherError when there is no teacher.
    """
    with runtime.database.read() as session:
        project = project_by_ls_id(session, ls_project_id)
        if project is None:
            raise NotFoundError(f"Project {ls_project_id} is not connected. `handover status` lists the projects.")
        rows = aspects_of(session, project.id)
    return [_estimate(runtime, project, row) for row in rows]


def show_estimates(console: Console, estimates: Sequence[Estimate], *, currency: str) -> None:
    """Print estimates for people."""
    for e in estimates:
        console.print(
            f"{e.aspect} ({e.model}): {e.tasks} open or gold tasks, {e.known} answered already, "
            f"{e.questions} questions to ask",
            markup=False,
        )
        basis = f"{e.measured_on} past answers" if e.measured_on >= FEW else "the length of the prompts alone"
        console.print(f"  about {e.input_tokens:,} tokens in, {e.output_tokens:,} out, judged by {basis}")
        costs = {"one by one": e.plain, "with prompt caching": e.cached, "in batches": e.batch}
        costs["in batches with prompt caching"] = e.batch_cached
        console.print(
            "  " + "; ".join(f"{name} {money(value, currency)}" for name, value in costs.items()), markup=False
        )


def _estimate(runtime: Runtime, project: ProjectRow, row: AspectRow) -> Estimate:
    teacher = runtime.teacher_for(project, row)
    if teacher is None:
        raise TeacherError("HANDOVER_TEACHER is none, so nothing is asked and nothing is spent.")
    aspect, limit = aspect_of(row), runtime.settings.max_text_chars
    with runtime.database.read() as session:
        tasks = to_be_answered(session, project.id)
        habits = store.token_habits(session, row.id, teacher.model_id)
    texts = [text_of(t.data, aspect) for t in tasks if not problem_of(t.data, aspect, max_text_chars=limit)]
    unknown = teacher.unknown(texts, runtime.answers)
    questions = {question.key: question for group in unknown for question in group}
    known = sum(not group for group in unknown)
    tokens, cacheable = _tokens(list(questions.values()), habits)
    return Estimate(
        aspect=row.name,
        model=teacher.model_id,
        tasks=len(texts),
        known=known,
        questions=len(questions),
        input_tokens=tokens.input,
        cacheable_tokens=cacheable,
        output_tokens=tokens.output,
        measured_on=habits[0],
        **_costs(price_of(runtime.settings.teacher_prices, teacher.model_id), tokens, cacheable, teacher),
    )


def _tokens(questions: Sequence[Sample], habits: tuple[int, int, int, int]) -> tuple[Tokens, int]:
    """About how many tokens questions take, and how many of the input the API could read from its cache: the
    static part of all but the first."""
    number, chars, given, answered = habits
    per_char = given / chars if number >= FEW and chars else 1 / CHARS_PER_TOKEN
    output = answered / number if number >= FEW else OUTPUT_TOKENS
    total = sum(len(q.prompt or "") for q in questions)
    static = sum(len(getattr(q.prompt, "system", "")) for q in questions[1:])
    return Tokens(round(total * per_char), round(output * len(questions))), round(static * per_char)


def _costs(price: Price | None, tokens: Tokens, cacheable: int, teacher: Teacher) -> dict[str, float | None]:
    if teacher.is_free:
        price = Price(input=0, output=0)
    if price is None:
        return dict.fromkeys(("plain", "cached", "batch", "batch_cached"))
    with_cache = Tokens(tokens.input, tokens.output, cached=cacheable)
    return {
        "plain": cost(price, tokens),
        "cached": cost(price, with_cache),
        "batch": cost(price, tokens, is_batch=True),
        "batch_cached": cost(price, with_cache, is_batch=True),
    }
