"""Inputs in shards."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handover.bulk.tables import format_of, plan, read
from handover.errors import ConfigError

ROWS = [{"id": str(i), "text": f'line one\nline "two", {i} 😀'} for i in range(7)]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=2)
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, [*rows[0]], delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


@pytest.mark.parametrize("shard_rows", [1, 3, 7, 100])
@pytest.mark.parametrize("ending", ["jsonl", "csv", "tsv", "parquet"])
def test_plan_cuts_a_file_into_shards_that_can_be_read(tmp_path: Path, ending: str, shard_rows: int) -> None:
    path = write(tmp_path / f"in.{ending}", ROWS)
    planned = plan(str(path), shard_rows=shard_rows)
    assert list(planned.columns) == ["id", "text"]
    assert planned.rows == 7
    assert max(shard.rows for shard in planned.shards) == min(shard_rows, 7)
    assert planned.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [row for shard in planned.shards for row in read(str(path), shard, planned.columns)] == ROWS
    last = planned.shards[-1]
    assert read(str(path), last, planned.columns) == ROWS[-last.rows :], "shards can be read in any order"


@given(
    st.lists(st.lists(st.text(alphabet='a,"\n\r\t é😀', max_size=5), min_size=2, max_size=2), max_size=8),
    st.integers(1, 4),
)
def test_plan_finds_the_records_of_any_csv(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], size: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([["a", "b"], *rows])
    path.write_bytes(buffer.getvalue().encode())
    planned = plan(str(path), shard_rows=size)
    found = [[*row.values()] for shard in planned.shards for row in read(str(path), shard, planned.columns)]
    assert found == rows


def test_plan_of_json_lines_carries_lines_that_are_no_objects(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'{"a": 1}\r\n\n{oops\r\n[1]\n{"b": null, "a": 1.5}')
    planned = plan(str(path), shard_rows=2)
    assert {name: set(types) for name, types in planned.columns.items()} == {
        "a": {"int", "float"},
        "line": {"str"},
        "b": {"NoneType"},
    }
    found = [row for shard in planned.shards for row in read(str(path), shard, planned.columns)]
    assert found == [{"a": 1}, {"line": "{oops"}, {"line": "[1]"}, {"b": None, "a": 1.5}]


def test_plan_of_a_csv_with_a_byte_order_mark_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes("\ufeffa,b\r\n\r\n1,2\r\n\r\n3,4".encode())
    planned = plan(str(path), shard_rows=1)
    assert list(planned.columns) == ["a", "b"]
    assert [read(str(path), shard, planned.columns) for shard in planned.shards] == [
        [{"a": "1", "b": "2"}],
        [{"a": "3", "b": "4"}],
    ]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("in.xlsx", b"", r"another ending than \.jsonl, \.csv, \.tsv or \.parquet"),
        ("in.csv", b"", "has no header line"),
        ("in.csv", b"a,a\n", "names the column 'a' twice"),
        ("in.csv", b"a,b\n1,2\n1,2,3\n", "ends in line 3 has 3 fields, the header 2"),
        ("in.csv", b'a,b\n1,"2\n', "cannot be read: unexpected end of data"),
        ("in.csv", b"a\n\xff\n", "is not UTF-8 text"),
        ("in.jsonl", b"\xff\n", "is not UTF-8 text"),
        ("in.parquet", b"PAR1", "is not a Parquet file"),
    ],
)
def test_plan_says_what_is_wrong(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        plan(str(tmp_path / name), shard_rows=10)


def test_plan_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        plan(str(tmp_path / "in.jsonl"), shard_rows=10)


def test_plan_of_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "in.parquet", ROWS)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigError, match=r"pip install 'label-studio-handover\[parquet\]'"):
        plan(str(path), shard_rows=10)


def test_format_of_urls() -> None:
    assert [format_of(u) for u in ("s3://bucket/a.b/in.JSONL", "in.ndjson", "/x/y.tsv")] == ["jsonl", "jsonl", "tsv"]
