"""The benchmarks that need no server: sets are read as they are, and the tables say what the gate did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from handover.domain import Kind, Span
from handover.evaluation.simulate import Simulation, World
from handover.student.training import TrainOptions
from handover.student.version import student_version
from scripts.benchmarks import decisions, gate, parse
from scripts.benchmarks.sets import BenchSet, read_sets


def write(folder: Path, name: str, rows: list[tuple[object, object]]) -> None:
    """A set with the same (gold, teacher) rows for train and eval."""
    (folder / name).mkdir(parents=True)
    for part in ("train", "eval"):
        lines = [
            json.dumps({"id": i, "text": f"{part} text {i}", "gold": gold, "teacher": teacher})
            for i, (gold, teacher) in enumerate(rows)
        ]
        (folder / name / f"{part}.jsonl").write_text("\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "mail", [("spam", "spam"), ("ham", "spam")] * 40)
    write(tmp_path, "food", [({"price": "low", "taste": "good"}, {"price": "high", "taste": "good"})] * 3)
    write(tmp_path, "names", [([{"start": 0, "end": 5, "label": "ORG"}], [])] * 3)
    return tmp_path


def test_benchmarks_read_labels_labels_per_aspect_and_spans(folder: Path) -> None:
    sets = {bench.name: bench for bench in read_sets(folder)}
    assert list(sets) == ["food.price", "food.taste", "mail", "names"]
    assert sets["mail"].aspect.label_names == ("ham", "spam")
    assert sets["food.price"].eval[0].gold.cats == ("low",)
    assert sets["food.price"].eval[0].teacher.cats == ("high",)
    assert sets["names"].aspect.kind is Kind.ENTITIES
    assert sets["names"].train[0].gold.spans == (Span(0, 5, "ORG"),)
    assert [bench.name for bench in read_sets(folder, ["food", "names"])] == ["food.price", "food.taste", "names"]


def test_benchmarks_refuse_a_set_that_is_not_there(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no set weather \(has: food, mail, names\)"):
        list(read_sets(folder, ["weather"]))


def test_benchmarks_samples_are_nested_and_never_from_eval(folder: Path) -> None:
    (mail,) = read_sets(folder, ["mail"])
    small, large = (mail.training_set(size, dev_share=0.2, seed=0, silver=True) for size in (20, 60))
    assert len(small.train) + len(small.dev) == 20
    assert set(small.train) < set(large.train)
    assert len(large.silver) == 20
    assert all(e.text.startswith("train") for e in (*large.train, *large.dev, *large.silver))
    assert mail.training_set(20, dev_share=0.2, seed=1) != mail.training_set(20, dev_share=0.2, seed=0)


def put_cell(bench: BenchSet, size: int, cells: Path, answers: list[str]) -> None:
    examples = bench.training_set(size, dev_share=decisions.DEFAULTS["dev_share"], seed=0)
    version = student_version(bench.aspect, examples, TrainOptions(max_steps=decisions.DEFAULTS["train_max_steps"]))
    cells.mkdir(exist_ok=True)
    content = {"answers": [{"cats": [answer]} for answer in answers]}
    (cells / f"{bench.name}-{size}-{version}.json").write_text(json.dumps(content))


def test_benchmarks_decisions_judge_students_from_the_cache(folder: Path, tmp_path: Path, capsys) -> None:
    (mail,) = read_sets(folder, ["mail"])
    put_cell(mail, 20, tmp_path / "cells", ["spam"] * 80)
    put_cell(mail, 80, tmp_path / "cells", [item.gold.cats[0] for item in mail.eval])
    arguments = [
        str(folder),
        "--cells",
        str(tmp_path / "cells"),
        "--sets",
        "mail",
        "--sizes",
        "20",
        "0",
        "--orders",
        "2",
    ]
    assert decisions.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("| mail | 20 | 0.500 | 0.500 | +0.000 (+0.000 to +0.000) | keep | 80 (")
    assert lines[3].startswith("| mail | 80 | 0.500 | 1.000 | +0.500 (+0.3")
    assert "| promote |" in lines[3]
    assert "2 students, 1 handovers, 0 of them wrong." in lines
    assert lines[-1] == "| +10 to +100 points | 4 | 100.0% | 100.0% |"


def test_benchmarks_gate_reports_a_broken_promise(tmp_path: Path, monkeypatch, capsys) -> None:
    def simulation(share: float) -> Simulation:
        return Simulation(World(), runs=100, gate=share, naive=0.9, median_n=50.0, spent=0.05)

    monkeypatch.setattr(gate, "_after", lambda runs: iter(()))
    monkeypatch.setattr(gate, "_plot", lambda power, path: None)
    monkeypatch.setattr(gate, "_speed", lambda: None)
    for share, code in ((0.04, 0), (0.2, 1)):
        monkeypatch.setattr(gate, "_simulate", lambda world, last, runs, share=share: simulation(share))
        assert gate.main(["--runs", "100", "--out", str(tmp_path)]) == code
    report = (tmp_path / "gate.md").read_text()
    assert "| choice, always the same student | 20.0% | 90.0% |" in report
    assert report in capsys.readouterr().out


def test_benchmarks_replayed_answers_are_told_apart(tmp_path: Path) -> None:
    text = "Oslo a, salted, salt salt Rome"
    gold = [{"start": 0, "end": 4, "label": "X"}]
    said = [{"start": s, "end": s + 4, "label": label} for s, label in ((0, "X"), (8, "X"), (21, "X"), (26, "Y"))]
    (tmp_path / "mixed").mkdir()
    for part, teacher in (("train", said), ("eval", said[::2])):
        record = {"text": text, "gold": gold, "teacher": teacher}
        (tmp_path / "mixed" / f"{part}.jsonl").write_text(json.dumps(record) + "\n")
    (bench,) = read_sets(tmp_path)
    assert parse.replay(bench) == {
        "texts": 2,
        "parsed": 2,
        "mentions": 6,
        "in words": 1,
        "exact": 3,
        "shifted": 1,
        "not grounded": 1,
    }
