"""Reading all tasks of Label Studio while people change them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.listed_tasks import ListedTasks
from tests.projects import START, tasks


@pytest.fixture
def listed() -> ListedTasks:
    found = ListedTasks(largest_page=100)
    for task in tasks(450):
        found.put(task, START + timedelta(seconds=task.id))
    return found


def test_client_reads_all_tasks_though_label_studio_gives_short_pages(listed: ListedTasks) -> None:
    client = listed.client()
    assert client.task_ids(7) == set(range(1, 451))
    assert [state.task.id for state in client.task_states(7)] == list(range(1, 451))
    since = START + timedelta(seconds=300)
    assert [state.task.id for state in client.task_states(7, updated_after=since)] == list(range(301, 451))


def test_client_reads_all_tasks_that_changed_at_the_same_time(listed: ListedTasks) -> None:
    for task in tasks(400):
        listed.put(task, START)
    assert sorted(state.task.id for state in listed.client().task_states(7)) == list(range(1, 451))


def test_client_skips_no_task_when_one_changes_between_two_pages(listed: ListedTasks) -> None:
    listed.after_page = lambda number: listed.put(tasks(5)[4], START + timedelta(hours=1)) if number == 0 else None
    found = [state.task.id for state in listed.client().task_states(7)]
    assert set(found) == set(range(1, 451))
    assert found.count(5) == 2, "once more, as it is now"


def test_client_skips_no_id_when_a_task_is_deleted_between_two_pages(listed: ListedTasks) -> None:
    listed.after_page = lambda number: listed.rows.pop(3, None) if number == 0 else None
    assert listed.client().task_ids(7) == set(range(1, 451))


@pytest.mark.parametrize(
    "broken", [{"result": {"x": 1}}, {"was_cancelled": None}, {"lead_time": "x"}, {"completed_by": "a@b"}, {"id": None}]
)
def test_client_sets_an_annotation_aside_that_it_cannot_read(listed: ListedTasks, broken) -> None:
    at = START.isoformat()
    fine = {"id": 1, "result": [], "updated_at": at, "import_id": 0}
    listed.put(tasks(1)[0], START, fine, {"id": 2, "result": [], "updated_at": at, **broken})
    state = next(listed.client().task_states(7))
    assert [annotation.id for annotation in state.annotations] == [1]
    (aside,) = state.unreadable
    assert aside.id == {"id": 2, **broken}["id"]
    assert next(iter(broken)) in aside.reason and "a@b" not in aside.reason


def test_client_leaves_out_a_task_that_it_cannot_read(listed: ListedTasks, caplog) -> None:
    listed.put(tasks(1)[0].model_copy(update={"data": {"text": "secret", "n": float("nan")}}), START)
    assert len(list(listed.client().task_states(7))) == 449
    assert "Task 1 " in caplog.text and "secret" not in caplog.text
