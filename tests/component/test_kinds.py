"""Students of kinds choices, spans and relations: they learn, say how sure they are, and stay what they are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import spacy

from handover.domain import Annotation, Aspect, Kind, Relation, Span
from handover.errors import TrainingError
from handover.evaluation.scores import score
from handover.labelstudio.convert import annotation_from_doc
from handover.student import spacy_run
from handover.student.calibrate import load_calibration
from handover.student.confidence import pipe_with_trace
from handover.student.export import export_students
from handover.student.merge import Part
from handover.student.pipeline import load_student, predict
from handover.student.thresholds import best_threshold, label_thresholds, set_thresholds
from handover.student.training import LabelledText, TrainedStudent, TrainingSet, TrainOptions, train_student
from handover.student.training_set import prepare
from tests.component.conftest import LESSONS
from tests.texts import PHRASES, SECRET, TOPICS, TRADES, choices, overlapping, related

Lesson = tuple[Aspect, TrainedStudent]


def test_student_learns_its_kind(lesson: Lesson) -> None:
    aspect, trained = lesson
    unseen = LESSONS[aspect.kind][1](20, start=300)
    answers = predict(load_student(trained.path), [e.text for e in unseen], aspect)
    found = score(aspect.kind, aspect.label_names, [e.annotation for e in unseen], [a.annotation for a in answers])
    assert found.value > 0.9
    assert trained.report["metric"] == found.metric
    assert SECRET not in json.dumps(trained.report)


def test_student_says_how_sure_it_is_of_each_region(lesson: Lesson) -> None:
    aspect, trained = lesson
    texts = [*(e.text for e in LESSONS[aspect.kind][1](8, start=300)), "", "😀", "nothing of the kind\n"]
    answers = predict(load_student(trained.path), texts, aspect)
    for answer in answers:
        annotation = answer.annotation
        assert len(answer.scores) == sum(map(len, (annotation.cats, annotation.spans, annotation.relations)))
        assert all(0 < value <= 1 for value in (*answer.scores, answer.score))
    assert len({answer.score for answer in answers}) > 4


def test_student_says_in_steps_what_the_pipeline_says(lesson: Lesson) -> None:
    aspect, trained = lesson
    nlp = load_student(trained.path)
    texts = [*(e.text for e in LESSONS[aspect.kind][1](8, start=300)), "", "Anna sells wheat to Bert in Oslo"]
    expected = [annotation_from_doc(doc, aspect) for doc in nlp.pipe(texts)]
    assert [answer.annotation for answer in predict(nlp, texts, aspect)] == expected
    assert [annotation_from_doc(trace.doc, aspect) for trace in pipe_with_trace(nlp, texts)] == expected


@pytest.mark.parametrize(
    ("aspect", "make", "recipe"),
    [
        (TOPICS, choices, "choices-cnn"),
        (PHRASES, overlapping, "spans-finder"),
        (TRADES, related, "relations-spans"),
    ],
)
def test_other_recipes_train_and_predict(aspect: Aspect, make, recipe: str, tmp_path: Path) -> None:
    examples = TrainingSet(train=make(24), dev=make(8, start=100))
    options = TrainOptions(max_steps=10, recipes=(recipe,))
    trained = train_student(aspect, examples, options=options, workdir=tmp_path)
    assert trained.recipe == recipe
    assert len(predict(load_student(trained.path), ["Anna sells wheat in Oslo"], aspect)) == 1


def test_best_threshold_has_the_highest_f() -> None:
    probabilities = np.array([0.9, 0.8, 0.4, 0.35, 0.2, 0.1])
    truth = np.array([True, True, True, True, False, False])
    assert best_threshold(probabilities, truth) == pytest.approx(0.35)
    assert best_threshold(probabilities, truth & (probabilities > 0.5)) == pytest.approx(0.5)
    assert best_threshold(np.zeros(0), np.zeros(0, dtype=bool)) == pytest.approx(0.5)
    # Nine that no candidate is right for make finding everything worth more than one false alarm.
    hard = np.array([True, False, True, False])
    assert best_threshold(np.array([0.9, 0.6, 0.3, 0.1]), hard, missed=9) == pytest.approx(0.3)


def test_label_thresholds_differ_only_for_labels_with_enough_examples() -> None:
    truth = np.zeros((40, 2), dtype=bool)
    truth[:20, 0] = True
    truth[:3, 1] = True
    probabilities = np.where(truth, [0.3, 0.9], [0.1, 0.4])
    first, second = label_thresholds(probabilities, truth)
    assert 0.1 < first <= 0.3
    assert second > 0.1, "too few to have a threshold of its own"


def test_set_thresholds_moves_the_bias_until_a_label_is_chosen_from_one_half_on(
    taught: Callable[[Kind], TrainedStudent], tmp_path: Path
) -> None:
    """A student that is too timid about one label: after tuning, a plain pipeline chooses it."""
    nlp = load_student(taught(Kind.CHOICES).path)
    layer = nlp.get_pipe("textcat_multilabel").model.layers[-1].layers[0]
    layer.set_param("b", layer.get_param("b") - np.array([4.0, 0.0, 0.0], dtype="f"))
    nlp.to_disk(tmp_path)
    dev = choices(40, start=200)
    timid = [doc.cats["Price"] for doc in nlp.pipe([e.text for e in dev])]
    assert max(timid) < 0.5
    thresholds = set_thresholds(TOPICS, dev, tmp_path)
    assert thresholds["Price"] < 0.5
    tuned = [doc.cats["Price"] for doc in load_student(tmp_path).pipe([e.text for e in dev])]
    assert [value >= 0.5 for value in tuned] == [value >= thresholds["Price"] for value in timid]
    assert any(value >= 0.5 for value in tuned)


@pytest.mark.parametrize("kind", [Kind.SPANS, Kind.RELATIONS])
def test_set_thresholds_stay_with_the_pipeline(
    kind: Kind, taught: Callable[[Kind], TrainedStudent], tmp_path: Path
) -> None:
    aspect, make, *_ = LESSONS[kind]
    shutil.copytree(taught(kind).path, tmp_path / "student")
    nlp = load_student(tmp_path / "student")
    name = nlp.pipe_names[-1]
    nlp.get_pipe(name).cfg["threshold"] = 0.99999
    nlp.to_disk(tmp_path / "student")
    found = set_thresholds(aspect, make(8, start=4705), tmp_path / "student")
    assert found == {name: 0.5}
    words = (tmp_path / "student" / "vocab" / "strings.json").read_text(encoding="utf-8")
    assert SECRET in words, "a word of train"
    assert "4711" not in words, "a word of dev"
    assert load_student(tmp_path / "student").get_pipe(name).cfg["threshold"] == 0.5


@pytest.mark.parametrize(
    ("lengths", "found"),
    [([], [1]), ([2, 2, 3], [2, 3]), ([1] * 200 + [9], [1]), ([5, 30], [5]), ([30, 40], [1])],
)
def test_phrase_lengths_are_those_worth_judging(lengths: list[int], found: list[int]) -> None:
    assert spacy_run.phrase_lengths(lengths) == found


def test_write_docs_has_entities_beside_the_spans_of_relations(tmp_path: Path) -> None:
    """Spans that overlap: the longer one; and no white space at the ends, which NER refuses to learn."""
    nlp = spacy_run.blank_pipeline("en")
    spans = (Span(0, 4, "WHO"), Span(0, 9, "WHO"), Span(10, 13, "WHO"))
    example = LabelledText("Anna Bert  \n Cleo", Annotation(spans=spans, relations=(Relation(0, 1, "BUYS_FROM"),)))
    assert spacy_run.write_docs(nlp, TRADES, [example], tmp_path / "x.spacy") == 0
    (doc,) = spacy_run.DocBin().from_disk(tmp_path / "x.spacy").get_docs(nlp.vocab)
    assert [ent.text for ent in doc.ents] == ["Anna Bert"]
    assert [list(edge) for edge in doc._.relations] == [[0, 1, "BUYS_FROM"]]
    assert len(doc.spans["sc"]) == 3


def test_prepare_keeps_an_answer_of_choices_that_nothing_applies() -> None:
    nothing = LabelledText("about neither", Annotation())
    gone = LabelledText("about something that was removed", Annotation(cats=("Removed",)))
    prepared = prepare(TOPICS, TrainingSet((*choices(20), nothing, gone), choices(9, start=50)))
    assert nothing in prepared.examples.train
    assert gone not in prepared.examples.train
    assert prepared.unusable == 1


@pytest.mark.parametrize(
    ("aspect", "said"),
    [
        (TOPICS, "Nothing is chosen in the 20 train examples"),
        (PHRASES, "Nothing is marked in the 20 train examples"),
        (TRADES, "Nothing is connected in the 20 train examples"),
    ],
)
def test_prepare_needs_something_of_the_kind(aspect: Aspect, said: str) -> None:
    empty = tuple(LabelledText(f"text {i}", Annotation(spans=(Span(0, 4, "WHO"),))) for i in range(20))
    if aspect.kind is not Kind.RELATIONS:
        empty = tuple(LabelledText(e.text, Annotation()) for e in empty)
    with pytest.raises(TrainingError, match=said):
        prepare(aspect, TrainingSet(empty, LESSONS[aspect.kind][1](8)))


@pytest.mark.parametrize("kind", [Kind.CHOICES, Kind.SPANS])
def test_exported_pipeline_chooses_what_the_server_chooses(
    kind: Kind, taught: Callable[[Kind], TrainedStudent], tmp_path: Path
) -> None:
    aspect, make, *_ = LESSONS[kind]
    facts = {"aspect": aspect.name, "kind": kind.value, "labels": list(aspect.label_names)}
    path = export_students([Part(taught(kind).path, facts)], tmp_path / "out")
    texts = [e.text for e in make(12, start=300)]
    served = predict(load_student(taught(kind).path), texts, aspect, calibration=load_calibration(taught(kind).path))
    docs = spacy.load(path).pipe(texts)
    assert [annotation_from_doc(doc, aspect) for doc in docs] == [answer.annotation for answer in served]
    assert ("doc.cats" if kind is Kind.CHOICES else 'doc.spans["sc"]') in (path / "README.md").read_text()
