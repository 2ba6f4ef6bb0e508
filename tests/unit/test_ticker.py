"""The thread that sees to it that lost events are fetched."""

from __future__ import annotations

import pytest

from handover.api import ticker
from handover.errors import UnavailableError
from handover.settings import Settings


class ShakyRuntime:
    """Redis is away, then something nobody thought of happens, then all is well."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.problems: list[Exception] = [UnavailableError("away"), ZeroDivisionError("odd")]

    def ensure_redis(self) -> None:
        """What goes wrong, goes wrong here."""
        if self.problems:
            raise self.problems.pop(0)


def test_ticker_goes_on_after_any_failure(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    enqueued: list[bool] = []
    monkeypatch.setattr(ticker, "TICK_SECONDS", 0.01)
    monkeypatch.setattr(ticker, "enqueue_reconcile", lambda _runtime, *, full: enqueued.append(full))
    thread = ticker.Ticker(ShakyRuntime())  # type: ignore[arg-type]
    thread.start()
    for _ in range(300):
        if enqueued:
            break
        thread._stop.wait(0.01)
    thread.stop()
    assert enqueued == [True], "in full at the start, and then not before it is due again"
    assert "away" in caplog.text
    assert "ZeroDivisionError" in caplog.text
