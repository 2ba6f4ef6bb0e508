"""The SDK's client as Handover uses it: every attempt waits for its turn, has a deadline, and is counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from handover.teacher.claude_errors import asked_to_wait
from handover.teacher.throttle import Throttle

if TYPE_CHECKING:  # importing anthropic takes over a second, and recorded answers do without it
    from anthropic import AsyncAnthropic

BATCH_TIMEOUT = 600.0
"""Seconds for sending or fetching a whole batch, which can be many megabytes."""


@dataclass
class Trip:
    """One question on its way: about how many tokens it takes, and what became of its attempts."""

    tokens: int
    attempts: int = 0
    started: float | None = None

    def begin_attempt(self) -> None:
        """An attempt leaves now."""
        self.attempts += 1
        if self.started is None:
            self.started = time.perf_counter()

    @property
    def milliseconds(self) -> float:
        """Time since the first attempt left; what was spent waiting for a turn is not the API's."""
        return 0.0 if self.started is None else (time.perf_counter() - self.started) * 1000


current_trip: ContextVar[Trip] = ContextVar("handover_trip")


def make_client(
    api_key: SecretStr, *, base_url: str | None, timeout: float, retries: int, throttle: Throttle
) -> AsyncAnthropic:
    """A client for single questions. Sends nothing yet."""
    import anthropic  # noqa: PLC0415

    return anthropic.AsyncAnthropic(
        api_key=api_key.get_secret_value(),
        base_url=base_url or None,
        timeout=timeout,
        max_retries=retries,
        middleware=[paced(throttle, timeout)],
    )


def for_batches(client: AsyncAnthropic) -> AsyncAnthropic:
    """The same client without turns and deadlines: a batch is one request, and nobody waits for it."""
    return client.with_options(timeout=BATCH_TIMEOUT, middleware=[])


def paced(throttle: Throttle, timeout: float) -> Callable[[Any, Callable[[Any], Awaitable[Any]]], Awaitable[Any]]:
    """Middleware for the SDK, run once per attempt.

    An attempt holds a slot of the throttle and ends after `timeout` seconds, however slowly its answer drips in
    (the SDK's own time-out starts anew with each byte). The SDK waits as long as `Retry-After` says, be it hours,
    with an annotator waiting along: a longer wait than `timeout` ends the question, a shorter one holds for all.
    """

    async def handle(request: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Any:
        trip = current_trip.get()
        async with throttle.slot(trip.tokens):
            trip.begin_attempt()
            try:
                response = await asyncio.wait_for(call_next(request), timeout)
            except asyncio.TimeoutError as error:
                raise _timed_out(request) from error
        wait = asked_to_wait(response.headers)
        if wait > timeout:
            # What the SDK obeys before `Retry-After`.
            response.http_response.headers["x-should-retry"] = "false"
        elif wait > 0 and response.status_code >= 400:
            throttle.pause(wait)
        return response

    return handle


def _timed_out(request: Any) -> Exception:
    import anthropic  # noqa: PLC0415
    import httpx2  # noqa: PLC0415 - the SDK's own HTTP library

    return anthropic.APITimeoutError(request=httpx2.Request(request.method, request.url))
