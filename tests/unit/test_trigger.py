"""When a retrain is due."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from handover.annotation_intake import apply_annotation
from handover.api.ticker import enqueue_reconcile
from handover.intake import apply_tasks, options_for
from handover.jobs import retrain
from handover.jobs.queue import JobKind, JobQueue
from handover.jobs.trigger import changes_needed, is_due, trigger_looks, trigger_retrains
from handover.runtime import Runtime
from handover.settings import Settings
from handover.store import jobs
from handover.store.annotations import last_revision
from handover.store.database import Database
from handover.store.models import AspectRow, ProjectRow, StudentRow
from handover.store.projects import aspects_of
from tests.projects import chosen, tasks


@pytest.mark.parametrize(("finished", "expected"), [(0, 20), (100, 20), (101, 21), (1000, 200)])
def test_trigger_needs_more_changes_as_the_data_grow(finished: int, expected: int) -> None:
    assert changes_needed(finished, Settings(retrain_after=20, retrain_growth=0.2)) == expected


def test_trigger_counts_changed_annotations_and_not_totals(database, project) -> None:
    settings = Settings(min_train=4, retrain_after=3, retrain_growth=0.0)
    with database.write() as session:
        rows = apply_tasks(session, project, tasks(30), options_for(project, settings))
        (aspect,) = aspects_of(session, project.id)
        some = [row for row in rows.values() if row.split != "gold"][:4]
        for row in some:
            apply_annotation(session, project, row, chosen("Bid", id=row.ls_id))
        assert is_due(session, aspect, settings)
        aspect.attempted_revision = last_revision(session)
        due = []
        edits = [(some[0], "Offer"), (some[0], "Trade"), (some[1], "Offer"), (some[2], "Offer")]
        for seconds, (row, label) in enumerate(edits, start=1):
            apply_annotation(session, project, row, chosen(label, id=row.ls_id, seconds=seconds))
            due.append(is_due(session, aspect, settings))
    assert due == [False, False, False, True], "three of the four were changed, one of them twice"


def test_trigger_waits_for_enough_to_train_on(database, project) -> None:
    settings = Settings(min_train=6, retrain_after=2, retrain_growth=0.0)
    with database.write() as session:
        rows = apply_tasks(session, project, tasks(60), options_for(project, settings))
        (aspect,) = aspects_of(session, project.id)
        gold = [row for row in rows.values() if row.split == "gold"]
        others = [row for row in rows.values() if row.split != "gold"][:7]
        due = []
        for row in [*gold, *others]:
            apply_annotation(session, project, row, chosen("Bid", id=row.ls_id))
            due.append(is_due(session, aspect, settings))
    assert due == [False] * (len(gold) + 5) + [True, True], "gold is not to train on"


def test_trigger_twice_trains_once(database, project, monkeypatch) -> None:
    """An annotation that arrives while a training starts may enqueue a second one, which then has nothing to do."""
    settings = Settings(min_train=4, retrain_after=3, retrain_growth=0.0)
    runtime = Runtime(settings)
    asked: list[dict[str, object]] = []
    runtime.__dict__.update(
        database=database,
        queue=SimpleNamespace(enqueue=lambda _kind, _subject, arguments: asked.append(arguments)),
    )
    with database.write() as session:
        rows = apply_tasks(session, project, tasks(30), options_for(project, settings))
        (aspect,) = aspects_of(session, project.id)
        for row in [row for row in rows.values() if row.split != "gold"][:4]:
            apply_annotation(session, project, row, chosen("Bid", id=row.ls_id))
    trigger_retrains(runtime, project.id)
    trigger_retrains(runtime, project.id, force=True)
    assert asked == [{"if_due": True}, {}]

    trained: list[int] = []

    def train(_runtime: Runtime, aspect_id: int, _progress: object) -> dict[str, object]:
        trained.append(aspect_id)
        with database.write() as session:
            session.get_one(AspectRow, aspect_id).attempted_revision = last_revision(session)
        return {"outcome": "keep"}

    monkeypatch.setattr(retrain, "_train_and_compare", train)
    reports = [retrain.run(runtime, aspect.id, lambda _progress: None, if_due=True) for _ in range(2)]
    assert reports == [{"outcome": "keep"}, {"skipped": "not due any more"}]
    assert trained == [aspect.id]
    assert retrain.run(runtime, aspect.id, lambda _progress: None) == {"outcome": "keep"}, "asked for by a person"


class RecordingQueue(JobQueue):
    """The real queue up to Redis: remembers what it would push there."""

    def __init__(self, database: Database) -> None:
        super().__init__(None, database, train_timeout=10)  # type: ignore[arg-type]
        self.pushed: list[tuple[JobKind, dict[str, object]]] = []

    def mark_lost(self) -> list[str]:
        """Nothing is lost here."""
        return []

    def _push(self, _job_id: str, kind: JobKind, _args: list[object], kwargs: dict[str, object]) -> None:
        self.pushed.append((kind, kwargs))


@pytest.fixture
def queue(database: Database) -> RecordingQueue:
    return RecordingQueue(database)


@pytest.fixture
def runtime(database: Database, queue: RecordingQueue) -> Runtime:
    runtime = Runtime(Settings(min_train=4, retrain_after=3, min_gold=10, look_after=3, retrain_growth=0.0))
    runtime.__dict__.update(database=database, queue=queue)
    return runtime


def annotate(database: Database, project: ProjectRow, settings: Settings, *, split: str) -> None:
    with database.write() as session:
        rows = apply_tasks(session, project, tasks(60), options_for(project, settings))
        for row in rows.values():
            if (row.split == "gold") == (split == "gold"):
                apply_annotation(session, project, row, chosen("Bid", id=row.ls_id))


def test_trigger_forces_a_training_although_one_waits_that_may_not_be_due(database, project, runtime, queue) -> None:
    annotate(database, project, runtime.settings, split="train")
    assert len(trigger_retrains(runtime, project.id)) == 1
    assert len(trigger_retrains(runtime, project.id, force=True)) == 1
    assert trigger_retrains(runtime, project.id) == trigger_retrains(runtime, project.id, force=True) == []
    assert queue.pushed == [(JobKind.RETRAIN, {"if_due": True}), (JobKind.RETRAIN, {})]


def test_ticker_reads_everything_at_the_start_although_a_reconcile_waits(project, runtime, queue) -> None:
    for full in (False, True, True):
        enqueue_reconcile(runtime, full=full)
    assert queue.pushed == [(JobKind.RECONCILE, {"full": False}), (JobKind.RECONCILE, {"full": True})]


def test_retrain_that_is_not_due_any_more_leaves_the_look_that_waited_for_it(database, project, runtime, queue) -> None:
    with database.write() as session:
        (aspect,) = aspects_of(session, project.id)
        session.add(student_row(aspect.id))
        aspect.trained_revision = 1
    annotate(database, project, runtime.settings, split="gold")
    with database.write() as session:
        jobs.add_waiting(session, job_id="r", kind="retrain", subject_id=aspect.id)
        jobs.set_started(session, "r")
    assert trigger_looks(runtime, project.id) == [], "the training ends with a look"
    report = retrain.run(runtime, aspect.id, lambda _progress: None, if_due=True)
    assert report == {"skipped": "not due any more"}
    assert queue.pushed == [(JobKind.LOOK, {})]


def student_row(aspect_id: int) -> StudentRow:
    return StudentRow(
        aspect_id=aspect_id, version="s", recipe="r", uri="", n_train=1, n_dev=1, n_silver=0, used_silver=False,
        dev_score=1.0, report={}, seconds=0.0,
    )  # fmt: skip
