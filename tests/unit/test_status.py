"""The status: scores with their number and interval, tables, disagreements with links, and people's agreement."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from sqlalchemy import select

from handover.annotation_intake import apply_annotation
from handover.commands.show import show_status
from handover.status import AspectStatus, read_status
from handover.store.models import PredictionRow, TaskRow
from handover.store.projects import aspects_of, get_project
from tests.component.gold_world import World, always
from tests.projects import chosen


@pytest.fixture
def world(tmp_path: Path, database) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.runtime.close()


def status(world: World) -> AspectStatus:
    with world.runtime.database.read() as session:
        return read_status(session, world.settings).projects[0].aspects[0]


def text(world: World) -> str:
    console = Console(width=1000, record=True, file=io.StringIO())
    with world.runtime.database.read() as session:
        show_status(console, read_status(session, world.settings))
    return console.export_text()


def test_status_shows_scores_with_number_interval_and_disagreements(world: World) -> None:
    gold = world.rows()[:20]
    world.annotate(gold[:15], "Offer")
    world.annotate(gold[15:], "Bid")
    world.look(world.student("good", always("Offer")))
    found = status(world)
    assert (found.teacher_score, found.student_score, found.scored_on) == (0.25, 0.75, 20)
    assert found.interval is not None
    evaluation = found.evaluation
    assert evaluation is not None
    low, high = evaluation["student_interval"]
    assert 0.4 < low < 0.75 < high <= 1
    assert evaluation["student"]["cats_f_per_type"]["Bid"] == {"p": 0.0, "r": 0.0, "f": 0.0, "support": 5}
    first, second = evaluation["disagreements"][:2]
    assert (first["task_id"], first["better"], second["better"]) == (gold[0].ls_id, "student", "teacher")
    assert first["url"] == f"http://127.0.0.1:8080/projects/7/data?task={gold[0].ls_id}"
    lines = text(world)
    assert "cats_acc on 20 gold tasks: teacher 0.250 [" in lines
    assert f"student 0.750 [{low:.3f}, {high:.3f}] (good)" in lines
    assert "difference +0.500, between " in lines
    json.dumps(evaluation)


def test_status_says_why_answers_are_not_shown(world: World) -> None:
    with world.runtime.database.write() as session:
        (aspect,) = aspects_of(session, get_project(session, 1).id)
        tasks = session.scalars(select(TaskRow).limit(4)).all()
        for task, problem in zip(tasks, ("The API is away.", "Not JSON.", "The API is away.", ""), strict=True):
            session.add(
                PredictionRow(
                    task_id=task.id, aspect_id=aspect.id, version=aspect.live_version, annotation=None, score=None,
                    status="failed" if problem else "ok", problem=problem,
                )
            )  # fmt: skip
    assert (status(world).answers["failed"], status(world).problem) == (3, "The API is away.")
    assert "answers not shown: 3 failed\n      most often because of: The API is away.\n" in text(world)


def test_status_shows_how_well_people_agree_on_gold_annotated_by_several(world: World) -> None:
    gold = world.rows()[:20]
    world.annotate(gold, "Offer", completed_by=1)
    with world.runtime.database.write() as session:
        project = get_project(session, world.project.id)
        for i, row in enumerate(gold[:16]):
            label = "Trade" if i < 4 else "Offer"
            second = chosen(label, id=5000 + row.ls_id, seconds=99, completed_by=2)
            apply_annotation(session, project, row, second)
    world.look(world.student("good", always("Offer")))
    found = status(world)
    assert found.ties == 4
    assert found.evaluation is not None
    people = found.evaluation["agreement"]
    assert (people["n"], people["ceiling"], people["pairs"][0]["n"]) == (16, 0.75, 16)
    assert "people agree to 0.750 [" in text(world)


def test_status_keeps_the_scores_on_enough_gold_while_new_gold_comes(world: World) -> None:
    world.annotate(world.rows()[:24], "Offer")
    world.look(world.student("good", always("Offer")))
    world.annotate(world.rows()[24:27], "Bid")
    world.look()
    found = status(world)
    assert found.scored_on == 24
    assert found.switch == "promote"
    assert found.reason.startswith("3 of at least 12 gold tasks since the handover")
    assert "handed over: Student cats_acc 1.000 beats teacher 0.000" in text(world)


def test_status_says_that_a_decision_is_void_or_pinned(world: World) -> None:
    world.annotate(world.rows()[:24], "Offer")
    world.look(world.student("good", always("Offer")))
    assert status(world).void == ""
    old = world.aspect.teacher_id
    world.change(teacher_id="another", pinned=True)
    assert f"decision void: teacher changed (it was {old}, now it is another)" in text(world)
    assert "pinned: only a person changes who serves" in text(world)
