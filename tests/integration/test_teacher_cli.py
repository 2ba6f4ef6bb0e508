"""`handover teacher …` as it is typed, with real clients, servers that speak the two APIs, and a real worker."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select
from typer.testing import CliRunner

from handover.annotation_intake import apply_annotation
from handover.cli import app
from handover.domain import Split
from handover.intake import Options, apply_tasks
from handover.runtime import Runtime
from handover.serving import register
from handover.settings import Settings
from handover.store.models import PredictionRow, ProjectRow, TaskRow
from tests.anthropic_stub import AnthropicStub, anthropic_stub
from tests.openai_stub import OpenAIStub, failure, openai_stub
from tests.projects import CHOICE_CONFIG, chosen, tasks

LABELS = ("Bid", "Offer", "Trade")
LAN = """
[components]
[components.llm]
[components.llm.model]
@llm_models = "handover.OpenAI.v1"
name = "lan-model"
endpoint = "{url}"
retries = 0
"""


def right(text: str) -> str:
    number = re.search(r"offered (\d+)", text)
    assert number is not None
    return LABELS[int(number[1]) // 7919 % 3]


def learner(text: str, request: dict) -> str:
    """Right about a third of the texts, and about all once the prompt shows four examples."""
    system = request["system"][0]["text"]
    return f'{{"label": "{right(text) if system.count("Example:") >= 4 else "Bid"}"}}'


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[AnthropicStub]:
    with anthropic_stub(learner) as running:
        for name, value in {
            "HANDOVER_ANTHROPIC_API_KEY": "sk-test",
            "HANDOVER_ANTHROPIC_BASE_URL": running.url,
            "HANDOVER_TEACHER_RETRIES": "0",
            "HANDOVER_PREFETCH": "20",
            "HANDOVER_LANGUAGE": "xx",
            "NO_PROXY": "127.0.0.1",
        }.items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def server() -> Iterator[OpenAIStub]:
    with openai_stub(lambda _request: 'Gladly: {"label": "offer"}') as running:
        yield running


@pytest.fixture
def project(stub: AnthropicStub) -> Iterator[Runtime]:
    """A connected project: 140 tasks of which all but gold are annotated, and 40 open ones."""
    runtime = Runtime(Settings()).open()
    project_id = register(runtime, 7, CHOICE_CONFIG).id
    options = Options(gold_share=0.2, dev_share=0.2, max_text_chars=50_000)
    with runtime.database.write() as session:
        project = session.get_one(ProjectRow, project_id)
        rows = apply_tasks(session, project, tasks(140), options)
        for row in rows.values():
            if row.split != Split.GOLD.value:
                apply_annotation(session, project, row, chosen(LABELS[row.ls_id % 3], id=row.ls_id))
        apply_tasks(session, project, tasks(40, start=500), options)
    yield runtime
    runtime.close()


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["teacher", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def work() -> None:
    """A worker that runs until the queue is empty."""
    command = [sys.executable, "-c", "from handover.cli import app; app()", "worker", "--burst"]
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def predictions(runtime: Runtime) -> dict[str, int]:
    with runtime.database.read() as session:
        query = select(PredictionRow.version, func.count()).group_by(PredictionRow.version)
        return {version: number for version, number in session.execute(query)}  # noqa: C416 - rows are not pairs


def live(runtime: Runtime) -> str:
    with runtime.database.read() as session:
        return session.scalars(select(ProjectRow.live_version)).one()


def test_teacher_is_checked_compared_and_adopted(project: Runtime, stub: AnthropicStub) -> None:
    code, output = run("check", "-p", "7", "-n", "3")
    assert code == 0, output
    assert (output.count("understood  Bid"), output.count("tokens      100 in, 10 out")) == (3, 3)
    assert len(stub.requests) == 3

    code, output = run("compare", "-p", "7", "--examples", "0", "--examples", "4", "--yes")
    assert code == 0, output
    with project.database.read() as session:
        splits = {row.data["text"]: row.split for row in session.scalars(select(TaskRow))}
    assert {splits[text] for text in stub.texts()[3:]} == {"dev"}
    assert re.search(r"4 examples, no guidelines +\d+ +1\.000 .* 100 \+ 10 +no price", output)
    number = len(stub.requests)

    (command,) = re.findall(r"Adopt it: handover teacher (use .*)", output)
    before = live(project)
    code, output = run(*command.split())
    assert code == 0, output
    assert "4 of 4 examples" in output
    assert live(project) == before, "the worker makes the switch"
    work()
    after = live(project)
    assert after != before
    assert predictions(project) == {after: 20}, "the new teacher answered as far ahead as it should"
    examples = re.findall(r"Example:\n<text>\n(.*)\n</text>", stub.requests[-1]["system"][0]["text"])
    assert [splits[text] for text in examples] == ["train"] * 4
    assert len(stub.requests) == number + 20


def test_teacher_config_of_a_project_moves_it_to_another_server(
    project: Runtime, stub: AnthropicStub, server: OpenAIStub
) -> None:
    Path("lan.cfg").write_text(LAN.format(url=server.url))
    code, output = run("use", "-p", "7", "--config", "lan.cfg")
    assert code == 0, output
    assert re.search(r"stage: teacher claude\S+ -> lan-model-\S+; no examples", output)
    Path("lan.cfg").unlink()
    code, output = run("check", "-p", "7", "-n", "2")
    assert code == 0, output
    assert (output.count("understood  Offer"), output.count("tokens      120 in, 9 out")) == (2, 2)
    assert [request["model"] for request in server.requests] == ["lan-model"] * 2
    assert "Authorization" not in server.headers[0]
    assert stub.requests == []
    work()
    assert predictions(project) == {live(project): 20}
    assert stub.requests == []


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (failure(401, "no key given"), "answered HTTP 401. no key given. Check the API key."),
        (failure(404, "no model lan-model"), "HTTP 404. no model lan-model. Check `name` and `endpoint`"),
        (failure(503, "loading"), "answered HTTP 503. loading."),
    ],
)
def test_teacher_check_errors_are_one_sentence(
    project: Runtime, server: OpenAIStub, monkeypatch: pytest.MonkeyPatch, reply, says: str
) -> None:
    Path("lan.cfg").write_text(LAN.format(url=server.url))
    monkeypatch.setenv("HANDOVER_TEACHER_CONFIG", "lan.cfg")
    server.answer = lambda _request: reply
    code, output = run("check", "-p", "7")
    assert code == 1
    assert output.splitlines()[-1].startswith("The teacher gave no answer: 127.0.0.1:")
    assert says in output
    assert len(server.requests) == 1


def test_teacher_check_without_a_key_or_with_a_missing_config_says_so(
    project: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HANDOVER_ANTHROPIC_API_KEY")
    assert run("check", "-p", "7")[1].startswith("ANTHROPIC_API_KEY is not set; pre-annotation needs it.")
    monkeypatch.setenv("HANDOVER_TEACHER_CONFIG", "none.cfg")
    assert run("check", "-p", "7")[1].startswith("HANDOVER_TEACHER_CONFIG: The teacher's config 'none.cfg' cannot be")
