"""The ledger as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from handover.totals import Totals, total_of

COLUMNS = ("project", "aspect", "model", "purpose", "calls", "failed", "cached", "held", "input", "output", "cost")


def show_totals(console: Console, totals: Sequence[Totals], *, currency: str) -> None:
    """Print what was asked and what it cost, a line per project, aspect, model and purpose, and their sum."""
    if not totals:
        console.print("No teacher has been asked yet.")
        return
    table = Table(box=None, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in COLUMNS[:4] else "right", no_wrap=True)
    for part in totals:
        table.add_row(*_cells(part, currency))
    if len(totals) > 1:
        table.add_row("in all", "", "", "", *_cells(total_of(totals), currency)[4:], style="bold")
    console.print(table)


def money(cost: float | None, currency: str) -> str:
    """An amount for people: four decimals, because answers cost fractions of a cent."""
    return "no price" if cost is None else f"{cost:.4f} {currency}"


def _cells(part: Totals, currency: str) -> list[str]:
    numbers = (part.calls, part.failed, part.cached, part.held, part.input_tokens, part.output_tokens)
    purpose = f"{part.purpose} (batch)" if part.is_batch else part.purpose
    project = "" if part.project is None else str(part.project)
    return [project, part.aspect, part.model, purpose, *(f"{n:,}" for n in numbers), money(part.cost, currency)]
