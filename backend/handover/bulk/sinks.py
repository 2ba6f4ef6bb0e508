"""Output files: the records of the input with the answers added, in their order."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, time
from typing import Any, BinaryIO

from handover.bulk.parquet import ParquetSink

Answers = Sequence[Mapping[str, Any]]
Rows = Sequence[Mapping[str, Any]]


class JsonLinesSink:
    """An object a line."""

    def __init__(self, file: BinaryIO, columns: Mapping[str, Any], answers: Mapping[str, str]) -> None:
        self._file = file

    def write_rows(self, rows: Rows, answers: Answers) -> None:
        """Write a shard of records."""
        for row, answer in zip(rows, answers, strict=True):
            self._file.write(encode({**row, **answer}) + b"\n")

    def close(self) -> None:
        """Finish the file."""


class CsvSink:
    """Columns with a header; lists and objects are JSON."""

    def __init__(
        self, file: BinaryIO, columns: Mapping[str, Any], answers: Mapping[str, str], *, delimiter: str = ","
    ) -> None:
        # Half surrogate pairs have no UTF-8 form.
        self._text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="")
        self._writer = csv.DictWriter(self._text, [*columns, *answers], delimiter=delimiter, lineterminator="\n")
        self._writer.writeheader()

    def write_rows(self, rows: Rows, answers: Answers) -> None:
        """Write a shard of records."""
        for row, answer in zip(rows, answers, strict=True):
            self._writer.writerow({name: _cell(value) for name, value in {**row, **answer}.items()})

    def close(self) -> None:
        """Finish the file."""
        self._text.flush()
        self._text.detach()


def encode(value: Mapping[str, Any]) -> bytes:
    """One line of JSON Lines without its end; what JSON does not know becomes a string."""
    try:
        return json.dumps(value, ensure_ascii=False, default=_plain).encode("utf-8")
    except UnicodeEncodeError:  # half a surrogate pair
        return json.dumps(value, default=_plain).encode("ascii")


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, (str, int, float)):
        return value
    return json.dumps(value, ensure_ascii=False, default=_plain) if isinstance(value, (list, dict)) else _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, (date, time)):
        return value.isoformat()
    return base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else str(value)


def _tsv(file: BinaryIO, columns: Mapping[str, Any], answers: Mapping[str, str]) -> CsvSink:
    return CsvSink(file, columns, answers, delimiter="\t")


SINKS: Mapping[str, Callable[[BinaryIO, Mapping[str, Any], Mapping[str, str]], Any]] = {
    "jsonl": JsonLinesSink,
    "csv": CsvSink,
    "tsv": _tsv,
    "parquet": ParquetSink,
}
"""What writes a format."""
