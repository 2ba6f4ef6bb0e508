"""Refuse request bodies over the limit while they come in, before anything is parsed."""

from __future__ import annotations

import json

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

DRAIN_SECONDS = 5.0
DRAIN_FACTOR = 4
"""A caller that is still sending sees a reset connection instead of our answer, so a body that is too long is read on
and thrown away: for so many seconds, up to so many times the limit."""


class BodyLimit:
    """ASGI middleware that answers 413 when a body has more than `max_bytes`, declared or not."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a counting `receive`."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if _declared_length(scope) > self.max_bytes:
            await self._refuse(receive, send)
            return
        seen = 0

        async def counted_receive() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            # To the application a body that is too long looks like a caller who hung up.
            return message if seen <= self.max_bytes else {"type": "http.disconnect"}

        async def watched_send(message: Message) -> None:
            if seen <= self.max_bytes:
                await send(message)

        await self.app(scope, counted_receive, watched_send)
        if seen > self.max_bytes:
            await self._refuse(receive, send)

    async def _refuse(self, receive: Receive, send: Send) -> None:
        await _drain(receive, DRAIN_FACTOR * self.max_bytes)
        text = f"The request body is larger than {self.max_bytes} bytes (HANDOVER_MAX_BODY_MB)."
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps({"error": text}).encode()})


def _declared_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


async def _drain(receive: Receive, max_bytes: int) -> None:
    seen = 0
    with anyio.move_on_after(DRAIN_SECONDS):
        while seen <= max_bytes:
            message = await receive()
            seen += len(message.get("body", b""))
            if not message.get("more_body", False):
                return
