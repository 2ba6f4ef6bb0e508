"""The student where it is sure, the teacher for the rest: chosen on dev, judged on gold."""

from __future__ import annotations

import json

import numpy as np
import pytest

from handover.domain import Kind, Outcome
from handover.evaluation.gate import judge
from handover.evaluation.routing import Curve, choose_threshold, route, route_curve, routed_counts
from handover.evaluation.scores import Counts, metric


def right(*values: int) -> Counts:
    return np.array([[v, 1] for v in values], dtype=float)


def world(n: int, seed: int, *, sure: float = 0.98, unsure: float = 0.6) -> tuple[Counts, Counts, list[float]]:
    """A teacher that is right in 0.9; a student that is right in `sure` of the half it is confident about."""
    rng = np.random.default_rng(seed)
    confidences = rng.random(n)
    student = rng.random(n) < np.where(confidences > 0.5, sure, unsure)
    return right(*student), right(*(rng.random(n) < 0.9)), [float(c) for c in confidences]


def test_routing_curve_by_hand() -> None:
    curve = route_curve(Kind.CHOICE, right(1, 1, 0, 0), right(1, 0, 1, 1), [0.9, 0.8, 0.8, 0.3], teacher_cost=2.0)
    assert [(p.threshold, p.coverage, p.quality, p.cost) for p in curve.points] == [
        (None, 0.0, 0.75, 2.0),
        (0.9, 0.25, 0.75, 1.5),
        (0.8, 0.75, 0.75, 0.5),
        (0.3, 1.0, 0.5, 0.0),
    ]
    assert [(p.student_quality, p.teacher_quality) for p in curve.points[1:]] == [(1, 1), (2 / 3, 2 / 3), (0.5, 0.75)]
    assert (curve.teacher, curve.student, curve.n) == (0.75, 0.5, 4)
    assert json.loads(json.dumps([p.to_json() for p in curve.points]))[0]["threshold"] is None


def test_routing_curve_agrees_with_routed_counts_for_f() -> None:
    rng = np.random.default_rng(0)
    student, teacher = (rng.poisson(1.0, (60, 3)).astype(float) for _ in range(2))
    confidences = [None if c < 0.1 else round(float(c), 1) for c in rng.random(60)]
    curve = route_curve(Kind.ENTITIES, student, teacher, confidences)
    assert curve.points[-1].coverage < 1
    for point in curve.points[1:]:
        assert point.threshold is not None
        table = routed_counts(student, teacher, confidences, threshold=point.threshold)
        assert point.quality == pytest.approx(float(metric(Kind.ENTITIES, table.sum(axis=0))))
        assert point.coverage == np.mean([c is not None and c >= point.threshold for c in confidences])


def test_routing_curve_of_many_documents_is_thinned() -> None:
    curve = route_curve(Kind.CHOICE, *world(3000, 0))
    assert len(curve.points) == 201
    assert curve.points[-1].coverage == 1


def test_routing_without_confidences_is_the_teacher_alone() -> None:
    curve = route_curve(Kind.CHOICE, right(*[1] * 20), right(*[0] * 20), [None] * 20)
    assert [p.threshold for p in curve.points] == [None]
    assert choose_threshold(curve) is None


def test_routing_at_parity_takes_the_widest_coverage() -> None:
    curve = route_curve(Kind.CHOICE, *world(2000, 1))
    point = choose_threshold(curve, margin=0.02)
    assert point is not None
    assert point.quality >= curve.teacher > curve.student
    assert 0.55 < point.coverage < 0.8
    wider = [p for p in curve.points if p.coverage > point.coverage]
    assert all(p.quality < curve.teacher for p in wider)


def test_routing_without_margin_takes_the_best_quality() -> None:
    curve = route_curve(Kind.CHOICE, *world(2000, 1))
    point = choose_threshold(curve)
    assert point is not None
    assert point.quality == max(p.quality for p in curve.points) > curve.teacher
    assert point.coverage == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(("target", "found"), [(0.5, True), (0.99, False)])
def test_routing_to_a_target(target: float, found: bool) -> None:
    point = choose_threshold(route_curve(Kind.CHOICE, *world(400, 1)), target=target)
    assert (point is not None) == found
    assert point is None or point.coverage == 1


def test_routing_does_not_choose_what_a_few_documents_say() -> None:
    student, teacher = right(*[1] * 9, *[0] * 40), right(*[0] * 9, *[1] * 40)
    curve = route_curve(Kind.CHOICE, student, teacher, [0.9] * 9 + [0.1] * 40)
    assert max(p.quality for p in curve.points) == 1
    assert choose_threshold(curve) is None


def test_routing_answers_come_from_whom_they_should() -> None:
    assert route(["s1", "s2", "s3"], ["t1", "t2", "t3"], [0.5, None, 0.49], threshold=0.5) == ["s1", "t2", "t3"]


@pytest.mark.parametrize(
    ("student", "teacher", "confidences"),
    [(right(1), right(1, 0), [0.5]), (right(1), right(1), [0.5, 0.5]), (right(1)[:0], right(1)[:0], [])],
)
def test_routing_refuses_other_documents(student: Counts, teacher: Counts, confidences: list[float]) -> None:
    with pytest.raises(ValueError, match="not of the same documents"):
        route_curve(Kind.CHOICE, student, teacher, confidences)


def _handed_over(seed: int, **options: float) -> bool:
    dev, gold = world(100, 2 * seed, **options), world(300, 2 * seed + 1, **options)
    point = choose_threshold(route_curve(Kind.CHOICE, *dev))
    if point is None or point.threshold is None:
        return False
    routed = routed_counts(*gold, threshold=point.threshold)
    decision = judge(Kind.CHOICE, routed, gold[1], alpha=0.05, min_gold=30, resamples=100, seed=0)
    return decision.outcome is Outcome.PROMOTE


def test_routing_that_only_looks_good_on_dev_is_stopped_by_gold() -> None:
    """The student is as good as the teacher wherever it is sure: the best point on dev is luck."""
    assert np.mean([_handed_over(seed, sure=0.9, unsure=0.9) for seed in range(80)]) <= 0.05 + 3 * 0.0244


def test_routing_passes_the_gate_where_the_student_alone_does_not() -> None:
    seeds = range(20)
    assert np.mean([_handed_over(seed, sure=1.0) for seed in seeds]) >= 0.6
    student, teacher, _ = world(300, 1, sure=1.0)
    alone = judge(Kind.CHOICE, student, teacher, alpha=0.05, min_gold=30, resamples=100, seed=0)
    assert alone.outcome is Outcome.KEEP


def test_routing_curve_is_plain_data() -> None:
    curve = route_curve(Kind.CHOICE, *world(50, 3))
    assert isinstance(curve, Curve)
    assert {type(v) for p in curve.points[1:] for v in p.to_json().values()} == {float}
