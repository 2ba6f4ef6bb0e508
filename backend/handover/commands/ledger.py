"""The ledger as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from handover.totals import Totals, total_of

COLUMNS = ("project", "aspect", "model", "purpose", "calls", "failed", "cached", "held", "input", "output", "cost")
NAMES = 4
"""So many columns hold names and not numbers."""


def show_totals(console: Console, totals: Sequence[Totals], *, currency: str) -> None:
    """Print what was asked and what it cost, a line per project, aspect, model and purpose, and their sum.

    Lines are as long as they have to be, whatever the width of the terminal: numbers must not be cut.
    """
    if not totals:
        console.print("No teacher has been asked yet.")
        return
    rows = [list(COLUMNS), *(_cells(part, currency) for part in totals)]
    if len(totals) > 1:
        rows.append(["in all", "", "", "", *_cells(total_of(totals), currency)[NAMES:]])
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    for row in rows:
        cells = [c.ljust(w) if i < NAMES else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        console.print("  ".join(cells).rstrip(), markup=False)


def money(cost: float | None, currency: str) -> str:
    """An amount for people: four decimals, because answers cost fractions of a cent."""
    return "no price" if cost is None else f"{cost:.4f} {currency}"


def _cells(part: Totals, currency: str) -> list[str]:
    numbers = (part.calls, part.failed, part.cached, part.held, part.input_tokens, part.output_tokens)
    purpose = f"{part.purpose} (batch)" if part.is_batch else part.purpose
    project = "" if part.project is None else str(part.project)
    return [project, part.aspect, part.model, purpose, *(f"{n:,}" for n in numbers), money(part.cost, currency)]
