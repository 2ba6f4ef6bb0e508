"""Alembic's entry: runs migrations on the engine that `handover.store.migrate` hands over."""

from typing import Any, Literal

from alembic import context
from sqlalchemy import Engine, text

from handover.store import models  # noqa: F401 - the tables that `alembic revision --autogenerate` compares with
from handover.store.columns import Base, UtcDateTime

LOCK = 7_416_902  # any fixed number: two servers that start together must not migrate at once


def _render_item(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    # Migrations must not import today's models: they describe the tables of their day.
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcDateTime) else False


def run(engine: Engine) -> None:
    """Run the migrations in one transaction, one process at a time."""
    is_postgres = engine.dialect.name == "postgresql"
    with engine.execution_options(handover_write=True).connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            render_as_batch=True,
            transactional_ddl=True,  # SQLite can, as long as we say BEGIN ourselves
            compare_type=True,
            render_item=_render_item,
        )
        with context.begin_transaction():
            if is_postgres:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            context.run_migrations()


run(context.config.attributes["engine"])
