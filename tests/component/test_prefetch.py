"""Answers ahead of the annotators: live, or in batches that survive a restart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select, update

from handover.annotation_intake import apply_annotation
from handover.intake import apply_tasks, options_for
from handover.jobs import prefetch
from handover.labelstudio.client import NewPrediction
from handover.labelstudio.protocol import TaskIn
from handover.runtime import Runtime
from handover.serving import predict
from handover.store.columns import utcnow
from handover.store.database import Database
from handover.store.models import ProjectRow, StudentRow, TaskRow, TeacherBatchRow
from handover.store.projects import aspects_of
from tests.anthropic_stub import AnthropicStub, Fault, anthropic_stub
from tests.component.asking import COST, PRICES, add_project, asking, calls, predictions
from tests.projects import chosen


@pytest.fixture
def stub() -> Iterator[AnthropicStub]:
    with anthropic_stub(lambda _text, _request: '{"label": "Bid"}') as stub:
        yield stub


@pytest.fixture
def make(database: Database, stub: AnthropicStub) -> Iterator[Any]:
    """Makes runtimes on one store, each as a new process would have it."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(asking(stub, teacher_prices=PRICES, **settings))


def run(runtime: Runtime, project: ProjectRow) -> dict[str, object]:
    return prefetch.run(runtime, project.id, lambda _progress: None)


def finish(runtime: Runtime, project: ProjectRow, rows: list[TaskRow]) -> None:
    with runtime.database.write() as session:
        project = session.merge(project)
        for row in rows:
            apply_annotation(session, project, session.merge(row), chosen("Bid", id=row.ls_id))


def texts(rows: list[TaskRow]) -> list[str]:
    return [row.data["text"] for row in rows]


def open_task(runtime: Runtime, project: ProjectRow, row: TaskRow) -> bool:
    """Whether somebody who opens a task sees a suggestion."""
    (prediction,) = predict(runtime, project.ls_id, [TaskIn(id=row.ls_id, data=row.data)])
    return prediction is not None and bool(prediction.result)


# Live


def test_prefetch_asks_about_the_next_open_tasks_once(make: Any, database: Database, stub: AnthropicStub) -> None:
    runtime = make(prefetch=10)
    project, rows = add_project(runtime, 30)
    assert run(runtime, project)["asked"] == 10
    assert sorted(stub.texts()) == sorted(texts(rows[:10]))
    assert {row.purpose for row in calls(database)} == {"prefetch"}
    assert run(runtime, project)["asked"] == 0
    finish(runtime, project, rows[:4])
    assert run(runtime, project)["asked"] == 4, "the lookahead moves along"
    assert sorted(stub.texts()[10:]) == sorted(texts(rows[10:14]))
    assert all(open_task(runtime, project, row) for row in rows[4:14])
    assert len(stub.requests) == 14


def test_prefetch_leaves_out_what_was_finished_meanwhile(
    make: Any, stub: AnthropicStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch, "CHUNK", 5)
    runtime = make(prefetch=15, teacher_concurrency=1)
    project, rows = add_project(runtime, 30)
    quick = iter([rows[5:9]])

    def annotate(_text: str, _before: int) -> Fault:
        for some in quick:
            finish(runtime, project, some)
        return Fault()

    stub.fault = annotate
    assert run(runtime, project)["asked"] == 11
    assert not set(stub.texts()) & set(texts(rows[5:9]))


def test_prefetch_stops_when_the_teacher_is_away(
    make: Any, stub: AnthropicStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch, "CHUNK", 5)
    runtime = make(prefetch=20)
    project, _ = add_project(runtime, 30)
    stub.status = 500
    report = run(runtime, project)
    assert "no question was answered. The API answered HTTP 500" in str(report["stopped"])
    assert len(stub.requests) == 5


def test_prefetch_goes_on_past_questions_that_fail_on_their_own_account(make: Any, stub: AnthropicStub) -> None:
    runtime = make(prefetch=20)
    project, rows = add_project(runtime, 30)
    bad = set(texts(rows[:3]))
    stub.fault = lambda text, _before: Fault(413) if text in bad else Fault()
    assert run(runtime, project)["asked"] == 20
    assert sum(open_task(runtime, project, row) for row in rows[:20]) == 17


def test_prefetch_keeps_no_answer_to_a_text_that_was_edited_meanwhile(
    make: Any, database: Database, stub: AnthropicStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch, "CHUNK", 5)
    runtime = make(prefetch=10, teacher_concurrency=1)
    project, rows = add_project(runtime, 30)
    now, later = rows[3], rows[8]
    edits = iter([[TaskIn(id=row.ls_id, data={"text": f"edited {row.ls_id}"}) for row in (now, later)]])

    def edit(_text: str, _before: int) -> Fault:
        for some in edits:
            with runtime.database.write() as session:
                apply_tasks(session, session.merge(project), some, options_for(project, runtime.settings))
        return Fault()

    stub.fault = edit
    run(runtime, project)
    kept = predictions(database)
    assert (now.id in kept, later.id in kept, len(kept)) == (False, True, 9)
    assert now.data["text"] in stub.texts(), "it was asked about before the edit was known"
    assert later.data["text"] not in stub.texts()
    assert f"edited {later.ls_id}" in stub.texts()
    assert run(runtime, project)["asked"] == 1
    assert f"edited {now.ls_id}" in stub.texts()


