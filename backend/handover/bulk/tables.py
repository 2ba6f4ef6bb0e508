"""Input files: planned into shards in one pass, and read shard by shard, in any order and by any process."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import fsspec

from handover.bulk.parquet import parquet_columns, parquet_shards, read_parquet
from handover.errors import ConfigError

UNREADABLE = "line"
"""The field that holds a line of JSON Lines which is not an object."""

Fields = dict[str, Any]


@dataclass(frozen=True)
class Shard:
    """A stretch of the input: `start` and `stop` count bytes, of Parquet rows; it holds `rows` records."""

    start: int
    stop: int
    rows: int


@dataclass(frozen=True)
class Plan:
    """An input and its shards. `columns` are the names of all fields in their first order, with the names of the
    JSON types of their values; `digest` is the SHA-256 of the file's bytes."""

    shards: tuple[Shard, ...]
    columns: Mapping[str, frozenset[str]]
    digest: str

    @property
    def rows(self) -> int:
        """The number of records."""
        return sum(shard.rows for shard in self.shards)


def format_of(url: str) -> str:
    """`jsonl`, `csv`, `tsv` or `parquet`, by the ending. Raises ConfigError for another one."""
    ending = url.rsplit("/", 1)[-1].rsplit(".", 1)[-1].lower()
    ending = {"ndjson": "jsonl"}.get(ending, ending)
    if ending not in _PLANNERS:
        raise ConfigError(f"{url} has another ending than .jsonl, .csv, .tsv or .parquet. Rename or convert it.")
    return ending


def plan(url: str, *, shard_rows: int) -> Plan:
    """Read an input once and cut it into shards of `shard_rows` records.

    Raises ConfigError when it cannot be read, or a CSV has lines of another length than its header.
    """
    kind = format_of(url)
    try:
        with fsspec.open(url, "rb") as file:
            return _PLANNERS[kind](_Tracked(file), shard_rows)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{url} is not UTF-8 text: {error.reason} at byte {error.start} of a line.") from error
    except csv.Error as error:
        raise ConfigError(f"{url} cannot be read: {error}.") from error
    except OSError as error:
        raise ConfigError(f"{url} cannot be read: {error}.") from error


def read(url: str, shard: Shard, columns: Iterable[str]) -> list[Fields]:
    """The records of a shard. A line of JSON Lines that is no object comes as `{"line": …}` with its text."""
    kind = format_of(url)
    try:
        if kind == "parquet":
            return [*read_parquet(url, shard.start, shard.stop).to_pylist()]
        with fsspec.open(url, "rb") as file:
            file.seek(shard.start)
            text = file.read(shard.stop - shard.start).decode("utf-8")
    except OSError as error:
        raise ConfigError(f"{url} cannot be read: {error}.") from error
    if kind == "jsonl":
        return [_parse(line) for line in text.split("\n") if line.strip()]
    names = [*columns]
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=_DELIMITERS[kind], strict=True)
    return [dict(zip(names, row, strict=True)) for row in rows if row]


class _Tracked:
    """The lines of a file, how many bytes of them were handed out, and their hash."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.position = 0
        self.digest = hashlib.sha256()

    def lines(self) -> Iterator[bytes]:
        for line in self.file:
            self.position += len(line)
            self.digest.update(line)
            yield line


@dataclass
class _Cutter:
    """Collects records into shards."""

    shard_rows: int
    start: int = 0
    rows: int = 0
    shards: list[Shard] = field(default_factory=list)

    def add(self, stop: int) -> None:
        self.rows += 1
        if self.rows == self.shard_rows:
            self.close(stop)

    def close(self, stop: int) -> None:
        if self.rows:
            self.shards.append(Shard(self.start, stop, self.rows))
        self.start, self.rows = stop, 0


def _plan_jsonl(file: _Tracked, shard_rows: int) -> Plan:
    cutter = _Cutter(shard_rows)
    columns: dict[str, set[str]] = {}
    for line in file.lines():
        text = line.decode("utf-8")
        if text.strip():
            for name, value in _parse(text.rstrip("\r\n")).items():
                columns.setdefault(name, set()).add(type(value).__name__)
            cutter.add(file.position)
    cutter.close(file.position)
    return _finish(cutter, columns, file)


def _plan_csv(file: _Tracked, shard_rows: int, *, delimiter: str = ",") -> Plan:
    # The reader takes as many lines as a record has and no more, so the position after a record is exact.
    rows = csv.reader((line.decode("utf-8") for line in file.lines()), delimiter=delimiter, strict=True)
    header = next(rows, None)
    if not header:
        raise ConfigError("The input has no header line. Put the names of the columns into its first line.")
    header[0] = header[0].removeprefix("\ufeff")
    double = [name for name, number in Counter(header).items() if number > 1]
    if double:
        raise ConfigError(f"The header names the column {double[0]!r} twice. Give every column a name of its own.")
    cutter = _Cutter(shard_rows, start=file.position)
    for row in rows:
        if row and len(row) != len(header):
            raise ConfigError(
                f"The record that ends in line {rows.line_num} has {len(row)} fields, the header {len(header)}. Quote "
                "fields that hold the delimiter."
            )
        if row:
            cutter.add(file.position)
    cutter.close(file.position)
    return _finish(cutter, {name: {"str"} for name in header}, file)


def _plan_tsv(file: _Tracked, shard_rows: int) -> Plan:
    return _plan_csv(file, shard_rows, delimiter=_DELIMITERS["tsv"])


def _plan_parquet(file: _Tracked, shard_rows: int) -> Plan:
    for _ in file.lines():
        pass
    file.file.seek(0)
    shards = tuple(Shard(start, stop, stop - start) for start, stop in parquet_shards(file.file, shard_rows))
    file.file.seek(0)
    return Plan(shards, {name: frozenset() for name in parquet_columns(file.file)}, file.digest.hexdigest())


def _finish(cutter: _Cutter, columns: Mapping[str, set[str]], file: _Tracked) -> Plan:
    return Plan(
        tuple(cutter.shards), {name: frozenset(types) for name, types in columns.items()}, file.digest.hexdigest()
    )


def _parse(line: str) -> Fields:
    try:
        value = json.loads(line)
    except json.JSONDecodeError:
        value = None
    return value if isinstance(value, dict) else {UNREADABLE: line.rstrip("\r")}


_DELIMITERS = {"csv": ",", "tsv": "\t"}

_PLANNERS: Mapping[str, Callable[[_Tracked, int], Plan]] = {
    "jsonl": _plan_jsonl,
    "csv": _plan_csv,
    "tsv": _plan_tsv,
    "parquet": _plan_parquet,
}
