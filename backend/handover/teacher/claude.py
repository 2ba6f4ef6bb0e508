"""`handover.Claude.v1`: Anthropic's models through the Messages API, as a spacy-llm model.

spacy-llm's own Claude models post to an endpoint that was retired. This one sends the static part of a prompt
as the system message, marked for prompt caching, and asks for JSON of the prompt's schema (structured
outputs). It sends neither `temperature` nor `thinking`: the newest models refuse the former, and no setting
of the latter is taken by all models.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Iterable  # noqa: UP035 - spacy-llm reads hints with typing.Iterable only

from pydantic import SecretStr

from handover.domain import AnswerStatus
from handover.errors import ConfigError, TeacherError
from handover.teacher import claude_batch, loop
from handover.teacher.claude_client import Trip, current_trip, make_client
from handover.teacher.claude_errors import describe, hidden_in, refuses_schema
from handover.teacher.completion import Completion
from handover.teacher.fanout import failed_with
from handover.teacher.given import given
from handover.teacher.prompt import Prompt
from handover.teacher.throttle import Pace, throttle_for

if TYPE_CHECKING:  # importing anthropic takes over a second, and recorded answers do without it
    from anthropic import AsyncAnthropic
    from anthropic.types import Message

logger = logging.getLogger(__name__)

STRUCTURED = ("auto", "always", "never")
CHARS_PER_TOKEN = 4
"""Roughly, for the pace only."""


class Claude:
    """One model of the Anthropic API. Making one sends nothing; calling it never raises for a prompt.

    `timeout` is in seconds, for one attempt; `retries` repeats 408, 409, 429, 5xx, time-outs and lost
    connections, after the time that `Retry-After` asks for (not if that is longer than `timeout`). `pace` holds
    for this process, whichever thread or teacher asks.
    """

    def __init__(
        self,
        name: str,
        *,
        api_key: SecretStr,
        max_tokens: int,
        timeout: float,
        retries: int,
        pace: Pace,
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
        self._pace = pace
        self._base_url = base_url
        self._with_schema = structured != "never"
        self._may_drop_schema = structured == "auto"
        self._client: AsyncAnthropic | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Claude(name={self.name!r})"

    def __call__(self, prompts: Iterable[Iterable[str]]) -> Iterable[Iterable[str]]:
        """One completion per prompt, in the same nesting; what went wrong is in its status and problem."""
        nested = [list(group) for group in prompts]
        flat = [prompt for group in nested for prompt in group]
        client = self._connect()
        answers = iter(loop.run(self._ask_all(client, flat)))
        return [[next(answers) for _ in group] for group in nested]

    def send_batch(self, prompts: Mapping[str, str]) -> str:
        """Ask all prompts through the Message Batches API; returns the batch's id.

        `prompts` are keyed by what the answers will be found under ([a-zA-Z0-9_-], 64 characters at most). Raises
        TeacherError when the API does not take the batch.
        """
        requests = {key: self._request(prompt, self._schema(prompt)) for key, prompt in prompts.items()}
        return self._about_a_batch(claude_batch.send(self._connect(), requests), list(prompts.values()))

    def fetch_batch(self, batch_id: str) -> dict[str, Completion] | None:
        """The answers of a batch by their keys, None while it is under way.

        What expired, was canceled or failed is a FAILED completion. Raises TeacherError when the API cannot be
        asked, NotFoundError when it does not know the batch.
        """
        return self._about_a_batch(claude_batch.fetch(self._connect(), batch_id, self._read), [])

    def _about_a_batch(self, work: Any, prompts: list[str]) -> Any:
        import anthropic  # noqa: PLC0415

        hidden = [part for prompt in prompts for part in self._hidden(prompt)]
        try:
            return loop.run(work)
        except anthropic.AnthropicError as error:
            told = describe(error, retries=self._retries, timeout=self._timeout, hidden=hidden)
            raise TeacherError(f"A batch of questions could not be sent or fetched. {told}") from error

    async def _ask_all(self, client: AsyncAnthropic, prompts: list[str]) -> list[Completion]:
        # The throttle counts attempts of all callers; this keeps a question from being put together, with a
        # schema that the model may turn out to refuse, long before its turn.
        started = asyncio.Semaphore(self._pace.concurrency)
        return await asyncio.gather(*(self._ask_safely(client, prompt, started) for prompt in prompts))

    async def _ask_safely(self, client: AsyncAnthropic, prompt: str, started: asyncio.Semaphore) -> Completion:
        async with started:
            try:
                return await self._ask(client, prompt)
            except Exception as error:
                return failed_with(error)

    async def _ask(self, client: AsyncAnthropic, prompt: str) -> Completion:
        import anthropic  # noqa: PLC0415

        trip = Trip(tokens=len(prompt) // CHARS_PER_TOKEN + self._max_tokens)
        current_trip.set(trip)  # this runs in a task of its own, and so in a context of its own
        try:
            message = await self._create(client, prompt)
        except anthropic.AnthropicError as error:
            retries = max(trip.attempts - 1, 0)
            problem = describe(error, retries=retries, timeout=self._timeout, hidden=self._hidden(prompt))
            completion = Completion(status=AnswerStatus.FAILED, problem=problem, model=self.name)
        else:
            completion = self._read(message)
        completion.latency_ms, completion.attempts = trip.milliseconds, trip.attempts
        return completion

    async def _create(self, client: AsyncAnthropic, prompt: str) -> Message:
        import anthropic  # noqa: PLC0415

        schema = self._schema(prompt)
        try:
            return await client.messages.create(**self._request(prompt, schema))
        except anthropic.BadRequestError as error:
            if schema is None or not (self._may_drop_schema and refuses_schema(error)):
                raise
        if self._with_schema:
            logger.warning("%s does not take structured outputs; its answers are read as they come", self.name)
        self._with_schema = False
        return await client.messages.create(**self._request(prompt, None))

    def _schema(self, prompt: str) -> dict[str, Any] | None:
        return getattr(prompt, "schema", None) if self._with_schema else None

    def _request(self, prompt: str, schema: dict[str, Any] | None) -> Any:
        """The parameters of one question, the same for single questions and batches."""
        request: dict[str, Any] = {"model": self.name, "max_tokens": self._max_tokens}
        if isinstance(prompt, Prompt):
            cached = {"type": "text", "text": prompt.system, "cache_control": {"type": "ephemeral"}}
            request |= {"system": [cached], "messages": [{"role": "user", "content": prompt.user}]}
        else:
            request["messages"] = [{"role": "user", "content": str(prompt)}]
        if schema is not None:
            request["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        return request

    def _connect(self) -> AsyncAnthropic:
        with self._lock:
            if self._client is None:
                throttle = throttle_for(f"{self.name}@{self._base_url or ''}", self._pace)
                client = make_client(
                    self._api_key,
                    base_url=self._base_url,
                    timeout=self._timeout,
                    retries=self._retries,
                    throttle=throttle,
                )
                # Connections belong to the loop, and are closed there when nobody uses this model any more.
                weakref.finalize(self, _close, client).atexit = False
                self._client = client
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
            cache_write_tokens=getattr(usage, "cache_creation_input_tokens", None),
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
    requests_per_minute: int = 0,
    tokens_per_minute: int = 0,
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
        pace=Pace(concurrency, requests_per_minute, tokens_per_minute),
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


def _close(client: AsyncAnthropic) -> None:
    loop.start(client.close())
