"""The books of the teachers: what may be spent before it is, and what was spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from handover.domain import AnswerStatus
from handover.patience import patiently
from handover.prices import Price, Tokens, cost, most, price_of
from handover.settings import Settings
from handover.store import ledger as store
from handover.store.columns import utcnow
from handover.store.database import Database
from handover.store.models import ProjectRow
from handover.store.projects import get_project
from handover.teacher.calls import Admission, Call, CallStatus, Outcome
from handover.teacher.completion import Completion


@dataclass(frozen=True)
class Limit:
    """A budget: how much of it is left, and what to say when it is used up."""

    left: float
    reason: str


class StoreLedger:
    """The `Ledger` of one aspect in our store."""

    def __init__(self, database: Database, settings: Settings, *, project_id: int, aspect_id: int) -> None:
        self._database = database
        self._settings = settings
        self._project_id = project_id
        self._aspect_id = aspect_id

    def open(self, calls: Sequence[Call]) -> Admission:
        """Enter questions before they are asked, as many of them as the budget allows."""
        return patiently(self._database, lambda session: self._open(session, calls)) if calls else Admission(())

    def open_batch(self, calls: Sequence[Call]) -> tuple[int, Admission]:
        """Enter questions that are about to be sent as one batch; returns our id of it too."""

        def enter(session: Session) -> tuple[int, Admission]:
            admission = self._open(session, calls, is_batch=True)
            batch_id = store.add_batch(
                session, aspect_id=self._aspect_id, model_id=calls[0].model_id, tickets=admission.tickets
            )
            return batch_id, admission

        return patiently(self._database, enter)

    def close(self, outcomes: Mapping[int, Outcome], *, model_id: str, is_free: bool) -> None:
        """Enter what came of questions, by their tickets."""
        price = price_of(self._settings.teacher_prices, model_id)
        rows = [{"id": ticket, **_result(o, price, is_free=is_free)} for ticket, o in outcomes.items()]
        patiently(self._database, lambda session: store.close_calls(session, rows))

    def close_batch(self, batch_id: int, outcomes: Mapping[str, Outcome], *, model_id: str) -> None:
        """Enter what came of a batch, by the questions' keys; what it does not answer has failed."""
        price = price_of(self._settings.teacher_prices, model_id)
        missing = _failure("The batch ended without an answer to this question.")

        def enter(session: Session) -> None:
            tickets = store.calls_of_batch(session, batch_id)
            rows = [
                {"id": ticket, **_result(outcomes.get(key, missing), price, is_batch=True)}
                for key, ticket in tickets.items()
            ]
            store.close_calls(session, rows)
            store.end_batch(session, batch_id, status=store.ENDED)

        patiently(self._database, enter)

    def give_up_batch(self, batch_id: int, problem: str) -> None:
        """Nothing will come of a batch: its questions have failed, and are asked one by one from now on."""
        outcome = _failure(problem)

        def enter(session: Session) -> None:
            tickets = store.calls_of_batch(session, batch_id).values()
            store.close_calls(session, [{"id": ticket, **_result(outcome, None)} for ticket in tickets])
            store.end_batch(session, batch_id, status=store.LOST)

        patiently(self._database, enter)

    def note(self, status: CallStatus, *, purpose: str, model_id: str, number: int, problem: str = "") -> None:
        """Enter a number of questions that were not asked, and why."""
        row: dict[str, Any] = {
            "status": status.value,
            "purpose": purpose,
            "model_id": model_id,
            "number": number,
        } | self._whose()
        row |= {"problem": problem, "cost": 0.0, "ended_at": utcnow()}
        patiently(self._database, lambda session: store.add_calls(session, [row]))

    def _open(self, session: Session, calls: Sequence[Call], *, is_batch: bool = False) -> Admission:
        limits = self._limits(session)
        rows: list[dict[str, Any]] = []
        taken = 0.0
        for call in calls:
            price = price_of(self._settings.teacher_prices, call.model_id)
            ceiling = _ceiling(call, price, is_batch=is_batch)
            problem = "" if call.is_free else self._refusal(limits, price, call.model_id, taken + ceiling)
            if problem:
                return Admission(tuple(store.add_calls(session, rows)), problem)
            taken += ceiling
            rows.append(self._row(call, ceiling))
        return Admission(tuple(store.add_calls(session, rows)))

    def _row(self, call: Call, ceiling: float) -> dict[str, Any]:
        return {
            "status": CallStatus.ASKED.value,
            "purpose": call.purpose,
            "model_id": call.model_id,
            "answer_key": call.key,
            "prompt_chars": call.prompt_chars,
            "ceiling": ceiling,
            **self._whose(),
        }

    def _limits(self, session: Session) -> list[Limit]:
        # The lock is only for those who have a budget to share.
        project = get_project(session, self._project_id)
        if any(budgets_of(project, self._settings)):
            store.lock(session)
        return limits_of(session, project, self._settings)

    def _refusal(self, limits: Sequence[Limit], price: Price | None, model_id: str, amount: float) -> str:
        if limits and price is None:
            return (
                f"There is a budget, but no price of {model_id!r} to keep it by. "
                "Add the model to HANDOVER_TEACHER_PRICES, or take the budget away."
            )
        return next((limit.reason for limit in limits if amount > limit.left), "")

    def _whose(self) -> dict[str, Any]:
        return {"project_id": self._project_id, "aspect_id": self._aspect_id}


