"""How fast one model may be asked by one process: slots, requests and tokens per minute, and pauses it asks for.

All teachers of a process that ask the same model at the same address share one throttle. Other processes have
their own: a limit of an account has to be divided by the number of processes that ask (server and workers).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache

from aiolimiter import AsyncLimiter

BURST = 6.0
"""Seconds' worth of requests that may be sent at once after a silence."""

MINUTE = 60.0


@dataclass(frozen=True)
class Pace:
    """What a throttle allows; a rate of 0 is no limit."""

    concurrency: int
    requests_per_minute: int = 0
    tokens_per_minute: int = 0


class Throttle:
    """Lets requests through one by one. Belongs to one event loop."""

    def __init__(self, pace: Pace) -> None:
        self._slots = asyncio.Semaphore(pace.concurrency)
        self._requests = _request_bucket(pace.requests_per_minute)
        self._tokens = AsyncLimiter(pace.tokens_per_minute, MINUTE) if pace.tokens_per_minute else None
        self._paused_until = 0.0

    @asynccontextmanager
    async def slot(self, tokens: int) -> AsyncIterator[None]:
        """Wait until a request of about so many tokens may be sent, and hold a slot while it is under way.

        A request larger than a whole minute's tokens waits for a full minute's worth.
        """
        async with self._slots:
            if self._requests is not None:
                await self._requests.acquire()
            if self._tokens is not None:
                await self._tokens.acquire(min(tokens, self._tokens.max_rate))
            await self._sit_out()
            yield

    def pause(self, seconds: float) -> None:
        """Send nothing for so long: what one request was told holds for all."""
        until = asyncio.get_running_loop().time() + seconds
        self._paused_until = max(self._paused_until, until)

    async def _sit_out(self) -> None:
        loop = asyncio.get_running_loop()
        while (left := self._paused_until - loop.time()) > 0:
            await asyncio.sleep(left)


def throttle_for(model: str, pace: Pace) -> Throttle:
    """The throttle of a model (name and address) in this process."""
    return _throttle(os.getpid(), model, pace)


@lru_cache(maxsize=64)
def _throttle(pid: int, model: str, pace: Pace) -> Throttle:
    """The process id only makes a forked process another call: its loop is another one."""
    return Throttle(pace)


def _request_bucket(per_minute: int) -> AsyncLimiter | None:
    """A bucket for a few seconds rather than a minute: RQ starts a process per job, and each starts with a full one."""
    if not per_minute:
        return None
    period = max(BURST, MINUTE / per_minute)
    return AsyncLimiter(per_minute * period / MINUTE, period)
