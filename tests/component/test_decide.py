"""Promote, roll back, pin and unpin by hand, and the decision log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from handover.commands.decide import Person, pin, promote, rollback, unpin
from handover.commands.decisions import lines_of, read_decisions
from handover.errors import ConfigError, NotFoundError
from handover.serving import register
from tests.component.gold_world import World, always
from tests.projects import CHOICE_CONFIG
from tests.unit.test_cli import run

ANNA = Person("Anna", "we know better")
WHERE = {"ls_project_id": 7, "aspect": ""}


@pytest.fixture
def world(tmp_path: Path, database) -> Iterator[World]:
    world = World(tmp_path)
    world.runtime.__dict__["artifacts"] = SimpleNamespace(exists=lambda version: version != "lost")
    world.student("one", always("Offer"))
    world.student("two", always("Trade"))
    yield world
    world.runtime.close()


def test_promote_takes_the_newest_or_the_named_student_and_records_who_and_why(world: World) -> None:
    assert promote(world.runtime, ANNA, **WHERE) == "stage is served by student two now."
    promote(world.runtime, ANNA, **WHERE, version="one")
    assert world.aspect.server == "student"
    first, second = world.decisions()
    assert (first.outcome, first.actor, first.author, first.reason) == ("promote", "person", "Anna", "we know better")
    assert (second.student_id, second.applied) == (world.aspect.champion_id, True)
    assert world.queue.jobs == [("refresh", world.project.id)] * 2


def test_rollback_goes_to_the_teacher_or_to_an_earlier_student(world: World) -> None:
    promote(world.runtime, ANNA, **WHERE)
    assert "student one now" in rollback(world.runtime, ANNA, **WHERE, to="one")
    text = rollback(world.runtime, ANNA, **WHERE)
    assert text == (
        "stage is served by the teacher now. The next look at the gold may change that; `handover pin` prevents it."
    )
    assert (world.aspect.server, world.aspect.champion_id) == ("teacher", None)
    assert [d.outcome for d in world.decisions()] == ["promote", "promote", "rollback"]


def test_decisions_by_hand_do_not_become_void_but_the_watch_may_end_them(world: World) -> None:
    world.annotate(world.rows()[:20], "Offer")
    promote(world.runtime, ANNA, **WHERE, version="one")
    world.say("Trade")
    world.restart()
    world.annotate(world.rows()[20:45], "Trade")
    report = world.look()
    assert report["outcome"] == "rollback"
    assert "fell behind" in str(report["reason"])
    assert world.decisions()[-1].n == 25, "gold from before the promotion is not held against it"


def test_pin_keeps_who_serves_while_looks_go_on(world: World) -> None:
    assert pin(world.runtime, ANNA, **WHERE) == "stage stays with the teacher until `handover unpin`."
    world.annotate(world.rows()[:24], "Trade")
    assert world.look()["outcome"] == "promote"
    assert world.aspect.server == "teacher"
    world.queue.jobs.clear()
    unpin(world.runtime, ANNA, **WHERE)
    assert world.queue.jobs == [("look", world.aspect.id)]
    assert world.look()["outcome"] == "promote"
    assert world.aspect.server == "student"
    assert [d.outcome for d in world.decisions()] == ["pin", "promote", "unpin", "promote"]


def test_pin_moves_to_its_target_first(world: World) -> None:
    pin(world.runtime, ANNA, **WHERE, target="one")
    assert (world.aspect.server, world.aspect.pinned) == ("student", True)
    pin(world.runtime, ANNA, **WHERE, target="teacher")
    assert (world.aspect.server, world.aspect.pinned) == ("teacher", True)
    assert [d.outcome for d in world.decisions()] == ["promote", "pin", "rollback", "pin"]


@pytest.mark.parametrize(
    ("act", "more", "error", "says"),
    [
        (promote, {"version": "three"}, NotFoundError, r"no student 'three' \(has: two, one\)"),
        (rollback, {}, ConfigError, "served by the teacher already"),
        (unpin, {}, ConfigError, "is not pinned"),
        (promote, {"version": "lost"}, NotFoundError, "The files of student lost are gone"),
    ],
)
def test_decide_says_what_is_wrong_and_changes_nothing(world: World, act, more, error, says) -> None:
    if more.get("version") == "lost":
        world.student("lost", always("Bid"))
    with pytest.raises(error, match=says):
        act(world.runtime, ANNA, **WHERE, **more)
    assert world.decisions() == []
    assert world.queue.jobs == []


def test_person_needs_a_reason_and_has_a_name() -> None:
    with pytest.raises(ConfigError, match="needs a reason"):
        Person("Anna", "  ")
    assert Person("", "because").name


def test_decisions_are_a_log_with_numbers_and_reasons(world: World) -> None:
    world.annotate(world.rows()[:24], "Offer")
    world.look(world.student("good", always("Offer")))
    rollback(world.runtime, ANNA, **WHERE)
    with world.runtime.database.read() as session:
        rows = read_decisions(session, ls_project_id=7)
        with pytest.raises(NotFoundError, match="Project 9 is not connected"):
            read_decisions(session, ls_project_id=9)
    assert [(r["outcome"], r["actor"], r["author"]) for r in rows] == [
        ("rollback", "person", "Anna"),
        ("promote", "gate", ""),
    ]
    assert (rows[1]["n"], rows[1]["teacher_score"], rows[1]["student_score"]) == (24, 0.0, 1.0)
    lines = list(lines_of(rows))
    assert lines[0].endswith("stage: rollback, decided by Anna (by hand)")
    assert lines[1] == "    we know better"
    assert lines[2].endswith("stage: promote good, decided by gate")
    assert lines[3].startswith("    n 24: teacher 0.000, student 1.000, difference +1.000 [")


def test_cli_shows_the_decision_log(world: World) -> None:
    promote(world.runtime, ANNA, **WHERE)
    code, output = run("decisions", "-p", "7")
    assert code == 0
    assert "stage: promote two, decided by Anna (by hand) we know better" in output
    code, output = run("decisions", "-p", "7", "--json")
    assert [row["author"] for row in json.loads(output)] == ["Anna"]
    code, output = run("promote", "-p", "9", "--reason", "x")
    assert (code, "Project 9 is not connected" in output) == (1, True)


def test_promote_refuses_students_that_do_not_know_the_labels(world: World) -> None:
    register(world.runtime, 7, CHOICE_CONFIG.replace('<Choice value="Bid"/>', '<Choice value="Spam"/>'))
    for more in ({}, {"version": "one"}):
        with pytest.raises(ConfigError, match=r"was trained before the labels of aspect 'stage' changed.*retrain"):
            promote(world.runtime, ANNA, **WHERE, **more)
    world.student("new", always("Spam"))
    assert "student new now" in promote(world.runtime, ANNA, **WHERE)
    assert [d.outcome for d in world.decisions()] == ["promote"]


def test_promote_takes_the_newest_student_that_knows_the_labels(world: World) -> None:
    register(world.runtime, 7, CHOICE_CONFIG.replace('<Choice value="Bid"/>', '<Choice value="Spam"/>'))
    world.student("new", always("Spam"))
    register(world.runtime, 7, CHOICE_CONFIG)
    assert "student two now" in promote(world.runtime, ANNA, **WHERE)
