"""The bootstrap distribution agrees with theory, and the bounds keep their promise."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from handover.domain import Kind
from handover.evaluation.bootstrap import classes_of, linearised, paired_bootstrap
from handover.evaluation.bounds import is_better, lower_bound, upper_bound
from handover.evaluation.power import documents_for
from handover.evaluation.scores import Counts, metric


def choice(both: int, student: int, teacher: int, neither: int = 0) -> tuple[Counts, Counts]:
    """Counts of documents that both, only the student, only the teacher, or neither got right."""
    right = np.repeat([[1, 1], [1, 0], [0, 1], [0, 0]], [both, student, teacher, neither], axis=0)
    ones = np.ones(len(right))
    return np.stack([right[:, 0], ones], axis=1), np.stack([right[:, 1], ones], axis=1)


def entities(n: int, student: float, teacher: float, seed: int, mean: float = 2.5) -> tuple[Counts, Counts]:
    """Counts of systems with these recalls and about one false alarm in four documents."""
    rng = np.random.default_rng(seed)
    size = rng.poisson(mean, n)
    tables = []
    for recall in (student, teacher):
        hits = rng.binomial(size, recall)
        tables.append(np.stack([hits, rng.poisson(mean / 10, n), size - hits], axis=1).astype(float))
    return tables[0], tables[1]


def mcnemar(wins: int, losses: int) -> float:
    """The one-sided exact p-value."""
    n = wins + losses
    return sum(math.comb(n, k) for k in range(wins, n + 1)) / 2**n


def value(kind: Kind, table: Counts) -> float:
    return float(metric(kind, table.sum(axis=0)))


def test_bootstrap_has_mean_and_variance_of_theory() -> None:
    student, teacher = choice(60, 25, 5, 10)
    samples = paired_bootstrap(Kind.CHOICE, student, teacher, seed=0)
    assert samples.shape == (10_000,)
    assert samples.mean() == pytest.approx(0.2, abs=0.003)
    assert samples.std() == pytest.approx(math.sqrt((0.3 - 0.04) / 100), rel=0.03)


@pytest.mark.parametrize("mean", [2.5, 30.0], ids=["classes", "single documents"])
def test_bootstrap_of_f_scores_is_that_of_single_documents(mean: float) -> None:
    student, teacher = entities(150, 0.8, 0.7, seed=1, mean=mean)
    rng = np.random.default_rng(5)
    drawn = rng.integers(0, 150, (4000, 150))
    plain = metric(Kind.ENTITIES, student[drawn].sum(axis=1)) - metric(Kind.ENTITIES, teacher[drawn].sum(axis=1))
    ours = paired_bootstrap(Kind.ENTITIES, student, teacher, seed=0)
    assert ours.mean() == pytest.approx(plain.mean(), abs=4 * plain.std() / math.sqrt(4000))
    assert np.quantile(ours, [0.05, 0.95]) == pytest.approx(np.quantile(plain, [0.05, 0.95]), abs=0.12 * plain.std())


def test_bootstrap_is_reproducible_and_ignores_the_order_of_documents() -> None:
    student, teacher = entities(80, 0.8, 0.7, seed=2)
    order = np.random.default_rng(0).permutation(80)
    first = paired_bootstrap(Kind.ENTITIES, student, teacher, resamples=100, seed=4)
    assert np.array_equal(first, paired_bootstrap(Kind.ENTITIES, student[order], teacher[order], resamples=100, seed=4))
    assert not np.array_equal(first, paired_bootstrap(Kind.ENTITIES, student, teacher, resamples=100, seed=5))


def test_bootstrap_of_equal_answers_or_no_documents_is_zero() -> None:
    student, _ = choice(10, 5, 5)
    assert not paired_bootstrap(Kind.CHOICE, student, student, resamples=50, seed=0).any()
    empty = np.zeros((0, 3))
    assert paired_bootstrap(Kind.ENTITIES, empty, empty, resamples=50, seed=0).tolist() == [0.0] * 50


def test_bootstrap_refuses_counts_of_other_documents() -> None:
    with pytest.raises(ValueError, match="not on the same tasks"):
        paired_bootstrap(Kind.CHOICE, np.ones((3, 2)), np.ones((4, 2)), seed=0)


def test_bootstrap_linearised_differences_average_to_the_difference() -> None:
    student, teacher = entities(200, 0.8, 0.7, seed=3)
    classes = classes_of(student, teacher)
    mean = classes.sizes @ linearised(Kind.ENTITIES, classes) / classes.n
    assert mean == pytest.approx(value(Kind.ENTITIES, student) - value(Kind.ENTITIES, teacher))


def test_bootstrap_of_a_thousand_documents_takes_less_than_a_second() -> None:
    student, teacher = entities(1000, 0.8, 0.7, seed=4, mean=12)
    started = time.process_time()
    paired_bootstrap(Kind.ENTITIES, student, teacher, resamples=2000, seed=0)
    assert (time.process_time() - started) * 5 < 3  # 0.5 s for 10,000 on an idle machine


@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.002])
@pytest.mark.parametrize(("wins", "losses"), [(4, 0), (5, 0), (7, 0), (9, 0), (12, 2), (20, 9), (30, 12), (3, 5)])
def test_bounds_of_choice_are_above_zero_exactly_when_mcnemar_rejects(wins: int, losses: int, alpha: float) -> None:
    student, teacher = choice(100 - wins - losses, wins, losses)
    low = lower_bound(Kind.CHOICE, student, teacher, alpha=alpha, resamples=500, seed=0)
    assert (low > 0) == (mcnemar(wins, losses) <= alpha)
    assert is_better(Kind.CHOICE, student, teacher, alpha=alpha, seed=0) == (low > 0)
    assert low <= (wins - losses) / 100


@pytest.mark.parametrize("n", [30, 200])
def test_bounds_of_students_that_never_differed_follow_clopper_pearson(n: int) -> None:
    student, teacher = choice(n, 0, 0)
    low = lower_bound(Kind.CHOICE, student, teacher, alpha=0.05, seed=0)
    assert low == pytest.approx(0.05 ** (1 / n) - 1, rel=0.05)


def test_bounds_are_mirrored() -> None:
    student, teacher = entities(60, 0.8, 0.75, seed=6)
    low = lower_bound(Kind.ENTITIES, student, teacher, alpha=0.05, seed=0)
    high = upper_bound(Kind.ENTITIES, student, teacher, alpha=0.05, seed=0)
    difference = value(Kind.ENTITIES, student) - value(Kind.ENTITIES, teacher)
    assert low < difference < high
    assert upper_bound(Kind.ENTITIES, teacher, student, alpha=0.05, seed=0) == -low


def test_bounds_get_wider_with_a_smaller_error_rate() -> None:
    student, teacher = entities(100, 0.85, 0.7, seed=7)
    bounds = [lower_bound(Kind.ENTITIES, student, teacher, alpha=a, seed=0) for a in (0.2, 0.05, 0.005, 0.0005)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] > 0 > bounds[-1] - 0.2


@pytest.mark.parametrize("alpha", [0.0, -0.1])
def test_bounds_without_error_rate_say_nothing(alpha: float) -> None:
    student, teacher = choice(10, 20, 0)
    assert lower_bound(Kind.CHOICE, student, teacher, alpha=alpha, seed=0) == -1
    assert upper_bound(Kind.CHOICE, student, teacher, alpha=alpha, seed=0) == 1
    assert not is_better(Kind.CHOICE, student, teacher, alpha=alpha, seed=0)


def test_bounds_refuse_an_error_rate_of_one() -> None:
    with pytest.raises(ValueError, match="below 1"):
        lower_bound(Kind.CHOICE, *choice(1, 1, 1), alpha=1.0, seed=0)


def _share_above(limit: float, tables: list[tuple[Counts, Counts]], alpha: float, kind: Kind) -> float:
    found = [lower_bound(kind, s, t, alpha=alpha, resamples=200, seed=i) > limit for i, (s, t) in enumerate(tables)]
    return float(np.mean(found))


@pytest.mark.parametrize(("n", "alpha", "margin", "discordance"), [(30, 0.05, 0.0, 0.4), (60, 0.02, 0.05, 0.1)])
def test_bounds_of_choice_are_wrong_no_more_often_than_promised(
    n: int, alpha: float, margin: float, discordance: float
) -> None:
    rng = np.random.default_rng(8)
    shares = [1 - discordance, (discordance - margin) / 2, (discordance + margin) / 2]
    tables = [choice(*rng.multinomial(n, shares)) for _ in range(400)]
    limit = alpha + 3 * math.sqrt(alpha / 400)
    assert _share_above(-margin, tables, alpha, Kind.CHOICE) <= limit


@pytest.mark.parametrize("mean", [0.4, 2.5], ids=["mostly empty", "usual"])
def test_bounds_of_entities_are_wrong_no_more_often_than_promised(mean: float) -> None:
    tables = [entities(40, 0.8, 0.8, seed=i, mean=mean) for i in range(400)]
    assert _share_above(0.0, tables, 0.05, Kind.ENTITIES) <= 0.05 + 3 * math.sqrt(0.05 / 400)


def test_bounds_do_not_trust_a_student_that_loses_rarely_but_much() -> None:
    """The student is the teacher, but fails on every tenth document: 0.05 behind. The plain quantile misses it."""
    wrong = {"plain": 0, "bound": 0}
    for i in range(150):
        teacher, _ = entities(40, 0.9, 0.9, seed=i)
        lost = np.random.default_rng(1000 + i).random(40) < 0.1
        student = teacher.copy()
        student[lost, 2] += student[lost, 0]
        student[lost, 0] = 0
        wrong["plain"] += (
            np.quantile(paired_bootstrap(Kind.ENTITIES, student, teacher, resamples=500, seed=i), 0.01) > -0.05
        )
        wrong["bound"] += lower_bound(Kind.ENTITIES, student, teacher, alpha=0.01, resamples=500, seed=i) > -0.05
    assert wrong["bound"] <= 4
    assert wrong["plain"] > wrong["bound"]


@pytest.mark.parametrize(("wins", "losses"), [(30, 10), (24, 16)])
def test_power_documents_give_four_in_five_significant_tests(wins: int, losses: int) -> None:
    shares = np.array([200 - wins - losses, wins, losses]) / 200
    classes = classes_of(*choice(200 - wins - losses, wins, losses))
    n = math.ceil(documents_for(Kind.CHOICE, classes, alpha=0.01))
    rng = np.random.default_rng(9)
    found = [is_better(Kind.CHOICE, *choice(*rng.multinomial(n, shares)), alpha=0.01, seed=0) for _ in range(300)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.08)


@pytest.mark.parametrize(
    ("tables", "margin", "alpha"),
    [(choice(50, 5, 5), 0.0, 0.05), (choice(50, 2, 8), 0.05, 0.05), (choice(50, 8, 2), 0.0, 0.0)],
    ids=["not ahead", "behind the margin", "nothing to spend"],
)
def test_power_without_prospects_is_infinite(tables: tuple[Counts, Counts], margin: float, alpha: float) -> None:
    assert documents_for(Kind.CHOICE, classes_of(*tables), alpha=alpha, margin=margin) == math.inf


def test_power_of_students_that_never_differ_follows_the_margin() -> None:
    needed = documents_for(Kind.CHOICE, classes_of(*choice(100, 0, 0)), alpha=0.01, margin=0.02)
    assert needed == pytest.approx(math.log(100) / 0.02)
    student, teacher = choice(math.ceil(needed) + 5, 0, 0)
    assert lower_bound(Kind.CHOICE, student, teacher, alpha=0.01, seed=0) > -0.02
