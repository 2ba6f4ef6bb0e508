"""A runtime whose teacher asks a stub of the Messages API, and what its ledger says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import select

from handover.intake import apply_tasks, options_for
from handover.runtime import Runtime
from handover.serving import register
from handover.settings import Settings
from handover.store.database import Database
from handover.store.models import PredictionRow, ProjectRow, TaskRow, TeacherCallRow
from handover.store.tasks import open_tasks
from tests.anthropic_stub import AnthropicStub
from tests.projects import CHOICE_CONFIG, tasks

PRICES = json.dumps({"claude-sonnet-5-5": {"input": 3, "output": 15, "batch_discount": 0.5}})
COST = (100 * 3 + 10 * 15) / 1e6
"""Of one of the stub's answers."""


@contextmanager
def asking(stub: AnthropicStub, **settings: Any) -> Iterator[Runtime]:
    """The runtime; Redis and Label Studio are not there."""
    given: dict[str, Any] = {"anthropic_api_key": "sk-test", "anthropic_base_url": stub.url, "teacher_retries": 0}
    runtime = Runtime(Settings(language="xx", **{**given, **settings}))
    try:
        yield runtime
    finally:
        runtime.close()


def add_project(runtime: Runtime, number: int, *, ls_id: int = 7, start: int = 1) -> tuple[ProjectRow, list[TaskRow]]:
    """A project with so many tasks, and those of them that are not gold."""
    project = register(runtime, ls_id, CHOICE_CONFIG)
    with runtime.database.write() as session:
        apply_tasks(session, project, tasks(number, start=start), options_for(project, runtime.settings))
    with runtime.database.read() as session:
        return project, list(open_tasks(session, project.id))


def calls(database: Database, *statuses: str) -> list[TeacherCallRow]:
    """The ledger's rows, oldest first."""
    query = select(TeacherCallRow).order_by(TeacherCallRow.id)
    with database.read() as session:
        return list(session.scalars(query.where(TeacherCallRow.status.in_(statuses)) if statuses else query))


def predictions(database: Database) -> dict[int, PredictionRow]:
    """All predictions by our task ids."""
    with database.read() as session:
        return {row.task_id: row for row in session.scalars(select(PredictionRow))}
