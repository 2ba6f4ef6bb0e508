"""Runs: planned, stopped, gone on with, and put together."""

from __future__ import annotations

import csv
import datetime
import json
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from handover.bulk import run as run_module
from handover.bulk.local import predict_here
from handover.bulk.predictor import Predictor
from handover.bulk.run import PredictRequest, Run, assemble, done_shards, predict_shard, start_run
from handover.errors import ConfigError
from tests.unit.test_bulk_tables import write

ROWS: list[dict[str, Any]] = [
    {"id": i, "text": f"cargo {i} of zinc for Rotterdam", "more": {"x": [i]}} for i in range(10)
]
ROWS[4]["text"] = " "


@pytest.fixture(autouse=True)
def loaded_once(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading the pipeline takes longer than these tests."""

    def opened(run: Run) -> Predictor:
        other = copy(predictor)
        other.prefix = run.prefix
        return other

    monkeypatch.setattr("handover.bulk.local.open_predictor", opened)
    monkeypatch.setattr(run_module, "open_predictor", opened)


@pytest.fixture
def request_(pipeline: Path, tmp_path: Path) -> PredictRequest:
    path = write(tmp_path / "in.jsonl", ROWS)
    return PredictRequest(str(pipeline), str(path), str(tmp_path / "out.jsonl"), shard_rows=3)


def finish(request: PredictRequest) -> tuple[Any, list[int]]:
    run, seen = start_run(request), []
    predict_here(run, processes=1, on_done=seen.append)
    return assemble(run), seen


def lines(path: str | Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def test_run_adds_the_answers_to_the_records_in_their_order(request_: PredictRequest) -> None:
    summary, seen = finish(request_)
    assert (summary.rows, summary.errors, seen) == (10, 1, [3, 3, 3, 1])
    found = lines(request_.output)
    assert [{key: row[key] for key in ("id", "text", "more")} for row in found] == ROWS
    assert {row["predicted_stage"] for row in found if "predicted_stage" in row} <= {"Bid", "Offer"}
    assert [row["predicted_error"] for row in found if row["predicted_error"]] == ["the text in field 'text' is empty"]
    assert found[0]["predicted_catalog"][0]["reference"] == "NL"
    assert {path.name for path in Path(request_.output).parent.iterdir()} >= {"in.jsonl", "out.jsonl"}
    assert not Path(request_.output + ".parts").exists()


def test_run_that_was_stopped_goes_on(request_: PredictRequest, predictor: Predictor) -> None:
    expected = [*lines(finish(replace(request_, output=request_.output + ".whole.jsonl"))[0].output)]
    run = start_run(request_)
    predict_shard(run, 2, run_module.open_predictor(run))
    (Path(run.folder) / "00000001.jsonl.abc.tmp").write_text("half")
    assert done_shards(run) == {2}
    summary, seen = finish(replace(request_, shard_rows=5))
    assert (summary.rows, seen) == (10, [3, 3, 1])
    assert lines(request_.output) == expected


def test_run_does_no_shard_twice(request_: PredictRequest) -> None:
    run = start_run(request_)
    predict_here(run, processes=1, on_done=lambda rows: None)
    again: list[int] = []
    predict_here(run, processes=1, on_done=again.append)
    assert again == []


@pytest.mark.parametrize("change", [{"prefix": "q_"}, {"text_field": "id"}])
def test_run_left_by_something_else_is_not_mixed_up(request_: PredictRequest, change: dict[str, Any]) -> None:
    run = start_run(request_)
    predict_shard(run, 0, run_module.open_predictor(run))
    with pytest.raises(ConfigError, match=r"is left from another run.*--restart"):
        start_run(replace(request_, **change))
    other = start_run(replace(request_, **change, restart=True))
    assert done_shards(other) == set()


def test_run_with_another_input_is_another_run(request_: PredictRequest) -> None:
    start_run(request_)
    write(Path(request_.input), ROWS[:5])
    with pytest.raises(ConfigError, match="is left from another run"):
        start_run(request_)


def test_run_whose_input_changes_meanwhile_is_refused(request_: PredictRequest) -> None:
    run = start_run(request_)
    write(Path(request_.input), ROWS[:2])
    with pytest.raises(ConfigError, match="has changed since the run was started"):
        predict_shard(run, 0, run_module.open_predictor(run))


def test_assemble_wants_all_answers(request_: PredictRequest) -> None:
    run = start_run(request_)
    with pytest.raises(ConfigError, match="The answers of shard 0 are missing"):
        assemble(run)
    predict_here(run, processes=1, on_done=lambda rows: None)
    (Path(run.folder) / "00000000.jsonl").write_text("")
    with pytest.raises(ConfigError, match=r"Shard 0 .* is damaged"):
        assemble(run)
    assert not Path(request_.output).exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"output": "in.jsonl"}, "Input and output are the same file"),
        ({"output": "there.jsonl"}, r"there\.jsonl is there already.*--force"),
        ({"output": "out.doc"}, "another ending than"),
        ({"text_field": "body"}, r"no field 'body' \(has: id, text, more\).*--text-field"),
        ({"prefix": ""}, "has a field 'error' already"),
    ],
)
def test_run_that_does_not_fit(request_: PredictRequest, tmp_path: Path, change: dict[str, str], says: str) -> None:
    (tmp_path / "there.jsonl").write_text("")
    if "prefix" in change:
        write(Path(request_.input), [{"text": "x", "error": "y"}])
    if "output" in change:
        change = {"output": str(tmp_path / change["output"])}
    with pytest.raises(ConfigError, match=says):
        start_run(replace(request_, **change))
    assert not list(tmp_path.glob("*.parts"))


def test_run_over_nothing_writes_nothing(request_: PredictRequest) -> None:
    Path(request_.input).write_text("")
    summary, _ = finish(request_)
    assert summary.rows == 0
    assert Path(request_.output).read_bytes() == b""


def test_run_from_csv_to_csv_keeps_the_columns(request_: PredictRequest, tmp_path: Path) -> None:
    rows = [{"id": "1", "text": 'a "b",\nc'}, {"id": "2", "text": ""}]
    path = write(tmp_path / "in.csv", rows)
    summary, _ = finish(replace(request_, input=str(path), output=str(tmp_path / "out.csv")))
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert [{"id": row["id"], "text": row["text"]} for row in found] == rows
    assert list(found[0])[:3] == ["id", "text", "predicted_stage"]
    assert isinstance(json.loads(found[0]["predicted_terms"]), list)
    assert (found[1]["predicted_stage"], found[1]["predicted_error"]) == ("", "the text in field 'text' is empty")
    assert summary.errors == 1


def test_run_from_parquet_to_parquet_keeps_types(request_: PredictRequest, tmp_path: Path) -> None:
    when = datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)
    rows = [{"text": f"cargo {i}" if i else None, "when": when, "raw": b"\x00"} for i in range(5)]
    path = write(tmp_path / "in.parquet", rows)
    finish(replace(request_, input=str(path), output=str(tmp_path / "out.parquet")))
    before, after = pyarrow.parquet.read_table(path), pyarrow.parquet.read_table(tmp_path / "out.parquet")
    assert after.select(before.schema.names).equals(before)
    assert after.schema.field("predicted_stage_score").type == pyarrow.float64()
    answers = after.select(["predicted_stage", "predicted_error"]).to_pylist()
    assert answers[0] == {"predicted_stage": None, "predicted_error": "field 'text' holds no text"}
    assert answers[1]["predicted_stage"] in ("Bid", "Offer")
    terms = after.column("predicted_terms").to_pylist()
    assert all(set(span) == {"start", "end", "label", "text", "score"} for found in terms for span in found or ())


def test_run_from_json_lines_to_parquet_and_back(request_: PredictRequest, tmp_path: Path) -> None:
    finish(replace(request_, output=str(tmp_path / "out.parquet")))
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    assert table.schema.field("id").type == pyarrow.int64()
    assert json.loads(table.column("more")[3].as_py()) == {"x": [3]}
    back = replace(request_, input=str(tmp_path / "out.parquet"), output=str(tmp_path / "back.jsonl"), prefix="again_")
    finish(back)
    for row in lines(back.output):
        assert row["again_stage" if row["id"] != 4 else "again_error"]
        assert row.get("again_terms") == row["predicted_terms"]


def test_run_carries_what_has_no_utf_8_form(request_: PredictRequest, tmp_path: Path) -> None:
    Path(request_.input).write_text('{"text": "a \\ud800 b"}\n{oops\n', encoding="ascii")
    summary, _ = finish(request_)
    assert summary.errors == 2
    first, second = lines(request_.output)
    assert (first["text"], second["line"]) == ("a \ud800 b", "{oops")
    for ending in ("csv", "parquet"):
        finish(replace(request_, output=str(tmp_path / f"out.{ending}")))
    assert pyarrow.parquet.read_table(tmp_path / "out.parquet").column("line").to_pylist() == [None, "{oops"]


def test_run_on_an_object_store(request_: PredictRequest) -> None:
    output = "memory://predictions/out.jsonl"
    run = start_run(replace(request_, output=output))
    assert isinstance(run, Run)
    predict_here(run, processes=1, on_done=lambda rows: None)
    assemble(run)
    import fsspec

    with fsspec.open(output, "rt") as file:
        assert [json.loads(line)["id"] for line in file] == list(range(10))
    assert run_module.load_run(run.folder) is None
