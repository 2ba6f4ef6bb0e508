"""What callers are told when something is not there."""

from __future__ import annotations

import logging

import pytest
from fastapi.testclient import TestClient

from handover.api.app import create_app
from handover.runtime import Runtime
from handover.settings import Settings


def test_api_tells_callers_that_the_database_is_away_and_only_the_log_why(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(settings)
    app.state.runtime = Runtime(settings)  # its database has no tables
    with caplog.at_level(logging.ERROR):
        answer = TestClient(app).get("/versions")
    app.state.runtime.close()
    assert (answer.status_code, answer.json()) == (503, {"error": "The database is not available."})
    assert "The database is not available: no such table: projects" in caplog.text