def budgets_of(project: ProjectRow, settings: Settings) -> tuple[float, float, float]:
    """The budgets that hold for a project: of all projects per day, its own per day, its own in all; 0: none."""
    options = project.options or {}
    in_all = float(options.get("budget", settings.budget_project))
    return settings.budget_day, float(options.get("budget_day", 0.0)), in_all


def limits_of(session: Session, project: ProjectRow, settings: Settings) -> list[Limit]:
    """What is left of each budget that holds for a project."""
    day, project_day, in_all = budgets_of(project, settings)
    midnight = utcnow().replace(hour=0, minute=0, second=0, microsecond=0)
    until = f"until {midnight.date().isoformat()} ends (UTC)"
    scopes: tuple[tuple[float, int | None, datetime | None, str], ...] = (
        (day, None, midnight, f"of all projects for a day (HANDOVER_BUDGET_DAY): the teacher rests {until}"),
        (project_day, project.id, midnight, f"of this project for a day: its teacher rests {until}"),
        (in_all, project.id, None, "of this project (HANDOVER_BUDGET_PROJECT, or `handover connect --budget`)"),
    )
    return [
        _limit(session, budget, project_id=project_id, since=since, whose=whose, currency=settings.teacher_currency)
        for budget, project_id, since, whose in scopes
        if budget
    ]


def _limit(
    session: Session, budget: float, *, project_id: int | None, since: datetime | None, whose: str, currency: str
) -> Limit:
    gone = store.spent(session, project_id=project_id, since=since)
    reason = f"{gone:.4f} of {budget:.4f} {currency} are spent, and another question could exceed the budget {whose}."
    return Limit(budget - gone, reason)


def _ceiling(call: Call, price: Price | None, *, is_batch: bool) -> float:
    if price is None or call.is_free:
        return 0.0
    return most(price, Tokens(call.max_input_tokens, call.max_output_tokens), is_batch=is_batch)


def _failure(problem: str) -> Outcome:
    return Outcome(AnswerStatus.FAILED, Completion(status=AnswerStatus.FAILED, problem=problem), (problem,))


def _result(outcome: Outcome, price: Price | None, *, is_free: bool = False, is_batch: bool = False) -> dict[str, Any]:
    completion = outcome.completion
    names = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "latency_ms")
    # A question that failed is not billed.
    is_nothing = is_free or outcome.status is AnswerStatus.FAILED
    return {
        "status": outcome.status.value,
        "problem": "; ".join(outcome.problems),
        "attempts": completion.attempts,
        "cost": 0.0 if is_nothing else cost_of(completion, price, is_batch=is_batch),
        **{name: getattr(completion, name) for name in names},
    }


def cost_of(completion: Completion, price: Price | None, *, is_batch: bool) -> float | None:
    """What an answer cost; None without a price, or when the model does not say how many tokens it took."""
    if price is None or completion.input_tokens is None or completion.output_tokens is None:
        return None
    written = completion.cache_write_tokens or 0
    tokens = Tokens(completion.input_tokens, completion.output_tokens, completion.cached_tokens or 0, written)
    return cost(price, tokens, is_batch=is_batch)
