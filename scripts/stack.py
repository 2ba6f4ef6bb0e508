"""Start and stop the real servers: Label Studio, the backend, a worker. Used by the demo and by the tests."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent
EMAIL = "annotator@example.com"
PASSWORD = "handover-demo"  # noqa: S105 - a throw-away user on this machine

LABEL_STUDIO_ENV = {
    # Label Studio refuses backends on private addresses unless told otherwise; the cloud metadata address
    # stays banned.
    "ML_BLOCK_LOCAL_IP": "false",
    "SSRF_PROTECTION_ENABLED": "true",
    "USE_DEFAULT_BANNED_SUBNETS": "false",
    "USER_ADDITIONAL_BANNED_SUBNETS": "169.254.0.0/16,fe80::/10",
    "COLLECT_ANALYTICS": "false",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
    "LATEST_VERSION_CHECK": "false",
    "DJANGO_DB": "sqlite",
    "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
}


class StackError(Exception):
    """A server did not start, or ended by itself."""


def free_port(preferred: int = 0) -> int:
    """The preferred port of 127.0.0.1 if it is free, else some free one."""
    for port in (preferred, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise StackError("No free port on 127.0.0.1.")


@dataclass
class Server:
    """A subprocess with its log. `stop` ends it and everything it started."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    log: Path
    cwd: Path = ROOT
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> Server:
        """Start it in a process group of its own, so that Ctrl-C reaches only us and we stop it in order."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                list(self.command),
                env=dict(self.env),
                cwd=self.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def stop(self, *, timeout: float = 20.0) -> None:
        """SIGTERM, wait, then SIGKILL for the whole group."""
        if self.process is None:
            return
        for sign in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout)
                break
        self.process = None

    def kill(self) -> None:
        """SIGKILL, as the kernel does when memory runs out."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def tail(self, lines: int = 30) -> str:
        """The end of the log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def check(self) -> None:
        """Raises StackError when the server has ended by itself."""
        if self.process is not None and self.process.poll() is not None:
            raise StackError(f"{self.name} ended with code {self.process.returncode}:\n{self.tail()}")

    def wait_for(self, url: str, *, timeout: float) -> None:
        """Poll a URL until it answers 200. Raises StackError with the end of the log."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self.check()
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(url, timeout=2).status_code == httpx.codes.OK:
                    return
            time.sleep(0.2)
        raise StackError(f"{self.name} did not answer at {url} within {timeout:.0f} s:\n{self.tail()}")


def label_studio_python() -> Path:
    """The Python of Label Studio's own virtual environment."""
    given = os.environ.get("HANDOVER_LABEL_STUDIO_VENV")
    return (Path(given) if given else ROOT / ".venv-label-studio") / "bin" / "python"


def clean_env(**extra: str) -> dict[str, str]:
    """The environment without settings of Handover, Label Studio or Django that happen to be set here."""
    drop = re.compile(r"^(HANDOVER_|LABEL_STUDIO_|DJANGO_|POSTGRE_|REDIS_|PYTHONPATH$|VIRTUAL_ENV$)")
    kept = {key: value for key, value in os.environ.items() if not drop.match(key)}
    return {**kept, "PYTHONUNBUFFERED": "1", **extra}