def test_prefetch_stops_at_a_switch(make: Any, stub: AnthropicStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "CHUNK", 5)
    runtime = make(prefetch=15, teacher_concurrency=1)
    project, _ = add_project(runtime, 30)
    pushed: list[str] = []

    def push(_project: int, predictions: list[NewPrediction]) -> int:
        pushed.extend(p.model_version for p in predictions)
        return len(predictions)

    runtime.__dict__["label_studio"] = lambda: SimpleNamespace(push_predictions=push)

    def switch(_text: str, _before: int) -> Fault:
        if len(stub.requests) > 5:  # in the second chunk
            with runtime.database.write() as session:
                aspects_of(session, project.id)[0].live_version = "stage-student-new"
        return Fault()

    stub.fault = switch
    assert run(runtime, project)["asked"] == len(stub.requests) == 10, "the chunk under way, and not the next one"
    assert pushed == [project.live_version] * 5, "nothing more is pushed under the old version"


# Batches


def batches(database: Database) -> list[TeacherBatchRow]:
    with database.read() as session:
        return list(session.scalars(select(TeacherBatchRow).order_by(TeacherBatchRow.id)))


def test_batch_takes_many_missing_answers_and_few_are_asked_live(
    make: Any, database: Database, stub: AnthropicStub
) -> None:
    runtime = make(teacher_batch_from=5)
    project, rows = add_project(runtime, 30)
    report = run(runtime, project)
    assert (report["sent"], report["asked"], stub.requests) == (len(rows), 0, [])
    (batch,) = batches(database)
    assert (batch.api_id, batch.status, batch.number) == ("msgbatch_1", "open", len(rows))
    (requests,) = stub.batches.values()
    assert {request["custom_id"] for request in requests} == {row.answer_key for row in calls(database)}
    assert requests[0]["params"]["system"][0]["cache_control"] == {"type": "ephemeral"}
    few = make(teacher_batch_from=100)
    other, others = add_project(few, 10, ls_id=8, start=200)
    assert run(few, other)["asked"] == len(others)
    assert len(batches(database)) == 1


def test_batch_under_way_is_not_sent_again_and_opened_tasks_are_answered_live(
    make: Any, database: Database, stub: AnthropicStub
) -> None:
    runtime = make(teacher_batch_from=5)
    project, rows = add_project(runtime, 30)
    run(runtime, project)
    again = make(teacher_batch_from=5)
    assert run(again, project)["sent"] == len(rows), "still under way"
    assert len(stub.batches) == 1
    assert open_task(again, project, rows[2])
    assert stub.texts() == texts(rows[2:3])


def test_batch_is_finished_by_a_worker_that_starts_anew(make: Any, database: Database, stub: AnthropicStub) -> None:
    first = make(teacher_batch_from=5)
    project, rows = add_project(first, 30)
    run(first, project)
    assert open_task(first, project, rows[0])
    live = predictions(database)[rows[0].id]
    first.close()
    stub.batches_end = True
    stub.answer = lambda _text, _request: '{"label": "Offer"}'
    report = run(make(teacher_batch_from=5), project)
    assert (report["collected"], report["asked"]) == (len(rows), 0)
    found = predictions(database)
    assert [found[row.id].annotation["cats"] for row in rows[1:]] == [["Offer"]] * (len(rows) - 1)
    assert found[rows[0].id].annotation == live.annotation, "what was shown stays"
    assert [row.status for row in batches(database)] == ["ended"]
    paid = [row for row in calls(database) if row.is_batch]
    assert {(row.status, row.purpose) for row in paid} == {("ok", "prefetch")}
    assert [row.cost for row in paid] == pytest.approx([COST / 2] * len(rows))
    assert len(stub.requests) == 1


@pytest.mark.parametrize("kind", ["expired", "canceled", "errored"])
def test_batch_entries_that_came_to_nothing_are_asked_live(
    make: Any, database: Database, stub: AnthropicStub, kind: str
) -> None:
    runtime = make(teacher_batch_from=5)
    project, rows = add_project(runtime, 30)
    lost = set(texts(rows[:8]))
    stub.batch_result = lambda text: kind if text in lost else "succeeded"
    run(runtime, project)
    stub.batches_end = True
    report = run(runtime, project)
    assert (report["collected"], report["sent"], report["asked"]) == (len(rows) - 8, 0, 8)
    assert sorted(stub.texts()) == sorted(lost)
    failed = calls(database, "failed")
    assert len(failed) == 8
    assert all(row.cost == 0 and row.problem for row in failed)
    assert {row.status for row in predictions(database).values()} == {"ok"}


