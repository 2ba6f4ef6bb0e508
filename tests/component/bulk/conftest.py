"""A merged pipeline with next to no training: what it says is mostly nonsense, but always the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.training import Example
from spacy.util import fix_random_seed

from handover.bulk.predictor import Predictor
from handover.logic.table import read_logic
from handover.student.export import export_students
from handover.student.merge import Part

TEXT = "A cargo is bid at 100 dollars in Rotterdam today by somebody 😀"

LOGIC = """
[catalog]
table = "places.csv"
names = ["name"]
reference = "code"
as_of = "2026-01-01"
"""


def _student(folder: Path, factory: str, labels: tuple[str, ...], **facts: Any) -> Part:
    nlp = spacy.blank("en")
    pipe: Any = nlp.add_pipe(factory)
    for label in labels:
        pipe.add_label(label)
    fix_random_seed(0)
    optimizer = nlp.initialize()
    if factory == "ner":  # untrained it marks nothing
        examples = [Example.from_dict(nlp.make_doc(TEXT), {"entities": [(18, 29, "PRICE"), (33, 42, "PLACE")]})]
        for _ in range(20):
            nlp.update(examples, sgd=optimizer)
    nlp.to_disk(folder)
    return Part(folder, {"labels": list(labels), "text_field": "text", "version": factory, **facts})


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A choice, any of several, entities, spans, and a catalogue."""
    folder = tmp_path_factory.mktemp("pipeline")
    (folder / "places.csv").write_text("code,name\nNL,Rotterdam\n", encoding="utf-8")
    (folder / "logic.cfg").write_text(LOGIC, encoding="utf-8")
    parts = [
        _student(folder / "1", "textcat", ("Bid", "Offer"), aspect="stage", kind="choice"),
        _student(folder / "2", "textcat_multilabel", ("a", "b", "c"), aspect="tags", kind="choices"),
        _student(folder / "3", "ner", ("PRICE", "PLACE"), aspect="terms", kind="entities"),
        _student(folder / "4", "spancat", ("X", "Y"), aspect="wide", kind="spans"),
    ]
    return export_students(parts, folder / "out", logic=read_logic(folder / "logic.cfg"))


@pytest.fixture(scope="session")
def predictor(pipeline: Path) -> Predictor:
    """The pipeline at work."""
    return Predictor(pipeline, prefix="p_")
