"""Fixtures of the tests of models on the wire: a stub of the Messages API."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.unit.teacher.conftest import _clean_environment, stage, terms  # noqa: F401 - the same fixtures


@dataclass
class Reply:
    """One answer of the stub: a status with headers and a body, perhaps late, perhaps cut off."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut_at: int | None = None


class StubApi:
    """A Messages API on a port of this machine, and what it was sent."""

    reply = Reply

    def __init__(self) -> None:
        self._replies: list[Any] = []
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def script(self, *replies: Any) -> None:
        """What to answer from now on: replies, bodies, or functions of the request; the last one for ever."""
        self._replies = list(replies)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _reply(self, request: dict[str, Any], headers: dict[str, str]) -> Reply:
        with self._lock:
            self.requests.append(request)
            self.headers.append(headers)
            reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        found = reply(request) if callable(reply) else reply
        return found if isinstance(found, Reply) else Reply(found)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                reply = stub._reply(json.loads(body), {k.lower(): v for k, v in self.headers.items()})
                time.sleep(reply.delay)
                content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
                self.send_response(reply.status)
                for name, value in {"content-type": "application/json", **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: reply.cut_at])

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:  # the client has gone, as in the time-out test
                    self.close_connection = True

        return Handler


@pytest.fixture
def api() -> Iterator[StubApi]:
    """A running stub of the Messages API."""
    stub = StubApi()
    stub.start()
    yield stub
    stub.stop()
