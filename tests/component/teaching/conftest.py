"""A project whose tasks are annotated, except for gold, and a model that learns from examples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Iterable  # noqa: UP035

import pytest
from sqlalchemy import select

from handover.annotation_intake import apply_annotation
from handover.domain import Split
from handover.intake import Options, adopt_project, apply_config, apply_tasks
from handover.runtime import Runtime
from handover.settings import Settings
from handover.store.database import Database
from handover.store.models import AspectRow, ProjectRow, TaskRow
from handover.store.projects import aspects_of
from handover.teacher.completion import Completion
from tests.projects import CHOICE_CONFIG, chosen, tasks

NUMBER = 140
LABELS = ("Bid", "Offer", "Trade")
OPTIONS = Options(gold_share=0.2, dev_share=0.2, max_text_chars=50_000)


def right(text: str) -> str:
    """The label that people gave a text of `tasks`."""
    number = re.search(r"offered (\d+)", text)
    assert number is not None
    return LABELS[int(number[1]) // 7919 % 3]


@pytest.fixture
def settings() -> Settings:
    return Settings(teacher_examples=4, anthropic_api_key="sk-test", language="xx")


@pytest.fixture(scope="module")
def annotated(template_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which all tasks that are not gold are annotated; tests copy it."""
    path = tmp_path_factory.mktemp("fewshot") / "annotated.db"
    path.write_bytes(template_database.read_bytes())
    database = Database(f"sqlite:///{path}")
    with database.write() as session:
        project = adopt_project(session, 7, title="Market", sampling="Sequential sampling")
        apply_config(session, project, CHOICE_CONFIG, max_text_chars=50_000)
        rows = apply_tasks(session, project, tasks(NUMBER), OPTIONS)
        for row in rows.values():
            if row.split != Split.GOLD.value:
                apply_annotation(session, project, row, chosen(LABELS[row.ls_id % 3], id=row.ls_id))
    database.close()
    return path


@pytest.fixture
def database(annotated: Path, settings: Settings) -> Iterator[Database]:
    settings.data_dir.mkdir(parents=True)
    (settings.data_dir / "handover.db").write_bytes(annotated.read_bytes())
    database = Database(settings.store_url)
    yield database
    database.close()


@pytest.fixture
def project(database: Database) -> ProjectRow:
    with database.read() as session:
        return session.get_one(ProjectRow, 1)


@pytest.fixture
def rows(database: Database) -> dict[int, TaskRow]:
    with database.read() as session:
        return {row.ls_id: row for row in session.scalars(select(TaskRow))}


@pytest.fixture
def aspect(database: Database, project: ProjectRow) -> AspectRow:
    with database.read() as session:
        return aspects_of(session, project.id)[0]


@pytest.fixture
def runtime(database: Database, settings: Settings) -> Iterator[Runtime]:
    runtime = Runtime(settings)
    yield runtime
    runtime.close()


class Learner:
    """A model that is right about a third of the texts, and about all once its prompt shows four examples."""

    def __init__(self) -> None:
        self.prompts: list[Any] = []

    def __call__(self, prompts: Iterable[Iterable[Any]]) -> Iterable[Iterable[Any]]:
        return [[self._ask(prompt) for prompt in group] for group in prompts]

    def _ask(self, prompt: Any) -> Completion:
        self.prompts.append(prompt)
        label = right(prompt.text) if prompt.system.count("Example:") >= 4 else "Bid"
        return Completion(f'{{"label": "{label}"}}', input_tokens=len(prompt) // 4, output_tokens=8)


LEARNER = '[components]\n[components.llm]\n[components.llm.model]\n@llm_models = "test.Learner.v1"\n'


@pytest.fixture
def learner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Learner:
    """The model, and a config that names it as the teacher of every project."""
    from spacy_llm.registry import registry

    model = Learner()
    registry.llm_models("test.Learner.v1", func=lambda: model)
    (tmp_path / "learner.cfg").write_text(LEARNER)
    monkeypatch.setenv("HANDOVER_TEACHER_CONFIG", str(tmp_path / "learner.cfg"))
    return model
