"""Bring the database to the newest version of the tables."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config

from handover.store.database import Database


def upgrade(database: Database, *, revision: str = "head") -> None:
    """Run all migrations that are missing up to `revision`. Running it again changes nothing."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["engine"] = database.engine
    command.upgrade(config, revision)
