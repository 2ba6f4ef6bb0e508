"""Engine and sessions. SQLite (WAL) and PostgreSQL behave alike behind `Database.read` and `Database.write`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from handover.errors import UnavailableError

IS_WRITE = "handover_write"


class Database:
    """Sessions on one database.

    Build it once per process. `patience` is how many seconds a caller waits for a lock or a connection:
    well under a second in the server, longer in jobs.
    """

    def __init__(self, url: str, *, patience: float = 20.0) -> None:
        self.url = url
        self.engine = _make_engine(url, patience=patience)
        self._writer = self.engine.execution_options(**{IS_WRITE: True})

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that only reads. Raises UnavailableError when the database is away."""
        with _translate(), Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session in one transaction that is committed at the end and rolled back on any error.

        Raises UnavailableError when the database is away or stays locked.
        """
        with _translate(), Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


@contextmanager
def _translate() -> Iterator[None]:
    try:
        yield
    except (OperationalError, PoolTimeoutError) as error:
        raise UnavailableError("The database is not available.", detail=_first_line(error)) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise UnavailableError("The database went away.", detail=_first_line(error)) from error
        raise


def _first_line(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    return str(cause).strip().split("\n")[0]


def _make_engine(url: str, *, patience: float) -> Engine:
    if make_url(url).get_backend_name() == "sqlite":
        return _sqlite_engine(url, patience)
    connect_timeout = max(1, int(patience))
    return create_engine(
        url,
        pool_pre_ping=True,
        pool_size=10,
        pool_timeout=patience,
        connect_args={"connect_timeout": connect_timeout},
    )


def _sqlite_engine(url: str, patience: float) -> Engine:
    path = make_url(url).database
    if path and path != ":memory:":
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": patience})
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver's own transaction handling would start a read transaction and upgrade it later, which
    # fails at once when another writer was faster; we say BEGIN ourselves.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    is_write = connection.get_execution_options().get(IS_WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_write else "BEGIN")
