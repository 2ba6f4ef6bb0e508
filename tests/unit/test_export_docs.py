"""The commands of docs/export.md are commands that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from handover.cli import app
from handover.logic.table import read_logic
from handover.student.merge import RESERVED
from scripts.stack import ROOT

DOCS = (ROOT / "docs" / "export.md", ROOT / "labeling_configs" / "reviews" / "catalog" / "README.md")


def commands() -> list[str]:
    text = "\n".join(path.read_text(encoding="utf-8") for path in DOCS).replace("\\\n", " ")
    return [line.strip() for line in text.splitlines() if re.match(r"(    )?handover \w", line)]


@pytest.mark.parametrize("line", commands())
def test_docs_name_options_and_files_that_exist(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    _, name, *arguments = shlex.split(line)
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    assert command.make_context(name, arguments).params


def test_docs_show_commands_of_both_kinds() -> None:
    assert {line.split()[1] for line in commands()} == {"export", "predict"}
    assert len(commands()) >= 9


def test_docs_name_the_span_group_and_component_of_the_business_logic() -> None:
    text = DOCS[0].read_text(encoding="utf-8")
    assert {"catalog", "business_logic"} < RESERVED
    assert 'doc.spans["catalog"]' in text
    assert "components.business_logic.as_of" in text
    assert read_logic(Path(ROOT / "labeling_configs/reviews/catalog/business_logic.cfg")).facts["rows"] == 13
