"""What SQLite and PostgreSQL spell differently, and the size of statements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from handover.store.columns import Base

Item = TypeVar("Item")
CHUNK = 500  # bound parameters per statement; SQLite allows 32,766, older builds 999


def chunks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """The items in slices that fit into one statement."""
    return (items[i : i + CHUNK] for i in range(0, len(items), CHUNK))


def insert_ignore(session: Session, table: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows; those that collide with a unique constraint are left out (the first writer wins)."""
    if rows:
        session.execute(_insert(session)(table).on_conflict_do_nothing(), rows)


def upsert(session: Session, table: type[Base], rows: Sequence[Mapping[str, Any]], *, keys: Sequence[str]) -> None:
    """Insert rows; one with the same `keys` (a unique constraint) takes the new values."""
    if not rows:
        return
    statement = _insert(session)(table)
    changed = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    session.execute(statement.on_conflict_do_update(index_elements=list(keys), set_=changed), rows)


def _insert(session: Session) -> Any:
    is_postgres = session.get_bind().dialect.name == "postgresql"
    return postgres_insert if is_postgres else sqlite_insert
