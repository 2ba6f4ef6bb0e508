"""Read a business logic file and freeze its catalogue: the exported pipeline needs neither file nor database."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from handover.errors import ConfigError
from handover.student.export import Facts, Logic

if TYPE_CHECKING:
    from spacy.language import Language

COMPONENT = "business_logic"
FACTORY = "handover_catalog_v1"


class CatalogSection(BaseModel):
    """Where the catalogue comes from and what its columns mean.

    Either `table`, a CSV file beside the configuration, or `query` with `url_env`, the name of the environment
    variable that holds the database's SQLAlchemy URL.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    table: str = ""
    query: str = ""
    url_env: str = ""
    names: list[str] = Field(min_length=1)
    separator: str = Field("|", min_length=1)
    reference: str
    series: str = ""
    valid_from: str = ""
    valid_to: str = ""
    as_of: str = ""


class FindSection(BaseModel):
    """What is looked up: spans of an aspect, with some labels; without an aspect the catalogue's names in the text."""

    model_config = ConfigDict(extra="forbid", strict=True)

    aspect: str = ""
    labels: list[str] = []


class LogicFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    catalog: CatalogSection
    find: FindSection = FindSection()


def read_logic(path: Path) -> Logic:
    """Read the file and its catalogue. Raises ConfigError that says which section, column or row is wrong."""
    file = _parse(path)
    section = file.catalog
    as_of = _date(section.as_of or date.today().isoformat(), f"as_of in {path}", today=True)
    records = _read_table(path.parent / section.table) if section.table else _read_query(section, path)
    rows = [_freeze(record, section, number) for number, record in enumerate(records, start=1)]
    _check_rows(rows, path)
    digest = hashlib.sha256(json.dumps([rows, as_of], sort_keys=True).encode()).hexdigest()[:12]
    facts = {"rows": len(rows), "hash": digest, "as_of": as_of, "aspect": file.find.aspect}

    def add(nlp: Language, aspects: Sequence[Facts]) -> None:
        config = {"spans": _spans(file.find, aspects), "labels": _labels(file.find, aspects), "as_of": as_of}
        catalog: Any = nlp.add_pipe(FACTORY, name=COMPONENT, config=config, last=True)
        catalog.fill(rows)

    return Logic(add=add, facts=facts)


def _parse(path: Path) -> LogicFile:
    from thinc.api import Config  # noqa: PLC0415 - heavy

    try:
        content = Config().from_str(path.read_bytes().decode("utf-8-sig"))
        file = LogicFile.model_validate(dict(content))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors(include_input=False))
        raise ConfigError(f"{path} is not a business logic file: {problems}. See docs/export.md.") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not a configuration in spaCy's format: {error}") from error
    if bool(file.catalog.table) == bool(file.catalog.query) or bool(file.catalog.query) != bool(file.catalog.url_env):
        raise ConfigError(f"[catalog] in {path} needs either table, or query and url_env.")
    return file


def _read_table(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The catalogue {path} cannot be read as UTF-8 text: {error}.") from error
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    for record in reader:
        if None in record or None in record.values():
            raise ConfigError(f"Line {reader.line_num} of {path} has not as many fields as its first line.")
        yield record


def _read_query(section: CatalogSection, path: Path) -> Iterator[Mapping[str, Any]]:
    url = os.environ.get(section.url_env, "")
    if not url:
        raise ConfigError(f"{section.url_env} is not set; {path} takes the catalogue's SQLAlchemy URL from it.")
    try:
        engine = sqlalchemy.create_engine(url)
        with engine.connect() as connection:
            records = [dict(record) for record in connection.execute(sqlalchemy.text(section.query)).mappings()]
        engine.dispose()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        reason = getattr(error, "orig", None) or type(error).__name__  # SQLAlchemy's own text may hold the URL
        raise ConfigError(f"The query in {path} failed: {reason}. Check it, and {section.url_env}.") from error
    yield from records


def _freeze(record: Mapping[str, Any], section: CatalogSection, number: int) -> dict[str, Any]:
    """A row as the component keeps it."""
    row = {str(key): _plain(value) for key, value in record.items()}
    used = [*section.names, section.reference, section.series, section.valid_from, section.valid_to]
    for column in filter(None, used):
        if column not in row:
            raise ConfigError(f"The catalogue has no column {column!r} (has: {', '.join(row)}).")
    written = [name for column in section.names for name in str(row[column] or "").split(section.separator)]
    names = [name.strip() for name in written if name.strip()]
    reference = str(row[section.reference] or "").strip()
    if not reference or not names:
        raise ConfigError(f"Row {number} of the catalogue has no {'name' if reference else 'reference'}.")
    valid_from = _date(_cell(row, section.valid_from), f"{section.valid_from} in row {number}")
    valid_to = _date(_cell(row, section.valid_to), f"{section.valid_to} in row {number}")
    if valid_to and valid_from > valid_to:
        raise ConfigError(f"Row {number} of the catalogue is valid from {valid_from} to {valid_to}, which never is.")
    series = _cell(row, section.series)
    return {
        "reference": reference,
        "names": names,
        "series": series,
        "valid_from": valid_from,
        "valid_to": valid_to,
        "row": row,
    }


def _cell(row: Mapping[str, Any], column: str) -> str:
    return str(row[column] if column and row[column] is not None else "").strip()


def _plain(value: Any) -> Any:
    """A JSON value."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return value.isoformat() if isinstance(value, date) else str(value)


def _date(text: str, where: str, *, today: bool = False) -> str:
    if not text or (today and text == "today"):
        return text
    try:
        return datetime.fromisoformat(text).date().isoformat()
    except ValueError:
        raise ConfigError(f"{text!r} ({where}) is not a date like 2026-11-30.") from None


def _check_rows(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    if not rows:
        raise ConfigError(f"The catalogue of {path} has no rows.")
    reference, number = Counter(row["reference"] for row in rows).most_common(1)[0]
    if number > 1:
        raise ConfigError(f"Reference {reference!r} is in {number} rows of the catalogue, expected one.")


def _spans(find: FindSection, aspects: Sequence[Facts]) -> str:
    """Where the component finds what it looks up: "" for the text itself."""
    if not find.aspect:
        return ""
    fact = _fact(find, aspects)
    if fact["kind"] not in ("entities", "spans"):
        raise ConfigError(f"Aspect {find.aspect!r} is of kind {fact['kind']}, which marks no names to look up.")
    return str(fact["spans"] or "ents")


def _labels(find: FindSection, aspects: Sequence[Facts]) -> list[str]:
    if not find.aspect:
        return find.labels
    fact = _fact(find, aspects)
    unknown = sorted(set(find.labels) - set(fact["labels"]))
    if unknown:
        raise ConfigError(
            f"Aspect {find.aspect!r} has no label {unknown[0]!r} to look up (has: {', '.join(fact['labels'])})."
        )
    return [fact["prefix"] + label for label in find.labels or fact["labels"]]


def _fact(find: FindSection, aspects: Sequence[Facts]) -> Facts:
    for fact in aspects:
        if fact["aspect"] == find.aspect:
            return fact
    known = ", ".join(str(fact["aspect"]) for fact in aspects)
    raise ConfigError(f"The pipeline has no aspect {find.aspect!r} to look names up in (has: {known}).")
