"""`handover.Claude.v1`: Anthropic's models through the Messages API, as a spacy-llm model.

spacy-llm's own Claude models post to an endpoint that was retired. This one sends the static part of a prompt
as the system message, marked for prompt caching, and asks for JSON of the prompt's schema (structured
outputs). It sends neither `temperature` nor `thinking`: the newest models refuse the former, and no setting
of the latter is taken by all models.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Any, Iterable  # noqa: UP035 - spacy-llm reads hints with typing.Iterable only

from pydantic import SecretStr

from handover.domain import AnswerStatus
from handover.errors import ConfigError, TeacherError
from handover.teacher.claude_errors import describe, hidden_in, refuses_schema, wait_at_most
from handover.teacher.completion import Completion
from handover.teacher.fanout import ask_all
from handover.teacher.given import given
from handover.teacher.prompt import Prompt

if TYPE_CHECKING:  # importing anthropic takes over a second, and recorded answers do without it
    from anthropic import Anthropic
    from anthropic.types import Message

logger = logging.getLogger(__name__)

STRUCTURED = ("auto", "always", "never")


class Claude:
    """One model of the Anthropic API. Making one sends nothing; calling it never raises for a prompt.

    `timeout` is in seconds, for one attempt; `retries` repeats 408, 409, 429, 5xx, time-outs and lost
    connections, after the time that `Retry-After` asks for (not if that is longer than `timeout`).
    """

    def __init__(
        self,
        name: str,
        *,
        api_key: SecretStr,
        max_tokens: int,
        timeout: float,
        retries: int,
        concurrency: int,
        base_url: str | None = None,
        structured: str = "auto",
    ) -> None:
        if structured not in STRUCTURED:
            raise ConfigError(f"structured is '{structured}', expected one of {', '.join(STRUCTURED)}.")
        self.name = name
        self._api_key = api_key
        self._max_tokens = max_tokens
        self._timeout = timeout
        self._retries = retries
        self._concurrency = concurrency
        self._base_url = base_url
        self._with_schema = structured != "never"
        self._may_drop_schema = structured == "auto"
        self._client: Anthropic | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Claude(name={self.name!r})"

    def __call__(self, prompts: Iterable[Iterable[str]]) -> Iterable[Iterable[str]]:
        """One completion per prompt, in the same nesting; what went wrong is in its status and problem."""
        # Here and not first in `_ask`: many threads that import the same package at once get in each other's way.
        import anthropic.resources.messages  # noqa: F401, PLC0415

        return ask_all(self._ask, prompts, concurrency=self._concurrency)

    def _ask(self, prompt: str) -> Completion:
        import anthropic  # noqa: PLC0415

        started = time.perf_counter()
        try:
            message = self._create(prompt)
        except anthropic.AnthropicError as error:
            problem = describe(error, retries=self._retries, timeout=self._timeout, hidden=self._hidden(prompt))
            completion = Completion(status=AnswerStatus.FAILED, problem=problem, model=self.name)
        else:
            completion = self._read(message)
        completion.latency_ms = (time.perf_counter() - started) * 1000
        return completion

    def _create(self, prompt: str) -> Message:
        import anthropic  # noqa: PLC0415

        schema = getattr(prompt, "schema", None)
        if schema is None or not self._with_schema:
            return self._post(prompt, None)
        try:
            return self._post(prompt, schema)
        except anthropic.BadRequestError as error:
            if not (self._may_drop_schema and refuses_schema(error)):
                raise
        self._with_schema = False
        logger.warning("%s does not take structured outputs; its answers are read as they come", self.name)
        return self._post(prompt, None)

    def _post(self, prompt: str, schema: dict[str, Any] | None) -> Message:
        request: dict[str, Any] = {"messages": [{"role": "user", "content": str(prompt)}]}
        if isinstance(prompt, Prompt):
            cached = {"type": "text", "text": prompt.system, "cache_control": {"type": "ephemeral"}}
            request = {"system": [cached], "messages": [{"role": "user", "content": prompt.user}]}
        if schema is not None:
            request["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        client = self._connect()
        return client.messages.create(model=self.name, max_tokens=self._max_tokens, **request)

    def _connect(self) -> Anthropic:
        import anthropic  # noqa: PLC0415

        with self._lock:
            if self._client is None:
                self._client = anthropic.Anthropic(
                    api_key=self._api_key.get_secret_value(),
                    base_url=self._base_url or None,
                    timeout=self._timeout,
                    max_retries=self._retries,
                    middleware=[wait_at_most(self._timeout)],
                )
            return self._client

    def _read(self, message: Any) -> Completion:
        # The SDK builds what it is sent without checking it, so any field may be missing.
        content, usage = getattr(message, "content", None), getattr(message, "usage", None)
        if not isinstance(content, list):
            problem = "What came back is not a message of the Messages API. Check HANDOVER_ANTHROPIC_BASE_URL."
            return Completion(status=AnswerStatus.FAILED, problem=problem, model=self.name)
        status, problem = self._status(message)
        return Completion(
            "".join(block.text for block in content if getattr(block, "type", "") == "text"),
            status=status,
            problem=problem,
            model=getattr(message, "model", None) or self.name,
            input_tokens=_input_tokens(usage),
            output_tokens=getattr(usage, "output_tokens", None),
            cached_tokens=getattr(usage, "cache_read_input_tokens", None),
            stop_reason=getattr(message, "stop_reason", None) or "",
        )

    def _status(self, message: Any) -> tuple[AnswerStatus, str]:
        reason = getattr(message, "stop_reason", None)
        if reason == "refusal":
            category = getattr(getattr(message, "stop_details", None), "category", None)
            return AnswerStatus.REFUSED, f"The model refused to answer ({category or 'no category given'})."
        if reason == "max_tokens":
            return AnswerStatus.UNPARSED, (
                f"The answer was cut off after {self._max_tokens} tokens. Raise HANDOVER_TEACHER_MAX_TOKENS."
            )
        if reason == "model_context_window_exceeded":
            return AnswerStatus.UNPARSED, "The answer was cut off: the text is too long for the model."
        return AnswerStatus.OK, ""

    def _hidden(self, prompt: str) -> tuple[str, ...]:
        return self._api_key.get_secret_value(), *hidden_in(prompt)


def make_claude(
    name: str,
    *,
    max_tokens: int = 2048,
    timeout: float = 60.0,
    retries: int = 3,
    concurrency: int = 8,
    base_url: str | None = None,
    structured: str = "auto",
) -> Claude:
    """`handover.Claude.v1`. The API key is never part of a config: it is the one that the teacher is built
    with, else ANTHROPIC_API_KEY. Raises TeacherError when there is none.

    `structured`: "auto" asks for structured outputs until the model turns out not to have them.
    """
    return Claude(
        name,
        api_key=require_key(given().api_key),
        max_tokens=max_tokens,
        timeout=timeout,
        retries=retries,
        concurrency=concurrency,
        base_url=base_url,
        structured=structured,
    )


def require_key(key: SecretStr) -> SecretStr:
    """The key, or the one of the environment. Raises TeacherError when there is neither."""
    found = key.get_secret_value() or os.environ.get("ANTHROPIC_API_KEY", "")
    if not found:
        raise TeacherError(
            "ANTHROPIC_API_KEY is not set; pre-annotation needs it. Export it or start with HANDOVER_TEACHER=recorded."
        )
    return SecretStr(found)


def _input_tokens(usage: Any) -> int | None:
    """All input tokens: `input_tokens` of the API leaves out those written to or read from its cache."""
    if getattr(usage, "input_tokens", None) is None:
        return None
    parts = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    return sum(getattr(usage, part, None) or 0 for part in parts)
