"""Fixtures for all tests. No test sees the settings, the data folder or the keys of the developer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from scripts.stack import LabelStudio, stopping

# The same examples in every run, so that CI says something about the change; `--hypothesis-profile explore` looks
# for new ones.
hypothesis_settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis_settings.register_profile("explore", max_examples=2000, deadline=None)
hypothesis_settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def isolated_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Drop settings of this machine and point the data folder at a temporary one."""
    for name in [*os.environ]:
        if name.startswith(("HANDOVER_", "ANTHROPIC_")) and name != "HANDOVER_LABEL_STUDIO_VENV":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HANDOVER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)  # no .env file of the checkout


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudio]:
    """A Label Studio with one user, started once for all integration and end-to-end tests."""
    server = LabelStudio(tmp_path_factory.mktemp("label-studio"))
    with stopping(server):
        yield server.start()


@pytest.fixture(scope="session")
def token(label_studio: LabelStudio) -> str:
    """That user's Personal Access Token."""
    return label_studio.token()
