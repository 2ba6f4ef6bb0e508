"""What Label Studio says, brought into the store."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy import func, select

from handover.annotation_intake import apply_annotation, delete_annotations
from handover.intake import adopt_project, apply_config, apply_tasks, delete_tasks, options_for, place_tasks
from handover.labelstudio.protocol import AnnotationIn, TaskIn
from handover.settings import Settings
from handover.store import annotations as annotation_store
from handover.store.database import Database
from handover.store.models import AnnotationHistoryRow, AnnotationRow, ProjectRow, SetAsideRow, TaskRow
from handover.store.projects import aspects_of
from handover.store.tasks import count_by_split
from tests.projects import CHOICE_CONFIG, ENTITY_CONFIG, MAX_TEXT_CHARS, START, chosen, tasks


def set_asides(session, project) -> list[tuple[str, str, int]]:
    return [(s, reason, n) for s, _, reason, _, n in annotation_store.set_aside_counts(session, project.id)]


@pytest.fixture
def options(project: ProjectRow, settings: Settings):
    return options_for(project, settings)


def test_intake_gives_every_task_a_split_that_stays(database: Database, project: ProjectRow, options) -> None:
    with database.write() as session:
        first = {ls_id: row.split for ls_id, row in apply_tasks(session, project, tasks(300), options).items()}
    with database.write() as session:
        again = {ls_id: row.split for ls_id, row in apply_tasks(session, project, tasks(300), options).items()}
        splits = count_by_split(session, project.id)
    assert first == again
    assert sum(splits.values()) == 300
    assert 40 <= splits["gold"] <= 80
    assert 20 <= splits["dev"] <= 55


def test_intake_puts_near_identical_texts_into_one_split(database: Database, project: ProjectRow, options) -> None:
    base = "A Brazilian crusher bought three thousand tonnes of DAP from Meridian Metals in late June, number {}"
    originals = [TaskIn(id=i, data={"text": base.format("abcdefghij"[i % 10] * 9 + str(i * i))}) for i in range(1, 30)]
    copies = [TaskIn(id=t.id + 100, data={"text": f"  {t.data['text'].upper()}! "}) for t in originals]
    with database.write() as session:
        rows = apply_tasks(session, project, [*originals, *copies], options)
        assert all(rows[t.id].split == rows[t.id + 100].split for t in originals)
        assert all(rows[t.id].group_key == rows[t.id + 100].group_key for t in originals)


def test_intake_gives_the_same_text_in_another_pass_the_same_split(
    database: Database, project: ProjectRow, options
) -> None:
    with database.write() as session:
        other = adopt_project(session, 8)
        apply_config(session, other, ENTITY_CONFIG, max_text_chars=MAX_TEXT_CHARS)
        first = apply_tasks(session, project, tasks(80), options)
        second = apply_tasks(session, other, [TaskIn(id=t.id + 500, data=t.data) for t in tasks(80)], options)
        assert all(first[i].split == second[i + 500].split for i in first)


def test_intake_gives_copies_the_split_of_the_original_whatever_the_gold_share_is_now(
    database: Database, project: ProjectRow, options
) -> None:
    with database.write() as session:
        first = apply_tasks(session, project, tasks(80), options)
        more = replace(options, gold_share=0.6)
        copies = [TaskIn(id=t.id + 500, data=t.data) for t in tasks(80)]
        second = apply_tasks(session, project, [*copies, *tasks(80, start=1000)], more)
    assert [first[i].split for i in first] == [second[i + 500].split for i in first]
    assert sum(second[i].split == "gold" for i in range(1000, 1080)) > 35


@pytest.mark.parametrize("edited", ["gold", "train"])
def test_intake_gives_a_copy_of_a_text_that_was_edited_the_split_of_its_task(
    database: Database, project: ProjectRow, options, edited: str
) -> None:
    with database.write() as session:
        rows = apply_tasks(session, project, tasks(60), options)
        task = next(row for row in rows.values() if row.split == edited)
        new = [{"text": f"{i * 7717} bags of cocoa from Abidjan at {i * 1237}"} for i in range(20)]
        for number, data in enumerate(new):
            apply_tasks(session, project, [TaskIn(id=task.ls_id, data=data)], options)
            copy = apply_tasks(session, project, [TaskIn(id=500 + number, data=data)], options)[500 + number]
            assert copy.split == edited


def test_intake_keeps_gold_text_gold_when_a_train_task_is_edited_into_it(
    database: Database, project: ProjectRow, options
) -> None:
    with database.write() as session:
        rows = apply_tasks(session, project, tasks(60), options)
        gold = [row for row in rows.values() if row.split == "gold"][-1]
        train = next(row for row in rows.values() if row.split == "train" and row.ls_id < gold.ls_id)
        apply_tasks(session, project, [TaskIn(id=train.ls_id, data=gold.data)], options)
        copy = apply_tasks(session, project, [TaskIn(id=500, data=gold.data)], options)[500]
        assert (train.split, gold.split, copy.split) == ("train", "gold", "gold")
        assert copy.group_key == gold.group_key


def test_intake_splits_tasks_when_they_have_a_text(database: Database, settings: Settings) -> None:
    """Those that came before there was a config which shows one, and those whose field was empty."""
    with database.write() as session:
        project = adopt_project(session, 8)
        options = options_for(project, settings)
        apply_config(session, project, "<View></View>", max_text_chars=MAX_TEXT_CHARS)
        early = apply_tasks(session, project, tasks(100), options)
        empty = apply_tasks(session, project, [TaskIn(id=i, data={"text": ""}) for i in range(200, 300)], options)
        apply_config(session, project, CHOICE_CONFIG, max_text_chars=MAX_TEXT_CHARS)
        place_tasks(session, project, options)
        filled = apply_tasks(session, project, [TaskIn(id=t.id + 199, data=t.data) for t in tasks(100)], options)
        assert sum(row.split == "gold" for row in early.values()) > 10
        assert [filled[i + 199].split for i in range(1, 101)] == [early[i].split for i in range(1, 101)]
        assert {row.split for i, row in empty.items() if i not in filled} <= {"train"}
        before = [row.split for row in early.values()]
        place_tasks(session, project, replace(options, gold_share=0.9))
        assert [row.split for row in early.values()] == before


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({}, "holds no value"),
        ({"text": "   "}, "is empty"),
        ({"text": 5}, "holds int, expected a text"),
        ({"text": "x" * 60_000}, "60000 characters, more than the limit of 50000"),
    ],
)
def test_intake_sets_unusable_tasks_aside_with_the_reason(
    database: Database, project: ProjectRow, options, data, reason
) -> None:
    with database.write() as session:
        apply_tasks(session, project, [TaskIn(id=1, data=data), *tasks(2, start=5)], options)
        ((subject, text, number),) = set_asides(session, project)
    assert (subject, number) == ("task", 1)
    assert reason in text


def test_intake_of_a_repaired_task_clears_its_problem(database: Database, project: ProjectRow, options) -> None:
    with database.write() as session:
        apply_tasks(session, project, [TaskIn(id=1, data={"text": ""})], options)
        apply_tasks(session, project, [TaskIn(id=1, data={"text": "sold"})], options)
        assert set_asides(session, project) == []
        row = session.scalar(select(TaskRow))
        assert row is not None and row.data == {"text": "sold"} and row.data_changed_at is not None


def test_intake_of_the_same_annotation_twice_changes_nothing(database: Database, project: ProjectRow, options) -> None:
    with database.write() as session:
        task = apply_tasks(session, project, tasks(1), options)[1]
        assert apply_annotation(session, project, task, chosen("Bid", id=3))
        assert not apply_annotation(session, project, task, chosen("Bid", id=3))
        assert annotation_store.last_revision(session) == 1
        assert session.scalar(select(func.count()).select_from(AnnotationHistoryRow)) == 1


def test_intake_ignores_an_event_that_is_older_than_what_is_known(
    database: Database, project: ProjectRow, options
) -> None:
    with database.write() as session:
        task = apply_tasks(session, project, tasks(1), options)[1]
        apply_annotation(session, project, task, chosen("Offer", id=3, seconds=20))
        assert not apply_annotation(session, project, task, chosen("Bid", id=3, seconds=10))
        row = session.scalar(select(AnnotationRow))
        assert row is not None and row.result[0]["value"]["choices"] == ["Offer"]


def test_intake_of_an_annotation_submitted_again_unchanged_outdates_events_from_before(
    database: Database, project: ProjectRow, options
) -> None:
    with database.write() as session:
        task = apply_tasks(session, project, tasks(1), options)[1]
        apply_annotation(session, project, task, chosen("Bid", id=3, seconds=10))
        assert not apply_annotation(session, project, task, chosen("Bid", id=3, seconds=30))
        assert not apply_annotation(session, project, task, chosen("Offer", id=3, seconds=20))
        row = session.scalar(select(AnnotationRow))
        assert row is not None and row.result[0]["value"]["choices"] == ["Bid"]
        assert row.ls_updated_at == START + timedelta(seconds=30)


def test_intake_gives_an_annotation_no_later_time_with_each_look(
    database: Database, project: ProjectRow, options
) -> None:
    """A time far in the future is taken for now whenever it is read: the annotation must not outrun an edit so."""
    ahead = (datetime.now(timezone.utc) + timedelta(hours=1)).isoformat()
    first, again, rung = (chosen("Bid", id=3).model_validate({"id": 3, "updated_at": ahead}) for _ in range(3))
    with database.write() as session:
        task = apply_tasks(session, project, tasks(1), options)[1]
        apply_annotation(session, project, task, first)
        for annotation, revive, expected in ((again, True, first), (rung, False, rung)):
            assert not apply_annotation(session, project, task, annotation, revive=revive)
            row = session.scalar(select(AnnotationRow))
            assert row is not None and row.ls_updated_at == expected.updated_at


@pytest.mark.parametrize("told", [True, False])
def test_intake_moves_an_annotation_to_the_task_that_has_it_now(
    database: Database, project: ProjectRow, options, told: bool
) -> None:
    """Label Studio's "Remove duplicated tasks" does that, and tells only which tasks it deleted."""
    with database.write() as session:
        rows = apply_tasks(session, project, tasks(2), options)
        apply_annotation(session, project, rows[2], chosen("Bid", id=3))
        if told:
            delete_tasks(session, project, [2])
        assert apply_annotation(session, project, rows[1], chosen("Bid", id=3))
        ((task, row),) = annotation_store.finished(session, project.id)
        assert (task.ls_id, row.ls_id, row.revision) == (1, 3, 1)
        assert not apply_annotation(session, project, rows[1], chosen("Bid", id=3))


