"""The sums of the ledger: who asked which teacher for what, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.orm import Session

from handover.domain import AnswerStatus
from handover.prices import Price, Tokens, cost, price_of
from handover.store import ledger as store
from handover.teacher.calls import CallStatus


@dataclass(frozen=True)
class Totals:
    """What one purpose of one aspect took, or a sum of such.

    `calls` were sent (`failed` of them in vain, `unanswered` still under way or lost with their process),
    `cached` answered from our own cache, `held` kept back by a budget. `cost` is None when that of some call is
    not known: for want of a price, or of the tokens.
    """

    project: int | None = None
    aspect: str = ""
    model: str = ""
    purpose: str = ""
    is_batch: bool = False
    calls: int = 0
    failed: int = 0
    unanswered: int = 0
    attempts: int = 0
    cached: int = 0
    held: int = 0
    skipped: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    cost: float | None = 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


KEYS = ("project", "aspect", "model", "purpose", "is_batch")
NUMBERS = tuple(name for name in Totals.__dataclass_fields__ if name not in (*KEYS, "cost"))


def read_totals(
    session: Session, prices: Mapping[str, Price], *, project_id: int | None = None, aspect_id: int | None = None
) -> list[Totals]:
    """The sums by project, aspect, model, purpose, and batch or not. Calls made without a price get today's."""
    found: dict[tuple[Any, ...], Totals] = {}
    for row in store.sums(session, project_id=project_id, aspect_id=aspect_id):
        part = _totals(row, prices)
        key = tuple(getattr(part, name) for name in KEYS)
        found[key] = add(found[key], part) if key in found else part
    return list(found.values())


def total_of(parts: Sequence[Totals]) -> Totals:
    """The sum of all of them."""
    total = Totals()
    for part in parts:
        total = add(total, part)
    return total


def add(one: Totals, other: Totals) -> Totals:
    """Two sums as one, with what identifies the first."""
    numbers = {name: getattr(one, name) + getattr(other, name) for name in NUMBERS}
    both = None if one.cost is None or other.cost is None else one.cost + other.cost
    return Totals(**{name: getattr(one, name) for name in KEYS}, **numbers, cost=both)


def _totals(row: Any, prices: Mapping[str, Price]) -> Totals:
    counts = dict(_counts(row.status, row.number))
    return Totals(
        project=row.project,
        aspect=row.aspect or "",
        model=row.model_id,
        purpose=row.purpose,
        is_batch=row.is_batch,
        attempts=row.attempts or 0,
        input_tokens=row.input_tokens or 0,
        output_tokens=row.output_tokens or 0,
        cached_tokens=row.cached_tokens or 0,
        cache_write_tokens=row.cache_write_tokens or 0,
        cost=_cost(row, prices),
        **counts,
    )


def _counts(status: str, number: int) -> Iterator[tuple[str, int]]:
    names = {CallStatus.CACHED: "cached", CallStatus.OVER_BUDGET: "held", CallStatus.SKIPPED: "skipped"}
    for not_sent, name in names.items():
        if status == not_sent.value:
            yield name, number
            return
    yield "calls", number
    if status == AnswerStatus.FAILED.value:
        yield "failed", number
    if status == CallStatus.ASKED.value:
        yield "unanswered", number


def _cost(row: Any, prices: Mapping[str, Price]) -> float | None:
    if row.is_priced:
        return float(row.cost or 0.0)
    if row.status == CallStatus.ASKED.value:
        return 0.0  # counted as unanswered
    price = price_of(prices, row.model_id)
    if price is None or row.measured < row.number:
        return None
    written = row.cache_write_tokens or 0
    tokens = Tokens(row.input_tokens, row.output_tokens or 0, row.cached_tokens or 0, written)
    return cost(price, tokens, is_batch=row.is_batch)
