"""How many gold documents it takes to show a difference of the size that was seen."""

from __future__ import annotations

import math
from statistics import NormalDist

from handover.domain import Kind
from handover.evaluation.bootstrap import Classes, linearised

POWER = 0.8


def documents_for(kind: Kind, classes: Classes, *, alpha: float, margin: float = 0.0) -> float:
    """The total of documents at which the observed difference is significant with 80 % probability.

    The formula of Connor (1987), Sample size for testing differences in proportions for the paired-sample
    design, on the linearised differences, so that it serves F scores, too. With a margin, the careful bound's
    extra document is added: it alone demands about log(1 / alpha) / margin documents when the two never
    differ. Infinite when the student is not ahead of the teacher's score less the margin. An estimate from an
    estimate: good for "about".
    """
    ahead = classes.difference(kind) + margin
    if ahead <= 0 or not 0 < alpha < 1 or not classes.n:
        return math.inf
    values, weights = linearised(kind, classes), classes.sizes / classes.n
    mean = float(weights @ values)
    square = float(weights @ values**2)
    normal = NormalDist()
    null = normal.inv_cdf(1 - alpha) * math.sqrt(square)
    spread = null + normal.inv_cdf(POWER) * math.sqrt(max(0.0, square - mean**2))
    extra = math.log(1 / alpha) if margin > 0 else 0.0
    return float(((spread + math.sqrt(spread**2 + 4 * ahead * extra)) / (2 * ahead)) ** 2)
