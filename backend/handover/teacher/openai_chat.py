"""`handover.OpenAI.v1`: chat completions, the API of OpenAI and of nearly every server that runs a model.

vLLM, llama.cpp, Ollama, LM Studio, TGI and most gateways speak it. spacy-llm's own class drops the numbers of
tokens, does not repeat a 500, and asks api.openai.com for a list of models before anything else, which a
server on the LAN has no part in. This one sends nothing until it is asked, and then only to its `endpoint`.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Iterable  # noqa: UP035 - spacy-llm reads hints with typing.Iterable only
from urllib.parse import urlsplit

from pydantic import SecretStr

from handover.domain import AnswerStatus
from handover.errors import ConfigError, TeacherError
from handover.teacher.claude_errors import asked_to_wait, harmless, hidden_in
from handover.teacher.completion import Completion
from handover.teacher.fanout import ask_all
from handover.teacher.given import NO_KEY
from handover.teacher.prompt import Prompt

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger(__name__)

ENDPOINT = "https://api.openai.com/v1/chat/completions"
STRUCTURED = ("auto", "always", "never")
REPEATED = frozenset({408, 409, 429, 500, 502, 503, 504, 529})
"""HTTP statuses after which the same request may succeed."""
REFUSES_SCHEMA = frozenset({400, 422})
FIRST_WAIT, LONGEST_WAIT = 0.5, 8.0
"""Seconds between two tries, doubled each time, where the server does not say `Retry-After`."""

ADVICE = {
    400: "Check `config` in the teacher's config.",
    401: "Check the API key.",
    403: "Check what the API key may do.",
    404: "Check `name` and `endpoint` in the teacher's config.",
    429: "Wait, or lower `concurrency`.",
}


@dataclass
class _Tries:
    """Counts the requests of one prompt."""

    number: int = 0


class OpenAIChat:
    """One model behind a chat-completions endpoint. Making one sends nothing; calling it never raises for a prompt.

    `timeout` is in seconds, for one attempt. `retries` repeats 408, 409, 429, 5xx, time-outs and lost
    connections, after the time that `Retry-After` asks for (not if that is longer than `timeout`). `config`
    goes into every request as it is (`temperature`, `max_tokens`, …).
    """

    def __init__(
        self,
        name: str,
        *,
        endpoint: str = ENDPOINT,
        api_key: SecretStr = NO_KEY,
        config: dict[str, Any] | None = None,
        timeout: float = 60.0,
        retries: int = 3,
        concurrency: int = 8,
        structured: str = "auto",
    ) -> None:
        self.name = name
        self._endpoint = endpoint
        self._api_key = api_key
        self._config = dict(config or {})
        self._timeout = timeout
        self._retries = retries
        self._concurrency = concurrency
        self._with_schema = structured != "never"
        self._may_drop_schema = structured == "auto"
        self._client: httpx.Client | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"OpenAIChat(name={self.name!r}, endpoint={self._endpoint!r})"

    def __call__(self, prompts: Iterable[Iterable[str]]) -> Iterable[Iterable[str]]:
        """One completion per prompt, in the same nesting; what went wrong is in its status and problem."""
        return ask_all(self._ask, prompts, concurrency=self._concurrency)

    def _ask(self, prompt: str) -> Completion:
        import httpx  # noqa: PLC0415

        started, tries = time.perf_counter(), _Tries()
        try:
            completion = self._read(self._create(prompt, tries), prompt)
        except httpx.TimeoutException:
            completion = self._failed(f"The server gave no answer within {self._timeout:g} s, {self._attempts}.")
        except httpx.HTTPError as error:
            completion = self._failed(f"{self._host} could not be reached {self._attempts} ({type(error).__name__}).")
        completion.latency_ms = (time.perf_counter() - started) * 1000
        completion.attempts = tries.number
        return completion

    def _create(self, prompt: str, tries: _Tries) -> httpx.Response:
        schema = getattr(prompt, "schema", None)
        if schema is None or not self._with_schema:
            return self._post(_body(prompt), tries)
        wanted = {"name": "answer", "strict": True, "schema": schema}
        asked = {**_body(prompt), "response_format": {"type": "json_schema", "json_schema": wanted}}
        response = self._post(asked, tries)
        if not (self._may_drop_schema and response.status_code in REFUSES_SCHEMA):
            return response
        # Servers say in many words that they know no schema; that it goes without one is the only sure sign.
        second = self._post(_body(prompt), tries)
        if second.is_success:
            self._with_schema = False
            logger.warning("%s does not take structured outputs; its answers are read as they come", self.name)
        return second

    def _post(self, body: dict[str, Any], tries: _Tries) -> httpx.Response:
        """The response after as many tries as it takes. Raises httpx.HTTPError after the last one."""
        import httpx  # noqa: PLC0415

        wait = FIRST_WAIT
        for _ in range(self._retries):
            asked = 0.0
            try:
                response = self._send(body, tries)
            except httpx.TransportError:
                logger.debug("A request to %s is repeated", self._host, exc_info=True)
            else:
                asked = asked_to_wait(response.headers)
                if response.status_code not in REPEATED or asked > self._timeout:
                    return response
            time.sleep(max(wait, asked))
            wait = min(2 * wait, LONGEST_WAIT)
        return self._send(body, tries)

    def _send(self, body: dict[str, Any], tries: _Tries) -> httpx.Response:
        tries.number += 1
        return self._connect().post(self._endpoint, json={**body, **self._config, "model": self.name})

    def _connect(self) -> httpx.Client:
        import httpx  # noqa: PLC0415

        with self._lock:
            if self._client is None:
                key = self._api_key.get_secret_value()
                headers = {"Authorization": f"Bearer {key}"} if key else {}
                limits = httpx.Limits(max_connections=None)
                self._client = httpx.Client(timeout=self._timeout, headers=headers, limits=limits)
                weakref.finalize(self, self._client.close)  # a teacher is dropped, never closed
            return self._client

    def _read(self, response: httpx.Response, prompt: str) -> Completion:
        value = _json(response)
        if not response.is_success:
            return self._failed(self._describe(response.status_code, value, prompt))
        choice = _first_choice(value)
        if choice is None:
            return self._failed(f"What came back from {self._host} is not a chat completion. Check `endpoint`.")
        usage = _dict(value.get("usage"))
        status, problem = _status(choice)
        return Completion(
            _text(choice),
            status=status,
            problem=problem,
            model=str(value.get("model") or self.name),
            input_tokens=_number(usage.get("prompt_tokens")),
            output_tokens=_number(usage.get("completion_tokens")),
            cached_tokens=_number(_dict(usage.get("prompt_tokens_details")).get("cached_tokens")),
            stop_reason="max_tokens" if choice.get("finish_reason") == "length" else "",
        )

    def _describe(self, status: int, value: dict[str, Any], prompt: str) -> str:
        error = value.get("error", value)
        message = error.get("message", "") if isinstance(error, dict) else error
        said = harmless(str(message), [self._api_key.get_secret_value(), *hidden_in(prompt)])
        return " ".join(filter(None, [f"{self._host} answered HTTP {status}.", said, ADVICE.get(status, "")]))

    @property
    def _host(self) -> str:
        return urlsplit(self._endpoint).netloc

    @property
    def _attempts(self) -> str:
        return f"after {self._retries + 1} attempts" if self._retries else "in one attempt"

    def _failed(self, problem: str) -> Completion:
        return Completion(status=AnswerStatus.FAILED, problem=problem, model=self.name)


def make_openai(
    name: str,
    *,
    endpoint: str = ENDPOINT,
    api_key_env: str | None = None,
    config: dict[str, Any] | None = None,
    timeout: float = 60.0,
    retries: int = 3,
    concurrency: int = 8,
    structured: str = "auto",
) -> OpenAIChat:
    """`handover.OpenAI.v1`. The API key is in the environment variable `api_key_env`: by default OPENAI_API_KEY
    for OpenAI itself, and none for any other endpoint, so that no key goes to a server it is not meant for.

    `structured`: "auto" asks for JSON of the answer's schema until the server turns out not to know that.
    Raises TeacherError without the key, ConfigError for an endpoint or a `structured` that cannot be.
    """
    if structured not in STRUCTURED:
        raise ConfigError(f"structured is '{structured}', expected one of {', '.join(STRUCTURED)}.")
    if urlsplit(endpoint).scheme not in ("http", "https") or not urlsplit(endpoint).netloc:
        raise ConfigError(f"endpoint is '{endpoint}', expected a URL such as http://10.0.0.5:8000/v1/chat/completions.")
    return OpenAIChat(
        name,
        endpoint=endpoint,
        api_key=_key(("OPENAI_API_KEY" if endpoint == ENDPOINT else "") if api_key_env is None else api_key_env),
        config=config,
        timeout=timeout,
        retries=retries,
        concurrency=concurrency,
        structured=structured,
    )


def _key(variable: str) -> SecretStr:
    if not variable:
        return NO_KEY
    key = os.environ.get(variable, "")
    if not key:
        raise TeacherError(f"{variable} is not set; the teacher's config needs it. Export it.")
    return SecretStr(key)


def _body(prompt: str) -> dict[str, Any]:
    if not isinstance(prompt, Prompt):
        return {"messages": [{"role": "user", "content": str(prompt)}]}
    system = {"role": "system", "content": prompt.system}
    return {"messages": [system, {"role": "user", "content": prompt.user}]}


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        return _dict(response.json())
    except ValueError:
        return {}


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _first_choice(value: dict[str, Any]) -> dict[str, Any] | None:
    choices = value.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return None
    return choices[0] if isinstance(choices[0].get("message"), dict) else None


def _status(choice: dict[str, Any]) -> tuple[AnswerStatus, str]:
    if choice["message"].get("refusal"):
        return AnswerStatus.REFUSED, "The model refused to answer."
    if choice.get("finish_reason") == "content_filter":
        return AnswerStatus.REFUSED, "The answer was held back by a content filter."
    if choice.get("finish_reason") == "length":
        return AnswerStatus.UNPARSED, "The answer was cut off. Raise `max_tokens` in the teacher's config."
    return AnswerStatus.OK, ""


def _text(choice: dict[str, Any]) -> str:
    content = choice["message"].get("content")
    return content if isinstance(content, str) else ""


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) else None
