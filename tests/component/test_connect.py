"""Connecting a project, as far as it can be seen without Label Studio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from handover.api.security import NO_WEBHOOKS
from handover.commands.connect import _connect_backend
from handover.labelstudio.client import ProjectInfo
from tests.component.gold_world import World


class FakeLabelStudio:
    """Takes what it is told."""

    def ensure_webhook(self, *_arguments: Any, **_more: Any) -> int:
        return 1

    def ensure_ml_backend(self, *_arguments: Any, **_more: Any) -> int:
        return 2

    def show_version(self, *_arguments: Any, **_more: Any) -> None:
        pass


@pytest.mark.parametrize(("secret", "warned"), [("s", False), ("", True)])
def test_connect_warns_when_webhooks_will_be_refused(tmp_path: Path, database, secret: str, warned: bool) -> None:
    world = World(tmp_path, basic_auth_user="u", basic_auth_password="p", webhook_secret=secret)
    said: list[str] = []
    info = ProjectInfo(7, "t", "", "", "")
    _connect_backend(world.runtime, FakeLabelStudio(), world.project.id, info, "v", said.append)  # type: ignore[arg-type]
    world.runtime.close()
    assert (NO_WEBHOOKS in said) == warned
    assert said[-1].startswith("Webhook 1 and ML backend 2 point to")
