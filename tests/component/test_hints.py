"""Annotations that may be wrong: found by students, by comparison, by the clock; listed, never altered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select, text

from handover.annotation_intake import apply_annotation
from handover.commands.hints import list_hints
from handover.domain import Annotation, Aspect, Relation, Span, Split
from handover.errors import TrainingError
from handover.examples import LabelledTask
from handover.hints import Hint, Reason, accepted_in_no_time, doubted, same_text
from handover.jobs.hints import run
from handover.labelstudio.protocol import TaskIn
from handover.runtime import Runtime
from handover.serving import predict, register
from handover.settings import Settings
from handover.store.answers import put_predictions
from handover.store.database import Database
from handover.store.hints import replace_hints
from handover.store.migrate import upgrade
from handover.store.models import AnnotationRow, HintRow, ProjectRow
from handover.store.projects import aspects_of
from handover.store.tasks import tasks_by_ls_id
from handover.student import cross_validation
from handover.student.cross_validation import answer_unseen
from handover.student.readings import RawAnswer
from handover.student.training_set import LabelledText, TrainOptions
from tests.projects import CHOICE_CONFIG, chosen
from tests.texts import STAGE, TRADES, choice

OTHER = {"Bid": "Offer", "Offer": "Bid"}


def labelled(examples: tuple[LabelledText, ...]) -> tuple[LabelledTask, ...]:
    return tuple(LabelledTask(i, 100 + i, e.text, e.annotation) for i, e in enumerate(examples))


def test_hints_find_planted_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_validation, "FOLDS", 3)
    wrong = {3, 17, 30, 44}
    examples = [e if i not in wrong else spoilt(e) for i, e in enumerate(choice(60))]
    told: list[dict[str, Any]] = []
    options = TrainOptions(max_steps=60)
    answers = answer_unseen(STAGE, examples, options=options, workdir=tmp_path, on_progress=told.append)
    assert None not in answers
    assert told == [{"fold": 1, "of": 3}, {"fold": 2, "of": 3}, {"fold": 3, "of": 3}]
    hints = doubted(STAGE, labelled(tuple(examples)), answers)
    found = {hint.task_id for hint in hints}
    assert len(found & wrong) >= 3
    assert len(found - wrong) <= 1
    assert [hint.score for hint in hints] == sorted((hint.score for hint in hints), reverse=True)


def spoilt(example: LabelledText) -> LabelledText:
    return replace(example, annotation=Annotation(cats=(OTHER[example.annotation.cats[0]],)))


def test_answer_unseen_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="training needs at least 8"):
        answer_unseen(STAGE, choice(5), options=TrainOptions(), workdir=tmp_path)


def test_doubted_compares_spans_and_relations_by_their_offsets() -> None:
    spans = (Span(0, 4, "WHO"), Span(9, 13, "WHO"))
    whole = Annotation(spans=spans, relations=(Relation(0, 1, "BUYS_FROM"),))
    tasks = [LabelledTask(i, i, "Anna and Bert", whole) for i in range(7)]
    tasks.append(LabelledTask(7, 7, "Anna and Bert", Annotation(spans=spans)))
    raw = RawAnswer(whole, 0.9, regions=(0.9, 0.9), relations=(0.9,))
    assert doubted(TRADES, tasks, [raw] * 7 + [None]) == []
    assert doubted(TRADES, tasks, [raw] * 8) == [Hint(7, Reason.DOUBTED, 0.9, (), ("BUYS_FROM 0-4 9-13",))]


def test_same_text_points_to_the_minority_or_to_all_of_a_tie() -> None:
    bid, offer = Annotation(cats=("Bid",)), Annotation(cats=("Offer",))
    texts = [("One text", bid), ("one  text", bid), ("ONE TEXT", offer), ("Two", bid), ("two", offer), ("Three", bid)]
    tasks = tuple(LabelledTask(i, i, t, a) for i, (t, a) in enumerate(texts))
    assert same_text(tasks) == [
        Hint(2, Reason.SAME_TEXT, pytest.approx(2 / 3), ("Offer",), ("Bid",)),
        Hint(3, Reason.SAME_TEXT, 0.5, ("Bid",), ("Offer",)),
        Hint(4, Reason.SAME_TEXT, 0.5, ("Offer",), ("Bid",)),
    ]


def test_same_text_names_spans_by_their_offsets() -> None:
    spans = (Span(0, 4, "WHO"), Span(9, 13, "WHO"))
    one = Annotation(spans=spans, relations=(Relation(0, 1, "BUYS_FROM"),))
    tasks = (LabelledTask(1, 1, "Anna and Bert", one), LabelledTask(2, 2, "Anna and Bert", Annotation(spans=spans)))
    first, _ = same_text(tasks)
    assert first.given == ("WHO 0-4", "WHO 9-13", "BUYS_FROM 0-4 9-13")


@pytest.fixture
def runtime(database: Database, settings: Settings) -> Iterator[Runtime]:
    runtime = Runtime(Settings(teacher="none"))
    yield runtime
    runtime.close()


def annotated(runtime: Runtime, number: int = 60, **more: Any) -> tuple[ProjectRow, dict[int, str]]:
    """A project whose tasks are annotated right, and the labels by Label Studio's task id."""
    project = register(runtime, 7, CHOICE_CONFIG)
    texts = dict(enumerate(choice(number), start=1))
    # The number at the end is too little of a difference: what is nearly the same as gold is left out.
    predict(runtime, 7, [TaskIn(id=i, data={"text": f"{e.text}, {i * 104729}"}) for i, e in texts.items()])
    with runtime.database.write() as session:
        for ls_id, task in tasks_by_ls_id(session, project.id, list(texts)).items():
            given = chosen(texts[ls_id].annotation.cats[0], id=ls_id, **more)
            apply_annotation(session, project, task, given)
    return project, {i: e.annotation.cats[0] for i, e in texts.items()}


