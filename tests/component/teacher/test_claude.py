"""The Anthropic model, with the real SDK against a stub on the wire."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from email.utils import formatdate
from typing import Any

import pytest
from pydantic import SecretStr

from handover.domain import AnswerStatus, Aspect
from handover.errors import ConfigError, TeacherError
from handover.settings import TeacherChoice
from handover.teacher import MemoryCache, TeacherSpec, build_teacher
from handover.teacher.claude import Claude, make_claude
from handover.teacher.completion import Completion
from handover.teacher.prompt import Prompt
from handover.teacher.throttle import Pace
from tests.anthropic_stub import anthropic_stub

KEY = "sk-ant-0123456789abcdefghijklmnopqrstuvwxyz"
TEXT = "Wolfsburg wants to buy 500 tons of copper by the end of June."
BID = '{"label": "Bid"}'
SOON = {"retry-after-ms": "1"}


def message(text: str, **extra: Any) -> dict[str, Any]:
    """A message as the Messages API sends it."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-test-1-20261101",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 10,
            "output_tokens": 5,
            "cache_creation_input_tokens": 3,
            "cache_read_input_tokens": 100,
        },
        **extra,
    }


def error(kind: str, text: str = "") -> dict[str, Any]:
    """An error as the Messages API sends it."""
    return {"type": "error", "error": {"type": kind, "message": text}, "request_id": "req_1"}


def prompt_for(text: str = TEXT) -> Prompt:
    """A prompt like those of our tasks."""
    return Prompt(system="Static part.", user=f"<text>\n{text}\n</text>", text=text, schema={"type": "object"})


@pytest.fixture
def claude(api: Any) -> Callable[..., Claude]:
    """Makes a model that talks to the stub."""

    def make(**options: Any) -> Claude:
        defaults: dict[str, Any] = {"base_url": api.url, "max_tokens": 64, "timeout": 5.0}
        defaults |= {"retries": 2, "pace": Pace(4)}
        return Claude("claude-test-1", api_key=SecretStr(KEY), **{**defaults, **options})

    return make


def ask(model: Claude, *prompts: str) -> list[Completion]:
    """The completions of prompts."""
    nested = model([[prompt] for prompt in prompts])
    completions = [completion for (completion,) in nested]
    assert all(isinstance(completion, Completion) for completion in completions)
    return completions  # type: ignore[return-value]


def test_claude_request_has_a_cached_system_part_and_a_schema(claude: Callable[..., Claude], api: Any) -> None:
    api.script(message(BID))
    ask(claude(), prompt_for())
    (request,) = api.requests
    assert request == {
        "model": "claude-test-1",
        "max_tokens": 64,
        "system": [{"type": "text", "text": "Static part.", "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": f"<text>\n{TEXT}\n</text>"}],
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
    }
    assert KEY in json.dumps(api.headers)


def test_claude_plain_string_is_sent_as_it_is(claude: Callable[..., Claude], api: Any) -> None:
    api.script(message("four"))
    assert ask(claude(), "two and two?") == ["four"]
    assert api.requests[0] == {
        "model": "claude-test-1",
        "max_tokens": 64,
        "messages": [{"role": "user", "content": "two and two?"}],
    }


def test_claude_completion_knows_its_circumstances(claude: Callable[..., Claude], api: Any) -> None:
    thinking = {"type": "thinking", "thinking": "hm", "signature": "s"}
    api.script(
        message("", content=[thinking, {"type": "text", "text": '{"label": '}, {"type": "text", "text": '"Bid"}'}])
    )
    (completion,) = ask(claude(), prompt_for())
    assert (completion, completion.status, completion.problem) == (BID, AnswerStatus.OK, "")
    assert (completion.input_tokens, completion.output_tokens, completion.cached_tokens) == (113, 5, 100)
    assert (completion.model, completion.stop_reason) == ("claude-test-1-20261101", "end_turn")
    assert completion.latency_ms > 0


@pytest.mark.parametrize("usage", [None, {}, {"input_tokens": 7, "output_tokens": 2}])
def test_claude_unknown_token_counts_stay_unknown(
    claude: Callable[..., Claude], api: Any, usage: dict[str, int] | None
) -> None:
    api.script(message(BID, usage=usage))
    (completion,) = ask(claude(), prompt_for())
    expected = (usage or {}).get("input_tokens"), (usage or {}).get("output_tokens"), None
    assert (completion.input_tokens, completion.output_tokens, completion.cached_tokens) == expected
    assert completion.status is AnswerStatus.OK


