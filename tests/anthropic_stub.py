"""A stand-in for the Messages API on the wire: the real SDK talks to it over HTTP.

It can be slow, fail in all the ways that a network and an API can, and take batches.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[str, dict[str, Any]], str]
"""From the task's text and the whole request to the completion."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one answer. `drip` sends a byte per so many seconds, `cut_at` closes the connection after
    so many bytes, `body` is sent in place of what belongs there, `message` changes fields of a good message."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    drip: float = 0.0
    cut_at: int | None = None
    message: dict[str, Any] = field(default_factory=dict)


NO_FAULT = Fault()


@dataclass
class AnthropicStub:
    """Remembers the requests; `answer` composes completions, `status` other than 200 makes every request fail.

    `latency` is in seconds. `fault` decides what goes wrong, from the task's text and how often it was asked about
    before. Batches are under way until `batches_end`; `batch_result` decides how an entry ends.
    """

    answer: Answer
    status: int = 200
    latency: float = 0.0
    fault: Callable[[str, int], Fault] = lambda _text, _before: NO_FAULT
    batches_end: bool = False
    batches_refused: bool = False
    batch_result: Callable[[str], str] = lambda _text: "succeeded"
    batches: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    busiest: int = 0
    url: str = ""
    _asked: Counter[str] = field(default_factory=Counter)
    _running: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def texts(self) -> list[str]:
        """The task texts that were asked about, one by one."""
        return [text_of(request) for request in self.requests]

    def note(self, request: dict[str, Any], headers: dict[str, str]) -> int:
        """Remember a request; returns how often its text was asked about before."""
        with self._lock:
            self.requests.append(request)
            self.headers.append(headers)
            text = text_of(request)
            self._asked[text] += 1
            return self._asked[text] - 1

    @contextmanager
    def working(self) -> Iterator[None]:
        """Take as long as the real thing, and count how many are at it."""
        with self._lock:
            self._running += 1
            self.busiest = max(self.busiest, self._running)
        try:
            time.sleep(self.latency)
            yield
        finally:
            with self._lock:
                self._running -= 1

    def add_batch(self, requests: list[dict[str, Any]]) -> dict[str, Any]:
        """Take a batch."""
        with self._lock:
            batch_id = f"msgbatch_{len(self.batches) + 1}"
            self.batches[batch_id] = requests
        return self.batch(batch_id)

    def batch(self, batch_id: str) -> dict[str, Any]:
        """A batch as the API describes it."""
        number = len(self.batches[batch_id])
        counts = {"processing": 0 if self.batches_end else number, "succeeded": number if self.batches_end else 0}
        return {
            "id": batch_id,
            "type": "message_batch",
            "processing_status": "ended" if self.batches_end else "in_progress",
            "request_counts": {"canceled": 0, "errored": 0, "expired": 0, **counts},
            "results_url": f"{self.url}/v1/messages/batches/{batch_id}/results" if self.batches_end else None,
            "created_at": "2026-01-01T00:00:00Z",
            "expires_at": "2026-01-02T00:00:00Z",
        }

    def results(self, batch_id: str) -> bytes:
        """The answers of a batch as JSONL, last one first: their order means nothing."""
        lines = [{"custom_id": r["custom_id"], "result": self._result(r["params"])} for r in self.batches[batch_id]]
        return "".join(json.dumps(line) + "\n" for line in reversed(lines)).encode()

    def _result(self, params: dict[str, Any]) -> dict[str, Any]:
        text = text_of(params)
        kind = self.batch_result(text)
        if kind == "succeeded":
            return {"type": kind, "message": message(params["model"], self.answer(text, params))}
        error = {"type": "error", "error": {"type": "invalid_request_error", "message": "stub"}}
        return {"type": kind, "error": error} if kind == "errored" else {"type": kind}


def text_of(request: dict[str, Any]) -> str:
    """The task's text in a request."""
    content = request["messages"][-1]["content"]
    prompt = content if isinstance(content, str) else "".join(block["text"] for block in content)
    found = re.findall(r"<text>\n?(.*?)\n?</text>", prompt, flags=re.DOTALL)
    assert found, "the prompt does not mark the text"
    return str(found[-1])


@contextmanager
def anthropic_stub(answer: Answer, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[AnthropicStub]:
    """Run the stub, on a free port."""
    stub = AnthropicStub(answer)
    server = Server((host, port), _handler(stub))
    stub.url = f"http://{host}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Server(ThreadingHTTPServer):
    """Does not wait for answers that still drip."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256


def _handler(stub: AnthropicStub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path.endswith("/batches") and stub.batches_refused:
                self._send({"type": "error", "error": {"type": "x", "message": "stub"}}, Fault(status=403))
            elif self.path.endswith("/batches"):
                self._send(stub.add_batch(body["requests"]))
            elif self.path.endswith("/chat/completions"):
                self._chat(body)
            else:
                self._answer(body)

        def do_GET(self) -> None:
            stub.fetched.append(self.path)
            _, _, name = self.path.partition("/v1/messages/batches/")
            batch_id = name.removesuffix("/results")
            if batch_id not in stub.batches:
                error = {"type": "error", "error": {"type": "not_found_error", "message": "no such batch"}}
                self._send(error, Fault(status=404))
            elif name.endswith("/results"):
                self._send(None, Fault(body=stub.results(batch_id)))
            else:
                self._send(stub.batch(batch_id))

        def _answer(self, body: dict[str, Any]) -> None:
            before = stub.note(body, dict(self.headers))
            text = text_of(body)
            with stub.working():
                fault = stub.fault(text, before) if stub.status == 200 else Fault(status=stub.status)
                if fault.status == 200:
                    value = {**message(body["model"], stub.answer(text, body)), **fault.message}
                else:
                    value = {"type": "error", "error": {"type": "api_error", "message": "stub"}}
                self._send(value, fault)

        def _chat(self, body: dict[str, Any]) -> None:
            """The same question in the words of OpenAI's API, for comparison."""
            stub.note(body, dict(self.headers))
            with stub.working():
                content = stub.answer(text_of(body), body)
                self._send({"choices": [{"message": {"role": "assistant", "content": content}}]})

        def _send(self, value: Any, fault: Fault = NO_FAULT) -> None:
            payload = fault.body if fault.body is not None else json.dumps(value).encode()
            self.send_response(fault.status)
            for name, content in {"Content-Type": "application/json", **fault.headers}.items():
                self.send_header(name, content)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            if fault.drip:
                self._drip(payload, fault.drip)
            else:
                self.wfile.write(payload[: fault.cut_at])
            if fault.drip or fault.cut_at is not None:
                self.close_connection = True

        def _drip(self, payload: bytes, pause: float) -> None:
            for i in range(len(payload)):
                self.wfile.write(payload[i : i + 1])
                self.wfile.flush()
                time.sleep(pause)

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:  # the client has gone
                self.close_connection = True

        def log_message(self, *_args: object) -> None:
            """Stay quiet."""

    return Handler


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