def test_intake_of_an_annotation_that_was_only_taken_for_deleted_keeps_its_revision(
    database: Database, project: ProjectRow, options
) -> None:
    with database.write() as session:
        task = apply_tasks(session, project, tasks(1), options)[1]
        apply_annotation(session, project, task, chosen("Bid", id=3))
        apply_annotation(session, project, task, chosen("Bid", id=4))
        for label, revision in (("Bid", 1), ("Offer", 5)):
            delete_annotations(session, project, [3])
            apply_annotation(session, project, task, chosen(label, id=3))
            assert annotation_store.annotations_by_ls_id(session, project.id, [3])[3].revision == revision


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, False),
        ({"completed_by": 1, "updated_by": 1, "lead_time": None, "ground_truth": True}, False),
        ({"completed_by": {"id": 1, "email": "a@b"}, "updated_by": 1}, False),
        ({"completed_by": None, "updated_by": None, "lead_time": 4.0}, False),
        ({"completed_by": 1, "updated_by": None, "ground_truth": True}, True),
        ({"completed_by": 1, "updated_by": None, "lead_time": 4.0}, True),
        ({"completed_by": None, "updated_by": 1, "lead_time": None}, True),
        ({"completed_by": None, "updated_by": None, "lead_time": None}, True),
        ({"completed_by": 1, "updated_by": 1, "import_id": 0}, True),
        ({"completed_by": 1, "updated_by": 1, "last_action": "prediction"}, True),
    ],
)
def test_intake_tells_imported_annotations_from_those_of_people(fields, expected) -> None:
    """A person's may have no lead_time (a script at the API), and may be ground truth; it always has who saved it."""
    assert chosen("Bid", id=1, **fields).is_imported is expected


