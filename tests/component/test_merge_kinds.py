"""A pipeline of all kinds answers what the server answers, with the same confidences."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import spacy

from handover.bulk.predictor import Predictor
from handover.domain import Annotation, Aspect, Kind, Prediction, Relation, Span
from handover.errors import ArtifactError
from handover.student.artifacts import ArtifactStore
from handover.student.export import export_students
from handover.student.merge import Part, merge_students
from handover.student.pipeline import StudentCache
from handover.student.training import TrainedStudent, TrainingSet, TrainOptions, train_student
from tests.component.conftest import LESSONS
from tests.texts import PHRASES, SECRET, STAGE, TERMS, choice, choices, entities, overlapping, related

Students = dict[str, tuple[Aspect, Path]]

TEXTS = [
    example.text for make in (choice, choices, entities, overlapping, related) for example in make(5, start=300)
] + ["nothing of the kind", "😀 Oslo"]


def part(path: Path, aspect: Aspect) -> Part:
    facts = {
        "aspect": aspect.name,
        "kind": aspect.kind.value,
        "labels": list(aspect.label_names),
        "span_labels": [label.name for label in aspect.span_labels],
        "version": aspect.name,
    }
    return Part(path, facts)


@pytest.fixture(scope="module")
def students(
    pipelines: dict[Kind, tuple[Aspect, Path]],
    taught: Callable[[Kind], TrainedStudent],
    tmp_path_factory: pytest.TempPathFactory,
) -> Students:
    """One of every kind; two of them recognize entities, and one finds its candidates with a component of its own."""
    found = {aspect.name: (aspect, path) for aspect, path in pipelines.values()}
    found |= {aspect.name: (aspect, taught(kind).path) for kind, (aspect, *_) in LESSONS.items()}
    finder = Aspect(**{**PHRASES.__dict__, "name": "found"})
    examples = TrainingSet(train=overlapping(30), dev=overlapping(8, start=100))
    options = TrainOptions(max_steps=60, recipes=("spans-finder",))
    workdir = tmp_path_factory.mktemp("finder")
    return found | {"found": (finder, train_student(finder, examples, options=options, workdir=workdir).path)}


@pytest.fixture(scope="module")
def merged(students: Students, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them in one pipeline."""
    parts = [part(path, aspect) for aspect, path in students.values()]
    return export_students(parts, tmp_path_factory.mktemp("merged") / "out")


def server(students: Students, folder: Path) -> dict[str, list[Prediction]]:
    """What the server says about the texts."""
    store = ArtifactStore(folder / "students", cache_dir=folder / "cache")
    cache = StudentCache(store)
    for name, (_, path) in students.items():
        store.save(path, name, {})
    return {name: cache.predict(name, TEXTS, aspect) for name, (aspect, _) in students.items()}


def annotation_of(record: dict[str, Any], name: str, kind: Kind) -> Annotation:
    said = record[name]
    if kind is Kind.CHOICE:
        return Annotation(cats=(said,))
    if kind is Kind.CHOICES:
        return Annotation(cats=tuple(said))
    spans = tuple(Span(span["start"], span["end"], span["label"]) for span in said)
    relations = (Relation(r["head"], r["child"], r["label"]) for r in record.get(f"{name}_relations", ()))
    return Annotation(spans=spans, relations=tuple(relations))


def scores_of(record: dict[str, Any], name: str, kind: Kind) -> list[float]:
    if kind is Kind.CHOICE:
        return [record[f"{name}_score"]]
    if kind is Kind.CHOICES:
        return list(record[f"{name}_scores"])
    return [found["score"] for found in (*record[name], *record.get(f"{name}_relations", ()))]


def test_merged_pipeline_answers_as_the_server_does(students: Students, merged: Path, tmp_path: Path) -> None:
    records = Predictor(merged).answer([{"text": text} for text in TEXTS], "text")
    for name, predictions in server(students, tmp_path).items():
        kind = students[name][0].kind
        assert [annotation_of(record, name, kind) for record in records] == [p.annotation for p in predictions]
        assert not all(p.annotation.is_empty for p in predictions), name
        for record, prediction in zip(records, predictions, strict=True):
            assert record[f"{name}_score"] == pytest.approx(prediction.score, abs=1e-5)
            assert scores_of(record, name, kind) == pytest.approx(list(prediction.scores), abs=1e-5)


def test_single_pipeline_answers_as_the_server_does(students: Students, tmp_path: Path) -> None:
    aspect, path = students["trades"]
    folder = export_students([part(path, aspect)], tmp_path / "out")
    assert {file.name for file in folder.glob("*.py")} == {"relations.py"}
    records = Predictor(folder).answer([{"text": text} for text in TEXTS], "text")
    expected = server({"trades": (aspect, path)}, tmp_path)["trades"]
    assert [annotation_of(record, "trades", aspect.kind) for record in records] == [p.annotation for p in expected]


def test_merged_pipeline_has_every_answer_on_the_doc(students: Students, merged: Path, tmp_path: Path) -> None:
    nlp = spacy.load(merged)
    assert nlp.pipe_names[-1] == "entities"
    expected = server(students, tmp_path)
    for i, doc in enumerate(nlp.pipe(TEXTS)):
        for name in ("terms", "phrases", "found", "trades"):
            spans = {(span.start_char, span.end_char, span.label_) for span in doc.spans[name]}
            found = {(s.start, s.end, f"{name}/{s.label}") for s in expected[name][i].annotation.spans}
            assert spans >= found if name == "trades" else spans == found
        edges = [(r.head, r.child, f"trades/{r.label}") for r in expected["trades"][i].annotation.relations]
        assert len(doc._.relations) == len(edges)
        assert {label for *_, label in doc._.relations} == {label for *_, label in edges}
        assert {ent.label_.split("/")[0] for ent in doc.ents} <= {"terms", "trades"}


def test_merged_pipeline_of_all_kinds_holds_no_word_of_the_training_texts(merged: Path) -> None:
    for file in merged.rglob("*"):
        assert file.is_dir() or SECRET.lower().encode() not in file.read_bytes().lower(), file


def test_merge_refuses_two_aspects_with_relations(students: Students) -> None:
    aspect, path = students["trades"]
    other = Aspect(**{**aspect.__dict__, "name": "more"})
    with pytest.raises(ArtifactError, match=r"'trades', 'more' all write `doc\._\.relations`"):
        merge_students([part(path, aspect), part(path, other)])


def test_merge_of_the_samples_covers_every_kind(students: Students) -> None:
    assert {aspect.kind for aspect, _ in students.values()} == set(Kind)
    assert (STAGE.name, TERMS.name) == ("stage", "terms")
