"""Many prompts at once, each with its own fate."""

from __future__ import annotations

import threading
import time

import pytest

from handover.domain import AnswerStatus
from handover.teacher.completion import Completion
from handover.teacher.fanout import ask_all
from handover.teacher.guarded import Guarded, make_guarded


def test_fanout_keeps_order_and_nesting() -> None:
    assert ask_all(str.upper, [["a", "b"], [], ["c"]], concurrency=4) == [["A", "B"], [], ["C"]]
    assert ask_all(str.upper, [], concurrency=4) == []


@pytest.mark.parametrize(("concurrency", "expected"), [(1, 1), (3, 3)])
def test_fanout_asks_as_many_at_once_as_allowed(concurrency: int, expected: int) -> None:
    running, most, lock = 0, 0, threading.Lock()
    everyone = threading.Barrier(expected, timeout=5)

    def ask(prompt: str) -> str:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        everyone.wait()
        with lock:
            running -= 1
        return prompt

    prompts = [[str(number)] for number in range(expected * 4)]
    assert ask_all(ask, prompts, concurrency=concurrency) == prompts
    assert most == expected


def test_fanout_exception_stays_with_its_prompt() -> None:
    def ask(prompt: str) -> str:
        if prompt == "bad":
            raise RuntimeError("about the text: bad")
        return prompt

    (good,), (bad,), (also_good,) = ask_all(ask, [["good"], ["bad"], ["fine"]], concurrency=2)
    assert (good, also_good) == ("good", "fine")
    assert isinstance(bad, Completion)
    assert (bad.status, bad.problem) == (AnswerStatus.FAILED, "The model raised RuntimeError.")


def test_guarded_models_answer_one_prompt_at_a_time() -> None:
    calls: list[list[list[str]]] = []

    def model(prompts: list[list[str]]) -> list[list[str]]:
        calls.append(prompts)
        if "bad" in prompts[0][0]:
            raise ConnectionError
        return [[] if "mute" in prompts[0][0] else [prompts[0][0].upper()]]

    (good,), (bad,), (mute,) = Guarded(model)([["good"], ["bad"], ["mute"]])
    assert calls == [[["good"]], [["bad"]], [["mute"]]]
    assert (good, good.status) == ("GOOD", AnswerStatus.OK)
    assert good.latency_ms >= 0
    assert (bad.status, bad.problem) == (AnswerStatus.FAILED, "The model raised ConnectionError.")
    assert (mute.status, mute.problem) == (AnswerStatus.FAILED, "The model gave no answer.")


def test_guarded_asks_several_at_once_only_where_the_model_keeps_nothing() -> None:
    from spacy_llm.models.rest.noop import NoOpModel

    most, running, lock = {"rest": 0, "other": 0}, 0, threading.Lock()

    def counted(name: str, prompts: list[list[str]]) -> list[list[str]]:
        nonlocal running
        with lock:
            running += 1
            most[name] = max(most[name], running)
        time.sleep(0.05)
        with lock:
            running -= 1
        return prompts

    class Rest(NoOpModel):
        def __call__(self, prompts: list[list[str]]) -> list[list[str]]:
            return counted("rest", prompts)

    prompts = [[str(number)] for number in range(6)]
    assert make_guarded(Rest(), concurrency=3)(prompts) == prompts
    assert make_guarded(lambda given: counted("other", given), concurrency=3)(prompts) == prompts
    assert most == {"rest": 3, "other": 1}
