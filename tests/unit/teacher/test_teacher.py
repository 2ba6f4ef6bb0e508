"""Texts in, answers out: each asked once, none lost for another."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from spacy.tokens import Doc

from handover.domain import Annotation, AnswerStatus, Aspect, Span
from handover.teacher import CachedAnswer, MemoryCache, Teacher
from handover.teacher.cache import cache_key
from handover.teacher.completion import Completion
from handover.teacher.teacher import CHUNK

BID = '{"label": "Bid"}'
Make = Callable[..., tuple[Teacher, Any]]


class WatchedCache(MemoryCache):
    """A cache that remembers what was asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[Sequence[str]] = []
        self.kept: list[Sequence[CachedAnswer]] = []

    def get(self, keys: Sequence[str]) -> Mapping[str, Completion]:
        self.got.append(keys)
        return super().get(keys)

    def put(self, entries: Sequence[CachedAnswer]) -> None:
        self.kept.append(entries)
        super().put(entries)


def text_in(prompt: Any) -> str:
    """The text of a prompt."""
    return str(prompt.text)


def test_teacher_answers_in_order_of_the_texts(scripted: Make, stage: Aspect) -> None:
    labels = {"buy": "Bid", "sell": "Offer", "sold": "Trade"}
    teacher, _ = scripted(stage, lambda prompt: f'{{"label": "{labels[text_in(prompt)]}"}}')
    answers = teacher.annotate(["sold", "buy", "sell", "buy"], MemoryCache())
    cats = [answer.annotation.cats for answer in answers if answer.annotation]
    assert cats == [("Trade",), ("Bid",), ("Offer",), ("Bid",)]
    assert all(isinstance(answer.doc, Doc) and answer.doc.cats for answer in answers)
    assert teacher.annotate([], MemoryCache()) == []


def test_teacher_second_time_costs_nothing(scripted: Make, stage: Aspect) -> None:
    teacher, model = scripted(stage, Completion(BID, input_tokens=7, output_tokens=2, cached_tokens=5))
    cache = MemoryCache()
    (first,) = teacher.annotate(["a bid"], cache)
    (second,) = teacher.annotate(["a bid"], cache)
    assert len(model.prompts) == 1
    assert (first.from_cache, second.from_cache) == (False, True)
    assert (second.input_tokens, second.output_tokens, second.cached_tokens) == (7, 2, 5)
    assert second == replace(first, from_cache=True)


def test_teacher_same_words_in_another_order_are_another_question(scripted: Make, stage: Aspect) -> None:
    teacher, model = scripted(stage, BID)
    cache = MemoryCache()
    one, other = teacher.annotate(["dog bites man", "man bites dog"], cache)
    assert one.key != other.key
    assert [text_in(prompt) for prompt in model.prompts] == ["dog bites man", "man bites dog"]
    teacher.annotate(["bites man dog"], cache)
    assert len(model.prompts) == 3


def test_teacher_asks_the_same_text_once_per_call(scripted: Make, stage: Aspect) -> None:
    teacher, model = scripted(stage, BID)
    cache = WatchedCache()
    answers = teacher.annotate(["x", "y", "x", "x"], cache)
    assert len(model.prompts) == 2
    assert [answer.from_cache for answer in answers] == [False, False, True, True]
    assert [answer.status for answer in answers] == [AnswerStatus.OK] * 4
    assert len({id(answer.doc) for answer in answers}) == 4
    assert [len(keys) for keys in cache.got] == [2]


def test_teacher_key_is_model_and_full_prompt(scripted: Make, stage: Aspect) -> None:
    teacher, model = scripted(stage, BID)
    (answer,) = teacher.annotate(["x"], MemoryCache())
    assert answer.key == cache_key(teacher.model_id, model.prompts[0])
    guided, _ = scripted(stage, BID, guidelines="House rule.")
    assert guided.annotate(["x"], MemoryCache())[0].key != answer.key
    assert guided.id != teacher.id
    assert teacher.id == f"{teacher.model_id}-{teacher.prompt_hash[:8]}"


@pytest.mark.parametrize(
    ("completion", "status", "is_kept"),
    [
        (Completion(BID), AnswerStatus.OK, True),
        (Completion("hm"), AnswerStatus.UNPARSED, True),
        (Completion("", status=AnswerStatus.REFUSED, problem="refused"), AnswerStatus.REFUSED, True),
        (Completion("", status=AnswerStatus.FAILED, problem="away"), AnswerStatus.FAILED, False),
    ],
)
def test_teacher_keeps_all_but_failures(
    scripted: Make, stage: Aspect, completion: Completion, status: AnswerStatus, is_kept: bool
) -> None:
    teacher, model = scripted(stage, completion)
    cache = WatchedCache()
    (first,) = teacher.annotate(["x"], cache)
    (again,) = teacher.annotate(["x"], cache)
    assert [first.status, again.status] == [status, status]
    assert first.problems == again.problems
    assert (first.annotation is None) == (status is not AnswerStatus.OK)
    assert len(model.prompts) == (1 if is_kept else 2)
    assert [entry.status for entries in cache.kept for entry in entries] == ([status] if is_kept else [])


def with_limit(teacher: Teacher, model: Any, *, limit: int) -> tuple[Teacher, Any]:
    return Teacher(teacher._nlp, model_id=teacher.model_id, max_tokens=limit), model


