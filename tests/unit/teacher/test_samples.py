"""Self-consistency: several samples of one question, and what they have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import cycle
from typing import Any

import pytest

from handover.domain import Annotation, AnswerStatus, Aspect, Kind, Relation, Span
from handover.teacher import MemoryCache, Teacher
from handover.teacher.completion import Completion
from handover.teacher.votes import vote

Make = Callable[..., tuple[Teacher, Any]]

FAILED = Completion(status=AnswerStatus.FAILED, problem="away")


def choice(label: str) -> str:
    return f'{{"label": "{label}"}}'


def cats(*labels: str) -> Annotation:
    return Annotation(cats=labels)


def spans(*given: tuple[int, int, str]) -> Annotation:
    return Annotation(spans=tuple(Span(*s) for s in given))


A, B, C = (0, 2, "A"), (3, 5, "B"), (6, 9, "A")


@pytest.mark.parametrize(
    ("kind", "answers", "samples", "expected", "agreement"),
    [
        (Kind.CHOICE, [cats("x"), cats("x"), cats("y")], 3, cats("x"), 2 / 3),
        (Kind.CHOICE, [cats("y"), cats("x")], 2, cats("y"), 1 / 2),
        (Kind.CHOICE, [cats("x"), cats("x")], 3, cats("x"), 2 / 3),
        (Kind.CHOICES, [cats("x", "y"), cats("y"), cats("y", "z")], 3, cats("y"), (2 / 3 + 1 + 2 / 3) / 3),
        (Kind.CHOICES, [cats(), cats(), cats("x")], 3, cats(), 2 / 3),
        (Kind.ENTITIES, [spans(A, B), spans(A), spans(A, C)], 3, spans(A), (2 / 3 + 1 + 2 / 3) / 3),
        (Kind.ENTITIES, [spans(), spans(), spans()], 3, spans(), 1.0),
        (Kind.SPANS, [spans(A, B), spans(B, A), spans()], 3, spans(A, B), 2 / 3),
        (Kind.ENTITIES, [spans(A), spans(B)], 2, spans(), 0.0),
    ],
)
def test_vote_says_what_most_samples_say_and_how_far_they_agree(
    kind: Kind, answers: list[Annotation], samples: int, expected: Annotation, agreement: float
) -> None:
    assert vote(kind, answers, samples=samples) == (expected, pytest.approx(agreement))


def test_vote_of_relations_keeps_the_spans_that_they_connect() -> None:
    one = Annotation(spans=(Span(*A), Span(*B)), relations=(Relation(0, 1, "owns"),))
    two = Annotation(spans=(Span(*A), Span(*B), Span(*C)), relations=(Relation(0, 1, "owns"), Relation(2, 1, "owns")))
    three = Annotation(spans=(Span(*A), Span(*C)), relations=())
    voted, agreement = vote(Kind.RELATIONS, [one, two, three], samples=3)
    assert voted == Annotation(spans=(Span(*A), Span(*B), Span(*C)), relations=(Relation(0, 1, "owns"),))
    assert agreement == pytest.approx((6 / 7 + 8 / 9 + 4 / 6) / 3)


def test_samples_are_different_prompts_with_cache_entries_of_their_own(scripted: Make, stage: Aspect) -> None:
    teacher, model = scripted(stage, choice("Bid"), samples=3)
    cache = MemoryCache()
    (answer,) = teacher.annotate(["x"], cache)
    assert (answer.status, answer.annotation, answer.agreement) == (AnswerStatus.OK, cats("Bid"), 1.0)
    assert len(set(model.prompts)) == len(model.prompts) == 3
    assert len({sample.key for sample in teacher.questions("x")}) == 3
    (again,) = teacher.annotate(["x"], cache)
    assert (len(model.prompts), again.from_cache, again.agreement) == (3, True, 1.0)


def test_samples_of_a_question_that_cannot_vary_are_still_asked(scripted: Make, stage: Aspect) -> None:
    teacher, model = scripted(replace(stage, labels=stage.labels[:1]), choice("Bid"), samples=3)
    teacher.annotate(["x"], MemoryCache())
    assert (len(model.prompts), len(set(model.prompts))) == (3, 1), "at its own temperature a model varies"


def test_samples_make_another_teacher(scripted: Make, stage: Aspect) -> None:
    single, _ = scripted(stage, choice("Bid"))
    triple, _ = scripted(stage, choice("Bid"), samples=3)
    five, _ = scripted(stage, choice("Bid"), samples=5)
    assert len({single.id, triple.id, five.id}) == 3
    assert single.questions("x")[0].key == triple.questions("x")[0].key, "what one was asked the other need not ask"


@pytest.mark.parametrize(
    ("said", "status", "expected", "agreement"),
    [
        ([choice("Bid"), choice("Offer"), choice("Bid")], AnswerStatus.OK, cats("Bid"), 2 / 3),
        ([choice("Bid"), "nonsense", "nonsense"], AnswerStatus.OK, cats("Bid"), 1 / 3),
        (["nonsense", "nonsense", "nonsense"], AnswerStatus.UNPARSED, None, None),
        ([choice("Bid"), FAILED, choice("Bid")], AnswerStatus.OK, cats("Bid"), 1.0),
        ([choice("Bid"), FAILED, FAILED], AnswerStatus.FAILED, None, None),
    ],
)
def test_samples_without_an_answer_do_not_agree_and_failed_ones_do_not_count(
    scripted: Make, stage: Aspect, said: list[Any], status: AnswerStatus, expected: Annotation | None, agreement: Any
) -> None:
    answers = cycle(said)
    teacher, _ = scripted(stage, lambda _prompt: next(answers), samples=3)
    (answer,) = teacher.annotate(["x"], MemoryCache())
    assert (answer.status, answer.annotation) == (status, expected)
    assert answer.agreement == (pytest.approx(agreement) if agreement is not None else None)


def test_samples_that_failed_are_all_that_is_asked_again(scripted: Make, stage: Aspect) -> None:
    answers = cycle([choice("Bid"), FAILED, FAILED, choice("Bid"), choice("Offer")])
    teacher, model = scripted(stage, lambda _prompt: next(answers), samples=3)
    cache = MemoryCache()
    (first,) = teacher.annotate(["x"], cache)
    (second,) = teacher.annotate(["x"], cache)
    assert (first.status, second.annotation, second.agreement) == (
        AnswerStatus.FAILED,
        cats("Bid"),
        pytest.approx(2 / 3),
    )
    assert len(model.prompts) == 5
