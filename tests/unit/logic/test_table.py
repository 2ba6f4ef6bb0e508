"""Business logic files and their catalogues."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
import spacy

from handover.errors import ConfigError
from handover.logic.table import read_logic

SAMPLE = Path(__file__).parents[3] / "labeling_configs" / "reviews" / "catalog" / "business_logic.cfg"

CONFIG = """
[catalog]
table = "phones.csv"
names = ["model", "aliases"]
reference = "id"
valid_from = "since"
as_of = "2026-01-01"
"""
TABLE = 'id,model,aliases,since\n1,"Nebula, 2","Neb|",2024-01-01\n2,Comet,,\n'
ENTITIES = {"aspect": "terms", "kind": "entities", "labels": ["PHONE", "SHOP"], "prefix": "terms/", "spans": None}
CHOICE = {"aspect": "stage", "kind": "choice", "labels": ["Bid"], "prefix": "stage/", "spans": None}


def write(folder: Path, config: str = CONFIG, table: str = TABLE) -> Path:
    (folder / "phones.csv").write_text(table, encoding="utf-8")
    (folder / "logic.cfg").write_text(config, encoding="utf-8")
    return folder / "logic.cfg"


def build(path: Path, aspects: tuple[dict[str, Any], ...] = ()) -> Any:
    nlp = spacy.blank("en")
    read_logic(path).add(nlp, aspects)
    return nlp


def test_read_logic_of_the_sample_finds_the_phones_of_its_readme() -> None:
    nlp = build(SAMPLE)
    doc = nlp("The camera of my old nebula-2 PRO is a joke, the Pixelight was better.")
    first, second = doc._.catalog
    assert (first["reference"], first["current"], first["latest"]["model"]) == ("SP-N2-24", False, "Nebula 3")
    assert (second["status"], second["candidates"]) == ("ambiguous", ["PX-3-24", "PX-3A-25"])
    assert [a["reference"] for a in nlp("Not a Comet Mini but the COMET")._.catalog] == ["SP-CM-24", "SP-C2-25"]


def test_read_logic_freezes_a_csv(tmp_path: Path) -> None:
    path = write(tmp_path)
    logic = read_logic(path)
    assert {key: logic.facts[key] for key in ("rows", "as_of", "aspect")} == {
        "rows": 2,
        "as_of": "2026-01-01",
        "aspect": "",
    }
    nlp = build(path)
    (tmp_path / "phones.csv").unlink()
    (answer,) = nlp("a neb")._.catalog
    assert answer["row"] == {"id": "1", "model": "Nebula, 2", "aliases": "Neb|", "since": "2024-01-01"}


def test_read_logic_freezes_a_database_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with sqlite3.connect(tmp_path / "phones.db") as connection:
        connection.execute("CREATE TABLE phones (id INTEGER, model TEXT, aliases TEXT, since DATE)")
        connection.execute("INSERT INTO phones VALUES (7, 'Nebula', NULL, '2024-01-01')")
    connection.close()
    config = CONFIG.replace('table = "phones.csv"', 'query = "SELECT * FROM phones"\nurl_env = "CATALOG_URL"')
    path = write(tmp_path, config)
    with pytest.raises(ConfigError, match="CATALOG_URL is not set"):
        read_logic(path)
    monkeypatch.setenv("CATALOG_URL", f"sqlite:///{tmp_path / 'phones.db'}")
    nlp = build(path)
    (tmp_path / "phones.db").unlink()
    (answer,) = nlp("a nebula")._.catalog
    assert (answer["reference"], answer["row"]["id"]) == ("7", 7)


def test_read_logic_of_a_database_that_fails_keeps_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = CONFIG.replace('table = "phones.csv"', 'query = "SELECT * FROM phones"\nurl_env = "CATALOG_URL"')
    for url in ("sqlite://", "nodriver://me:hunter2@host/db", "hunter2"):
        monkeypatch.setenv("CATALOG_URL", url)
        with pytest.raises(ConfigError, match=r"The query in .* failed") as caught:
            read_logic(write(tmp_path, config))
        assert "hunter2" not in str(caught.value)


def test_logic_is_told_where_the_names_are(tmp_path: Path) -> None:
    path = write(tmp_path, CONFIG + '[find]\naspect = "terms"\nlabels = ["PHONE"]\n')
    catalog = build(path, (CHOICE, ENTITIES)).get_pipe("business_logic")
    assert (catalog.spans, catalog.labels) == ("ents", ["terms/PHONE"])
    catalog = build(path, (CHOICE, {**ENTITIES, "spans": "terms"})).get_pipe("business_logic")
    assert catalog.spans == "terms"


@pytest.mark.parametrize(
    ("find", "says"),
    [
        ('aspect = "other"', r"no aspect 'other' to look names up in \(has: stage, terms\)"),
        ('aspect = "stage"', "'stage' is of kind choice, which marks no names"),
        ('aspect = "terms"\nlabels = ["PHNE"]', r"no label 'PHNE' to look up \(has: PHONE, SHOP\)"),
    ],
)
def test_logic_that_does_not_fit_the_pipeline(tmp_path: Path, find: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        build(write(tmp_path, f"{CONFIG}[find]\n{find}\n"), (CHOICE, ENTITIES))


@pytest.mark.parametrize(
    ("config", "table", "says"),
    [
        (CONFIG.replace("[catalog]", "[katalog]"), TABLE, "is not a business logic file: catalog: Field required"),
        (CONFIG + 'nmes = ["a"]\n', TABLE, "catalog.nmes: Extra inputs"),
        (CONFIG.replace('["model", "aliases"]', "[]"), TABLE, "catalog.names: List should have at least 1"),
        ("[catalog", TABLE, "is not a configuration in spaCy's format"),
        (CONFIG.replace('table = "phones.csv"', ""), TABLE, "needs either table, or query and url_env"),
        (CONFIG + 'query = "SELECT 1"\n', TABLE, "needs either table, or query and url_env"),
        (CONFIG.replace("phones.csv", "none.csv"), TABLE, "none.csv cannot be read"),
        (CONFIG.replace("2026-01-01", "soon"), TABLE, "'soon' .* is not a date like"),
        (CONFIG.replace('"id"', '"key"'), TABLE, r"no column 'key' \(has: id, model, aliases, since\)"),
        (CONFIG, TABLE + "3,Orbit,\n", "Line 4 of .* has not as many fields"),
        (CONFIG, TABLE + "3,,,\n", "Row 3 of the catalogue has no name"),
        (CONFIG, TABLE + ",Orbit,,\n", "Row 3 of the catalogue has no reference"),
        (CONFIG, TABLE + "2,Orbit,,\n", "Reference '2' is in 2 rows"),
        (CONFIG, TABLE + "3,Orbit,,1.1.2026\n", "'1.1.2026' .since in row 3. is not a date"),
        (CONFIG, "id,model,aliases,since\n", "has no rows"),
        (CONFIG + 'valid_to = "aliases"\n', TABLE.replace("Neb|", "2023-01-01"), "from 2024-01-01 to 2023-01-01"),
    ],
)
def test_read_logic_says_what_is_wrong(tmp_path: Path, config: str, table: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read_logic(write(tmp_path, config, table))
