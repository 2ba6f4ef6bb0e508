"""Wait for something to become true."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

from scripts.stack import Backend

Value = TypeVar("Value")


def wait_until(condition: Callable[[], Value], *, timeout: float = 60.0, backend: Backend | None = None) -> Value:
    """Poll until the condition is true and return its value; fails with the servers' logs otherwise."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        if backend is not None:
            backend.check()
        time.sleep(0.25)
    servers = [backend.server, *backend.workers] if backend is not None else []
    logs = "\n".join(f"--- {server.name}\n{server.tail(40)}" for server in servers)
    pytest.fail(f"not true within {timeout:.0f} s\n{logs}")
