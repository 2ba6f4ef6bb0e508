"""`handover.OpenAI.v1` against a server on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from handover.domain import AnswerStatus
from handover.errors import ConfigError, TeacherError
from handover.teacher import openai_chat
from handover.teacher.completion import Completion
from handover.teacher.openai_chat import OpenAIChat, make_openai
from handover.teacher.prompt import Prompt
from tests.openai_stub import OpenAIStub, Reply, completion, failure, openai_stub

SCHEMA = {"type": "object", "properties": {"label": {"type": "string"}}}
PROMPT = Prompt(system="You label texts.", user="<text>\nwe sell copper at Rotterdam\n</text>", text="x", schema=SCHEMA)


@pytest.fixture
def stub() -> Iterator[OpenAIStub]:
    with openai_stub(lambda _request: '{"label": "Offer"}') as running:
        yield running


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_chat, "FIRST_WAIT", 0.0)
    monkeypatch.setattr(openai_chat, "LONGEST_WAIT", 0.0)


def ask(stub: OpenAIStub, prompt: str = PROMPT, **more: Any) -> Completion:
    model = OpenAIChat("stub-model", endpoint=stub.url, **{"retries": 1, "timeout": 5.0, **more})
    ((found,),) = model([[prompt]])
    assert isinstance(found, Completion)
    return found


def test_openai_sends_the_parts_of_a_prompt_and_tells_the_tokens(stub: OpenAIStub) -> None:
    found = ask(stub, config={"temperature": 0.0, "max_tokens": 77}, api_key=SecretStr("sk-1"))
    (sent,) = stub.requests
    assert sent == {
        "messages": [{"role": "system", "content": PROMPT.system}, {"role": "user", "content": PROMPT.user}],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA},
        },
        "temperature": 0.0,
        "max_tokens": 77,
        "model": "stub-model",
    }
    assert stub.headers[0]["Authorization"] == "Bearer sk-1"
    assert (found, found.status, found.model) == ('{"label": "Offer"}', AnswerStatus.OK, "stub-model")
    assert (found.input_tokens, found.output_tokens, found.cached_tokens) == (120, 9, 64)
    assert found.latency_ms is not None


def test_openai_sends_a_plain_prompt_and_no_key_where_there_is_none(stub: OpenAIStub) -> None:
    ask(stub, "just this")
    assert stub.requests == [{"messages": [{"role": "user", "content": "just this"}], "model": "stub-model"}]
    assert "Authorization" not in stub.headers[0]


def test_openai_leaves_numbers_unknown_that_the_server_does_not_tell(stub: OpenAIStub) -> None:
    stub.answer = lambda _request: Reply(body={"choices": [{"message": {"content": "yes"}}]})
    found = ask(stub)
    assert (found, found.status) == ("yes", AnswerStatus.OK)
    assert (found.input_tokens, found.output_tokens, found.cached_tokens) == (None, None, None)


def test_openai_goes_on_without_structured_outputs_where_there_are_none(stub: OpenAIStub) -> None:
    stub.answer = lambda request: failure(400, "unknown field") if "response_format" in request else "fine"
    model = OpenAIChat("stub-model", endpoint=stub.url)
    assert [str(c) for group in model([[PROMPT]]) for c in group] == ["fine"]
    assert [str(c) for group in model([[PROMPT], [PROMPT]]) for c in group] == ["fine", "fine"]
    assert ["response_format" in request for request in stub.requests] == [True, False, False, False]
    assert ask(stub, structured="always").status is AnswerStatus.FAILED
    assert "response_format" not in (ask(stub, structured="never") and stub.requests[-1])


@pytest.mark.parametrize("reply", [failure(429), failure(500), failure(529), failure(429, **{"Retry-After": "0.01"})])
def test_openai_repeats_what_may_succeed(stub: OpenAIStub, reply: Reply) -> None:
    replies = iter([reply])
    stub.answer = lambda _request: next(replies, "ok")
    assert ask(stub) == "ok"
    assert len(stub.requests) == 2


@pytest.mark.parametrize(
    ("reply", "says", "requests"),
    [
        (failure(500, "overloaded"), "answered HTTP 500. overloaded.", 2),
        (failure(429, "slow down", **{"Retry-After": "3600"}), "HTTP 429. slow down. Wait, or lower `concurrency`.", 1),
        (failure(401, "bad key sk-1-secret-key"), "answered HTTP 401. Check the API key.", 1),
        (failure(404, "no such model"), "HTTP 404. no such model. Check `name` and `endpoint`", 1),
        (failure(422, "cannot read: we sell copper at Rotterdam"), "answered HTTP 422.", 1),
        (Reply(502, "<html>Bad gateway</html>"), "answered HTTP 502.", 2),
        (Reply(200, "<html>Welcome</html>"), "is not a chat completion", 1),
        (Reply(200, {"choices": []}), "is not a chat completion", 1),
        (Reply(200, [1]), "is not a chat completion", 1),
        (Reply(delay=1.0), "no answer within 0.2 s, after 2 attempts", 2),
    ],
)
def test_openai_failures_are_sentences_without_text_or_key(
    stub: OpenAIStub, reply: Reply, says: str, requests: int
) -> None:
    stub.answer = lambda _request: reply
    found = ask(stub, api_key=SecretStr("sk-1-secret-key"), timeout=0.2, structured="never")
    assert (found.status, found) == (AnswerStatus.FAILED, "")
    assert says in found.problem
    assert "secret-key" not in found.problem
    assert "copper" not in found.problem
    assert len(stub.requests) == requests


def test_openai_without_a_server_fails_with_a_sentence() -> None:
    ((found,),) = OpenAIChat("m", endpoint="http://127.0.0.1:9/v1/chat/completions", retries=1)([[PROMPT]])
    assert found.status is AnswerStatus.FAILED
    assert found.problem == "127.0.0.1:9 could not be reached after 2 attempts (ConnectError)."


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        (completion("", refusal="no"), AnswerStatus.REFUSED, "refused"),
        (completion("", finish="content_filter"), AnswerStatus.REFUSED, "content filter"),
        (completion('{"label": "Of', finish="length"), AnswerStatus.UNPARSED, "max_tokens"),
    ],
)
def test_openai_tells_refused_from_cut_off(stub: OpenAIStub, body: Any, status: AnswerStatus, problem: str) -> None:
    stub.answer = lambda _request: Reply(body=body)
    found = ask(stub)
    assert found.status is status
    assert problem in found.problem
    assert found.is_cut_off == (status is AnswerStatus.UNPARSED)


def test_openai_takes_the_key_from_the_environment_and_gives_it_to_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TeacherError, match="OPENAI_API_KEY is not set"):
        make_openai("m")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    assert make_openai("m")._api_key.get_secret_value() == "sk-openai"
    lan = "http://10.0.0.5:8000/v1/chat/completions"
    assert make_openai("m", endpoint=lan)._api_key.get_secret_value() == ""
    monkeypatch.setenv("LAN_KEY", "lan")
    assert make_openai("m", endpoint=lan, api_key_env="LAN_KEY")._api_key.get_secret_value() == "lan"
    assert "sk-openai" not in repr(make_openai("m"))


@pytest.mark.parametrize("wrong", [{"endpoint": "10.0.0.5:8000"}, {"endpoint": "file:///x"}, {"structured": "maybe"}])
def test_openai_refuses_a_config_that_cannot_be(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        make_openai("m", **wrong)
