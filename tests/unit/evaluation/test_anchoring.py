"""The anchoring gap: the teacher on blind gold and on corrected tasks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from handover.domain import Kind
from handover.evaluation.anchoring import AnchoringGap, measure_anchoring
from handover.evaluation.scores import Counts


def right(n: int, of: int) -> Counts:
    return np.repeat([[1.0, 1.0], [0.0, 1.0]], [n, of - n], axis=0)


def gap(blind: Counts, assisted: Counts, kind: Kind = Kind.CHOICE) -> AnchoringGap | None:
    return measure_anchoring(kind, blind, assisted, resamples=2000, seed=0)


def test_anchoring_gap_is_the_difference_of_both_scores() -> None:
    found = gap(right(70, 100), right(360, 400))
    assert found is not None
    assert (found.blind, found.blind_n, found.assisted, found.assisted_n) == (0.7, 100, 0.9, 400)
    assert found.gap == pytest.approx(0.2)
    half = 1.96 * math.sqrt(0.7 * 0.3 / 100 + 0.9 * 0.1 / 400)
    assert (found.low, found.high) == pytest.approx((0.2 - half, 0.2 + half), abs=0.02)
    assert found.is_shown
    assert found.sentence.startswith("Teacher cats_acc 0.900 on 400 corrected tasks, 0.700 on 100 blind ones")
    assert found.sentence.endswith("people drift towards the suggestions.")


@pytest.mark.parametrize(("blind", "assisted"), [((85, 100), (350, 400)), ((95, 100), (320, 400))])
def test_anchoring_gap_within_chance_or_reversed_is_not_shown(blind: tuple, assisted: tuple) -> None:
    found = gap(right(*blind), right(*assisted))
    assert found is not None
    assert not found.is_shown
    assert found.sentence.endswith("no drift beyond chance.")


def test_anchoring_gap_of_spans_is_of_f() -> None:
    blind = np.array([[1.0, 1.0, 1.0]] * 40)
    found = gap(blind, np.array([[2.0, 0.0, 0.0]] * 40), Kind.ENTITIES)
    assert found is not None
    assert (found.metric, found.blind, found.assisted) == ("ents_f", 0.5, 1.0)


def test_anchoring_gap_needs_tasks_with_something_to_find() -> None:
    assert gap(right(19, 19), right(100, 100)) is None
    assert gap(np.zeros((40, 3)), np.ones((40, 3)), Kind.ENTITIES) is None
