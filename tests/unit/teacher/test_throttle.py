"""Slots, rates and pauses; the event loop that all threads share."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from handover.teacher import loop
from handover.teacher.throttle import Pace, Throttle, throttle_for


class Clock:
    """A loop's time that only moves when somebody sleeps."""

    def __init__(self, event_loop: asyncio.AbstractEventLoop) -> None:
        self.now = 0.0
        event_loop.time = lambda: self.now  # type: ignore[method-assign]
        select = event_loop._selector.select  # type: ignore[attr-defined]

        def jump(timeout: float | None) -> Any:
            if timeout:
                self.now += timeout
            return select(0)

        event_loop._selector.select = jump  # type: ignore[attr-defined]


def simulated(work: Any) -> Any:
    """Run a coroutine function with a clock that does not have to wait."""

    async def main() -> Any:
        return await work(Clock(asyncio.get_running_loop()))

    return asyncio.run(main())


def departures(pace: Pace, number: int, *, tokens: int = 0, seconds: float = 0.0) -> list[float]:
    """When each of so many requests is let through; each then takes some seconds."""

    async def work(clock: Clock) -> list[float]:
        throttle, times = Throttle(pace), []

        async def request() -> None:
            async with throttle.slot(tokens):
                times.append(clock.now)
                await asyncio.sleep(seconds)

        await asyncio.gather(*(request() for _ in range(number)))
        return times

    return list(simulated(work))


def test_throttle_holds_no_more_slots_than_allowed() -> None:
    assert departures(Pace(4), 8, seconds=2.0) == pytest.approx([0.0] * 4 + [2.0] * 4)


def test_throttle_keeps_to_requests_per_minute() -> None:
    times = departures(Pace(100, requests_per_minute=60), 66)
    assert times[:6] == pytest.approx([0.0] * 6), "a few seconds' worth at once"
    assert times[-1] == pytest.approx(60.0, abs=0.5)
    assert departures(Pace(100, requests_per_minute=2), 3)[1:] == pytest.approx([30.0, 60.0], abs=0.5)


def test_throttle_keeps_to_tokens_per_minute() -> None:
    times = departures(Pace(100, tokens_per_minute=1000), 4, tokens=500)
    assert times == pytest.approx([0.0, 0.0, 30.0, 60.0], abs=0.5)
    huge = departures(Pace(100, tokens_per_minute=1000), 2, tokens=5000)
    assert huge == pytest.approx([0.0, 60.0], abs=0.5), "it waits, and is sent in the end"


def test_throttle_pause_holds_for_all() -> None:
    async def work(clock: Clock) -> list[float]:
        throttle, times = Throttle(Pace(2)), []
        throttle.pause(7.0)
        throttle.pause(3.0)

        async def request() -> None:
            async with throttle.slot(0):
                times.append(clock.now)

        await asyncio.gather(request(), request(), request())
        return times

    assert simulated(work) == pytest.approx([7.0] * 3)


def test_throttle_is_shared_by_those_who_ask_the_same_model() -> None:
    assert throttle_for("m@here", Pace(2)) is throttle_for("m@here", Pace(2))
    assert throttle_for("m@here", Pace(2)) is not throttle_for("m@there", Pace(2))


async def _thread_name() -> str:
    return threading.current_thread().name


def test_loop_is_one_for_all_threads() -> None:
    names: list[str] = []
    threads = [threading.Thread(target=lambda: names.append(loop.run(_thread_name()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names == ["teacher-loop"] * 4


def test_loop_raises_where_it_was_called() -> None:
    async def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        loop.run(fail())


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_loop_works_in_a_forked_process() -> None:
    assert loop.run(_thread_name()) == "teacher-loop"
    pid = os.fork()
    if pid == 0:
        ok = loop.run(_thread_name()) == "teacher-loop"
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert loop.run(_thread_name()) == "teacher-loop"


def test_loop_cancels_what_nobody_waits_for_any_more() -> None:
    """As when RQ's time-out interrupts the main thread of a job."""
    cancelled = threading.Event()

    async def endless() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    class OutOfTimeError(Exception):
        pass

    def interrupt(_number: int, _frame: Any) -> None:
        raise OutOfTimeError

    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    started = time.monotonic()
    try:
        work: Coroutine[Any, Any, None] = endless()
        with pytest.raises(OutOfTimeError):
            loop.run(work)
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert time.monotonic() - started < 5
    assert cancelled.wait(5)
