"""Examples for the teacher: from train alone, at steps, the same in every process, gone at once when they must be."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from sqlalchemy import select, update

from handover.annotation_intake import apply_annotation, delete_annotations
from handover.domain import Annotation
from handover.fewshot import choose, next_step, renew, step_of
from handover.intake import apply_config, apply_tasks, delete_tasks
from handover.labelstudio.protocol import TaskIn
from handover.runtime import Runtime
from handover.store.answers import put_predictions
from handover.store.database import Database
from handover.store.models import AspectRow, ProjectRow, TaskRow, TeacherExampleRow
from handover.store.projects import aspects_of, get_project
from handover.store.teacher_examples import like_examples, stored_examples
from handover.teaching import examples_of, guidelines_of
from tests.component.teaching.conftest import LABELS, OPTIONS
from tests.projects import CHOICE_CONFIG, chosen, tasks

Shown = Callable[[], list[str]]


@pytest.fixture
def shown(database: Database, aspect: AspectRow) -> Shown:
    """The texts that the prompt shows now."""

    def texts() -> list[str]:
        with database.read() as session:
            return [example.text for example in examples_of(session, session.get_one(AspectRow, aspect.id))]

    return texts


def task_of(rows: dict[int, TaskRow], text: str) -> TaskRow:
    return next(row for row in rows.values() if row.data["text"] == text)


@pytest.mark.parametrize(
    ("finished", "step", "upcoming"),
    [(0, 0, 50), (49, 0, 50), (50, 1, 100), (99, 1, 100), (100, 2, 200), (199, 2, 200), (200, 3, 400), (400, 4, 800)],
)
def test_fewshot_steps_double(finished: int, step: int, upcoming: int) -> None:
    assert (step_of(finished), next_step(finished)) == (step, upcoming)


def test_fewshot_shows_train_tasks_alone_and_all_labels(database, rows, aspect, settings, shown: Shown) -> None:
    assert shown() == []
    assert renew(database, settings, aspect.id)
    found = [task_of(rows, text) for text in shown()]
    assert len(found) == 4
    assert {row.split for row in found} == {"train"}
    assert {LABELS[row.ls_id % 3] for row in found} == set(LABELS)


def test_fewshot_twice_changes_nothing(database, rows, aspect, settings, runtime, project) -> None:
    before = runtime.teacher_for(project, aspect).id
    assert renew(database, settings, aspect.id)
    with database.read() as session:
        first = [(row.id, row.task_id) for row in stored_examples(session, aspect.id)]
    assert not renew(database, settings, aspect.id)
    with database.read() as session:
        assert [(row.id, row.task_id) for row in stored_examples(session, aspect.id)] == first
    other = Runtime(settings)
    teacher = runtime.teacher_for(project, aspect)
    assert teacher.id == other.teacher_for(project, aspect).id != before
    other.close()


def test_fewshot_examples_reach_the_prompt(database, rows, aspect, settings, runtime, project, shown: Shown) -> None:
    renew(database, settings, aspect.id)
    system = runtime.teacher_for(project, aspect).prompt("a new text").system
    assert all(f"<text>\n{text}\n</text>\n" in system for text in shown())
    off = Runtime(settings.model_copy(update={"teacher_examples": 0}))
    assert "Example" not in off.teacher_for(project, aspect).prompt("a new text").system
    off.close()


def test_fewshot_waits_for_the_first_step_and_for_the_next(database, rows, aspect, settings, shown: Shown) -> None:
    train = [row.ls_id for row in rows.values() if row.split == "train"]
    assert 50 < len(train) < 100
    with database.write() as session:
        delete_annotations(session, session.get_one(ProjectRow, aspect.project_id), train[: len(train) - 49])
    assert not renew(database, settings, aspect.id)
    assert shown() == []


def test_fewshot_a_correction_counts_at_the_next_step(database, rows, project, aspect, settings, shown: Shown) -> None:
    renew(database, settings, aspect.id)
    before = shown()
    row = task_of(rows, before[0])
    with database.write() as session:
        apply_annotation(session, project, row, chosen(LABELS[(row.ls_id + 1) % 3], id=row.ls_id, seconds=9))
    assert not renew(database, settings, aspect.id), "no step was reached"
    with database.read() as session:
        assert examples_of(session, aspect)[0].annotation.cats == (LABELS[row.ls_id % 3],)
    extra = tasks(80, start=1000)
    with database.write() as session:
        more = apply_tasks(session, project, extra, OPTIONS)
        for task in more.values():
            apply_annotation(session, project, task, chosen("Bid", id=task.ls_id))
    assert renew(database, settings, aspect.id), "a step was reached"
    with database.read() as session:
        labels = {e.text: e.annotation.cats for e in examples_of(session, aspect)}
    assert labels.get(before[0], (LABELS[(row.ls_id + 1) % 3],)) == (LABELS[(row.ls_id + 1) % 3],)


@pytest.mark.parametrize("how", ["annotation deleted", "annotation skipped", "task deleted", "gold now", "dev now"])
def test_fewshot_is_gone_at_once(database, rows, project, aspect, settings, runtime, shown: Shown, how: str) -> None:
    renew(database, settings, aspect.id)
    before, teacher = shown(), runtime.teacher_for(project, aspect).id
    row = task_of(rows, before[1])
    with database.write() as session:
        if how == "annotation deleted":
            delete_annotations(session, project, [row.ls_id])
        elif how == "annotation skipped":
            apply_annotation(session, project, row, chosen("Bid", id=row.ls_id, seconds=5, was_cancelled=True))
        elif how == "task deleted":
            delete_tasks(session, project, [row.ls_id])
        else:
            session.execute(update(TaskRow).where(TaskRow.id == row.id).values(split=how.removesuffix(" now")))
    assert shown() == [text for text in before if text != before[1]]
    assert runtime.teacher_for(project, aspect).id != teacher


@pytest.mark.parametrize("split", ["gold", "dev"])
@pytest.mark.parametrize("same", ["text_key", "group_key"])
def test_fewshot_never_shows_what_is_held_out_anywhere(
    database, rows, project, aspect, settings, shown: Shown, same, split
) -> None:
    renew(database, settings, aspect.id)
    before = shown()
    example = task_of(rows, before[0])
    with database.write() as session:
        elsewhere = ProjectRow(ls_id=99, options={})
        session.add(elsewhere)
        session.flush()
        twin = TaskRow(project_id=elsewhere.id, ls_id=1, data={"text": "x"}, split=split)
        setattr(twin, same, getattr(example, same))
        session.add(twin)
    assert before[0] not in shown()
    with database.read() as session:
        again = choose(session, aspect, 500, settings=settings)
    assert example.id not in {candidate.task_id for candidate in again}


def test_fewshot_gold_that_was_edited_to_be_like_a_train_text_keeps_it_out(
    database, rows, project, aspect, settings, shown: Shown
) -> None:
    renew(database, settings, aspect.id)
    before = shown()
    gold = next(row for row in rows.values() if row.split == "gold")
    with database.write() as session:
        edited = [TaskIn(id=gold.ls_id, data={"text": before[0]})]
        apply_tasks(session, project, edited, OPTIONS)
    assert before[0] not in shown(), "the same text: at once"
    with database.write() as session:
        edited = [TaskIn(id=gold.ls_id, data={"text": before[1].replace("offered", "offeredd")})]
        apply_tasks(session, project, edited, OPTIONS)
    with database.read() as session:
        texts = {candidate.text for candidate in choose(session, aspect, 500, settings=settings)}
    assert before[0] in texts
    assert before[1] not in texts, "nearly the same: at the next choice"


def test_fewshot_edited_train_text_is_not_chosen(database, rows, project, aspect, settings, shown: Shown) -> None:
    renew(database, settings, aspect.id)
    row = task_of(rows, shown()[0])
    gold = next(row for row in rows.values() if row.split == "gold")
    with database.write() as session:
        edited = [TaskIn(id=row.ls_id, data={"text": gold.data["text"] + " x"})]
        apply_tasks(session, project, edited, OPTIONS)
        apply_annotation(session, project, row, chosen("Bid", id=row.ls_id, seconds=9))
    with database.read() as session:
        assert row.id not in {c.task_id for c in choose(session, aspect, 500, settings=settings)}
        assert gold.data["text"] + " x" not in {example.text for example in examples_of(session, aspect)}


def test_fewshot_prefers_what_the_teacher_got_wrong(database, rows, project, aspect, settings) -> None:
    train = [row for row in rows.values() if row.split == "train"]
    wrong = {row.id for row in train[:6]}
    answers = [
        {
            "task_id": row.id,
            "aspect_id": aspect.id,
            "version": "stage-teacher-old",
            "status": "ok",
            "annotation": Annotation(cats=(LABELS[(row.ls_id + (row.id in wrong)) % 3],)).to_json(),
            "score": None,
            "problem": "",
            "answer_key": "",
        }
        for row in train
    ]
    with database.write() as session:
        put_predictions(session, answers)
    with database.read() as session:
        found = choose(session, aspect, 6, settings=settings)
    assert sum(candidate.mistaken for candidate in found) == 3
    assert {c.task_id for c in found if c.mistaken} <= wrong


def test_fewshot_another_number_is_chosen_anew(database, rows, aspect, settings, shown: Shown) -> None:
    renew(database, settings, aspect.id)
    assert renew(database, settings.model_copy(update={"teacher_examples": 6}), aspect.id)
    assert len(shown()) == 6


def test_fewshot_rests_while_a_student_serves(database, rows, aspect, settings, shown: Shown) -> None:
    with database.write() as session:
        session.get_one(AspectRow, aspect.id).server = "student"
    assert not renew(database, settings, aspect.id)
    assert shown() == []


def test_fewshot_drops_examples_whose_label_or_field_is_gone(database, rows, project, aspect, settings) -> None:
    renew(database, settings, aspect.id)
    with database.write() as session:
        row = session.get_one(ProjectRow, project.id)
        apply_config(session, row, CHOICE_CONFIG.replace('<Choice value="Trade"/>', ""), max_text_chars=99)
        (now,) = aspects_of(session, project.id)
        assert {e.annotation.cats[0] for e in examples_of(session, now)} == {"Bid", "Offer"}
        apply_config(session, row, CHOICE_CONFIG.replace("$text", "$other"), max_text_chars=99)
        (now,) = aspects_of(session, project.id)
        assert examples_of(session, now) == ()


def test_fewshot_example_tasks_are_no_evidence(database, rows, aspect, settings) -> None:
    renew(database, settings, aspect.id)
    with database.write() as session:
        shown = [row.task_id for row in session.scalars(select(TeacherExampleRow))]
        twin = next(row for row in rows.values() if row.split == "dev")
        session.execute(
            update(TaskRow).where(TaskRow.id == twin.id).values(group_key=session.get_one(TaskRow, shown[0]).group_key)
        )
        everything = [row.id for row in rows.values()]
        assert like_examples(session, aspect.id, everything) == {*shown, twin.id}
        assert like_examples(session, aspect.id + 1, everything) == set()


def test_fewshot_options_of_aspect_and_project_come_before_the_setting(
    database, rows, project, aspect, settings
) -> None:
    with database.write() as session:
        get_project(session, project.id).options = {"teacher_examples": 2}
    assert renew(database, settings, aspect.id)
    with database.write() as session:
        assert len(stored_examples(session, aspect.id)) == 2
        session.get_one(AspectRow, aspect.id).teacher_examples = 0
    assert not renew(database, settings, aspect.id)


@pytest.mark.parametrize(
    ("of_project", "of_aspect", "use", "expected"),
    [
        ("House rules.\n", "", True, "House rules.\n"),
        ("", "Stage rules.", True, "Stage rules."),
        ("House rules.", "Stage rules.", True, "House rules.\n\nStage rules."),
        ("House rules.", "Stage rules.", False, ""),
    ],
)
def test_teaching_guidelines_of_an_aspect_follow_those_of_the_project(of_project, of_aspect, use, expected) -> None:
    row = AspectRow(guidelines=of_aspect, use_guidelines=use)
    assert guidelines_of(ProjectRow(guidelines=of_project), row) == expected


def test_fewshot_is_renewed_at_the_end_of_a_training_and_then_shown(
    rows, aspect, runtime, monkeypatch, shown: Shown
) -> None:
    from handover.jobs import retrain
    from handover.jobs.queue import JobKind

    jobs: list[tuple[JobKind, int]] = []
    runtime.__dict__["queue"] = SimpleNamespace(enqueue=lambda kind, subject: jobs.append((kind, subject)))

    def train(*_arguments: object) -> dict[str, object]:
        assert shown() == [], "the training has the silver of the old teacher"
        return {"outcome": "keep"}

    monkeypatch.setattr(retrain, "_train_and_compare", train)
    assert retrain.run(runtime, aspect.id, lambda _progress: None) == {"outcome": "keep", "examples": "renewed"}
    assert len(shown()) == 4
    assert jobs == [(JobKind.REFRESH, aspect.project_id)]
    monkeypatch.setattr(retrain, "_train_and_compare", lambda *_arguments: {"outcome": "keep"})
    assert retrain.run(runtime, aspect.id, lambda _progress: None) == {"outcome": "keep"}
    assert len(jobs) == 1
