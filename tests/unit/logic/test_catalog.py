"""The catalogue at the end of a pipeline."""

from __future__ import annotations

from typing import Any

import pytest
import spacy
from spacy.tokens import Doc, Span

from handover.shipped.catalog import Catalog


def row(reference: str, *names: str, series: str = "", since: str = "", until: str = "") -> dict[str, Any]:
    return {
        "reference": reference,
        "names": list(names),
        "series": series,
        "valid_from": since,
        "valid_to": until,
        "row": {"reference": reference, "model": names[0]},
    }


ROWS = [
    row("N1", "Nebula", series="Nebula", since="2021-01-01", until="2023-12-31"),
    row("N2", "Nebula 2 Pro", "Nebula 2", series="Nebula", since="2024-01-01", until="2025-12-31"),
    row("N3", "Nebula 3", series="Nebula", since="2026-01-01"),
    row("C1", "Comet", since="2023-01-01", until="2024-12-31"),
    row("C2", "Comet", since="2025-01-01"),
    row("P3", "Pixelight 3", "Pixelight"),
    row("P3A", "Pixelight 3a", "Pixelight"),
    row("X5", "X-5"),
    row("X50", "X5 0"),
]


def pipeline(*, spans: str = "", labels: list[str] | None = None, as_of: str = "2025-06-01") -> Any:
    nlp = spacy.blank("en")
    config = {"spans": spans, "labels": labels or [], "as_of": as_of}
    catalog: Any = nlp.add_pipe("handover_catalog_v1", name="business_logic", config=config)
    catalog.fill(ROWS)
    return nlp


def references(doc: Doc) -> list[tuple[str, Any]]:
    return [(answer["text"], answer.get("reference", answer["status"])) for answer in doc._.catalog]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("My NEBULA  2pro is gone", [("NEBULA  2pro", "N2")]),
        ("nebula-2 pro, Nebula 2!", [("nebula-2 pro", "N2"), ("Nebula 2", "N2")]),
        ("the Nebula's camera", [("Nebula", "N1")]),
        (
            "Pixelight 3a or Pixelight 3 or Pixelight",
            [("Pixelight 3a", "P3A"), ("Pixelight 3", "P3"), ("Pixelight", "ambiguous")],
        ),
        ("Nebulas and Cometary things", []),
        ("a Comet", [("Comet", "C2")]),
        ("", []),
        ("- - -", []),
    ],
)
def test_catalog_finds_names_in_the_text(text: str, expected: list[tuple[str, str]]) -> None:
    assert references(pipeline()(text)) == expected


def test_catalog_answer_has_the_row_and_the_latest_of_its_series() -> None:
    doc = pipeline(as_of="2026-02-01")("Nebula 2 Pro")
    assert doc._.catalog == [
        {
            "start": 0,
            "end": 12,
            "text": "Nebula 2 Pro",
            "status": "found",
            "reference": "N2",
            "row": {"reference": "N2", "model": "Nebula 2 Pro"},
            "current": False,
            "latest": {"reference": "N3", "model": "Nebula 3"},
            "as_of": "2026-02-01",
        }
    ]
    assert doc.spans["catalog"][0]._.catalog["reference"] == "N2"


@pytest.mark.parametrize(
    ("as_of", "comet", "latest"),
    [
        ("2022-12-31", "ambiguous", "Nebula"),
        ("2024-12-31", "C1", "Nebula 2 Pro"),
        ("2025-01-01", "C2", "Nebula 2 Pro"),
        ("2026-01-01", "C2", "Nebula 3"),
        ("2020-01-01", "ambiguous", None),
    ],
)
def test_catalog_decides_by_the_date(as_of: str, comet: str, latest: str | None) -> None:
    doc = pipeline(as_of=as_of)("Comet or Nebula")
    assert references(doc) == [("Comet", comet), ("Nebula", "N1")]
    found = doc._.catalog[1]["latest"]
    assert (found and found["model"]) == latest


def test_catalog_tells_names_apart_by_their_spelling_if_nothing_else_does() -> None:
    catalog = pipeline().get_pipe("business_logic")
    assert catalog.look_up("X-5", "2025-01-01")["reference"] == "X5"
    assert catalog.look_up("x5", "2025-01-01")["reference"] == "X5"
    assert catalog.look_up("X5  0", "2025-01-01")["reference"] == "X50"
    assert catalog.look_up("X6", "2025-01-01")["status"] == "unknown"


def test_catalog_looks_up_the_entities_it_is_told_to() -> None:
    nlp = pipeline(spans="ents", labels=["PHONE"])
    doc = nlp.make_doc("Comet in Nebula shop of Acme")
    doc.ents = [Span(doc, 0, 1, "PHONE"), Span(doc, 2, 3, "SHOP"), Span(doc, 5, 6, "PHONE")]
    assert references(nlp(doc)) == [("Comet", "C2"), ("Acme", "unknown")]
    assert doc.ents[0]._.catalog["reference"] == "C2"
    assert doc.ents[1]._.catalog is None


def test_catalog_looks_up_a_span_group() -> None:
    nlp = pipeline(spans="phones")
    doc = nlp.make_doc("Comet Comet")
    doc.spans["phones"] = [Span(doc, 0, 1, "A"), Span(doc, 0, 2, "B")]
    assert references(nlp(doc)) == [("Comet", "C2"), ("Comet Comet", "unknown")]
    assert references(nlp("nothing")) == []


def test_catalog_travels_with_the_pipeline(tmp_path: Any) -> None:
    pipeline().to_disk(tmp_path)
    assert references(spacy.load(tmp_path)("Comet")) == [("Comet", "C2")]
    earlier = spacy.load(tmp_path, config={"components.business_logic.as_of": "2024-01-01"})
    assert references(earlier("Comet")) == [("Comet", "C1")]
    copy = pipeline(as_of="today").from_bytes(pipeline().to_bytes())
    assert references(copy("Comet")) == [("Comet", "C2")]


def test_catalog_wants_a_date() -> None:
    with pytest.raises(ValueError, match="isoformat"):
        Catalog(spans="", labels=[], as_of="yesterday")
