"""Run the server and the workers."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket

import uvicorn
from rq import Queue, Worker
from rq.serializers import JSONSerializer
from rq.worker_pool import WorkerPool

from handover.api.app import create_app
from handover.api.security import NO_WEBHOOKS
from handover.errors import ConfigError
from handover.jobs.queue import QUEUE_NAMES, connect_redis
from handover.preload import preload
from handover.runtime import Runtime
from handover.settings import Settings

logger = logging.getLogger(__name__)


def serve(settings: Settings) -> None:
    """Run the server until it is told to stop. Raises ConfigError when it would be open to the network."""
    check_exposure(settings)
    check_port(settings)
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level.lower(),
        access_log=False,
        server_header=False,
    )


def check_exposure(settings: Settings) -> None:
    """Without secrets the server stays on this machine. Raises ConfigError."""
    if settings.has_credentials or is_loopback(settings.host):
        return
    raise ConfigError(
        f"HANDOVER_HOST is {settings.host!r}, which others can reach, but not all secrets are set. Set "
        "HANDOVER_BASIC_AUTH_USER, HANDOVER_BASIC_AUTH_PASSWORD and HANDOVER_WEBHOOK_SECRET, or listen on 127.0.0.1."
    )


def check_port(settings: Settings) -> None:
    """Raises ConfigError when something else listens there."""
    try:
        socket.create_server((settings.host, settings.port), family=_family(settings.host)).close()
    except OSError as error:
        raise ConfigError(
            f"Cannot listen on {settings.host}:{settings.port} ({error.strerror}). Stop what listens there, or set "
            "HANDOVER_PORT or HANDOVER_HOST."
        ) from error


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def exposure_notes(settings: Settings) -> list[str]:
    """What to say about secrets that are missing."""
    if settings.has_credentials:
        return []
    if settings.refuses_webhooks:
        return [NO_WEBHOOKS]
    return ["Not all secrets are set (HANDOVER_BASIC_AUTH_*, HANDOVER_WEBHOOK_SECRET): only this machine may connect."]


def is_loopback(host: str) -> bool:
    """Whether an address can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def work(settings: Settings, *, processes: int = 1, burst: bool = False) -> None:
    """Run one worker in this process, or a pool of them, until told to stop (`burst`: until the queue is empty)."""
    preload()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    runtime = Runtime(settings).open()
    try:
        connection = connect_redis(runtime.redis_url, patience=None)
        queues = [Queue(name, connection=connection, serializer=JSONSerializer) for name in QUEUE_NAMES]
        if processes == 1:
            worker = Worker(queues, connection=connection, serializer=JSONSerializer)
            worker.work(with_scheduler=True, burst=burst, logging_level=settings.log_level)
        else:
            pool = WorkerPool(queues, connection, num_workers=processes, serializer=JSONSerializer)
            pool.start(burst=burst, logging_level=settings.log_level)
    finally:
        runtime.close()
