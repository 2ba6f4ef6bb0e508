"""`/predict` over ASGI: what is noted about answers that Label Studio did or did not wait for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from starlette.types import Message

from handover.api.app import create_app
from handover.domain import Annotation, Span
from handover.labelstudio.protocol import TaskIn
from handover.serving import Note, predict
from handover.store.models import TaskRow
from handover.store.projects import get_project
from tests.component.gold_world import World, task_in
from tests.projects import ENTITY_CONFIG


@pytest.fixture
def world(tmp_path: Path, database) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.runtime.close()


def post(world: World, row: TaskRow, *, hangs_up: bool) -> list[Message]:
    """Ask about one task; returns what was sent."""
    app = create_app(world.settings)
    app.state.runtime = world.runtime
    body = json.dumps({"project": "7", "tasks": [{"id": row.ls_id, "data": row.data}]}).encode()
    sent: list[Message] = []
    given = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if not given and not hangs_up:
            await anyio.sleep_forever()
        return given.pop() if given else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/predict", "raw_path": b"/predict", "query_string": b"", "root_path": "", "client": ("127.0.0.1", 1),
        "server": ("x", 1), "headers": [(b"content-type", b"application/json")],
    }  # fmt: skip

    async def ask() -> None:
        with anyio.fail_after(30):
            await app(scope, receive, send)

    anyio.run(ask)
    return sent


@pytest.mark.parametrize("hangs_up", [False, True])
def test_predict_notes_what_was_sent_unless_label_studio_hung_up(world: World, hangs_up: bool) -> None:
    row = world.rows("train")[0]
    start, end = post(world, row, hangs_up=hangs_up)
    assert (start["status"], b"Bid" in end["body"]) == (200, True)
    assert bool(world.rows("train")[0].pushed_version) is not hangs_up


@pytest.mark.parametrize("version_meanwhile", ["", "stage-student-new"])
def test_predict_does_not_note_an_old_answer_for_a_new_text_or_version(world: World, version_meanwhile: str) -> None:
    row = world.rows("train")[0]
    notes: list[Note] = []
    assert predict(world.runtime, 7, [task_in(row)], afterwards=notes.append) != [None]
    if version_meanwhile:  # a refresh
        with world.runtime.database.write() as session:
            session.get_one(TaskRow, row.id).pushed_version = version_meanwhile
    else:
        predict(world.runtime, 7, [TaskIn(id=row.ls_id, data={"text": "another"})], afterwards=lambda _note: None)
    notes[0]()
    assert world.rows("train")[0].pushed_version == version_meanwhile


def test_predict_sends_spans_that_hold_half_a_surrogate_pair(tmp_path: Path, database) -> None:
    world = World(tmp_path, config=ENTITY_CONFIG)
    student = world.student("s1", lambda text: Annotation(spans=(Span(10, len(text), "PLACE"), Span(0, 6, "PRICE"))))
    world.change(server="student", champion_id=student.id, live_student_id=student.id, live_version="terms-student-s1")
    with world.runtime.database.write() as session:
        get_project(session, world.project.id).live_version = "terms-student-s1"
    text = "copper in Santos \ud83d"
    row = next(row for row in world.rows("train"))
    row.data = {"text": text}
    start, end = post(world, row, hangs_up=False)
    assert start["status"] == 200
    place, price = json.loads(end["body"])["results"][0]["result"]
    assert place["value"] == {"start": 10, "end": len(text), "labels": ["PLACE"]}
    assert price["value"] == {"start": 0, "end": 6, "labels": ["PRICE"], "text": "copper"}
    world.runtime.close()
