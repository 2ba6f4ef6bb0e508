"""Several students in one pipeline: the same answers, and nobody in the way of another."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.vectors import Vectors

from handover.domain import Annotation, Aspect, Kind, Span
from handover.errors import ArtifactError
from handover.labelstudio.convert import annotation_from_doc
from handover.student.export import export_students
from handover.student.merge import Part, merge_students
from handover.student.training import LabelledText, TrainingSet, TrainOptions, train_student
from tests.texts import SECRET, STAGE, TERMS, choice, entities

Pipelines = dict[Kind, tuple[Aspect, Path]]

TEXTS = [e.text for e in (*choice(6, start=300), *entities(6, start=300))] + ["", " \n", "Oslo 😀 pays"]


def part(path: Path, aspect: Aspect, name: str = "") -> Part:
    facts = {"aspect": name or aspect.name, "kind": aspect.kind.value, "labels": list(aspect.label_names)}
    return Part(path, facts)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second recognizer, which marks the word before the place as well: its spans overlap those of `terms`."""
    examples = [
        LabelledText(e.text, Annotation(spans=tuple(Span(s.start - 3, s.end, "PLACE") for s in e.annotation.spans[1:])))
        for e in entities(24)
    ]
    options = TrainOptions(max_steps=40)
    workdir = tmp_path_factory.mktemp("places")
    return train_student(TERMS, TrainingSet(tuple(examples), ()), options=options, workdir=workdir).path


@pytest.fixture(scope="module")
def merged(pipelines: Pipelines, tmp_path_factory: pytest.TempPathFactory) -> Language:
    """Two choices with the same labels and one recognizer."""
    parts = [
        part(pipelines[Kind.CHOICE][1], STAGE),
        part(pipelines[Kind.ENTITIES][1], TERMS),
        part(pipelines[Kind.CHOICE][1], STAGE, "second.stage"),
    ]
    return spacy.load(export_students(parts, tmp_path_factory.mktemp("merged") / "out"))


def test_merge_gives_each_aspect_a_component_and_a_namespace(merged: Language) -> None:
    assert merged.pipe_names == ["stage", "terms", "second_stage"]
    labels = {f"{aspect}/{label}" for aspect in ("stage", "second.stage") for label in STAGE.label_names}
    assert set(merged("A text.").cats) == labels
    assert set(merged.get_pipe("terms").labels) == {f"terms/{label}" for label in TERMS.label_names}
    aspects = merged.meta["handover"]["aspects"]
    assert [(fact["components"], fact["prefix"], fact["spans"]) for fact in aspects] == [
        (["stage"], "stage/", None),
        (["terms"], "terms/", None),
        (["second_stage"], "second.stage/", None),
    ]


def test_merge_needs_no_code_of_ours_for_one_recognizer(merged: Language) -> None:
    assert merged.meta["handover"]["code"] == {}
    assert {merged.get_pipe_meta(name).factory for name in merged.pipe_names} == {"textcat", "ner"}


def test_merge_predicts_what_each_student_predicts(merged: Language, loaded: dict[Kind, Language]) -> None:
    docs = list(merged.pipe(TEXTS))
    stages, terms = (list(loaded[kind].pipe(TEXTS)) for kind in (Kind.CHOICE, Kind.ENTITIES))
    for doc, stage, term in zip(docs, stages, terms, strict=True):
        for prefix in ("stage/", "second.stage/"):
            assert {k: v for k, v in doc.cats.items() if k.startswith(prefix)} == pytest.approx(
                {prefix + label: value for label, value in stage.cats.items()}
            )
        assert spans(doc.ents) == [(s, e, f"terms/{label}") for s, e, label in spans(term.ents)]
    assert any(doc.ents for doc in docs)


def spans(found: Any) -> list[tuple[int, int, str]]:
    return [(span.start_char, span.end_char, span.label_) for span in found]


