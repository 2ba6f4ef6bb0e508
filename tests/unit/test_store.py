"""The store on SQLite; tests/integration runs the same on PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest
from sqlalchemy import inspect, text

from handover.domain import Aspect, Kind, Label
from handover.errors import ConfigError, NotFoundError, UnavailableError
from handover.intake import apply_config
from handover.store import annotations, jobs, projects
from handover.store.columns import Base
from handover.store.database import Database
from handover.store.migrate import upgrade
from handover.store.models import EventRow, ProjectRow
from handover.store.secrets import SecretBox
from tests.projects import CHOICE_CONFIG, ENTITY_CONFIG


def test_migrations_make_the_tables_that_the_models_describe(database: Database) -> None:
    found = inspect(database.engine)
    for table in Base.metadata.sorted_tables:
        columns = {column["name"] for column in found.get_columns(table.name)}
        assert columns == {column.name for column in table.columns}, table.name


def test_migrations_run_twice_change_nothing(database: Database) -> None:
    with database.write() as session:
        session.add(ProjectRow(ls_id=1, options={}))
    upgrade(database)
    with database.read() as session:
        assert projects.project_by_ls_id(session, 1) is not None


def test_store_write_is_rolled_back_as_a_whole_on_an_error(database: Database) -> None:
    with pytest.raises(RuntimeError), database.write() as session:
        session.add(ProjectRow(ls_id=1, options={}))
        session.flush()
        raise RuntimeError
    with database.read() as session:
        assert projects.all_projects(session) == []


def test_store_refuses_naive_times(database: Database) -> None:
    with pytest.raises(Exception, match="naive time"), database.write() as session:
        session.add(EventRow(action="X", summary={}, received_at=datetime(2026, 1, 1)))


def test_store_says_unavailable_when_the_database_stays_locked(database: Database) -> None:
    impatient = Database(database.url, patience=0.05)
    with database.write() as session:
        session.add(ProjectRow(ls_id=1, options={}))
        session.flush()
        with pytest.raises(UnavailableError, match="not available"), impatient.write() as blocked:
            blocked.execute(text("SELECT 1"))
    impatient.close()


def test_store_says_unavailable_when_the_tables_are_gone(database: Database) -> None:
    with database.write() as session:
        session.execute(text("DROP TABLE events"))
    with pytest.raises(UnavailableError), database.read() as session:
        session.execute(text("SELECT * FROM events"))


def test_revisions_grow(database: Database) -> None:
    with database.write() as session:
        first = annotations.next_revision(session)
        assert annotations.next_revision(session) == first + 1
        assert annotations.last_revision(session) == first + 1


def test_jobs_wait_once_per_kind_and_subject(database: Database) -> None:
    with database.write() as session:
        assert jobs.add_waiting(session, job_id="a", kind="retrain", subject_id=1)
        assert not jobs.add_waiting(session, job_id="b", kind="retrain", subject_id=1)
        assert jobs.add_waiting(session, job_id="c", kind="retrain", subject_id=2)
        jobs.set_started(session, "a")
        assert jobs.add_waiting(session, job_id="d", kind="retrain", subject_id=1), "one runs, one waits"
        assert not jobs.add_waiting(session, job_id="e", kind="retrain", subject_id=1)


def test_jobs_that_do_more_are_not_dropped_for_those_that_do_less(database: Database) -> None:
    with database.write() as session:

        def add(job_id: str, **arguments: object) -> bool:
            return jobs.add_waiting(session, job_id=job_id, kind="reconcile", subject_id=1, arguments=arguments)

        assert [add("a", full=False), add("b", full=True)] == [True, True]
        assert [add("c"), add("d", full=False), add("e", full=True)] == [False] * 3
        jobs.set_started(session, "b")
        assert add("f", full=True)


def test_find_aspect_names_the_aspects_there_are(database: Database, project: ProjectRow) -> None:
    with database.read() as session:
        assert projects.find_aspect(session, ls_project_id=7, name="").name == "stage"
        with pytest.raises(NotFoundError, match=r"no aspect 'stag' \(has: stage\)"):
            projects.find_aspect(session, ls_project_id=7, name="stag")
        with pytest.raises(NotFoundError, match="Project 8 is not connected"):
            projects.find_aspect(session, ls_project_id=8, name="")


def test_find_aspect_asks_which_one_where_there_are_several(database: Database, project: ProjectRow) -> None:
    both = CHOICE_CONFIG.replace("</View>", ENTITY_CONFIG.split("<View>")[1].split("<Text")[0] + "</View>")
    with database.write() as session:
        apply_config(session, project, both, max_text_chars=100)
    with database.read() as session, pytest.raises(NotFoundError, match=r"several aspects: stage, terms\. Say"):
        projects.find_aspect(session, ls_project_id=7, name="")


def test_secrets_are_not_in_the_clear_in_the_database(database: Database, tmp_path) -> None:
    box = SecretBox.open(key="", data_dir=tmp_path)
    with database.write() as session:
        box.put(session, "token", "very-secret-token")
        assert box.get(session, "token") == "very-secret-token"
        assert box.get(session, "other") == ""
    assert b"very-secret-token" not in (tmp_path / "data" / "handover.db").read_bytes()
    assert (tmp_path / "secret.key").stat().st_mode & 0o077 == 0
    assert SecretBox.open(key="", data_dir=tmp_path) is not box
    with database.read() as session:
        assert SecretBox.open(key="", data_dir=tmp_path).get(session, "token") == "very-secret-token"
        with pytest.raises(ConfigError, match="another key"):
            SecretBox("wrong").get(session, "token")


RELATIONS = Aspect(
    "relations",
    "text",
    Kind.RELATIONS,
    (Label("in", "inside of"),),
    "text",
    span_labels=(Label("PLACE", "a town"),),
    spans_from="terms",
)


@pytest.mark.parametrize(
    "aspect",
    [
        Aspect("stage", "text", Kind.CHOICE, (Label("Bid", "buys"),), "text", "Which stage?"),
        Aspect("topics", "text", Kind.CHOICES, (Label("Price"),), "mail.body", required=True),
        RELATIONS,
    ],
)
def test_store_keeps_aspects_as_they_are(database: Database, aspect: Aspect) -> None:
    with database.write() as session:
        project = ProjectRow(ls_id=1, options={})
        session.add(project)
        session.flush()
        assert projects.put_aspects(session, project, [aspect])
        assert not projects.put_aspects(session, project, [aspect])
        (row,) = projects.aspects_of(session, project.id)
    assert projects.aspect_of(row) == aspect


def test_store_keeps_the_definitions_of_older_rows_equal() -> None:
    aspect = Aspect("stage", "text", Kind.CHOICE, (Label("Bid", "buys"),), "text", "Which stage?")
    assert projects.definition_of(aspect) == {
        "to_name": "text",
        "kind": "choice",
        "labels": [["Bid", "buys"]],
        "text_field": "text",
        "question": "Which stage?",
    }


@pytest.mark.parametrize(
    ("change", "server"),
    [
        ({"spans_from": "other"}, "teacher"),
        ({"span_labels": (Label("CITY"),)}, "teacher"),
        ({"question": "?"}, "student"),
    ],
)
def test_store_student_of_relations_goes_when_the_spans_change(
    database: Database, change: dict[str, object], server: str
) -> None:
    with database.write() as session:
        project = ProjectRow(ls_id=1, options={})
        session.add(project)
        session.flush()
        projects.put_aspects(session, project, [RELATIONS])
        (row,) = projects.aspects_of(session, project.id)
        row.server = "student"
        assert projects.put_aspects(session, project, [replace(RELATIONS, **change)])
        assert row.server == server