@pytest.mark.parametrize(
    ("status", "kind", "headers"),
    [
        (429, "rate_limit_error", {"retry-after": "0.01"}),
        (429, "rate_limit_error", SOON),
        (529, "overloaded_error", SOON),
        (500, "api_error", SOON),
        (503, "api_error", SOON),
        (408, "timeout_error", SOON),
    ],
)
def test_claude_passing_trouble_is_waited_out(
    claude: Callable[..., Claude], api: Any, status: int, kind: str, headers: dict[str, str]
) -> None:
    trouble = api.reply(error(kind, "try again"), status=status, headers=headers)
    api.script(trouble, trouble, message(BID))
    assert ask(claude(), prompt_for()) == [BID]
    assert len(api.requests) == 3


@pytest.mark.parametrize(
    ("status", "kind", "text", "problem"),
    [
        (
            429,
            "rate_limit_error",
            "Too many.",
            "The API answered HTTP 429 rate_limit_error. Too many. Wait, or lower",
        ),
        (529, "overloaded_error", "Overloaded", "The API answered HTTP 529 overloaded_error. Overloaded."),
        (500, "api_error", "", "The API answered HTTP 500 api_error."),
        (401, "authentication_error", "invalid x-api-key", "invalid x-api-key. Check ANTHROPIC_API_KEY."),
        (404, "not_found_error", "model: claude-test-1", "Check HANDOVER_TEACHER_MODEL"),
        (400, "invalid_request_error", "Your credit balance is too low.", "Your credit balance is too low."),
        (413, "request_too_large", "", "The text is too long for the API."),
    ],
)
def test_claude_lasting_trouble_becomes_a_problem(
    claude: Callable[..., Claude], api: Any, status: int, kind: str, text: str, problem: str
) -> None:
    api.script(api.reply(error(kind, text), status=status, headers=SOON))
    (completion,) = ask(claude(retries=1), prompt_for())
    assert (completion, completion.status) == ("", AnswerStatus.FAILED)
    assert problem in completion.problem
    assert len(api.requests) == (2 if status in (429, 529, 500) else 1)


@pytest.mark.parametrize(
    "headers",
    [
        {"retry-after": "3600"},
        {"retry-after": formatdate(time.time() + 3600, usegmt=True)},
        {"retry-after-ms": "3600000"},
    ],
)
def test_claude_does_not_wait_longer_than_its_timeout(
    claude: Callable[..., Claude], api: Any, headers: dict[str, str]
) -> None:
    api.script(api.reply(error("rate_limit_error"), status=429, headers=headers))
    (completion,) = ask(claude(timeout=1.0), prompt_for())
    assert completion.status is AnswerStatus.FAILED
    assert "HTTP 429" in completion.problem
    assert len(api.requests) == 1


def test_claude_timeout_is_a_problem(claude: Callable[..., Claude], api: Any) -> None:
    api.script(api.reply(message(BID), delay=0.5))
    (completion,) = ask(claude(timeout=0.1, retries=0), prompt_for())
    assert completion.status is AnswerStatus.FAILED
    assert completion.problem == "The API gave no answer within 0.1 s, in one attempt."


def test_claude_unreachable_api_is_a_problem(claude: Callable[..., Claude], api: Any) -> None:
    (completion,) = ask(claude(base_url="http://127.0.0.1:9", retries=0), prompt_for())
    assert (completion.status, completion.problem) == (
        AnswerStatus.FAILED,
        "The API could not be reached in one attempt.",
    )


@pytest.mark.parametrize(
    ("body", "cut_at"),
    [(message(BID), 40), (b'{"id": "msg_1", "content": [{"ty', None), (b"<html>Bad gateway</html>", None)],
)
def test_claude_broken_body_is_a_problem(
    claude: Callable[..., Claude], api: Any, body: Any, cut_at: int | None
) -> None:
    api.script(api.reply(body, cut_at=cut_at))
    (completion,) = ask(claude(retries=0), prompt_for())
    assert (completion, completion.status) == ("", AnswerStatus.FAILED)
    assert completion.problem


@pytest.mark.parametrize("body", [{}, [], "text", {"type": "message", "content": None}, {"completion": "x"}])
def test_claude_answer_of_another_api_is_a_problem(claude: Callable[..., Claude], api: Any, body: Any) -> None:
    api.script(body)
    (completion,) = ask(claude(), prompt_for())
    assert completion.status is AnswerStatus.FAILED
    assert "not a message" in completion.problem