def test_merge_of_two_recognizers_keeps_each_whole(pipelines: Pipelines, places: Path, tmp_path: Path) -> None:
    terms = pipelines[Kind.ENTITIES][1]
    parts = [part(terms, TERMS), part(places, TERMS, "where")]
    nlp = spacy.load(export_students(parts, tmp_path / "out"))
    assert nlp.pipe_names == ["terms", "terms_set_aside", "where", "where_set_aside", "entities"]
    texts = [e.text for e in entities(9, start=300)]
    apart = [list(spacy.load(path).pipe(texts)) for path in (terms, places)]
    overlaps = 0
    for doc, first, second in zip(nlp.pipe(texts), *apart, strict=True):
        assert spans(doc.spans["terms"]) == [(s, e, f"terms/{label}") for s, e, label in spans(first.ents)]
        assert spans(doc.spans["where"]) == [(s, e, f"where/{label}") for s, e, label in spans(second.ents)]
        overlaps += len(first.ents) + len(second.ents) - len(doc.ents)
        longest = max((len(ent) for ent in (*first.ents, *second.ents)), default=0)
        assert max((len(ent) for ent in doc.ents), default=0) == longest
    assert overlaps > 0
    assert (tmp_path / "out" / "entity_sets.py").is_file()


def test_merged_pipeline_holds_no_word_of_the_training_texts(pipelines: Pipelines, tmp_path: Path) -> None:
    parts = [part(path, aspect) for aspect, path in pipelines.values()]
    folder = export_students(parts, tmp_path / "out")
    for file in folder.rglob("*"):
        assert file.is_dir() or SECRET.lower().encode() not in file.read_bytes().lower(), file


def test_merge_meta_names_the_package_after_its_aspects_and_versions(pipelines: Pipelines, tmp_path: Path) -> None:
    parts = [part(path, aspect) for aspect, path in pipelines.values()]
    metas = [
        spacy.load(export_students(some, tmp_path / name, name=name if name != "plain" else "")).meta
        for name, some in (("plain", parts), ("en_Deals now", list(reversed(parts))))
    ]
    assert [meta["name"] for meta in metas] == ["stage_terms", "deals_now"]
    assert metas[0]["version"] == metas[1]["version"]
    assert metas[0]["version"].startswith("0.1.0+")


@pytest.mark.parametrize("names", [("stage", "stage"), ("a.b", "a b"), ("entities", "stage"), ("stage", "catalog")])
def test_merge_refuses_names_that_cannot_be_told_apart(pipelines: Pipelines, names: tuple[str, str]) -> None:
    with pytest.raises(ArtifactError, match="Each aspect needs a name of its own"):
        merge_students([part(pipelines[Kind.CHOICE][1], STAGE, name) for name in names])


def changed(path: Path, target: Path, change: Any) -> Path:
    nlp = spacy.load(path)
    change(nlp)
    nlp.to_disk(target)
    return target


def other_vectors(seed: int) -> Any:
    def change(nlp: Language) -> None:
        data = np.random.default_rng(seed).normal(size=(2, 4)).astype("float32")
        nlp.vocab.vectors = Vectors(data=data, keys=["one", "two"])

    return change


def test_merge_keeps_the_one_table_of_vectors(pipelines: Pipelines, tmp_path: Path) -> None:
    path = pipelines[Kind.CHOICE][1]
    first, second = (changed(path, tmp_path / name, other_vectors(1)) for name in ("one", "two"))
    nlp, _ = merge_students([part(path, STAGE), part(first, STAGE, "b"), part(second, STAGE, "c")])
    assert nlp.vocab.vectors.shape == (2, 4)


def test_merge_refuses_two_tables_of_vectors(pipelines: Pipelines, tmp_path: Path) -> None:
    path = pipelines[Kind.CHOICE][1]
    first, second = (changed(path, tmp_path / str(seed), other_vectors(seed)) for seed in (1, 2))
    with pytest.raises(ArtifactError, match="'a' and 'b' do not go into one pipeline: their word vectors differ"):
        merge_students([part(first, STAGE, "a"), part(second, STAGE, "b")])


