"""Business logic at the end of a pipeline: what a name in a text means, by a catalogue.

This file goes with pipelines that Handover exported, so it imports nothing but spaCy and the standard library.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc, Span

KEY = "catalog"
"""The span group with what was looked up, and the attribute with the answers: `span._.catalog`, `doc._.catalog`."""

TODAY = "today"

FILE = "catalog.json"


class Catalog:
    """Look up names in a frozen catalogue and say what they mean as of a date.

    `spans` says which ones: "ents" (`doc.ents`), the key of a span group, or "" for every name of the catalogue
    that is found in the text; `labels` keeps those with one of these labels (none: all). `as_of` is an ISO date,
    or "today".

    The answer in `span._.catalog` is a dict with `status`: "found" (with `reference`, the catalogue's `row`,
    whether it is `current` on the date, and the `latest` row of its series on that date), "ambiguous" (with the
    `candidates`' references) or "unknown". Nothing is guessed: of several rows with a name, one is found only if
    it alone is valid on the date.
    """

    def __init__(self, *, spans: str, labels: list[str], as_of: str) -> None:
        self.spans = spans
        self.labels = labels
        self.as_of = as_of
        self.rows: list[dict[str, Any]] = []
        if as_of != TODAY:
            date.fromisoformat(as_of)

    def fill(self, rows: list[dict[str, Any]]) -> None:
        """Set the catalogue: rows with `reference`, `names`, `series`, `valid_from` and `valid_to` (ISO dates, both
        inclusive, "" for open) and `row`, the columns that go into the answer."""
        self.rows = rows
        self._written = _index(rows, _as_written)
        self._squeezed = _index(rows, _squeezed)
        self._series: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            self._series.setdefault(row["series"], []).append(row)
        self._longest = max(map(len, self._squeezed), default=0)

    def __call__(self, doc: Doc) -> Doc:
        as_of = date.today().isoformat() if self.as_of == TODAY else self.as_of
        found = list(self._search(doc) if not self.spans else self._given(doc))
        for span in found:
            span._.set(KEY, self.look_up(span.text, as_of))
        doc.spans[KEY] = found
        return doc

    def look_up(self, name: str, as_of: str) -> dict[str, Any]:
        """What a name means on a date. Case and spacing do not count; punctuation only if it tells rows apart."""
        rows = self._written.get(_as_written(name)) or self._squeezed.get(_squeezed(name), [])
        if not rows:
            return {"status": "unknown", "as_of": as_of}
        fitting = rows if len(rows) == 1 else [row for row in rows if _is_valid(row, as_of)]
        if len(fitting) != 1:
            candidates = [row["reference"] for row in rows]
            return {"status": "ambiguous", "candidates": candidates, "as_of": as_of}
        row = fitting[0]
        return {
            "status": "found",
            "reference": row["reference"],
            "row": row["row"],
            "current": _is_valid(row, as_of),
            "latest": self._latest(row, as_of),
            "as_of": as_of,
        }

    def _latest(self, row: dict[str, Any], as_of: str) -> dict[str, Any] | None:
        """The newest row of the series that is out on the date; None without a series or with two as new."""
        series = [r for r in self._series[row["series"]] if r["series"] and r["valid_from"] <= as_of]
        newest = max((r["valid_from"] for r in series), default="")
        latest = [r for r in series if r["valid_from"] == newest]
        return latest[0]["row"] if len(latest) == 1 else None

    def _given(self, doc: Doc) -> Iterator[Span]:
        spans = doc.ents if self.spans == "ents" else doc.spans.get(self.spans, ())
        return (span for span in spans if not self.labels or span.label_ in self.labels)

    def _search(self, doc: Doc) -> Iterator[Span]:
        """The names in the text from left to right, the longest at each place, on the borders of tokens."""
        start = 0
        while start < len(doc):
            end = self._end_of_name(doc, start)
            if end is not None:
                yield Span(doc, start, end, label=self.labels[0] if self.labels else KEY.upper())
            start = end or start + 1

    def _end_of_name(self, doc: Doc, start: int) -> int | None:
        key, found = "", None
        for end in range(start, len(doc)):
            word = _squeezed(doc[end].text)
            key += word
            if not key or len(key) > self._longest:
                break
            if word and key in self._squeezed:
                found = end + 1
        return found

    def to_bytes(self, **kwargs: Any) -> bytes:
        """The catalogue as JSON."""
        return json.dumps(self.rows, ensure_ascii=False, indent=1).encode("utf-8")

    def from_bytes(self, data: bytes, **kwargs: Any) -> Catalog:
        """Read what `to_bytes` wrote."""
        self.fill(json.loads(data))
        return self

    def to_disk(self, path: str | Path, **kwargs: Any) -> None:
        """Write the catalogue into a folder."""
        Path(path).mkdir(parents=True, exist_ok=True)
        (Path(path) / FILE).write_bytes(self.to_bytes())

    def from_disk(self, path: str | Path, **kwargs: Any) -> Catalog:
        """Read what `to_disk` wrote."""
        return self.from_bytes((Path(path) / FILE).read_bytes())


def _index(rows: list[dict[str, Any]], key: Callable[[str], str]) -> dict[str, list[dict[str, Any]]]:
    index: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        for name in dict.fromkeys(map(key, row["names"])):
            if name:
                index.setdefault(name, []).append(row)
    return index


def _as_written(name: str) -> str:
    """A name without case, and with single spaces."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFKC", name).casefold()).strip()


def _squeezed(name: str) -> str:
    """A name's letters and digits alone, so that "Nebula-2 PRO" is "nebula 2 pro"."""
    return "".join(char for char in unicodedata.normalize("NFKC", name).casefold() if char.isalnum())


def _is_valid(row: dict[str, Any], as_of: str) -> bool:
    return bool(row["valid_from"] <= as_of) and (not row["valid_to"] or bool(as_of <= row["valid_to"]))


def _answers(doc: Doc) -> list[dict[str, Any]]:
    return [
        {"start": span.start_char, "end": span.end_char, "text": span.text, **span._.get(KEY)}
        for span in doc.spans.get(KEY, ())
    ]


def make_catalog(nlp: Language, name: str, spans: str, labels: list[str], as_of: str) -> Catalog:
    """The factory of `Catalog`."""
    if not Span.has_extension(KEY):
        Span.set_extension(KEY, default=None)
    if not Doc.has_extension(KEY):
        Doc.set_extension(KEY, getter=_answers)
    catalog = Catalog(spans=spans, labels=labels, as_of=as_of)
    catalog.fill([])
    return catalog


# Another pipeline in the same process, or Handover itself, may bring the same factory; spaCy refuses a second one.
if not Language.has_factory("handover_catalog_v1"):
    Language.factory("handover_catalog_v1", func=make_catalog, assigns=["doc.spans"])