class LabelStudio:
    """A Label Studio of our own, with one user."""

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        self.folder = folder.resolve()
        self.port = free_port(port)
        self.url = f"http://127.0.0.1:{self.port}"
        python = label_studio_python()
        if not python.exists():
            raise StackError(f"Label Studio is not installed ({python} is missing). Run scripts/setup first.")
        env = clean_env(
            **LABEL_STUDIO_ENV,
            LABEL_STUDIO_BASE_DATA_DIR=str(self.folder),
            LABEL_STUDIO_HOST=self.url,
            LABEL_STUDIO_USERNAME=EMAIL,
            LABEL_STUDIO_PASSWORD=PASSWORD,
        )
        command = [str(python.parent / "label-studio"), "start", "--no-browser", "--internal-host", "127.0.0.1"]
        self.server = Server("Label Studio", [*command, "--port", str(self.port)], env, self.folder / "server.log")

    def start(self, *, timeout: float = 300.0) -> LabelStudio:
        """Start it and wait until it answers; the first start on an empty folder migrates for a minute."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.server.start()
        self.server.wait_for(f"{self.url}/health", timeout=timeout)
        return self

    def stop(self) -> None:
        """Stop it."""
        self.server.stop()

    def token(self) -> str:
        """A Personal Access Token of the user, made the way the web page does."""
        with httpx.Client(base_url=self.url, follow_redirects=True, timeout=30) as client:
            page = client.get("/user/login/").text
            found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
            if found is None:
                raise StackError("Label Studio's login page has no form any more.")
            form = {"email": EMAIL, "password": PASSWORD, "csrfmiddlewaretoken": found.group(1)}
            client.post("/user/login/", data=form, headers={"Referer": self.url})
            headers = {"X-CSRFToken": client.cookies.get("csrftoken", ""), "Referer": self.url}
            answer = client.post("/api/token/", headers=headers)
            if answer.status_code != httpx.codes.CREATED:
                raise StackError(f"Label Studio gave no token: {answer.status_code} {answer.text[:200]}")
            return str(answer.json()["token"])


class Backend:
    """`handover serve` and `handover worker` on one data folder."""

    def __init__(self, folder: Path, label_studio_url: str, *, port: int = 0, **settings: str) -> None:
        self.folder = folder.resolve()
        self.port = free_port(port)
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = clean_env(
            HANDOVER_DATA_DIR=str(self.folder / "handover"),
            HANDOVER_PORT=str(self.port),
            HANDOVER_LABEL_STUDIO_URL=label_studio_url,
            **{f"HANDOVER_{key.upper()}": value for key, value in settings.items()},
        )
        self.server = Server("handover serve", handover("serve"), self.env, self.folder / "serve.log")
        self.workers: list[Server] = []

    def write_settings(self) -> Path:
        """Write the settings into a `.env` file, which `handover` reads in the folder it is called in."""
        path = self.folder / ".env"
        path.touch(mode=0o600)
        settings = {name: value for name, value in self.env.items() if name.startswith("HANDOVER_")}
        path.write_text("".join(f"{name}='{value}'\n" for name, value in settings.items()), encoding="utf-8")
        return path

    def start(self, *, workers: int = 1, timeout: float = 90.0) -> Backend:
        """Start the server, wait for it, and start workers."""
        self.server.start()
        self.server.wait_for(f"{self.url}/health", timeout=timeout)
        for _ in range(workers):
            self.start_worker()
        return self

    def start_worker(self) -> Server:
        """Start one more worker."""
        log = self.folder / f"worker-{len(self.workers) + 1}.log"
        worker = Server("handover worker", handover("worker"), self.env, log).start()
        self.workers.append(worker)
        return worker

    def stop(self) -> None:
        """Stop the workers, then the server."""
        for server in [*reversed(self.workers), self.server]:
            server.stop()

    def check(self) -> None:
        """Raises StackError when one of them has ended by itself."""
        for server in [self.server, *self.workers]:
            server.check()

    def run(self, *arguments: str, stdin: str = "", timeout: float = 300.0) -> subprocess.CompletedProcess[str]:
        """Run a `handover` command against the same data folder."""
        return subprocess.run(
            handover(*arguments),
            env=self.env,
            cwd=ROOT,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


def handover(*arguments: str) -> list[str]:
    """The `handover` command of the running Python."""
    return [sys.executable, "-m", "handover", *arguments]


@contextlib.contextmanager
def stopping(*parts: LabelStudio | Backend) -> Iterator[None]:
    """Stop the parts at the end, the last one first, also after an error or Ctrl-C."""
    try:
        yield
    finally:
        for part in reversed(parts):
            part.stop()
