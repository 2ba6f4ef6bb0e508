"""The command line: sentences instead of tracebacks, and the next step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from handover import __version__
from handover.cli import app
from handover.commands.connect import read_tasks
from handover.commands.instructions import instructions_html
from handover.errors import ConfigError


def run(*arguments: str, stdin: str = "") -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments), input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join(result.output.split())


def test_cli_tells_its_version() -> None:
    assert run("--version") == (0, __version__)


def test_cli_status_of_nothing_says_what_to_do_next() -> None:
    assert run("status") == (
        0,
        "No project is connected yet. Next: `handover connect --config FILE.xml --data FILE.jsonl`.",
    )
    code, output = run("status", "--json")
    assert (code, json.loads(output)) == (0, {"projects": [], "jobs": [], "currency": "USD"})


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("export", "-p", "4", "-o", "x"), "Project 4 is not connected. `handover status` lists the projects."),
        (("export", "--all", "-o", "x"), "The store has no aspect ''."),
        (("retrain", "-p", "4", "-a", "stage"), "Project 4 is not connected."),
        (("cancel", "nope"), "Job 'nope' neither waits nor runs. There is no such job; see `handover jobs`."),
        (("sync",), "No such project is connected. Run `handover connect` first"),
        (("connect", "--token-stdin"), "Nothing to connect: give --project ID, or --config FILE.xml"),
    ],
)
def test_cli_shows_an_error_as_a_sentence(monkeypatch: pytest.MonkeyPatch, arguments, says) -> None:
    monkeypatch.setenv("HANDOVER_LABEL_STUDIO_URL", "http://127.0.0.1:9")
    code, output = run(*arguments, stdin="a-token\n")
    assert code == 1
    assert says in output
    assert "Traceback" not in output
    assert "a-token" not in output


@pytest.mark.parametrize(
    ("name", "url", "said"),
    [
        ("HANDOVER_DATABASE_URL", "postgresql+psycopg://u:p@127.0.0.1:9/x", "The database is not available"),
        ("HANDOVER_REDIS_URL", "redis://127.0.0.1:9/0", "Redis is not available"),
    ],
)
def test_cli_names_the_setting_of_a_server_that_is_away(
    monkeypatch: pytest.MonkeyPatch, database, project, name: str, url: str, said: str
) -> None:
    monkeypatch.setenv(name, url)
    code, output = run("retrain", "-p", "7")
    assert (code, "Traceback" in output) == (1, False)
    assert said in output
    assert f"Check {name}" in output or f"and {name}" in output


def test_cli_connect_takes_a_project_or_a_config(tmp_path: Path) -> None:
    config = tmp_path / "x.xml"
    config.write_text("<View/>")
    code, output = run("connect", "--token-stdin", "-p", "4", "--config", str(config), stdin="a-token\n")
    assert (code, "Give --project or --config, not both" in output) == (1, True)
    code, output = run("connect", "--token-stdin", "-p", "4", stdin="\n")
    assert (code, "The token is empty" in output) == (1, True)


@pytest.mark.parametrize("arguments", [(), ("-p", "4", "--all")])
def test_cli_export_wants_projects_or_all_of_them(arguments: tuple[str, ...]) -> None:
    code, output = run("export", "-o", "x", *arguments)
    assert code == 2
    assert "give --project, once or several times, or --all" in output


def test_cli_names_the_setting_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDOVER_GOLD_SHARE", "0.9")
    monkeypatch.setenv("HANDOVER_SECRET_KEY", "do-not-show")
    code, output = run("status")
    assert code == 1
    assert "HANDOVER_GOLD_SHARE: Input should be less than or equal to 0.5" in output
    assert "do-not-show" not in output


def test_cli_serve_refuses_to_be_open_without_secrets() -> None:
    code, output = run("serve", "--host", "0.0.0.0")
    assert code == 1
    assert "HANDOVER_WEBHOOK_SECRET" in output


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"text": "one", "gold": "x"}\n\n{"text": "two"}\n'),
        ("a.json", '[{"text": "one", "gold": "x"}, {"data": {"text": "two"}}]'),
        ("a.csv", 'gold,text\nx,one\n"y","two"\n'),
        ("a.tsv", "text\tgold\none\tx\ntwo\ty\n"),
        ("a.txt", "one\n\ntwo\n"),
    ],
)
def test_connect_reads_tasks_and_leaves_other_fields_out(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    assert list(read_tasks(path, ["text", "text"])) == [{"text": "one"}, {"text": "two"}]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", '{"text": "one"}\n{oops\n', "Line 2 of .* is not valid JSON"),
        ("a.jsonl", "[1]\n", "Record 1 of .* is list, expected an object"),
        ("a.json", "{", "not valid JSON: line 1"),
        ("a.json", '{"text": 1}', "holds dict, expected a list"),
        ("a.xlsx", "", "ending '.xlsx'; expected .jsonl"),
        ("a.jsonl", "\udcff\udcfe", "cannot be read as UTF-8"),
        ("a.csv", "\udcff\udcfe", "cannot be read as UTF-8"),
    ],
)
def test_connect_says_what_is_wrong_with_a_file(tmp_path: Path, name: str, content: str, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(ConfigError, match=says):
        list(read_tasks(path, ["text"]))


def test_connect_turns_guidelines_into_simple_html() -> None:
    markdown = "# Stage\n\n- **Bid**: a *standing* bid\n- a <b> & 2*3*4"
    assert instructions_html(markdown) == (
        "<b>Stage</b><br><br>• <b>Bid</b>: a <i>standing</i> bid<br>• a &lt;b&gt; &amp; 2*3*4"
    )
