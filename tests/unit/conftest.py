"""A store in a temporary SQLite file, and a project in it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from handover.intake import adopt_project, apply_config
from handover.labelstudio.protocol import AnnotationIn, TaskIn
from handover.settings import Settings
from handover.store.database import Database
from handover.store.migrate import upgrade
from handover.store.models import ProjectRow

CHOICE_CONFIG = """
<View>
  <Header value="Which stage?"/>
  <Text name="text" value="$text"/>
  <Choices name="stage" toName="text" choice="single">
    <Choice value="Bid"/><Choice value="Offer"/><Choice value="Trade"/>
  </Choices>
</View>
"""

ENTITY_CONFIG = """
<View>
  <Labels name="terms" toName="text"><Label value="PRICE"/><Label value="PLACE"/></Labels>
  <Text name="text" value="$text"/>
</View>
"""

MAX_TEXT_CHARS = 50_000
START = datetime(2026, 1, 1, tzinfo=timezone.utc)


@pytest.fixture
def settings() -> Settings:
    """Settings with a temporary data folder."""
    return Settings()


@pytest.fixture(scope="session")
def template_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file that tests copy."""
    path = tmp_path_factory.mktemp("template") / "empty.db"
    database = Database(f"sqlite:///{path}")
    upgrade(database)
    database.close()
    return path


@pytest.fixture
def database(template_database: Path, settings: Settings) -> Iterator[Database]:
    """A migrated store of its own for each test."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    target = settings.data_dir / "handover.db"
    target.write_bytes(template_database.read_bytes())
    database = Database(settings.store_url)
    yield database
    database.close()


@pytest.fixture
def project(database: Database) -> ProjectRow:
    """A project with one aspect of kind choice."""
    with database.write() as session:
        project = adopt_project(session, 7, title="Market", sampling="Sequential sampling")
        apply_config(session, project, CHOICE_CONFIG, max_text_chars=MAX_TEXT_CHARS)
    return project


def tasks(number: int, *, start: int = 1) -> list[TaskIn]:
    """Tasks with texts that are no near-duplicates."""
    words = "copper zinc diesel wheat sugar methanol urea cotton coffee nickel naphtha corn".split()
    return [
        TaskIn(id=i, data={"text": f"{words[i % 12]} {words[i * 7 % 12]} offered {i * 7919} at {i * 104729}"})
        for i in range(start, start + number)
    ]


def chosen(label: str, *, id: int, seconds: int = 0, **more: Any) -> AnnotationIn:
    """An annotation of the aspect `stage`."""
    result = [{"from_name": "stage", "to_name": "text", "type": "choices", "value": {"choices": [label]}}]
    return AnnotationIn.model_validate(
        {"id": id, "result": result, "updated_at": START + timedelta(seconds=seconds), **more}
    )
