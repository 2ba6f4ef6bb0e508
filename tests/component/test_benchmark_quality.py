"""The quality benchmark: its splits, a cell, its tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from handover.domain import Kind
from handover.student.resources import Resources
from scripts.benchmarks import quality
from scripts.benchmarks.quality_cells import Setup, run_cell
from scripts.benchmarks.quality_data import annotated, load_set
from scripts.benchmarks.quality_table import ablation_table, main_table


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """Two sets of a few texts each."""
    for name, gold in (("issues", ["Bug", "Docs"]), ("queries", [[{"start": 0, "end": 4, "label": "WHO"}], []])):
        (tmp_path / name).mkdir()
        for part, number in (("train", 40), ("eval", 6)):
            rows = [
                {"id": i, "text": f"{'text docs'.split()[i % 2]} {part} {i}", "gold": gold[i % 2], "teacher": gold[0]}
                for i in range(number)
            ]
            (tmp_path / name / f"{part}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def test_examples_of_a_set_share_no_text(bench: Path) -> None:
    data = load_set("issues", bench)
    assert (data.aspect.kind, data.aspect.label_names) == (Kind.CHOICE, ("Bug", "Docs"))
    examples = annotated(data, 20, 0)
    parts = [{e.text for e in part} for part in (examples.train, examples.dev, examples.silver)]
    assert [len(part) for part in parts] == [16, 4, 20]
    assert len(set.union(*parts)) == 40
    assert [e.text for e in examples.answers] == [e.text for e in examples.train]
    assert {e.annotation.cats for e in examples.silver} == {("Bug",)}
    everything = annotated(data, None, 0)
    assert (len(everything.train), len(everything.dev), everything.silver) == (32, 8, ())
    assert annotated(data, 20, 1) != examples


def test_entities_of_a_set(bench: Path) -> None:
    data = load_set("queries", bench)
    assert data.aspect.kind is Kind.ENTITIES
    assert [len(row.gold.spans) for row in data.eval[:2]] == [1, 0]


def test_load_set_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"has no set issues .* Expected a folder per set"):
        load_set("issues", tmp_path)


def test_cell_and_tables(bench: Path, tmp_path: Path) -> None:
    data = load_set("issues", bench)
    setup = Setup(Resources(), max_steps=20, quickstart_steps=20)
    (tmp_path / "quick").mkdir()
    cells = {
        ("issues", "20", "base"): [run_cell(data, 20, "base", 0, setup=setup, workdir=tmp_path / "base")],
        ("issues", "20", "quickstart"): [run_cell(data, 20, "quickstart", 0, setup=setup, workdir=tmp_path / "quick")],
    }
    (rows,) = cells["issues", "20", "base"]
    assert {row["name"] for row in rows} == {"cnn", "bow", "cnn+silver", "bow+silver"}
    assert sum(row["kept"] for row in rows) == 1
    lines = main_table(cells, ["issues"], ["20", "all"], {"issues": 0.5}).splitlines()
    assert lines[0] == "| set | annotated | teacher | quickstart | base |"
    assert lines[2].startswith("| issues | 20 | 0.500 | ")
    assert len(lines) == 3
    assert len(ablation_table(cells, ["issues"], ["20"]).splitlines()) == 2 + 4 + 1


def test_quality_goes_on_where_it_was(bench: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = tmp_path / "cells"
    cache.mkdir()
    row = {"name": "cnn", "dev_score": 0.5, "eval": 0.25, "kept": True, "size": 1, "words_per_second": 1, "seconds": 1}
    (cache / "issues.20.base.0.json").write_text(json.dumps([row | {"speed_ratio": 1.5}]))
    options = [str(bench), "--sets", "issues", "--methods", "base", "--sizes", "20", "--cache", str(cache)]
    assert quality.main([*options, "--markdown", str(tmp_path / "table.md")]) == 0
    printed = capsys.readouterr().out
    assert "| issues | 20 | 0.500 | 0.250 |" in printed
    assert "words per second: median 1.50" in printed
    assert (tmp_path / "table.md").read_text() in printed
