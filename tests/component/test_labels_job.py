"""Label by label: the student answers for the labels it won, the teacher is asked about the others only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from handover.domain import Annotation, Span
from handover.narrow import narrowed
from handover.preannotation import teacher_id_of
from handover.serving import go_live, live, predict, wanted
from handover.status import read_status
from handover.store.models import TaskRow
from handover.store.projects import get_project
from tests.component.gold_world import World, task_in
from tests.projects import ENTITY_CONFIG


def spans(text: str, *, price: int, place: int) -> Annotation:
    """The nth words as PRICE and PLACE; the texts are `word word offered NUMBER at NUMBER`."""
    starts = [0]
    for word in text.split(" "):
        starts.append(starts[-1] + len(word) + 1)
    found = [Span(starts[i], starts[i + 1] - 1, label) for i, label in ((price, "PRICE"), (place, "PLACE"))]
    return Annotation(spans=tuple(sorted(found)))


def right(text: str) -> Annotation:
    return spans(text, price=5, place=2)


@pytest.fixture
def world(tmp_path: Path, database) -> Iterator[World]:
    """The teacher finds places and takes amounts for prices; the student does it the other way round."""
    world = World(tmp_path, config=ENTITY_CONFIG, per_label=True)
    world.record(lambda text: completion(text, price=3, place=2))
    world.restart()
    yield world
    world.runtime.close()


def completion(text: str, *, price: int, place: int) -> str:
    words = text.split(" ")
    marked = [{"text": words[price], "label": "PRICE"}, {"text": words[place], "label": "PLACE"}]
    return json.dumps({"entities": marked})


def hand_over(world: World) -> None:
    for row in world.rows()[:40]:
        world.annotate([row], right(row.data["text"]))
    world.look(world.student("half", lambda text: spans(text, price=5, place=0)))


def switch(world: World) -> str:
    with world.runtime.database.write() as session:
        project = get_project(session, world.project.id)
        go_live(project, wanted(session, world.runtime, project))
        return project.live_version


def answers(world: World, rows: list[TaskRow]) -> dict[int, set[tuple[int, str]]]:
    found = predict(world.runtime, 7, [task_in(row) for row in rows])
    return {
        p.ls_task_id: {(r["value"]["start"], r["value"]["labels"][0]) for r in p.result} for p in found if p is not None
    }


def test_labels_won_are_handed_over(world: World) -> None:
    hand_over(world)
    (decision,) = world.decisions()
    assert (decision.outcome, decision.applied, world.aspect.held) == ("promote", True, ["PRICE"])
    assert decision.reason == "The student takes over PRICE. Both together 1.000, teacher alone 0.500."
    assert (decision.details["student_score"], decision.details["teacher_score"]) == (1.0, 0.5)
    assert "labels" not in decision.details
    assert 0 < decision.alpha <= world.settings.alpha
    with world.runtime.database.read() as session:
        status = read_status(session, world.settings).projects[0].aspects[0]
    assert (status.held, status.student_score) == (("PRICE",), 0.5)
    assert set(status.evaluation["labels"]) == {"PRICE", "PLACE"}


def test_labels_of_both_are_merged_and_the_teacher_is_asked_a_narrower_question(world: World) -> None:
    hand_over(world)
    with world.runtime.database.read() as session:
        project = get_project(session, world.project.id)
        narrow = teacher_id_of(world.runtime, project, narrowed(world.aspect, ["PRICE"]))
    assert narrow not in ("", world.aspect.teacher_id)
    version = switch(world)
    assert version.startswith("terms-student-half-for-")
    assert version.endswith(f"-else-{narrow}")
    rows = world.rows("train")[:10]
    expected = {row.ls_id: {(s.start, s.label) for s in right(row.data["text"]).spans} for row in rows}
    assert answers(world, rows) == expected
    teacher = world.runtime.teacher_for(project, narrowed(world.aspect, ["PRICE"]))
    assert teacher is not None
    assert [label.name for label in teacher._task.question.labels] == ["PLACE"]


def test_labels_are_watched_with_the_answers_that_are_served(world: World) -> None:
    hand_over(world)
    for row in world.rows()[40:54]:
        world.annotate([row], right(row.data["text"]))
    assert world.look()["outcome"] == "keep"
    for row in world.rows()[40:]:
        world.annotate([row], spans(row.data["text"], price=3, place=2))
    assert world.look()["outcome"] == "rollback"
    assert (world.aspect.server, world.aspect.held) == ("teacher", [])
    switch(world)
    with world.runtime.database.read() as session:
        (served,) = live(session, get_project(session, world.project.id))
    assert (served.student, served.held) == (None, ())


def test_labels_taken_over_before_have_to_be_won_by_the_next_student_too(world: World) -> None:
    hand_over(world)
    for row in world.rows()[40:]:
        world.annotate([row], right(row.data["text"]))
    world.look(world.student("worse", lambda text: spans(text, price=3, place=2)))
    assert world.aspect.champion_id == world.decisions()[0].student_id
    best = world.student("best", right)
    world.look(best)
    assert (world.aspect.champion_id, world.aspect.held) == (best.id, [])
    assert switch(world) == "terms-student-best"


def test_labels_stay_with_the_teacher_unless_it_is_asked_for(tmp_path: Path, database) -> None:
    world = World(tmp_path, config=ENTITY_CONFIG)
    world.record(lambda text: completion(text, price=3, place=2))
    world.restart()
    hand_over(world)
    assert (world.decisions()[0].outcome, world.aspect.server) == ("keep", "teacher")
    world.runtime.close()
