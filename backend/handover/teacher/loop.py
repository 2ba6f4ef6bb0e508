"""The event loop on which all requests of this process to teachers run, in a thread of its own.

spacy-llm calls a model synchronously, and many threads may do so at once: requests of all of them share this loop,
and so its connections, its number of slots and its pace. A forked process (RQ's work-horses) gets its own.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class LoopThread:
    """An event loop that runs in a daemon thread, started when it is first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._of_parents: list[asyncio.AbstractEventLoop | None] = []

    def get(self) -> asyncio.AbstractEventLoop:
        """The running loop."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="teacher-loop", daemon=True).start()
            return self._loop

    def forget(self) -> None:
        """In a forked child: the thread is gone, and the parent's loop must not be touched, not even closed."""
        self._of_parents.append(self._loop)
        self._loop = None
        self._lock = threading.Lock()

    def stop(self) -> None:
        """Stop the loop, if there is one."""
        with self._lock:
            if self._loop is not None and self._loop.is_running():
                self._loop.call_soon_threadsafe(self._loop.stop)


_thread = LoopThread()
os.register_at_fork(after_in_child=_thread.forget)
atexit.register(_thread.stop)


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Wait for a coroutine on the shared loop.

    When the waiting thread is interrupted (a job runs out of time), the coroutine is cancelled.
    """
    future = asyncio.run_coroutine_threadsafe(coroutine, _thread.get())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def start(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Begin a coroutine on the shared loop and do not wait for it."""
    asyncio.run_coroutine_threadsafe(coroutine, _thread.get())
