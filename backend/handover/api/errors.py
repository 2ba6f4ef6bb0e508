"""Every error as `{"error": one sentence}`; tracebacks stay in the log."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from handover.errors import HandoverError, NotFoundError, UnavailableError

logger = logging.getLogger(__name__)


def add_error_handlers(app: FastAPI) -> None:
    """Register the handlers."""
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(UnavailableError, _unavailable)
    app.add_exception_handler(NotFoundError, _not_found)
    app.add_exception_handler(HandoverError, _known)
    app.add_exception_handler(Exception, _unknown)


def _answer(status: int, text: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": text}, status_code=status, headers=headers)


async def _http_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - for the type checker
    return _answer(error.status_code, str(error.detail), dict(error.headers or {}))


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return _answer(400, "The request body is not valid JSON.")
    place = ".".join(str(part) for part in first["loc"] if part != "body") or "body"
    # The message of the check, never the value: it may be a task's text.
    return _answer(422, f"The request does not fit the protocol: {place}: {first['msg']}.")


async def _unavailable(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, UnavailableError)  # noqa: S101
    logger.error("%s", error)
    return _answer(503, error.what, {"Retry-After": "5"})


async def _not_found(_request: Request, error: Exception) -> JSONResponse:
    return _answer(404, str(error))


async def _known(_request: Request, error: Exception) -> JSONResponse:
    logger.error("%s", error)
    return _answer(400, str(error))


async def _unknown(request: Request, error: Exception) -> JSONResponse:
    logger.exception("%s %s failed", request.method, request.url.path, exc_info=error)
    return _answer(500, "Something went wrong on the server; its log says what.")
