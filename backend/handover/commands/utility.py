"""The utility figures as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from handover.evaluation.utility import Utility
from handover.utility import AspectUtility


def lines_of(aspects: Sequence[AspectUtility]) -> Iterator[str]:
    """The figures for people; every share and time with its number."""
    for found in aspects:
        yield f"{found.aspect}: {found.report.total.tasks} annotations"
        yield f"    all: {_line(found.report.total)}"
        for row in found.report.annotators:
            yield f"    annotator {row.annotator}: {_line(row)}"
        if found.report.minutes_saved_95 is not None:
            low, high = found.report.minutes_saved_95
            yield f"    minutes saved by suggestions: {found.report.total.minutes_saved:.0f} [{low:.0f}, {high:.0f}]"
        yield "    " + (found.gap.sentence if found.gap is not None else NO_GAP)


NO_GAP = "Anchoring: not enough tasks yet that were annotated blind, and that were corrected from the teacher's answer."


def _line(row: Utility) -> str:
    return f"{_untouched(row)}; {_time('blind', row.blind_seconds, row.blind_timed)}, " + _time(
        "assisted", row.assisted_seconds, row.assisted_timed
    )


def _untouched(row: Utility) -> str:
    share, interval = row.untouched.value, row.untouched.interval
    if share is None or interval is None:
        return "no suggestion yet"
    return f"{share:.0%} [{interval[0]:.0%}, {interval[1]:.0%}] of {row.untouched.n} suggestions accepted untouched"


def _time(name: str, seconds: float | None, number: int) -> str:
    return f"{name} {seconds:.0f} s (n {number})" if seconds is not None else f"{name}: no times"