def test_intake_of_an_imported_annotation_counts_it_as_confirmed_once_somebody_marks_it(
    database: Database, project: ProjectRow, options
) -> None:
    steps = [
        ({"updated_by": None, "ground_truth": True}, True),  # as Label Studio imports
        ({"updated_by": 1, "ground_truth": True}, True),  # somebody saved it; the mark is still that of the import
        ({"updated_by": 1, "ground_truth": False}, True),
        ({"updated_by": 1, "ground_truth": True}, False),
        ({"updated_by": 1, "ground_truth": True}, False),
    ]
    with database.write() as session:
        task = apply_tasks(session, project, tasks(1), options)[1]
        for seconds, (fields, imported) in enumerate(steps):
            given = chosen("Bid", id=3, seconds=seconds, completed_by=1, import_id=9, **fields)
            apply_annotation(session, project, task, given)
            assert annotation_store.annotations_by_ls_id(session, project.id, [3])[3].imported is imported, seconds


def test_intake_of_a_late_event_does_not_bring_back_what_was_deleted(
    database: Database, project: ProjectRow, options
) -> None:
    with database.write() as session:
        task = apply_tasks(session, project, tasks(2), options)[1]
        apply_annotation(session, project, task, chosen("Bid", id=3))
        delete_annotations(session, project, [3])
        assert not apply_annotation(session, project, task, chosen("Bid", id=3), revive=False)
        delete_tasks(session, project, [2])
        assert apply_tasks(session, project, tasks(2), options, revive=False)[2].deleted
        assert annotation_store.count_finished(session, project.id) == 0
        assert apply_annotation(session, project, task, chosen("Bid", id=3)), "Label Studio itself says it is there"
        assert not apply_tasks(session, project, tasks(2), options)[2].deleted