@pytest.mark.parametrize(
    ("extra", "status", "problem"),
    [
        ({"stop_reason": "refusal"}, AnswerStatus.REFUSED, "refused to answer (no category given)"),
        (
            {"stop_reason": "refusal", "stop_details": {"type": "refusal", "category": "bio"}, "content": []},
            AnswerStatus.REFUSED,
            "refused to answer (bio)",
        ),
        (
            {"stop_reason": "max_tokens"},
            AnswerStatus.UNPARSED,
            "cut off after 64 tokens. Raise HANDOVER_TEACHER",
        ),
        ({"stop_reason": "model_context_window_exceeded"}, AnswerStatus.UNPARSED, "the text is too long"),
    ],
)
def test_claude_stop_reasons(
    claude: Callable[..., Claude], api: Any, extra: dict[str, Any], status: AnswerStatus, problem: str
) -> None:
    api.script(message('{"lab', **extra))
    (completion,) = ask(claude(), prompt_for())
    assert completion.status is status
    assert problem in completion.problem
    assert completion.input_tokens == 113


UNSUPPORTED = "output_config.format: structured outputs are not supported by claude-test-1"


def test_claude_without_structured_outputs_is_asked_without(
    claude: Callable[..., Claude], api: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def reply(request: dict[str, Any]) -> Any:
        if "output_config" in request:
            return api.reply(error("invalid_request_error", UNSUPPORTED), status=400)
        return api.reply(message(f"Sure: {BID}"))

    api.script(reply)
    model = claude(pace=Pace(1))
    assert [str(completion) for completion in ask(model, prompt_for(), prompt_for("two"))] == [f"Sure: {BID}"] * 2
    assert ["output_config" in request for request in api.requests] == [True, False, False]
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == [
        "claude-test-1 does not take structured outputs; its answers are read as they come"
    ]


@pytest.mark.parametrize(
    ("structured", "problem", "requests"), [("always", UNSUPPORTED, 1), ("auto", "messages: too many", 1)]
)
def test_claude_other_refusals_are_not_asked_again(
    claude: Callable[..., Claude], api: Any, structured: str, problem: str, requests: int
) -> None:
    api.script(api.reply(error("invalid_request_error", problem), status=400))
    (completion,) = ask(claude(structured=structured), prompt_for())
    assert completion.status is AnswerStatus.FAILED
    assert problem in completion.problem
    assert len(api.requests) == requests


def test_claude_structured_never_sends_no_schema(claude: Callable[..., Claude], api: Any) -> None:
    api.script(message(BID))
    ask(claude(structured="never"), prompt_for())
    assert "output_config" not in api.requests[0]


def test_claude_one_failure_leaves_the_others(claude: Callable[..., Claude], api: Any) -> None:
    def reply(request: dict[str, Any]) -> Any:
        text = request["messages"][0]["content"]
        return api.reply(error("api_error"), status=400) if "bad" in text else api.reply(message(f"about {text}"))

    api.script(reply)
    completions = ask(claude(), *(prompt_for(text) for text in ("one", "bad", "two", "three")))
    assert [c.status is AnswerStatus.OK for c in completions] == [True, False, True, True]
    assert ["one" in completions[0], "two" in completions[2], "three" in completions[3]] == [True] * 3


def test_claude_asks_several_at_the_same_time(claude: Callable[..., Claude], api: Any) -> None:
    together = threading.Barrier(8)

    def reply(request: dict[str, Any]) -> Any:
        together.wait(timeout=10)  # raises unless eight requests are here at once
        return message(BID)

    api.script(reply)
    assert ask(claude(pace=Pace(8)), *(prompt_for(str(number)) for number in range(8))) == [BID] * 8


@pytest.mark.parametrize(
    "text",
    [
        f"invalid value: {TEXT}",
        f"invalid value: ...{TEXT[10:40]}...",
        f"no such key {KEY}",
        f"{'x' * 190}{KEY[:30]}",
    ],
)
def test_claude_problem_gives_neither_text_nor_key_away(
    claude: Callable[..., Claude], api: Any, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    api.script(api.reply(error("invalid_request_error", text), status=400))
    with caplog.at_level(logging.INFO):
        (completion,) = ask(claude(), prompt_for())
    assert completion.problem == "The API answered HTTP 400 invalid_request_error."
    assert TEXT[10:40] not in caplog.text
    assert KEY not in caplog.text


def test_claude_key_is_not_shown(claude: Callable[..., Claude]) -> None:
    model = claude()
    assert repr(model) == "Claude(name='claude-test-1')"
    assert KEY not in str(vars(model))


def test_claude_half_a_surrogate_pair_is_a_problem(claude: Callable[..., Claude], api: Any) -> None:
    api.script(message(BID))
    bad, good = ask(claude(), prompt_for("a \ud83d b"), prompt_for())
    assert (bad.status, good.status) == (AnswerStatus.FAILED, AnswerStatus.OK)


def test_claude_made_without_a_key_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TeacherError, match="ANTHROPIC_API_KEY is not set"):
        make_claude("claude-test-1")
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    assert make_claude("claude-test-1").name == "claude-test-1"
    with pytest.raises(ConfigError, match="structured is 'sometimes'"):
        make_claude("claude-test-1", structured="sometimes")


def test_claude_as_teacher(api: Any, stage: Aspect, terms: Aspect) -> None:
    spec = TeacherSpec(
        TeacherChoice.CLAUDE,
        model="claude-test-1",
        api_key=SecretStr(KEY),
        base_url=api.url,
        timeout=5.0,
        retries=0,
    )
    cache = MemoryCache()

    def annotate(aspect: Aspect, reply: Any, text: str) -> Any:
        api.script(reply)
        teacher = build_teacher(aspect, spec, language="xx")
        assert teacher is not None
        (answer,) = teacher.annotate([text], cache)
        return answer

    good = annotate(stage, message(BID), TEXT)
    assert (good.status, good.annotation.cats, good.input_tokens, good.from_cache) == (
        AnswerStatus.OK,
        ("Bid",),
        113,
        False,
    )
    assert api.requests[-1]["output_config"]["format"]["schema"]["properties"]["label"]["enum"] == [
        "Bid",
        "Offer",
        "Trade",
    ]
    wrong = annotate(stage, message('{"label": "Sale"}'), "to sell")
    assert (wrong.status, wrong.annotation) == (AnswerStatus.UNPARSED, None)
    cut = annotate(stage, message('{"label": "Bi', stop_reason="max_tokens"), "to buy")
    assert (cut.status, cut.annotation) == (AnswerStatus.UNPARSED, None)
    failed = annotate(stage, api.reply(error("api_error"), status=500), "to keep")
    assert (failed.status, failed.annotation) == (AnswerStatus.FAILED, None)
    again = annotate(stage, message(BID), "to keep")
    assert again.status is AnswerStatus.OK
    found = annotate(terms, message('{"entities": [{"text": "Rome", "label": "PLACE"}]}'), "🙂 to Rome")
    assert [(s.start, s.end, s.label) for s in found.annotation.spans] == [(5, 9, "PLACE")]
    # A run over the same texts asks for nothing that was answered.
    before = len(api.requests)
    annotate(stage, message("unused"), TEXT)
    assert len(api.requests) == before
    assert replace(good, from_cache=True) == annotate(stage, message("unused"), TEXT)


def test_claude_slots_are_shared_by_all_threads_and_teachers_of_a_process() -> None:
    with anthropic_stub(lambda _text, _request: BID) as stub:
        stub.latency = 0.05
        options: dict[str, Any] = {"api_key": SecretStr(KEY), "max_tokens": 64, "timeout": 5.0, "retries": 0}
        models = [Claude("claude-test-1", base_url=stub.url, pace=Pace(3), **options) for _ in range(2)]
        asked = [prompt_for(str(number)) for number in range(6)]
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda i: ask(models[i % 2], *asked), range(4)))
    assert found == [[BID] * 6] * 4
    assert stub.busiest == 3
    assert all(completion.attempts == 1 for completion in found[0])
    assert max(completion.latency_ms or 0 for completion in found[0]) < 2000, "waiting for a turn is not the API's"


def test_claude_counts_attempts_and_written_cache_tokens(claude: Callable[..., Claude], api: Any) -> None:
    trouble = api.reply(error("overloaded_error"), status=529, headers=SOON)
    api.script(trouble, trouble, message(BID))
    (completion,) = ask(claude(), prompt_for())
    assert (completion.attempts, completion.cache_write_tokens) == (3, 3)
    api.script(api.reply(error("api_error"), status=500, headers=SOON))
    (failed,) = ask(claude(retries=1), prompt_for())
    assert failed.attempts == 2
