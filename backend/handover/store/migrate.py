"""Bring the database to the newest version of the tables."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from handover.store.database import Database


def upgrade(database: Database, *, revision: str = "head") -> None:
    """Run all migrations that are missing up to `revision`. Running it again changes nothing.

    Raises UnavailableError when the database cannot be reached.
    """
    with database.read() as session:
        session.execute(text("SELECT 1"))  # alembic would raise the driver's error
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["engine"] = database.engine
    command.upgrade(config, revision)
