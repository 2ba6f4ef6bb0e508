"""The real servers, started once per session (Label Studio) or per module (the backend with a worker)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from scripts.stack import LabelStudio

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder are integration tests."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture
def api(label_studio: LabelStudio, token: str) -> Iterator[httpx.Client]:
    """Label Studio's own API."""
    access = httpx.post(f"{label_studio.url}/api/token/refresh", json={"refresh": token}).json()["access"]
    with httpx.Client(base_url=label_studio.url, headers={"Authorization": f"Bearer {access}"}, timeout=60) as client:
        yield client
