"""How much of the permitted error a look at the gold may use, so that all looks together stay within it.

Looks come at irregular times, the amount of planned gold grows, and every look may judge another student. No
correlation between looks can be relied on then, so the classical group-sequential boundaries (Pocock; O'Brien
and Fleming) do not apply. What does is the union bound: whatever the students are, the chance that any look
promotes one that is no better is at most the sum of what the looks were allowed. This needs two things, and
both hold: no training reads gold, and the amount for a look is fixed by numbers of documents and looks alone,
never by scores (otherwise see Blum and Hardt 2015, The Ladder).

The sum is split in two halves. One is spent in proportion to new gold, as in Lan and DeMets (1983), Discrete
sequential boundaries for clinical trials: the share of the planned gold that is there now, less the largest
share of any look before. If more gold is planned later the share falls, and nothing is spent until it exceeds
the old one. The other half is for new students on the same gold, and for all the looks after the planned gold
is complete: a series over look numbers that never ends and adds up to one, as in alpha-spending for endless
sequences of tests (Foster and Stine 2008).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_GOLD_HALF = 0.5
_PATIENCE = 5
"""The larger, the more even the series over look numbers. Look k gets p / ((k + p - 1) (k + p)) of its half:
for p = 5 a sixth, then 0.12, 0.09, 0.07, and 0.008 at look 20; half of it within the first five looks. With
p = 1 the first look, with the weakest student, would take half."""


@dataclass(frozen=True)
class Look:
    """A look that was taken: gold documents then, planned ones then, and the error it was allowed."""

    n: int
    planned: int
    alpha: float


def next_alpha(alpha: float, *, n: int, planned: int, spent: Sequence[Look]) -> float:
    """The error rate that the next look may use; the sum over all looks never exceeds `alpha`.

    `n` gold documents are there, `planned` are expected in the end, `spent` are the earlier looks in any
    order. Looks that could not decide anything (a `Decision` with alpha 0) are not looks; neither is a second
    one at the same student and the same gold, whose answer is known. 0.0 when everything is spent. Raises
    ValueError for an `alpha` outside (0, 1) or a negative number of documents.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"The error rate over all looks must be in (0, 1), got {alpha}.")
    if n < 0 or planned < 0:
        raise ValueError(f"Numbers of gold documents cannot be negative, got n={n}, planned={planned}.")
    before = max((_share(look.n, look.planned) for look in spent), default=0.0)
    for_gold = max(0.0, _share(n, planned) - before)
    number = len(spent) + 1
    for_look = _PATIENCE / ((number + _PATIENCE - 1) * (number + _PATIENCE))
    amount = alpha * (_GOLD_HALF * for_gold + (1 - _GOLD_HALF) * for_look)
    left = alpha - sum(look.alpha for look in spent)
    return max(0.0, min(amount, left))


def _share(n: int, planned: int) -> float:
    """The share of the planned gold that is there, at most 1."""
    return min(1.0, n / planned) if planned > 0 else float(n > 0)