def test_intake_counts_many_problems_of_an_annotation_in_few_rows(
    database: Database, project: ProjectRow, options
) -> None:
    with database.write() as session:
        entities = adopt_project(session, 8)
        apply_config(session, entities, ENTITY_CONFIG, max_text_chars=MAX_TEXT_CHARS)
        task = apply_tasks(session, entities, tasks(1), options)[1]
        region = {"from_name": "terms", "to_name": "text", "type": "labels"}
        regions = [{**region, "value": {"start": 900, "end": 901, "labels": ["PRICE"]}}] * 500
        given = AnnotationIn.model_validate({"id": 1, "result": regions, "updated_at": "2026-01-01T00:00:00Z"})
        apply_annotation(session, entities, task, given)
        assert sum(number for _, _, number in set_asides(session, entities)) == 500
        assert 1 <= session.scalar(select(func.count()).select_from(SetAsideRow)) <= 21


def test_intake_keeps_every_state_of_an_annotation(database: Database, project: ProjectRow, options) -> None:
    with database.write() as session:
        task = apply_tasks(session, project, tasks(1), options)[1]
        apply_annotation(session, project, task, chosen("Bid", id=3))
        apply_annotation(session, project, task, chosen("Offer", id=3, seconds=9))
        assert delete_annotations(session, project, [3]) == 1
        assert delete_annotations(session, project, [3, 99]) == 0
        apply_annotation(session, project, task, chosen("Offer", id=3, seconds=9))
        session.flush()
        history = session.scalars(select(AnnotationHistoryRow).order_by(AnnotationHistoryRow.id)).all()
    assert [row.action for row in history] == ["created", "updated", "deleted", "updated"]
    assert [row.revision for row in history] == [1, 2, 3, 2], "one that comes back says nothing new"


def test_intake_of_a_skip_counts_as_change_but_not_as_answer(database: Database, project: ProjectRow, options) -> None:
    with database.write() as session:
        task = apply_tasks(session, project, tasks(1), options)[1]
        apply_annotation(session, project, task, chosen("Bid", id=3, was_cancelled=True))
        assert annotation_store.changed_since(session, project.id, 0) == 1
        assert annotation_store.count_finished(session, project.id) == 0


def test_intake_counts_what_cannot_be_read_of_an_annotation(database: Database, project: ProjectRow, options) -> None:
    with database.write() as session:
        task = apply_tasks(session, project, tasks(1), options)[1]
        apply_annotation(session, project, task, chosen("Nonsense", id=3))
        ((subject, reason, number),) = set_asides(session, project)
        assert (subject, number) == ("annotation", 1)
        assert "Nonsense" in reason
        apply_annotation(session, project, task, chosen("Bid", id=3, seconds=5))
        assert set_asides(session, project) == []


def test_intake_of_deleted_tasks_takes_their_annotations_along(
    database: Database, project: ProjectRow, options
) -> None:
    with database.write() as session:
        rows = apply_tasks(session, project, tasks(2), options)
        apply_annotation(session, project, rows[1], chosen("Bid", id=3))
        apply_annotation(session, project, rows[2], chosen("Bid", id=4))
        assert delete_tasks(session, project, [1, 77]) == 1
        assert delete_tasks(session, project, [1]) == 0
        assert annotation_store.count_finished(session, project.id) == 1
        assert sum(count_by_split(session, project.id).values()) == 1


def test_intake_of_a_config_with_other_labels_hands_back_to_the_teacher(
    database: Database, project: ProjectRow
) -> None:
    with database.write() as session:
        (row,) = aspects_of(session, project.id)
        row.server, row.trained_revision = "student", 9
        assert not apply_config(session, project, CHOICE_CONFIG, max_text_chars=MAX_TEXT_CHARS)
        assert apply_config(session, project, CHOICE_CONFIG.replace("Trade", "Deal"), max_text_chars=MAX_TEXT_CHARS)
        (row,) = aspects_of(session, project.id)
        assert (row.server, row.trained_revision) == ("teacher", 0)


def test_intake_of_an_unreadable_config_says_so_and_keeps_the_aspect(database: Database, project: ProjectRow) -> None:
    with database.write() as session:
        assert apply_config(session, project, "<View><broken", max_text_chars=MAX_TEXT_CHARS)
        assert aspects_of(session, project.id) == []
        assert len(aspects_of(session, project.id, active_only=False)) == 1
        assert [subject for subject, _, _ in set_asides(session, project)] == ["tag"]
        assert apply_config(session, project, CHOICE_CONFIG, max_text_chars=MAX_TEXT_CHARS)
        assert [row.name for row in aspects_of(session, project.id)] == ["stage"]
        assert set_asides(session, project) == []
