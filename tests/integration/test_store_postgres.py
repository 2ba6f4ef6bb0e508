"""The store's unit tests once more, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Thread

import pytest
from sqlalchemy import select, text

from handover.annotation_intake import apply_annotation
from handover.errors import UnavailableError
from handover.fewshot import renew
from handover.intake import apply_tasks, delete_tasks, options_for
from handover.labelstudio.protocol import AnnotationIn
from handover.settings import Settings
from handover.store.columns import Base
from handover.store.database import Database
from handover.store.migrate import upgrade
from handover.store.models import AnnotationRow, ProjectRow, TaskRow
from handover.store.projects import aspects_of, lock_project
from handover.store.tasks import set_pushed, unchanged
from handover.store.teacher_examples import stored_examples
from handover.teaching import examples_of
from tests.integration.postgres import postgres_server
from tests.projects import chosen, tasks
from tests.unit.test_examples import *  # noqa: F403
from tests.unit.test_intake import *  # noqa: F403
from tests.unit.test_ledger_rows import *  # noqa: F403
from tests.unit.test_trigger import *  # noqa: F403


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres_server() as url:
        yield url


@pytest.fixture(scope="module")
def migrated(server: str) -> Iterator[Database]:
    database = Database(server)
    upgrade(database)
    upgrade(database)
    yield database
    database.close()


@pytest.fixture
def settings(server: str) -> Settings:
    return Settings(database_url=server)


@pytest.fixture
def database(migrated: Database) -> Database:
    """The server's database, emptied."""
    tables = ", ".join(table.name for table in Base.metadata.sorted_tables)
    with migrated.write() as session:
        session.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
    return migrated


def test_postgres_that_is_away_is_unavailable_within_a_second() -> None:
    away = Database("postgresql+psycopg://handover@127.0.0.1:9/postgres", patience=0.4)
    with pytest.raises(UnavailableError, match="not available"), away.read() as session:
        session.execute(text("SELECT 1"))
    away.close()


def test_postgres_connections_recover_after_they_were_cut(database: Database) -> None:
    with database.read() as session:
        session.execute(text("SELECT 1"))
    other = Database(database.url)
    with other.write() as session:
        others = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = 'handover'"
        cut = f"SELECT pg_terminate_backend(pid) {others}"
        session.execute(text(cut))
    other.close()
    with database.read() as session:
        assert session.execute(text("SELECT 1")).scalar_one() == 1


def test_postgres_keeps_the_examples_of_a_teacher(database: Database, project: ProjectRow) -> None:
    settings = Settings(teacher_examples=4)
    with database.write() as session:
        found = apply_tasks(session, project, tasks(100), options_for(project, settings))
        for row in found.values():
            apply_annotation(session, project, row, chosen(("Bid", "Offer")[row.ls_id % 2], id=row.ls_id))
        (aspect,) = aspects_of(session, project.id)
    assert renew(database, settings, aspect.id)
    assert not renew(database, settings, aspect.id)
    with database.write() as session:
        shown = stored_examples(session, aspect.id)
        assert len(examples_of(session, aspect)) == len(shown) == 4
        delete_tasks(session, project, [session.get_one(TaskRow, shown[0].task_id).ls_id])
        assert len(examples_of(session, aspect)) == 3


def test_postgres_text_stays_while_its_answer_is_stored(database: Database, project: ProjectRow) -> None:
    with database.write() as session:
        (task,) = apply_tasks(session, project, tasks(1), options_for(project, Settings())).values()

    def edit() -> None:
        with database.write() as session:
            session.get_one(TaskRow, task.id).data = {"text": "edited"}

    editing = Thread(target=edit)
    with database.write() as session:
        assert unchanged(session, [task]) == [task]
        editing.start()
        editing.join(0.3)
        assert editing.is_alive(), "it waits"
        set_pushed(session, [task], "v1")
    editing.join()
    with database.write() as session:
        assert unchanged(session, [task]) == []
        set_pushed(session, [task], "v2")
    with database.read() as session:
        assert session.get_one(TaskRow, task.id).pushed_version == "v1"


@pytest.fixture
def task(database: Database, project: ProjectRow, settings: Settings) -> TaskRow:
    with database.write() as session:
        return apply_tasks(session, project, tasks(1), options_for(project, settings))[1]


def test_postgres_lets_no_older_state_overwrite_a_newer_one(database: Database, project: ProjectRow, task) -> None:
    """A reconcile has decided that its state is news when a webhook brings a newer one."""
    newer = Thread(target=lambda: bring(database, project, task, chosen("Trade", id=1, seconds=20)))
    with database.write() as session:
        apply_annotation(session, project, task, chosen("Bid", id=1))
    with database.write() as session:
        lock_project(session, project.id)
        newer.start()
        newer.join(timeout=0.5)
        assert newer.is_alive(), "it waits"
        apply_annotation(session, project, task, chosen("Offer", id=1, seconds=10))
    newer.join()
    assert stored_labels(database) == ["Trade"]


def test_postgres_takes_an_annotation_from_two_at_once(database: Database, project: ProjectRow, task) -> None:
    start = Barrier(4)

    def create() -> bool:
        start.wait(5)
        with database.write() as session:
            return apply_annotation(session, project, task, chosen("Offer", id=5, seconds=10))

    with ThreadPoolExecutor(4) as pool:
        made = [pool.submit(create) for _ in range(4)]
    assert sorted(future.result() for future in made) == [False, False, False, True]
    assert stored_labels(database) == ["Offer"]


def bring(database: Database, project: ProjectRow, task: TaskRow, annotation: AnnotationIn) -> None:
    with database.write() as session:
        apply_annotation(session, project, task, annotation)


def stored_labels(database: Database) -> list[str]:
    with database.read() as session:
        return [row.result[0]["value"]["choices"][0] for row in session.scalars(select(AnnotationRow))]