def test_teacher_cut_off_by_the_limit_of_its_own_config_is_not_asked_again(scripted: Make, stage: Aspect) -> None:
    cut_off = Completion('{"la', status=AnswerStatus.UNPARSED, stop_reason="max_tokens", output_tokens=64)
    cache = MemoryCache()
    for _ in range(2):
        teacher, model = scripted(stage, cut_off, max_tokens=2048)
        teacher.annotate(["x"], cache)
    assert model.prompts == []


def test_teacher_cut_off_answer_is_asked_again_with_a_higher_limit(scripted: Make, stage: Aspect) -> None:
    cut_off = Completion('{"la', status=AnswerStatus.UNPARSED, stop_reason="max_tokens", output_tokens=64)
    cache = MemoryCache()
    teacher, model = with_limit(*scripted(stage, cut_off), limit=64)
    teacher.annotate(["x"], cache)
    (answer,) = teacher.annotate(["x"], cache)
    assert (len(model.prompts), answer.status) == (1, AnswerStatus.UNPARSED)
    patient, model = with_limit(*scripted(stage, BID), limit=128)
    (answer,) = patient.annotate(["x"], cache)
    assert (len(model.prompts), answer.status) == (1, AnswerStatus.OK)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty text"),
        (" \n\t\u00a0", "empty text"),
        ("a \ud83d b", "not valid Unicode"),
        ("x" * 1_000_001, "has 1000001 characters, at most 1000000"),
    ],
)
def test_teacher_does_not_ask_about_unusable_texts(scripted: Make, stage: Aspect, text: str, problem: str) -> None:
    teacher, model = scripted(stage, BID)
    bad, good = teacher.annotate([text, "fine"], MemoryCache())
    assert bad.status is AnswerStatus.FAILED
    assert problem in bad.problems[0]
    assert (bad.key, bad.doc, bad.annotation) == ("", None, None)
    assert good.status is AnswerStatus.OK
    assert [text_in(prompt) for prompt in model.prompts] == ["fine"]


def test_teacher_exception_for_one_text_loses_no_other(scripted: Make, stage: Aspect) -> None:
    def answer(prompt: Any) -> str:
        if text_in(prompt) == "bad":
            raise TimeoutError("no answer about: bad")
        return BID

    teacher, model = scripted(stage, answer)
    answers = teacher.annotate(["one", "bad", "two"], MemoryCache())
    assert [a.status for a in answers] == [AnswerStatus.OK, AnswerStatus.FAILED, AnswerStatus.OK]
    assert answers[1].problems == ("The model raised TimeoutError.",)
    assert len(model.prompts) == 3


def test_teacher_keeps_answers_chunk_by_chunk(scripted: Make, stage: Aspect) -> None:
    teacher, model = scripted(stage, BID)
    cache = WatchedCache()
    answers = teacher.annotate([f"text {number}" for number in range(CHUNK + 5)], cache)
    assert [len(entries) for entries in cache.kept] == [CHUNK, 5]
    assert len(answers) == len(model.prompts) == CHUNK + 5


def test_teacher_entities_are_exact_and_partial_answers_say_so(scripted: Make, terms: Aspect) -> None:
    completion = '{"entities": [{"text": "oslo", "label": "PLACE"}, {"text": "$5", "label": "PRICE"}]}'
    teacher, _ = scripted(terms, completion)
    cache = MemoryCache()
    for _ in range(2):
        (answer,) = teacher.annotate(["🙂 İ costs $5"], cache)
        assert answer.status is AnswerStatus.OK
        assert answer.annotation == Annotation(spans=(Span(10, 12, "PRICE"),))
        assert answer.problems == ("entity 1 of 2: its words are not in the text",)
        assert answer.completion == completion


def test_teacher_completion_of_equal_prompts_is_read_for_each_text(scripted: Make, stage: Aspect) -> None:
    # An answer that a later version of Handover can read better is read anew from the cache.
    teacher, model = scripted(stage, "unused")
    (key,) = [a.key for a in teacher.annotate(["x"], MemoryCache())]
    cache = MemoryCache()
    cache.put([CachedAnswer(key, teacher.model_id, BID, AnswerStatus.UNPARSED, ("old problem",))])
    (answer,) = teacher.annotate(["x"], cache)
    assert (answer.status, answer.problems, answer.from_cache) == (AnswerStatus.OK, (), True)
    assert len(model.prompts) == 1


def test_teacher_does_not_log_texts(scripted: Make, stage: Aspect, caplog: pytest.LogCaptureFixture) -> None:
    def answer(prompt: Any) -> str:
        if "fail" in text_in(prompt):
            raise ValueError(f"cannot answer {prompt}")
        return "cannot say much about Wolfsburg"

    teacher, _ = scripted(stage, answer)
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, logger="spacy_llm"):
        answers = teacher.annotate(["in Wolfsburg", "fail Wolfsburg", "", "in Wolfsburg"], MemoryCache())
    told = [record for record in caplog.records if record.levelno >= logging.INFO]
    assert any(record.levelno == logging.DEBUG and "Wolfsburg" in record.getMessage() for record in caplog.records)
    assert told and not [record for record in told if "Wolfsburg" in record.getMessage() + str(record.exc_info)]
    assert "4 texts (1 from the cache): 2 failed, 2 unparsed" in told[-1].getMessage()
    assert "Wolfsburg" not in repr(answers) + str([answer.problems for answer in answers])
