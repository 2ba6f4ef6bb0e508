"""Models that are not ours: spacy-llm's own OpenAI class against a server on the wire, and what can go wrong."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest
import requests

from handover.domain import AnswerStatus, Aspect
from handover.errors import ConfigError
from handover.settings import TeacherChoice
from handover.teacher import MemoryCache, Teacher, TeacherAnswer, TeacherSpec, build_teacher
from handover.teacher.foreign import Foreign, make_foreign
from tests.openai_stub import OpenAIStub, Reply, failure, openai_stub

CONFIG = """
[components]
[components.llm]
[components.llm.model]
@llm_models = "spacy.GPT-4.v3"
name = "{name}"
endpoint = "{endpoint}"
max_tries = 2
interval = 0.01
max_request_time = 0.2
"""


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIStub]:
    """A server that also stands in for api.openai.com, which spacy-llm asks for its models."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-key-of-ours")
    get = requests.get
    with openai_stub(lambda _request: '{"label": "Bid"}') as running:
        moved = {"https://api.openai.com/v1/models": f"{running.base}/v1/models"}
        monkeypatch.setattr(requests, "get", lambda url, **more: get(moved[url], **more))
        yield running


def teacher_of(aspect: Aspect, stub: OpenAIStub, *, name: str = "stub-model", more: str = "") -> Teacher:
    text = CONFIG.format(name=name, endpoint=stub.url) + more
    teacher = build_teacher(aspect, TeacherSpec(TeacherChoice.CLAUDE, config_text=text), language="xx")
    assert teacher is not None
    return teacher


def ask(aspect: Aspect, stub: OpenAIStub, *texts: str, **more: Any) -> list[TeacherAnswer]:
    return teacher_of(aspect, stub, **more).annotate(texts or ("we bid for copper at Rotterdam",), MemoryCache())


def test_foreign_openai_class_of_spacy_llm_answers(stage: Aspect, stub: OpenAIStub) -> None:
    answers = ask(stage, stub, *[f"text {i}" for i in range(20)])
    assert {answer.annotation and answer.annotation.cats for answer in answers} == {("Bid",)}
    assert {(a.input_tokens, a.output_tokens) for a in answers} == {(None, None)}, "this class does not tell"
    assert all(answer.latency_ms is not None for answer in answers)
    assert len(stub.requests) == 20
    assert {header["Authorization"] for header in stub.headers} == {"Bearer sk-secret-key-of-ours"}


def test_foreign_openai_class_repeats_a_429_itself(stage: Aspect, stub: OpenAIStub) -> None:
    replies = iter([failure(429)])
    stub.answer = lambda _request: next(replies, '{"label": "Bid"}')
    assert ask(stage, stub)[0].status is AnswerStatus.OK
    assert len(stub.requests) == 2


@pytest.mark.parametrize(
    ("reply", "status", "says"),
    [
        (failure(429), "failed", "ConnectionError: API could not be reached"),
        (failure(500, "overloaded"), "failed", "ValueError: Request to OpenAI API failed: overloaded."),
        (failure(400, "cannot read: we bid for copper at Rotterdam"), "failed", "The model raised ValueError."),
        (failure(401, "wrong key sk-secret-key-of-ours"), "failed", "The model raised ValueError."),
        (Reply(502, "<html>Bad gateway</html>"), "failed", "ValueError"),
        (Reply(200, {"choices": []}), "failed", "The model raised AssertionError."),
        (Reply(200, {"error": "sorry"}), "failed", "ValueError: API call failed"),
        (Reply(delay=0.4), "failed", "TimeoutError: Request time out."),
        ("The stage is Bid.", "unparsed", "there is no complete JSON object in it"),
        ('{"label": "Bid"} or {"label": "Offer"}', "unparsed", "2 different answers"),
        ('{"label": "Sell"}', "unparsed", "not one of the 3 labels"),
        ('I would say {"label": "bid",}.', "ok", ""),
    ],
)
def test_foreign_answers_that_go_wrong_stay_with_their_text(
    stage: Aspect, stub: OpenAIStub, reply: Any, status: str, says: str
) -> None:
    def answer(request: dict[str, Any]) -> Any:
        return '{"label": "Bid"}' if "another text" in str(request) else reply

    stub.answer = answer
    first, second = ask(stage, stub, "we bid for copper at Rotterdam", "another text")
    assert (first.status.value, second.status) == (status, AnswerStatus.OK)
    assert says in " ".join(first.problems)
    assert "copper" not in " ".join(first.problems)
    assert "secret" not in " ".join(first.problems)


def test_foreign_error_that_spacy_llm_hands_over_as_an_answer_is_not_one(stage: Aspect, stub: OpenAIStub) -> None:
    stub.answer = lambda _request: Reply(200, {"error": "sorry"})
    (answer,) = ask(stage, stub, more="strict = false\n")
    assert (answer.status, answer.completion) == (AnswerStatus.UNPARSED, '{"error":"sorry"}')


def test_foreign_unknown_model_is_a_failure_that_names_the_models(stage: Aspect, stub: OpenAIStub) -> None:
    (answer,) = ask(stage, stub, name="other-model")
    assert answer.status is AnswerStatus.FAILED
    assert "The model 'other-model' cannot be loaded: ValueError" in answer.problems[0]
    assert "stub-model" in answer.problems[0]


def test_foreign_model_is_built_once_and_late() -> None:
    from spacy_llm.registry import registry

    built: list[int] = []

    def make() -> Any:
        built.append(1)
        return lambda prompts: [["fine"] for _ in prompts]

    registry.llm_models("test.Slow.v1", func=make)
    model = Foreign({"@llm_models": "test.Slow.v1"})
    assert not built
    threads = [threading.Thread(target=model, args=([["a"], ["b"]],)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert built == [1]


def test_foreign_model_that_cannot_be_built_is_tried_again_later() -> None:
    from spacy_llm.registry import registry

    now, tries = [0.0], []

    def make() -> Any:
        tries.append(now[0])
        if len(tries) < 2:
            raise RuntimeError("no GPU")
        return lambda prompts: [["fine"] for _ in prompts]

    registry.llm_models("test.Broken.v1", func=make)
    model = Foreign({"@llm_models": "test.Broken.v1"}, clock=lambda: now[0])
    said = []
    for moment in (1.0, 30.0, 62.0):
        now[0] = moment
        ((completion,),) = model([["a"]])
        said.append(getattr(completion, "problem", str(completion)))
    assert tries == [1.0, 62.0]
    assert said == ["The model 'test.Broken.v1' cannot be loaded: RuntimeError: no GPU."] * 2 + ["fine"]


@pytest.mark.skipif(find_spec("torch") is not None, reason="would load a model of several gigabytes")
def test_foreign_hugging_face_without_torch_says_so() -> None:
    model = Foreign({"@llm_models": "spacy.Mistral.v1", "name": "Mistral-7B-Instruct-v0.1"})
    ((completion,),) = model([["a"]])
    assert completion.status is AnswerStatus.FAILED
    assert "cannot be loaded: " in completion.problem


def test_foreign_exists_only_while_building() -> None:
    with pytest.raises(ConfigError, match="only exists while"):
        make_foreign()