def test_accepted_in_no_time_needs_the_same_answer_and_less_than_two_seconds(runtime: Runtime) -> None:
    project, labels = annotated(runtime, parent_prediction=5, lead_time=1.5)
    with runtime.database.write() as session:
        (row,) = aspects_of(session, project.id)
        rows = tasks_by_ls_id(session, project.id, list(labels))
        usable = [task for task in rows.values() if task.split != Split.GOLD.value]
        gold = next(task for task in rows.values() if task.split == Split.GOLD.value)
        same, changed, slow = usable[:3]
        for annotation in session.scalars(select(AnnotationRow)):
            annotation.parent_has_content = True
            if annotation.task_id == slow.id:
                annotation.lead_time = 2.0
        answers = {same: labels[same.ls_id], changed: OTHER[labels[changed.ls_id]], slow: labels[slow.ls_id]}
        answers[gold] = labels[gold.ls_id]
        put_predictions(session, [_prediction(task.id, row.id, label) for task, label in answers.items()])
        hints = accepted_in_no_time(session, row)
    assert hints == [Hint(same.id, Reason.QUICK, 0.25, (labels[same.ls_id],))]


def _prediction(task_id: int, aspect_id: int, label: str) -> dict[str, object]:
    annotation = Annotation(cats=(label,)).to_json()
    return {
        "task_id": task_id, "aspect_id": aspect_id, "version": "t", "status": "ok", "annotation": annotation,
        "score": None, "problem": "", "answer_key": "",
    }  # fmt: skip


def test_hints_job_keeps_a_list_with_links_and_leaves_annotations_and_gold_alone(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, labels = annotated(runtime)
    with runtime.database.write() as session:
        rows = tasks_by_ls_id(session, project.id, list(labels))
        usable = [i for i, task in rows.items() if task.split != Split.GOLD.value]
        gold = [i for i, task in rows.items() if task.split == Split.GOLD.value]
        for ls_id in (usable[5], gold[0]):
            again = chosen(OTHER[labels[ls_id]], id=ls_id, seconds=60)
            apply_annotation(session, project, rows[ls_id], again)
        (row,) = aspects_of(session, project.id)
    before = results(runtime)

    def answer(aspect: Aspect, examples: Sequence[LabelledText], **more: Any) -> list[RawAnswer]:
        assert len(examples) == len(usable), "gold is not looked at"
        more["on_progress"]({"fold": 1, "of": 5})
        bid, offer = np.array([0.9, 0.1, 0.0]), np.array([0.2, 0.8, 0.0])
        return [RawAnswer(Annotation(), 1.0, labels=bid if " seeks " in e.text else offer) for e in examples]

    monkeypatch.setattr("handover.jobs.hints.answer_unseen", answer)
    told: list[dict[str, Any]] = []
    for _ in range(2):  # the list is replaced, not added to
        assert run(runtime, row.id, told.append) == {"tasks": len(usable), "doubted": 1}
    assert told[0] == {"fold": 1, "of": 5}
    title, line = list_hints(runtime, ls_project_id=7, aspect="stage", limit=20)
    assert title == "Doubted by students that have not seen the annotation, the most doubtful first (1):"
    right, url = labels[usable[5]], f"http://127.0.0.1:8080/projects/7/data?task={usable[5]}"
    assert line.startswith(f"  {url}  {OTHER[right]} -> {right}  (0.")
    assert results(runtime) == before


def results(runtime: Runtime) -> list[Any]:
    with runtime.database.read() as session:
        return list(session.scalars(select(AnnotationRow.result).order_by(AnnotationRow.id)))


def test_hints_job_does_without_students_where_there_is_too_little(runtime: Runtime) -> None:
    project, _ = annotated(runtime, number=4)
    with runtime.database.read() as session:
        (row,) = aspects_of(session, project.id)
    report = run(runtime, row.id, lambda progress: None)
    assert set(report) == {"tasks"}
    assert list_hints(runtime, ls_project_id=7, aspect="", limit=5) == []


def test_migration_adds_the_hints_and_keeps_what_is_there(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'old.db'}")
    upgrade(database, revision="0001")
    with database.write() as session:
        session.add(ProjectRow(ls_id=9, options={}))
    upgrade(database)
    with database.write() as session:
        assert session.scalars(select(ProjectRow.ls_id)).all() == [9]
        assert session.execute(text("SELECT count(*) FROM hints")).scalar_one() == 0
    database.close()


def test_replace_hints_of_one_aspect_leaves_those_of_others(runtime: Runtime) -> None:
    project, _ = annotated(runtime, number=3)
    with runtime.database.write() as session:
        (row,) = aspects_of(session, project.id)
        task = next(iter(tasks_by_ls_id(session, project.id, [1]).values()))
        hint = {"task_id": task.id, "reason": "doubted", "score": 0.5, "given": ["Bid"], "suggested": ["Offer"]}
        replace_hints(session, row.id, [hint])
        replace_hints(session, row.id + 1, [])
        assert len(session.scalars(select(HintRow)).all()) == 1
        replace_hints(session, row.id, [])
        assert session.scalars(select(HintRow)).all() == []
