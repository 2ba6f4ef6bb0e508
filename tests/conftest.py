"""Fixtures for all tests. No test sees the settings, the data folder or the keys of the developer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from handover.intake import adopt_project, apply_config
from handover.settings import Settings
from handover.store.database import Database
from handover.store.migrate import upgrade
from handover.store.models import ProjectRow
from scripts.stack import LabelStudio, stopping
from tests.projects import CHOICE_CONFIG, MAX_TEXT_CHARS

# The same examples in every run, so that CI says something about the change; `--hypothesis-profile explore` looks
# for new ones.
hypothesis_settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis_settings.register_profile("explore", max_examples=2000, deadline=None)
hypothesis_settings.load_profile("repeatable")


IN_PARALLEL = frozenset({"unit", "component"})
"""Folders whose tests share nothing; the others share one Label Studio."""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """One process per core, but none for tests that share servers, or for a single file."""
    here = Path(__file__).parent
    paths = [Path(str(argument).partition("::")[0]).resolve() for argument in config.args]
    folders = {path.relative_to(here).parts[0] if here in path.parents else "" for path in paths}
    return None if folders <= IN_PARALLEL and any(path.is_dir() for path in paths) else 0


@pytest.fixture(autouse=True)
def isolated_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Drop settings of this machine and point the data folder at a temporary one."""
    for name in [*os.environ]:
        if name.startswith(("HANDOVER_", "ANTHROPIC_")) and name != "HANDOVER_LABEL_STUDIO_VENV":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HANDOVER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)  # no .env file of the checkout


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudio]:
    """A Label Studio with one user, started once for all integration and end-to-end tests."""
    server = LabelStudio(tmp_path_factory.mktemp("label-studio"))
    with stopping(server):
        yield server.start()


@pytest.fixture(scope="session")
def token(label_studio: LabelStudio) -> str:
    """That user's Personal Access Token."""
    return label_studio.token()


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
