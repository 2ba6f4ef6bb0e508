"""Not one packet leaves: a server and a worker in a network namespace whose only way out is counted.

The namespace has a route to a teacher's API that answers, and to whatever else somebody might want to reach, so that
nothing stays inside only because it cannot get out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.stack import ROOT, clean_env
from tests.anthropic_stub import AnthropicStub, anthropic_stub
from tests.integration.market import QUICK
from tests.integration.rounds import GOLD, SECRET

OUTSIDE, INSIDE = "10.213.77.1", "10.213.77.2"


def ip(*arguments: str) -> str:
    """Run iproute2. Raises CalledProcessError."""
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True).stdout


@dataclass(frozen=True)
class Namespace:
    """A network namespace with one way out."""

    name: str
    way_out: str

    def run(self, *command: str, env: dict[str, str]) -> str:
        """Run a command inside; returns what it printed."""
        inside = ["ip", "netns", "exec", self.name, *command]
        done = subprocess.run(inside, env=env, cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def packets(self) -> int:
        """How many packets, of whatever kind, were sent out since it exists."""
        (link,) = json.loads(ip("-n", self.name, "-j", "-s", "link", "show", "dev", self.way_out))
        return int(link["stats64"]["tx"]["packets"])


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """A namespace; skips only where there can be none."""
    if shutil.which("ip") is None:
        pytest.skip("iproute2 is not installed")
    name = f"handover-{os.getpid()}"
    outer, inner = f"hov{os.getpid() % 100000}o", f"hov{os.getpid() % 100000}i"
    try:
        ip("netns", "add", name)
        ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name)
    except subprocess.CalledProcessError as error:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        pytest.skip(f"network namespaces are impossible here: {error.stderr.strip()}")
    try:
        # Without IPv6 the kernel itself has nothing to say on the link.
        for key in ("all", "default"):
            quiet = f"/proc/sys/net/ipv6/conf/{key}/disable_ipv6"
            subprocess.run(
                ["ip", "netns", "exec", name, "sh", "-c", f"[ ! -e {quiet} ] || echo 1 > {quiet}"], check=True
            )
        ip("address", "add", f"{OUTSIDE}/30", "dev", outer)
        ip("link", "set", outer, "up")
        ip("-n", name, "address", "add", f"{INSIDE}/30", "dev", inner)
        ip("-n", name, "link", "set", inner, "up")
        ip("-n", name, "link", "set", "lo", "up")
        ip("-n", name, "route", "add", "default", "via", OUTSIDE)
        yield Namespace(name, inner)
    finally:
        ip("netns", "del", name)


@pytest.fixture
def api(namespace: Namespace) -> Iterator[AnthropicStub]:
    """A teacher's API outside."""
    with anthropic_stub(lambda _text, _request: '{"label": "Bid"}', host=OUTSIDE) as stub:
        yield stub


def rounds(namespace: Namespace, api: AnthropicStub, folder: Path, *steps: str, **settings: str) -> str:
    """Run steps of a day inside, with a key and an API that would answer."""
    given = {**QUICK, "reconcile_every": "5", "anthropic_api_key": "sk-test", "anthropic_base_url": api.url, **settings}
    env = clean_env(**{f"HANDOVER_{name.upper()}": value for name, value in given.items()})
    return namespace.run(sys.executable, "-m", "tests.integration.rounds", str(folder), *steps, env=env)


def test_packets_are_counted_when_the_teacher_is_asked(
    namespace: Namespace, api: AnthropicStub, tmp_path: Path
) -> None:
    """Otherwise the other tests would say nothing. Also: what is sent is the aspect's text and nothing else of it."""
    told = rounds(namespace, api, tmp_path, "setup", "predict")
    assert "suggestions: 0" not in told
    assert namespace.packets() > 10
    assert len(api.requests) > 10
    sent = json.dumps([api.requests, api.headers])
    assert SECRET not in sent
    assert set(api.texts()) < {text for text, _ in GOLD}


@pytest.mark.parametrize(
    ("steps", "settings"),
    [
        (("setup", "predict", "annotate", "sync", "retrain"), {"teacher": "none"}),
        (
            ("setup", "hand_over", "predict", "annotate", "sync", "retrain"),
            {"teacher": "claude", "shadow": "0", "retrain_after": "10000"},
        ),
    ],
    ids=["without a teacher", "after a handover, without shadow answers"],
)
def test_not_one_packet_leaves(
    namespace: Namespace, api: AnthropicStub, tmp_path: Path, steps: tuple[str, ...], settings: dict[str, str]
) -> None:
    told = rounds(namespace, api, tmp_path, *steps, **settings)
    assert ("suggestions: 0" in told) == (settings["teacher"] == "none")
    assert "failed" not in told
    if "retrain" in steps:
        assert "retrain finished" in told
    assert "prefetch finished" in told
    assert api.requests == []
    assert namespace.packets() == 0
