"""Agreement between people, checked by hand and against published examples."""

from __future__ import annotations

import pytest

from handover.domain import Annotation, Kind, Relation, Span
from handover.evaluation.agreement import Agreement, ByAnnotator, measure_agreement

LABELS = ("yes", "no")


def choices(*columns: str) -> list[ByAnnotator]:
    """One string an annotator, one letter a task (y, n, or . for none)."""
    names = {"y": "yes", "n": "no"}
    return [
        {who: Annotation(cats=(names[c],)) for who, c in enumerate(letters) if c != "."}
        for letters in zip(*columns, strict=True)
    ]


def agree(kind: Kind, tasks: list[ByAnnotator], labels: tuple[str, ...] = LABELS) -> Agreement:
    return measure_agreement(kind, tasks, labels=labels, resamples=200, seed=0)


def test_agreement_of_two_annotators_is_cohens_kappa() -> None:
    """The usual example: 50 proposals, 20 yes-yes, 15 no-no, 5 and 10 mixed; kappa is 0.4."""
    found = agree(Kind.CHOICE, choices("y" * 25 + "n" * 25, "y" * 20 + "n" * 5 + "y" * 10 + "n" * 15))
    assert (found.n, found.metric, found.ceiling) == (50, "cats_acc", 0.7)
    (pair,) = found.pairs
    assert (pair.first, pair.second, pair.n, pair.score) == (0, 1, 50, 0.7)
    assert pair.kappa == pytest.approx(0.4)
    assert found.low is not None
    assert found.high is not None
    assert 0.5 < found.low < 0.7 < found.high < 0.9


def test_agreement_with_gaps_is_krippendorffs_alpha() -> None:
    """Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, example C: 0.743 for nominal data."""
    columns = ("1233214 12...", "123322412 5.3", ".33323422 51.", "123324412 51.")
    columns = tuple(column.replace(" ", "") for column in columns)
    tasks = [
        {who: Annotation(cats=(value,)) for who, value in enumerate(values) if value != "."}
        for values in zip(*columns, strict=True)
    ]
    found = agree(Kind.CHOICE, tasks, tuple("12345"))
    assert found.n == 11
    assert found.alpha == pytest.approx(0.743, abs=0.0005)


def test_agreement_of_a_perfect_team_is_one() -> None:
    found = agree(Kind.CHOICE, choices("yyyy", "yyyy"))
    assert (found.ceiling, found.alpha, found.pairs[0].kappa, found.low, found.high) == (1, 1, 1, 1, 1)
    assert found.per_label == {"yes": 1.0, "no": None}


def test_agreement_weighs_tasks_and_not_pairs() -> None:
    """One task with four annotators (six pairs) that agree, one with two that do not."""
    found = agree(Kind.CHOICE, choices("yy", "yn", "y.", "y."))
    assert found.ceiling == 0.5
    assert [pair.n for pair in found.pairs] == [2, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("tasks", [[], [{}], choices("yyy"), [{1: Annotation(), 2: Annotation(cats=("yes",))}]])
def test_agreement_needs_two_answers_to_a_task(tasks: list[ByAnnotator]) -> None:
    found = agree(Kind.CHOICE, tasks)
    assert (found.n, found.ceiling, found.alpha, found.pairs) == (0, None, None, ())


def test_agreement_of_any_of_several_labels_counts_shared_ones() -> None:
    both, one, none = Annotation(cats=("yes", "no")), Annotation(cats=("yes",)), Annotation()
    found = agree(Kind.CHOICES, [{"a": both, "b": one}, {"a": none, "b": none}, {"a": one, "b": one}])
    assert found.ceiling == pytest.approx(4 / 5)
    assert found.alpha is not None
    assert 0 < found.alpha < 1
    assert found.per_label == {"yes": 1.0, "no": 0.0}
    assert found.pairs[0].kappa is None


@pytest.mark.parametrize("kind", [Kind.ENTITIES, Kind.SPANS])
def test_agreement_on_spans_is_their_f(kind: Kind) -> None:
    first = Annotation(spans=(Span(0, 4, "yes"), Span(5, 9, "no")))
    second = Annotation(spans=(Span(0, 4, "yes"), Span(5, 8, "no")))
    found = agree(kind, [{1: first, 2: second}, {1: Annotation(), 2: Annotation()}, {1: first, 2: first}])
    assert found.ceiling == pytest.approx(3 / 4)
    assert found.alpha is None
    assert found.per_label == {"yes": 1.0, "no": 0.5}


def test_agreement_on_relations_is_their_f() -> None:
    spans = (Span(0, 4, "x"), Span(5, 9, "x"))
    there, back = (Annotation(spans=spans, relations=(Relation(*ends, "yes"),)) for ends in ((0, 1), (1, 0)))
    assert agree(Kind.RELATIONS, [{1: there, 2: there}, {1: there, 2: back}]).ceiling == 0.5


def test_agreement_is_reproducible_whatever_the_order_of_annotators() -> None:
    tasks = choices("yynnyn", "ynnnyy", "yynnnn")
    turned = [dict(reversed(task.items())) for task in tasks]
    assert agree(Kind.CHOICE, tasks) == agree(Kind.CHOICE, turned)
