"""Warnings about a student that serves: other texts, lower scores. They never move anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from handover.intake import apply_tasks, options_for
from handover.jobs.drift import check_drift
from handover.labelstudio.protocol import TaskIn
from handover.status import read_status
from handover.store.findings import findings_of
from handover.store.models import FindingRow
from handover.store.projects import get_project
from tests.component.gold_world import World, always


@pytest.fixture
def world(tmp_path: Path, database) -> Iterator[World]:
    world = World(tmp_path)
    world.annotate(world.rows()[:24], "Offer")
    world.look(world.student("good", always("Offer")))
    yield world
    world.runtime.close()


def bring(world: World, texts: list[str], *, start: int) -> None:
    """New tasks come in."""
    given = [TaskIn(id=start + i, data={"text": text}) for i, text in enumerate(texts)]
    with world.runtime.database.write() as session:
        project = get_project(session, world.project.id)
        apply_tasks(session, project, given, options_for(project, world.settings))


def findings(world: World, kind: str) -> list[FindingRow]:
    with world.runtime.database.read() as session:
        return list(findings_of(session, world.aspect.id, kind=kind))


def test_drift_warns_about_unknown_words_and_leaves_the_student_alone(world: World) -> None:
    bring(world, [f"Sehr geehrte Damen, hiermit bitten wir um {i * 7919} Tonnen" for i in range(80)], start=1000)
    check_drift(world.runtime, world.aspect.id)
    (found,) = findings(world, "drift")
    assert found.is_warning
    assert "of the words in" in found.text
    assert (found.details["n"] > 30, found.details["before_n"] > 30) == (True, True)
    assert world.aspect.server == "student"
    with world.runtime.database.read() as session:
        (aspect,) = read_status(session, world.settings).projects[0].aspects
    assert [f["text"] for f in aspect.findings if f["is_warning"]] == [found.text]


def test_drift_says_so_when_there_is_none_and_measures_again_when_much_more_came(world: World) -> None:
    words = [row.data["text"] for row in world.rows("train")]
    bring(world, [f"{words[i % len(words)]} and {words[(i * 7 + 1) % len(words)]}" for i in range(80)], start=1000)
    check_drift(world.runtime, world.aspect.id)
    check_drift(world.runtime, world.aspect.id)
    (found,) = findings(world, "drift")
    assert not found.is_warning
    assert found.text == f"No drift in {found.details['n']} texts that came after the handover."
    bring(world, [f"{words[i % len(words)]} but {words[(i * 5 + 2) % len(words)]}" for i in range(60)], start=2000)
    check_drift(world.runtime, world.aspect.id)
    first, second = findings(world, "drift")
    assert second.details["alpha"] < first.details["alpha"]
    assert first.details["alpha"] + second.details["alpha"] <= world.settings.alpha


def test_drift_is_not_measured_while_the_teacher_serves(world: World) -> None:
    world.change(server="teacher", champion_id=None)
    bring(world, [f"anderes {i * 7919}" for i in range(80)], start=1000)
    check_drift(world.runtime, world.aspect.id)
    assert findings(world, "drift") == []


def test_drop_of_the_score_warns_where_the_teacher_is_not_asked_any_more(world: World) -> None:
    world.restart(shadow=0.0)
    world.annotate(world.rows()[24:48], "Trade")
    assert world.look()["outcome"] == "no new gold"
    (found,) = findings(world, "drop")
    assert found.is_warning
    assert "Student cats_acc 0.000 on 24 gold tasks since the handover, 1.000 on 24 at it" in found.text
    assert world.aspect.server == "student"
