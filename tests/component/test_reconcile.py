"""The store follows Label Studio, whatever changes while its pages are read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from handover.api.webhooks import handle
from handover.examples import Examples
from handover.jobs import reconcile
from handover.jobs.situation import read_situation
from handover.labelstudio.protocol import TaskIn, WebhookRequest
from handover.store.annotations import finished, set_aside_counts
from handover.store.models import TaskRow
from tests.component.gold_world import NUMBER, World, always, task_in
from tests.listed_tasks import ListedTasks
from tests.projects import chosen, tasks

T0 = datetime(2026, 6, 1, tzinfo=timezone.utc)
TASKS = {task.id: task for task in tasks(NUMBER)}


class Synced:
    """A store and the Label Studio that it follows: tasks without annotations, which changed one after the other."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.studio = ListedTasks(largest_page=50)
        world.queue.mark_lost = list  # type: ignore[attr-defined]
        world.runtime.label_studio = self.studio.client  # type: ignore[method-assign]
        for task in TASKS.values():
            self.studio.put(task, T0 + timedelta(seconds=task.id))

    def reconcile(self, *, full: bool = False) -> dict[str, object]:
        return reconcile.run(self.world.runtime, self.world.project.id, lambda _: None, full=full)

    def annotate(self, ls_id: int, at: datetime, *, task: TaskIn | None = None, rings: bool = False) -> None:
        """A person annotates a task; the webhook only arrives when it `rings`."""
        task, annotation = task or TASKS[ls_id], raw(1000 + ls_id, at)
        self.studio.put(task, at, annotation)
        if rings:
            self.tell("ANNOTATION_CREATED", task=task.model_dump(mode="json"), annotation={"task": ls_id, **annotation})

    def tell(self, action: str, **more: Any) -> dict[str, Any]:
        event = {"action": action, "project": {"id": self.world.project.ls_id}, **more}
        return handle(self.world.runtime, WebhookRequest.model_validate(event))

    def annotated(self) -> list[int]:
        with self.world.runtime.database.read() as session:
            return [task.ls_id for task, _ in finished(session, self.world.project.id)]

    def examples(self) -> Examples:
        return self.world.examples()


def raw(ls_id: int, at: datetime, *, label: str = "Offer", **more: Any) -> dict[str, Any]:
    """An annotation of a person as Label Studio lists it."""
    result = chosen(label, id=1).result
    person = {"completed_by": {"id": 1, "email": "a@example.org"}, "updated_by": 1, "lead_time": None}
    return {"id": ls_id, "result": result, "updated_at": at.isoformat(), "import_id": None, **person, **more}


@pytest.fixture
def synced(tmp_path: Path, database) -> Iterator[Synced]:
    world = World(tmp_path)
    yield Synced(world)
    world.runtime.close()


def test_reconcile_does_not_delete_what_a_webhook_brought_after_the_page_was_read(synced: Synced) -> None:
    def between(number: int) -> None:
        if number == 0:
            synced.annotate(1, T0 + timedelta(hours=1), rings=True)
            assert synced.annotated() == [1]

    synced.studio.after_page = between
    synced.reconcile(full=True)
    assert synced.annotated() == [1]


def test_reconcile_does_not_delete_for_a_page_that_was_read_before_the_webhook(synced: Synced) -> None:
    """The same where the new state is not seen in that run any more."""
    client = synced.studio.client()
    (state, *_) = client.task_states(7)
    synced.annotate(1, T0 + timedelta(hours=1), rings=True)
    now = datetime.now(timezone.utc)
    reconcile._apply(synced.world.runtime, synced.world.project, [state], started=now)
    assert synced.annotated() == [1]


def test_reconcile_takes_no_text_from_a_page_that_was_read_before_the_webhook(synced: Synced) -> None:
    gold = task_in(synced.world.rows("gold")[0])
    state = next(s for s in synced.studio.client().task_states(7) if s.task.id == gold.id)
    edited = TaskIn(id=gold.id, data={"text": f"{gold.data['text']} now"})
    synced.annotate(gold.id, T0 + timedelta(hours=1), task=edited, rings=True)
    reconcile._apply(synced.world.runtime, synced.world.project, [state], started=datetime.now(timezone.utc))
    assert [task.text for task in synced.examples().gold] == [edited.data["text"]]


def test_reconcile_deletes_an_annotation_that_is_gone(synced: Synced) -> None:
    synced.annotate(1, T0 + timedelta(hours=1), rings=True)
    synced.studio.put(TASKS[1], T0 + timedelta(hours=2))
    synced.reconcile()
    assert synced.annotated() == []


def test_reconcile_finds_what_was_annotated_behind_it_in_a_long_full_run(synced: Synced) -> None:
    def between(number: int) -> None:
        if number == 0:
            synced.annotate(1, T0 + timedelta(hours=1))
            synced.annotate(130, T0 + timedelta(hours=2))

    synced.studio.after_page = between
    synced.reconcile(full=True)
    synced.reconcile()
    assert synced.annotated() == [1, 130]


def test_reconcile_skips_no_annotation_when_tasks_change_between_pages(synced: Synced) -> None:
    synced.reconcile(full=True)
    for ls_id in range(1, 131):
        synced.annotate(ls_id, T0 + timedelta(hours=1, seconds=20 * ls_id))
    first = synced.studio.pages
    synced.studio.after_page = lambda n: synced.annotate(5, T0 + timedelta(hours=3)) if n == first else None
    synced.reconcile()
    assert synced.annotated() == list(range(1, 131))


