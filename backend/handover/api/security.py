"""Who may call: HTTP Basic for the ML backend protocol, a secret header for webhooks. Compared in constant time.

The check comes before the body is read, so that without credentials nothing is parsed and nothing revealed.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from handover.labelstudio.client import WEBHOOK_HEADER
from handover.settings import Settings

OPEN_PATHS = frozenset({"/", "/health"})
"""Answer whether the server is up, and nothing else."""

WEBHOOK_PATH = "/webhook"

NO_WEBHOOKS = (
    "Warning: HANDOVER_BASIC_AUTH_USER is set and HANDOVER_WEBHOOK_SECRET is not. Label Studio's webhooks carry no "
    "credentials and are refused (401): annotations are only known at the next reconcile. Set HANDOVER_WEBHOOK_SECRET, "
    "start `handover serve` again and repeat `handover connect`."
)


class Guard:
    """ASGI middleware that answers 401 to whoever does not show what the settings ask for."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http" or self._may_pass(scope["path"], Headers(scope=scope)):
            await self.app(scope, receive, send)
        else:
            await _refuse(send)

    def _may_pass(self, path: str, headers: Headers) -> bool:
        if path in OPEN_PATHS:
            return True
        if path.rstrip("/") == WEBHOOK_PATH:
            return _webhook_ok(headers, self.settings)
        return _basic_ok(headers, self.settings)


def _webhook_ok(headers: Headers, settings: Settings) -> bool:
    """The secret header, or Basic auth: the Start Training button comes to the same path with the latter."""
    secret = settings.webhook_secret.get_secret_value()
    if not secret:
        return _basic_ok(headers, settings)
    if _same(headers.get(WEBHOOK_HEADER, ""), secret):
        return True
    return bool(settings.basic_auth_user) and _basic_ok(headers, settings)


def _basic_ok(headers: Headers, settings: Settings) -> bool:
    if not settings.basic_auth_user:
        return True
    user, password = _basic_credentials(headers.get("Authorization", ""))
    is_user = _same(user, settings.basic_auth_user)
    is_password = _same(password, settings.basic_auth_password.get_secret_value())
    return is_user and is_password


def _basic_credentials(header: str) -> tuple[str, str]:
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return user, password


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


async def _refuse(send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"www-authenticate", b'Basic realm="handover"')]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send(
        {
            "type": "http.response.body",
            "body": json.dumps({"error": "Wrong or missing credentials."}).encode(),
        }
    )
