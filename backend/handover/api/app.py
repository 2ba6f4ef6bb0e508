"""Put the server together."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from handover import __version__
from handover.api.errors import add_error_handlers
from handover.api.label_studio import router as label_studio_router
from handover.api.limits import BodyLimit
from handover.api.security import Guard
from handover.api.ticker import Ticker
from handover.preload import preload
from handover.runtime import Runtime
from handover.settings import Settings

logger = logging.getLogger(__name__)

PATIENCE = 0.4
"""Seconds the server waits for Redis or a database lock: Label Studio's webhooks time out after one second."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application. Nothing is opened before it starts up."""
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        preload()
        runtime = Runtime(settings, patience=PATIENCE).open()
        app.state.runtime = runtime
        ticker = Ticker(runtime)
        ticker.start()
        try:
            yield
        finally:
            ticker.stop()
            runtime.close()

    app = FastAPI(title="Handover", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(BodyLimit, max_bytes=int(settings.max_body_mb * 1_000_000))
    app.add_middleware(Guard, settings=settings)  # the last one added is asked first
    add_error_handlers(app)
    app.include_router(label_studio_router)
    return app