def test_reconcile_never_waits_for_a_time_that_is_still_to_come(synced: Synced) -> None:
    """Label Studio stamps some actions with its local time, which may be hours ahead."""
    ahead = datetime.now(timezone.utc) + timedelta(hours=2)
    synced.annotate(1, ahead)
    synced.reconcile(full=True)
    synced.annotate(2, datetime.now(timezone.utc))
    synced.reconcile()
    assert synced.annotated() == [1, 2]


def test_reconcile_asks_before_it_deletes_a_task(synced: Synced) -> None:
    """A task may come after the ids were listed."""
    synced.annotate(51, T0 + timedelta(hours=1), rings=True)
    client = synced.studio.client()
    client.task_ids = lambda _: set(TASKS) - {51, 52}  # type: ignore[method-assign]
    del synced.studio.rows[52]
    synced.world.runtime.label_studio = lambda: client  # type: ignore[method-assign]
    assert synced.reconcile(full=True)["deleted"] == 1
    with synced.world.runtime.database.read() as session:
        assert session.scalars(select(TaskRow.ls_id).where(TaskRow.deleted)).all() == [52]
    assert synced.annotated() == [51]


def test_reconcile_brings_back_a_task_with_an_imported_annotation(synced: Synced) -> None:
    """Such an annotation is a moment younger than its task."""
    at = T0 + timedelta(hours=1)
    synced.studio.put(TASKS[1], at, raw(1001, at + timedelta(milliseconds=5), updated_by=None))
    synced.reconcile(full=True)
    synced.tell("TASKS_DELETED", tasks=[{"id": 1}])
    assert synced.annotated() == []
    synced.reconcile(full=True)
    assert synced.annotated() == [1]


def test_reconcile_follows_annotations_that_were_moved_from_removed_duplicates(synced: Synced) -> None:
    """Label Studio moves them without a change of time, and tells of the deleted tasks alone."""
    twin = TaskIn(id=2, data=TASKS[1].data)
    synced.annotate(2, T0 + timedelta(hours=1), task=twin, rings=True)
    moved = synced.studio.rows.pop(2).annotations
    synced.studio.rows[1].annotations = moved
    synced.tell("TASKS_DELETED", tasks=[{"id": 2}])
    assert ("reconcile", synced.world.project.id) in synced.world.queue.jobs
    synced.reconcile(full=True)
    assert synced.annotated() == [1]


def test_reconcile_goes_on_past_an_annotation_that_cannot_be_read(synced: Synced) -> None:
    at = T0 + timedelta(hours=1)
    for ls_id in (1, 2, 3):
        synced.annotate(ls_id, at, rings=ls_id == 2)
    synced.studio.put(TASKS[2], at, raw(1002, at, lead_time="long"))
    synced.studio.put(TASKS[3], at, raw(1003, at, import_id=0))
    for _ in range(2):
        synced.reconcile(full=True)
    assert synced.annotated() == [1, 2, 3], "what was known of it stays"
    with synced.world.runtime.database.read() as session:
        counts = set_aside_counts(session, synced.world.project.id)
    assert [(subject, number) for subject, _, _, _, number in counts] == [("annotation", 1)]
    assert "lead_time" in counts[0][2]


def test_reconcile_makes_no_gold_of_what_label_studio_imports(synced: Synced) -> None:
    """`{"data": …, "annotations": [{"result": …}]}` arrives as ground truth, of the user who imported it."""
    gold = [row.ls_id for row in synced.world.rows("gold")][:5]
    for ls_id in gold:
        synced.studio.put(TASKS[ls_id], T0, raw(1000 + ls_id, T0, ground_truth=True, updated_by=None))
    synced.reconcile(full=True)
    assert (len(synced.examples().gold), synced.examples().voided) == (0, 5)


def test_reconcile_counts_gold_that_came_back_as_what_it_was(synced: Synced) -> None:
    """Gold that a handover rests on, taken for deleted and found again, is no gold since the handover."""
    world = synced.world
    gold = world.rows("gold")[:40]
    world.annotate(gold, "Offer")
    world.look(world.student("s1", always("Offer")))
    before = read_situation(world.runtime, world.aspect.id)
    world.restart()
    world.runtime.label_studio = synced.studio.client  # type: ignore[method-assign]
    synced.reconcile(full=True)
    assert synced.annotated() == []
    for row in gold:
        known = chosen("Offer", id=row.ls_id, seconds=99).model_dump(mode="json", exclude_unset=True)
        synced.studio.put(TASKS[row.ls_id], T0 + timedelta(hours=1), known)
    synced.reconcile()
    after = read_situation(world.runtime, world.aspect.id)
    assert (len(after.examples.gold), after.gold, after.validity) == (40, before.gold, before.validity)


@pytest.mark.parametrize("rings", [True, False])
def test_webhook_of_gold_annotated_after_an_edit_counts_for_the_new_text(synced: Synced, rings: bool) -> None:
    """The edit becomes known by the annotation's own webhook, or before it by a reconcile."""
    gold = task_in(synced.world.rows("gold")[0])
    edited = TaskIn(id=gold.id, data={"text": f"{gold.data['text']} now"})
    if not rings:
        synced.studio.put(edited, T0 + timedelta(hours=1))
        synced.reconcile(full=True)
    synced.annotate(gold.id, T0 + timedelta(hours=2), task=edited, rings=rings)
    synced.reconcile()
    examples = synced.examples()
    assert ([task.text for task in examples.gold], examples.voided) == ([edited.data["text"]], 0)
