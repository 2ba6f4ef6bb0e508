"""Students at work."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import spacy
from spacy.language import Language

from handover.domain import Annotation, Aspect, Kind
from handover.errors import ArtifactError
from handover.labelstudio.convert import annotation_from_doc
from handover.student.confidence import pipe_with_trace
from handover.student.pipeline import StudentCache, load_student, predict
from tests.texts import SECRET, STAGE, TERMS, choice, entities

Pipelines = dict[Kind, tuple[Aspect, Path]]
Loaded = dict[Kind, Language]

TEXTS = {
    Kind.CHOICE: [*(e.text for e in choice(6, start=300)), "", " \n", "😀"],
    Kind.ENTITIES: [*(e.text for e in entities(6, start=300)), "Oslo", "", "nothing\n\n at all 😀", "9 dollars " * 40],
}


@pytest.mark.parametrize("kind", [Kind.CHOICE, Kind.ENTITIES])
def test_predict_says_what_the_pipeline_says(kind: Kind, pipelines: Pipelines, loaded: Loaded) -> None:
    aspect, nlp = pipelines[kind][0], loaded[kind]
    expected = [annotation_from_doc(doc, aspect) or Annotation() for doc in nlp.pipe(TEXTS[kind])]
    answers = predict(nlp, TEXTS[kind], aspect)
    assert [answer.annotation for answer in answers] == expected
    assert not all(annotation.is_empty for annotation in expected)


@pytest.mark.parametrize("kind", [Kind.CHOICE, Kind.ENTITIES])
def test_predict_scores_differ_between_0_and_1(kind: Kind, pipelines: Pipelines, loaded: Loaded) -> None:
    aspect = pipelines[kind][0]
    scores = [answer.score for answer in predict(loaded[kind], TEXTS[kind], aspect)]
    assert all(score is not None and 0 <= score <= 1 for score in scores)
    assert len(set(scores)) > 1


def test_predict_score_of_a_choice_is_the_probability_of_its_label(loaded: Loaded) -> None:
    nlp = loaded[Kind.CHOICE]
    (answer,) = predict(nlp, TEXTS[Kind.CHOICE][:1], STAGE)
    assert answer.score == pytest.approx(nlp(TEXTS[Kind.CHOICE][0]).cats[answer.annotation.cats[0]])


def test_pipe_with_trace_has_one_probability_per_token(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    nlp = loaded[Kind.ENTITIES]
    monkeypatch.setattr(nlp, "batch_size", 3)  # several batches
    found = list(pipe_with_trace(nlp, TEXTS[Kind.ENTITIES]))
    assert [trace.doc.text for trace in found] == TEXTS[Kind.ENTITIES]
    for trace in found:
        assert trace.tokens.shape == (len(trace.doc),)
        assert ((trace.tokens > 0) & (trace.tokens <= 1)).all()
    assert nlp.pipe_names == ["ner"], "the recognizer is switched on again"


def test_load_student_of_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot be loaded"):
        load_student(tmp_path)


class Store:
    """Gives out folders and counts how often."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self.folders = folders
        self.fetched: list[str] = []

    def fetch(self, version: str) -> Path:
        self.fetched.append(version)
        if version not in self.folders:
            raise ArtifactError(f"no {version}")
        return self.folders[version]


@pytest.fixture
def store(pipelines: Pipelines, loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Two students that load at once."""
    by_path = {path: loaded[kind] for kind, (_, path) in pipelines.items()}
    monkeypatch.setattr("handover.student.pipeline.load_student", by_path.__getitem__)
    return Store({"c1": pipelines[Kind.CHOICE][1], "e1": pipelines[Kind.ENTITIES][1]})


def test_student_cache_answers_with_the_version(store: Store) -> None:
    cache = StudentCache(store)  # type: ignore[arg-type]
    (prediction,) = cache.predict("c1", TEXTS[Kind.CHOICE][:1], STAGE)
    assert prediction.version == "c1"
    assert prediction.annotation.cats[0] in STAGE.label_names
    assert prediction.score is not None


def test_student_cache_loads_once_for_many_threads(store: Store) -> None:
    cache = StudentCache(store)  # type: ignore[arg-type]
    texts = TEXTS[Kind.ENTITIES] * 3
    found: list[object] = []

    def work() -> None:
        found.append(cache.predict("e1", texts, TERMS))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.fetched == ["e1"]
    assert len(found) == 6
    assert all(predictions == found[0] for predictions in found)


def test_student_cache_keeps_the_last_used(store: Store) -> None:
    cache = StudentCache(store, max_loaded=1)  # type: ignore[arg-type]
    for version, aspect in (("c1", STAGE), ("c1", STAGE), ("e1", TERMS), ("c1", STAGE)):
        cache.predict(version, ["a text"], aspect)
    assert store.fetched == ["c1", "e1", "c1"]


def test_student_cache_tries_again_after_a_failure(store: Store, pipelines: Pipelines) -> None:
    cache = StudentCache(store)  # type: ignore[arg-type]
    with pytest.raises(ArtifactError, match="no late"):
        cache.predict("late", ["a text"], STAGE)
    store.folders["late"] = pipelines[Kind.CHOICE][1]
    assert cache.predict("late", [f"{SECRET} sells"], STAGE)[0].version == "late"


def test_student_cache_forgets_the_words_of_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server must not grow with every text it sees."""
    loaded: list[Language] = []

    def load(path: Path) -> Language:
        loaded.append(spacy.load(path))
        return loaded[-1]

    spacy.blank("en").to_disk(tmp_path)
    monkeypatch.setattr("handover.student.pipeline.load_student", load)
    cache = StudentCache(Store({"s1": tmp_path}), max_new_words=100)  # type: ignore[arg-type]
    for text in range(20):
        cache.predict("s1", [" ".join(f"word{word}x{text}" for word in range(30))], STAGE)
    assert len(loaded) == 6, "at the start, and after every fourth text: then there are more than 100 new words"
    assert len(loaded[-1].vocab) <= len(spacy.load(tmp_path).vocab) + 130