def test_batch_answers_that_cannot_be_read_are_kept_and_not_shown(
    make: Any, database: Database, stub: AnthropicStub
) -> None:
    stub.answer = lambda _text, _request: "I would rather not say"
    runtime = make(teacher_batch_from=5)
    project, rows = add_project(runtime, 10)
    run(runtime, project)
    stub.batches_end = True
    assert run(runtime, project)["asked"] == 0
    assert {row.status for row in calls(database)} == {"unparsed"}
    assert {row.status for row in predictions(database).values()} == {"unparsed"}
    assert not open_task(runtime, project, rows[0])
    assert stub.requests == []


def test_batch_that_the_api_does_not_know_any_more_is_asked_live(
    make: Any, database: Database, stub: AnthropicStub
) -> None:
    runtime = make(teacher_batch_from=5)
    project, rows = add_project(runtime, 10)
    run(runtime, project)
    stub.batches.clear()
    assert run(runtime, project)["asked"] == len(rows)
    assert [row.status for row in batches(database)] == ["lost"]


def test_batch_whose_process_died_while_sending_is_given_up_after_a_while(
    make: Any, database: Database, stub: AnthropicStub
) -> None:
    runtime = make(teacher_batch_from=5)
    project, rows = add_project(runtime, 10)
    run(runtime, project)
    with database.write() as session:
        session.execute(update(TeacherBatchRow).values(api_id=""))
    assert run(runtime, project)["asked"] == 0, "it may just be on its way"
    with database.write() as session:
        session.execute(update(TeacherBatchRow).values(created_at=utcnow() - timedelta(hours=1)))
    assert run(runtime, project)["asked"] == len(rows)
    assert [row.status for row in batches(database)] == ["lost"]


def test_batch_that_is_not_taken_is_asked_live(make: Any, database: Database, stub: AnthropicStub) -> None:
    runtime = make(teacher_batch_from=5)
    project, rows = add_project(runtime, 10)
    stub.batches_refused = True
    assert run(runtime, project)["asked"] == len(rows)
    assert [row.status for row in batches(database)] == ["lost"]
    assert {row.status for row in calls(database)} == {"failed", "ok"}


def test_batch_keeps_to_the_budget(make: Any, database: Database, stub: AnthropicStub) -> None:
    runtime = make(teacher_batch_from=5, budget_project=0.08)  # a question in a batch can cost some 0.017
    project, _ = add_project(runtime, 30)
    run(runtime, project)
    (requests,) = stub.batches.values()
    assert len(requests) == 4
    assert stub.requests == [], "nor is the rest asked live"


def test_batch_survives_an_api_that_is_away(make: Any, database: Database, stub: AnthropicStub) -> None:
    runtime = make(teacher_batch_from=5)
    project, rows = add_project(runtime, 10)
    run(runtime, project)
    away = make(teacher_batch_from=5, anthropic_base_url="http://127.0.0.1:9")
    assert run(away, project)["collected"] == 0
    stub.batches_end = True
    assert run(runtime, project)["collected"] == len(rows)


def test_batch_after_the_teacher_changed_is_paid_for_and_kept(
    make: Any, database: Database, stub: AnthropicStub
) -> None:
    runtime = make(teacher_batch_from=5)
    project, rows = add_project(runtime, 10)
    run(runtime, project)
    stub.batches_end = True
    with database.write() as session:
        session.merge(project).guidelines = "House rule."
    assert run(runtime, project)["collected"] == len(rows)
    assert {row.status for row in calls(database) if row.batch_id == 1} == {"ok"}


def test_batch_holds_all_samples(make: Any, database: Database, stub: AnthropicStub) -> None:
    answers = iter("Bid Bid Offer".split() * 100)
    stub.answer = lambda _text, _request: f'{{"label": "{next(answers)}"}}'
    runtime = make(teacher_batch_from=5, teacher_samples=3)
    project, rows = add_project(runtime, 10)
    run(runtime, project)
    (requests,) = stub.batches.values()
    assert len(requests) == 3 * len(rows)
    stub.batches_end = True
    run(runtime, project)
    found = predictions(database)
    assert [found[row.id].score for row in rows] == pytest.approx([2 / 3] * len(rows))


def test_batch_of_an_aspect_that_a_student_serves_is_left_alone(
    make: Any, database: Database, stub: AnthropicStub
) -> None:
    runtime = make(teacher_batch_from=5)
    project, _ = add_project(runtime, 10)
    run(runtime, project)
    stub.batches_end = True
    with database.write() as session:
        (row,) = aspects_of(session, project.id)
        student = StudentRow(
            aspect_id=row.id, version="abc", recipe="r", uri="", n_train=1, n_dev=1, n_silver=0, used_silver=False,
            dev_score=1.0, report={}, seconds=0.0,
        )  # fmt: skip
        session.add(student)
        session.flush()
        row.server, row.champion_id, row.live_student_id = "student", student.id, student.id
    seen = len(stub.fetched)
    assert run(runtime, project)["collected"] == 0
    assert len(stub.fetched) == seen
    assert [batch.status for batch in batches(database)] == ["open"]
