"""A stand-in for the Messages API on the wire: the real SDK talks to it over HTTP."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[str, dict[str, Any]], str]
"""From the task's text and the whole request to the completion."""


@dataclass
class AnthropicStub:
    """Remembers the requests; `answer` composes completions, `status` other than 200 makes every request fail."""

    answer: Answer
    status: int = 200
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def texts(self) -> list[str]:
        """The task texts that were asked about."""
        return [text_of(request) for request in self.requests]


def text_of(request: dict[str, Any]) -> str:
    """The task's text in a request."""
    content = request["messages"][-1]["content"]
    prompt = content if isinstance(content, str) else "".join(block["text"] for block in content)
    found = re.search(r"<text>\n?(.*?)\n?</text>", prompt, flags=re.DOTALL)
    assert found is not None, "the prompt does not mark the text"
    return found.group(1)


@contextmanager
def anthropic_stub(answer: Answer) -> Iterator[AnthropicStub]:
    """Run the stub on a free port of 127.0.0.1."""
    stub = AnthropicStub(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            stub.requests.append(body)
            stub.headers.append(dict(self.headers))
            if stub.status != 200:
                self._send(stub.status, {"type": "error", "error": {"type": "api_error", "message": "stub"}})
            else:
                self._send(200, message(body["model"], stub.answer(text_of(body), body)))

        def _send(self, status: int, value: dict[str, Any]) -> None:
            payload = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_args: object) -> None:
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def message(model: str, text: str) -> dict[str, Any]:
    """An answer of the Messages API."""
    return {
        "id": "msg_stub",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 100, "output_tokens": 10},
    }
