"""Static checks of backend/Dockerfile, and the health check that it copies."""

from __future__ import annotations

import http.server
import importlib.util
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from handover.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "backend/Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")


def last_stage() -> str:
    return DOCKERFILE.rsplit("\nFROM ", 1)[1]


def test_dockerfile_stages_start_from_a_pinned_python() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert bases == ["python:3.11-slim-bookworm"] * 2


def test_dockerfile_installs_the_lock_and_then_the_package_alone() -> None:
    installs = re.findall(r"^RUN (pip install .+)$", DOCKERFILE, re.MULTILINE)
    assert installs == [
        "pip install --no-cache-dir -r requirements/handover.lock",
        "pip install --no-cache-dir --no-deps .",
    ]


def test_dockerfile_final_stage_is_small_and_not_root() -> None:
    assert re.findall("apt-get|pip install|build-essential", last_stage()) == []
    user = re.search(r"^USER (\S+)$", last_stage(), re.MULTILINE)
    assert user is not None
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    assert user[1] == services["backend"]["user"] == services["worker"]["user"]


def test_dockerfile_names_only_settings_that_exist() -> None:
    settings = {f"HANDOVER_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"\bHANDOVER_[A-Z_]+\b", DOCKERFILE)) - settings == set()


def test_dockerfile_serves_by_default() -> None:
    lines = last_stage().splitlines()
    assert 'ENTRYPOINT ["handover"]' in lines
    assert 'CMD ["serve"]' in lines
    assert "EXPOSE 9090" in lines
    assert re.search(r"^HEALTHCHECK .*CMD \[", last_stage(), re.MULTILINE)


def test_dockerfile_copies_files_that_exist_and_are_not_ignored() -> None:
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    sources = {source for copy in copies for source in copy.split()}
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert sources == allowed
    assert sorted(source for source in sources if not (ROOT / source).exists()) == []


@pytest.fixture(scope="module")
def healthcheck() -> ModuleType:
    spec = importlib.util.spec_from_file_location("healthcheck", ROOT / "backend/docker/healthcheck.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def serve_health(status: Callable[[str | None], int]) -> Iterator[dict[str, str]]:
    """A server on loopback whose /health answers `status(Authorization header)`; gives its environment."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status(self.headers.get("Authorization")) if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield {"HANDOVER_PORT": str(server.server_port)}
        finally:
            server.shutdown()
            thread.join()


def test_healthcheck_shows_the_credentials_of_label_studio(healthcheck: ModuleType) -> None:
    def status(authorization: str | None) -> int:
        return 200 if authorization == "Basic bGFiZWwtc3R1ZGlvOnM6ZQ==" else 401

    credentials = {"HANDOVER_BASIC_AUTH_USER": "label-studio", "HANDOVER_BASIC_AUTH_PASSWORD": "s:e"}
    with serve_health(status) as env:
        assert healthcheck.check_server(env | credentials) == ""
        assert "401" in healthcheck.check_server(env)


@pytest.mark.parametrize("status", [500, 503])
def test_healthcheck_reports_a_server_that_is_not_well(healthcheck: ModuleType, status: int) -> None:
    with serve_health(lambda _: status) as env:
        assert str(status) in healthcheck.check_server(env)
    assert "refused" in healthcheck.check_server(env)


class WorkersInRedis:
    """Redis as a worker's check sees it: names of workers, and the hosts of those that live."""

    def __init__(self, **hosts: str | None) -> None:
        self.hosts = hosts

    def smembers(self, name: str) -> set[bytes]:
        return {key.encode() for key in self.hosts} if name == "rq:workers" else set()

    def hget(self, name: bytes, key: str) -> bytes | None:
        host = self.hosts[name.decode()] if key == "hostname" else None
        return host.encode() if host else None


@pytest.mark.parametrize(
    ("hosts", "is_well"),
    [
        ({}, False),
        ({"a": "here"}, True),
        ({"a": "there"}, False),
        ({"a": None}, False),
        ({"a": None, "b": "here"}, True),
    ],
)
def test_healthcheck_looks_for_a_living_worker_of_this_container(
    healthcheck: ModuleType, hosts: dict[str, str | None], is_well: bool
) -> None:
    assert (healthcheck.check_worker(WorkersInRedis(**hosts), "here") == "") is is_well


def test_healthcheck_reports_a_redis_that_is_away(healthcheck: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDOVER_REDIS_URL", "redis://127.0.0.1:1/0")
    assert healthcheck.main("worker") == "Redis: ConnectionError"
