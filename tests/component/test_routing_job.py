"""Routing by confidence: the student answers what it is sure of, the teacher the rest, and the gate decides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from handover.jobs import prefetch
from handover.serving import go_live, live, predict, wanted
from handover.status import read_status
from handover.store.models import EvaluationRow, StudentRow, TaskRow
from handover.store.projects import get_project
from tests.component.gold_world import World, task_in


def world_with(folder: Path, **settings) -> World:
    world = World(folder, dev_share=0.5, **settings)
    world.students.sure = lambda text: 0.95 if is_even(text) else 0.4
    return world


@pytest.fixture
def world(tmp_path: Path, database) -> Iterator[World]:
    """The student is right and sure on every other text, wrong and unsure on the rest, where the teacher is right."""
    world = world_with(tmp_path, routing=True)
    yield world
    world.runtime.close()


def is_even(text: str) -> bool:
    return len(text) % 2 == 0


def cascade(world: World) -> StudentRow:
    """Gold and dev as they are, and a look at the student."""
    for row in [*world.rows()[:40], *world.rows("dev")]:
        world.annotate([row], "Offer" if is_even(row.data["text"]) else "Bid")
    student = world.student("half", lambda text: "Offer" if is_even(text) else "Trade")
    world.report = world.look(student)  # type: ignore[attr-defined]
    return student


def switch(world: World) -> str:
    """What a refresh does; returns the version."""
    with world.runtime.database.write() as session:
        project = get_project(session, world.project.id)
        go_live(project, wanted(session, world.runtime, project))
        return project.live_version


def answers(world: World, rows: list[TaskRow]) -> dict[int, str]:
    found = predict(world.runtime, 7, [task_in(row) for row in rows])
    return {p.ls_task_id: p.result[0]["value"]["choices"][0] for p in found if p is not None and p.result}


def test_routing_hands_over_what_the_student_is_sure_of(world: World) -> None:
    student = cascade(world)
    (decision,) = world.decisions()
    assert (decision.outcome, decision.applied, world.aspect.threshold) == ("promote", True, 0.95)
    assert decision.reason.startswith("The student from confidence 0.950 on (")
    assert decision.details["student_score"] == 1.0
    assert "routing" not in decision.details
    with world.runtime.database.read() as session:
        evaluation = session.query(EvaluationRow).one()
        status = read_status(session, world.settings).projects[0].aspects[0]
    assert evaluation.student_score < evaluation.teacher_score < 1, "the student alone is not better"
    routing = evaluation.details["routing"]
    assert routing["chosen"]["quality"] == 1.0
    assert 0.1 < routing["chosen"]["coverage"] == pytest.approx(1 - routing["chosen"]["cost"])
    assert [point["coverage"] for point in routing["curve"]][::2] == [0.0, 1.0]
    assert (status.threshold, student.version) == (0.95, status.student)


def test_routing_asks_the_teacher_for_the_rest_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    cascade(world)
    version = switch(world)
    assert version == f"stage-student-half-from-0.9500-else-{world.aspect.teacher_id}"
    from handover import serving

    asked: list[int] = []
    real = serving.ask
    monkeypatch.setattr(serving, "ask", lambda *a, **k: asked.extend(row.ls_id for row in a[3]) or real(*a, **k))
    rows = world.rows("train")
    found = answers(world, rows)
    assert found == {row.ls_id: "Offer" if is_even(row.data["text"]) else "Bid" for row in rows}
    assert sorted(asked) == [row.ls_id for row in rows if not is_even(row.data["text"])]


def test_routing_prefetches_the_rest_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    cascade(world)
    switch(world)
    asked: list[int] = []
    real = prefetch.ask
    monkeypatch.setattr(prefetch, "ask", lambda *a, **k: asked.extend(row.ls_id for row in a[3]) or real(*a, **k))
    prefetch.run(world.runtime, world.project.id, lambda _progress: None)
    assert asked
    assert set(asked) == {row.ls_id for row in world.rows("train") if not is_even(row.data["text"])}


def test_routing_is_watched_as_it_is_served(world: World) -> None:
    cascade(world)
    later = world.rows()[40:]
    world.annotate([row for row in later if not is_even(row.data["text"])][:12], "Bid")
    assert world.look()["outcome"] == "keep", "where the teacher answers, the student's errors do not count"
    world.annotate([row for row in later if is_even(row.data["text"])], "Bid")
    assert world.look()["outcome"] == "rollback"
    assert (world.aspect.server, world.aspect.threshold) == ("teacher", None)
    assert switch(world) == f"stage-teacher-{world.aspect.teacher_id}"
    with world.runtime.database.read() as session:
        (served,) = live(session, get_project(session, world.project.id))
    assert (served.student, served.threshold) == (None, None)


def test_routing_ends_when_a_student_wins_as_a_whole(world: World) -> None:
    cascade(world)
    texts = {row.data["text"]: "Offer" if is_even(row.data["text"]) else "Trade" for row in world.rows()[40:]}
    for row in world.rows()[40:]:
        world.annotate([row], texts[row.data["text"]])
    better = world.student("better", lambda text: texts.get(text, "Bid"))
    report = world.look(better)
    assert report["outcome"] == "promote"
    assert (world.aspect.champion_id, world.aspect.threshold) == (better.id, None)
    assert switch(world) == "stage-student-better"


def test_routing_is_off_unless_it_is_asked_for(tmp_path: Path, database) -> None:
    world = world_with(tmp_path)
    cascade(world)
    assert (world.decisions()[0].outcome, world.aspect.server) == ("keep", "teacher")
    with world.runtime.database.write() as session:
        get_project(session, world.project.id).options = {"routing": True}
    for row in world.rows()[40:]:
        world.annotate([row], "Offer" if is_even(row.data["text"]) else "Bid")
    world.look()
    assert world.aspect.server == "student"
    world.runtime.close()


@pytest.mark.parametrize(("shadow", "asked"), [(0.0, False), (1.0, True)])
def test_routing_asks_about_dev_no_more_than_about_gold_while_a_student_serves(
    tmp_path: Path, database, monkeypatch: pytest.MonkeyPatch, shadow: float, asked: bool
) -> None:
    world = world_with(tmp_path)
    gold = world.rows()[:40]
    world.annotate(gold, "Offer")
    world.look(world.student("half", lambda text: "Offer" if is_even(text) else "Bid"))
    assert world.aspect.server == "student"
    world.restart(shadow=shadow, routing=True)
    world.annotate(gold, "Trade")  # none of the gold is left that the decision rests on
    world.annotate(world.rows("dev"), "Bid")
    splits = []
    monkeypatch.setattr("handover.jobs.compare.ask", lambda _r, _p, _row, rows, **_more: splits.extend(rows))
    world.look()
    assert "dev" in {row.split for row in splits} if asked else splits == []
    assert "gold changed" in world.decisions()[-1].reason
    world.runtime.close()