def test_merge_refuses_other_tokenizers(pipelines: Pipelines, tmp_path: Path) -> None:
    def change(nlp: Language) -> None:
        nlp.tokenizer.add_special_case("cargo", [{"ORTH": "car"}, {"ORTH": "go"}])

    path = pipelines[Kind.CHOICE][1]
    with pytest.raises(ArtifactError, match="their tokenizers differ"):
        merge_students([part(path, STAGE, "a"), part(changed(path, tmp_path / "b", change), STAGE, "b")])


def test_merge_refuses_other_languages(pipelines: Pipelines, tmp_path: Path) -> None:
    path = pipelines[Kind.CHOICE][1]
    shutil.copytree(path, tmp_path / "b")
    config = spacy.util.load_config(tmp_path / "b" / "config.cfg")
    config["nlp"]["lang"] = "de"
    config.to_disk(tmp_path / "b" / "config.cfg")
    with pytest.raises(ArtifactError, match="their languages are 'en' and 'de'"):
        merge_students([part(path, STAGE, "a"), part(tmp_path / "b", STAGE, "b")])


def test_merge_refuses_components_it_cannot_name(pipelines: Pipelines, tmp_path: Path) -> None:
    path = pipelines[Kind.CHOICE][1]
    ruled = changed(path, tmp_path / "b", lambda nlp: nlp.add_pipe("entity_ruler"))
    with pytest.raises(ArtifactError, match="has the component entity_ruler, and cannot be merged"):
        merge_students([part(path, STAGE, "a"), part(ruled, STAGE, "b")])


def test_merge_gives_listeners_a_copy_of_what_they_listen_to(tmp_path: Path) -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec")
    model = {
        "@architectures": "spacy.TextCatCNN.v2",
        "exclusive_classes": True,
        "tok2vec": {"@architectures": "spacy.Tok2VecListener.v1", "width": 96, "upstream": "tok2vec"},
    }
    textcat = nlp.add_pipe("textcat", config={"model": model})
    for label in ("Bid", "Offer"):
        textcat.add_label(label)  # type: ignore[attr-defined]
    nlp.initialize()
    nlp.to_disk(tmp_path / "student")
    merged, _ = merge_students([part(tmp_path / "student", STAGE, name) for name in ("a", "b")])
    assert merged.pipe_names == ["a", "b"]
    cats, expected = merged("cargo of zinc").cats, nlp("cargo of zinc").cats
    assert cats == pytest.approx({f"{name}/{label}": value for name in "ab" for label, value in expected.items()})


def test_merge_renames_span_groups_and_any_of_several_labels(tmp_path: Path) -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("spancat", config={"spans_key": "sc", "threshold": 0.0})
    nlp.get_pipe("spancat").add_label("PRICE")  # type: ignore[attr-defined]
    nlp.initialize()
    nlp.to_disk(tmp_path / "spans")
    many = spacy.blank("en")
    many.add_pipe("textcat_multilabel").add_label("urgent")  # type: ignore[attr-defined]
    many.initialize()
    many.to_disk(tmp_path / "many")
    parts = [part(tmp_path / "spans", TERMS, "wide"), part(tmp_path / "many", STAGE, "tags")]
    merged = spacy.load(export_students(parts, tmp_path / "out"))
    doc = merged("pays 100 dollars")
    assert list(doc.spans) == ["wide"]
    assert {span.label_ for span in doc.spans["wide"]} == {"wide/PRICE"}
    assert list(doc.cats) == ["tags/urgent"]
    assert merged.meta["handover"]["aspects"][0]["spans"] == "wide"


def test_annotation_of_a_single_export_reads_as_before(pipelines: Pipelines, tmp_path: Path) -> None:
    aspect, path = pipelines[Kind.CHOICE]
    nlp = spacy.load(export_students([part(path, aspect)], tmp_path / "out"))
    expected = annotation_from_doc(spacy.load(path)(TEXTS[0]), aspect)
    assert annotation_from_doc(nlp(TEXTS[0]), aspect) == expected
