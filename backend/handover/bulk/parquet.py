"""Parquet files, for which pyarrow is an extra."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import fsspec

from handover.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow


def _arrow() -> Any:
    """pyarrow. Raises ConfigError where it is not installed."""
    try:
        import pyarrow.parquet  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError(
            "Parquet files need pyarrow, which is not installed: pip install 'label-studio-handover[parquet]'."
        ) from error
    return pyarrow


def parquet_columns(file: BinaryIO) -> list[str]:
    """The names of the columns."""
    return [*_open(file).schema_arrow.names]


def parquet_shards(file: BinaryIO, shard_rows: int) -> Iterator[tuple[int, int]]:
    """Start and stop of stretches of `shard_rows` rows."""
    rows = _open(file).metadata.num_rows
    for start in range(0, rows, shard_rows):
        yield start, min(start + shard_rows, rows)


def read_parquet(url: str, start: int, stop: int) -> pyarrow.Table:
    """The rows from `start` to `stop`; only the row groups that hold them are read."""
    with fsspec.open(url, "rb") as file:
        source = _open(file)
        groups: list[int] = []
        first = offset = 0
        for group in range(source.num_row_groups):
            rows = source.metadata.row_group(group).num_rows
            if first < stop and first + rows > start:
                offset = offset if groups else first
                groups.append(group)
            first += rows
        return source.read_row_groups(groups).slice(start - offset, stop - start)


def _open(file: BinaryIO) -> Any:
    arrow = _arrow()
    try:
        return arrow.parquet.ParquetFile(file)
    except arrow.ArrowInvalid as error:
        raise ConfigError(f"The input is not a Parquet file: {error}.") from error


class ParquetSink:
    """Writes records with their answers. Columns of a Parquet input stay as they are; of others, a column whose
    values have one simple type gets it, and any other holds JSON."""

    def __init__(self, file: BinaryIO, columns: Mapping[str, frozenset[str]], answers: Mapping[str, str]) -> None:
        self._file = file
        self._columns = columns
        self._answers = answers
        self._writer: Any = None

    def write_rows(self, rows: Sequence[Mapping[str, Any]], answers: Sequence[Mapping[str, Any]]) -> None:
        """Write a shard of records."""
        arrow = _arrow()
        arrays = {
            name: arrow.array([_fit(row.get(name), kind) for row in rows], type=_type(kind))
            for name, kind in ((name, _kind(types)) for name, types in self._columns.items())
        }
        self.write_table(arrow.table(arrays), answers)

    def write_table(self, table: pyarrow.Table, answers: Sequence[Mapping[str, Any]]) -> None:
        """Write a shard that was read from Parquet."""
        for name, kind in self._answers.items():
            values = [_fit(answer.get(name), kind) for answer in answers]
            table = table.append_column(name, _arrow().array(values, type=_type(kind)))
        if self._writer is None:
            self._writer = _arrow().parquet.ParquetWriter(self._file, table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        """Finish the file."""
        if self._writer is None:
            self.write_rows([], [])
        self._writer.close()


def _kind(types: Iterable[str]) -> str:
    found = set(types) - {"NoneType"}
    if found <= {"int", "float"} and found:
        return "score" if "float" in found else "int"
    return {frozenset({"str"}): "label", frozenset({"bool"}): "bool"}.get(frozenset(found), "json")


def _fit(value: Any, kind: str) -> Any:
    if isinstance(value, str) and kind == "label":
        return value.encode("utf-8", "backslashreplace").decode("utf-8")  # half surrogate pairs have no UTF-8 form
    return value if value is None or kind != "json" else json.dumps(value)


def _type(kind: str) -> Any:
    arrow = _arrow()
    if kind == "spans":
        fields = [("start", arrow.int64()), ("end", arrow.int64()), ("label", arrow.string()), ("text", arrow.string())]
        return arrow.list_(arrow.struct([*fields, ("score", arrow.float64())]))
    if kind in ("labels", "scores"):
        return arrow.list_(arrow.string() if kind == "labels" else arrow.float64())
    return {"score": arrow.float64(), "int": arrow.int64(), "bool": arrow.bool_()}.get(kind, arrow.string())
