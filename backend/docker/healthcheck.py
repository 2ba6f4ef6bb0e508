"""Tells Docker whether this container is well: `healthcheck.py serve` or `healthcheck.py worker`.

Exit status 0: well. 1: not, with the reason on stderr, which `docker inspect` shows.
"""

from __future__ import annotations

import base64
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Protocol

TIMEOUT = 5.0
"""Seconds to wait for an answer."""


class RedisLike(Protocol):
    """The two commands of Redis that the check of a worker needs."""

    def smembers(self, name: str) -> set[bytes]: ...

    def hget(self, name: bytes, key: str) -> bytes | None: ...


def check_server(env: Mapping[str, str]) -> str:
    """Ask the server for its health as Label Studio does; returns what is wrong, empty if nothing is."""
    request = urllib.request.Request(f"http://127.0.0.1:{env.get('HANDOVER_PORT', '9090')}/health")
    user, password = env.get("HANDOVER_BASIC_AUTH_USER", ""), env.get("HANDOVER_BASIC_AUTH_PASSWORD", "")
    if user and password:
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT):  # noqa: S310 - the URL is ours
            return ""
    except OSError as error:  # HTTPError and URLError are OSErrors
        return f"/health: {error}"


def check_worker(connection: RedisLike, hostname: str) -> str:
    """Look for a worker of this container in Redis; returns what is wrong, empty if nothing is.

    A worker's hash in Redis expires when the worker stops renewing it; the set of names keeps the dead too.
    """
    names = connection.smembers("rq:workers")
    if any(connection.hget(name, "hostname") == hostname.encode() for name in names):
        return ""
    return f"Redis knows no living worker on {hostname}."


def main(service: str) -> str:
    """Run the check of `service`; returns what is wrong, empty if nothing is."""
    if service == "serve":
        return check_server(os.environ)
    import redis  # noqa: PLC0415 - the server's check runs often and does not need it

    url = os.environ["HANDOVER_REDIS_URL"]
    try:
        with redis.Redis.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT) as connection:
            return check_worker(connection, socket.gethostname())
    except redis.RedisError as error:
        return f"Redis: {type(error).__name__}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]) or 0)
