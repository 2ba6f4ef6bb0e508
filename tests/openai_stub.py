"""A stand-in for OpenAI's chat completions on the wire: real clients talk to it over HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[dict[str, Any]], Any]
"""From a request to the completion: a text, or a `Reply` for anything else."""


@dataclass(frozen=True)
class Reply:
    """One answer as it goes over the wire, perhaps late. A `body` that is not a string is sent as JSON."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0


@dataclass
class OpenAIStub:
    """Remembers the requests; `answer` composes completions."""

    answer: Answer
    models: tuple[str, ...] = ("stub-model",)
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    base: str = ""

    @property
    def url(self) -> str:
        """The chat-completions endpoint."""
        return f"{self.base}/v1/chat/completions"


def completion(text: str, *, model: str = "stub-model", finish: str = "stop", **message: Any) -> dict[str, Any]:
    """An answer of the API."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
    usage = {"prompt_tokens": 120, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 64}}
    return {"id": "c", "object": "chat.completion", "model": model, "choices": [choice], "usage": usage}


def failure(status: int, message: str = "stub", **headers: str) -> Reply:
    """An error as OpenAI words it."""
    return Reply(status, {"error": {"message": message, "type": "stub"}}, headers)


@contextmanager
def openai_stub(answer: Answer) -> Iterator[OpenAIStub]:
    """Run the stub on a free port of 127.0.0.1."""
    stub = OpenAIStub(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(Reply(body={"data": [{"id": name} for name in stub.models]}))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            stub.requests.append(body)
            stub.headers.append(dict(self.headers))
            reply = stub.answer(body)
            self._send(reply if isinstance(reply, Reply) else Reply(body=completion(reply, model=body["model"])))

        def _send(self, reply: Reply) -> None:
            time.sleep(reply.delay)
            payload = (reply.body if isinstance(reply.body, str) else json.dumps(reply.body)).encode()
            self.send_response(reply.status)
            for name, value in {**reply.headers, "Content-Length": str(len(payload))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(payload)

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:  # the client has gone, as in the time-out tests
                self.close_connection = True

        def log_message(self, *_args: object) -> None:
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    stub.base = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
