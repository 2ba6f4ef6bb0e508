"""Write what must not get lost: answers that were paid for, and what they cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.orm import Session

from handover.errors import UnavailableError
from handover.store.database import Database

Result = TypeVar("Result")

PAUSES = (0.1, 0.3, 1.0, 3.0)
"""Seconds between the tries: the server itself waits only a fraction of a second for a lock."""


def patiently(database: Database, work: Callable[[Session], Result]) -> Result:
    """Run work in a write transaction, and again while the database is locked. Raises UnavailableError."""
    for pause in PAUSES:
        try:
            with database.write() as session:
                return work(session)
        except UnavailableError:
            time.sleep(pause)
    with database.write() as session:
        return work(session)
