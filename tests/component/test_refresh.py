"""The switch that Label Studio shows, and what comes in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from handover.errors import ArtifactError
from handover.jobs import reconcile, refresh
from handover.labelstudio.client import NewPrediction, ProjectInfo
from handover.serving import register
from handover.store.projects import get_project
from tests.component.gold_world import World, always
from tests.projects import CHOICE_CONFIG

OTHER_QUESTION = CHOICE_CONFIG.replace("Which stage?", "Which stage is it?")


class LabelStudio:
    """Remembers what it was told; `on_show` is called while it is told which version to show."""

    def __init__(self) -> None:
        self.version = ""
        self.pushed: list[NewPrediction] = []
        self.on_show: Callable[[], object] = lambda: None

    def push_predictions(self, _project: int, predictions: list[NewPrediction]) -> int:
        self.pushed += predictions
        return len(predictions)

    def show_version(self, _project: int, _backend: int, version: str, **_auth: object) -> None:
        self.version = version
        self.on_show()

    def project(self, ls_project_id: int) -> ProjectInfo:
        return ProjectInfo(ls_project_id, "t", CHOICE_CONFIG, self.version, "Sequential sampling")

    def task_states(self, *_arguments: object, **_more: object) -> Iterator[object]:
        return iter(())


@pytest.fixture
def world(tmp_path: Path, database) -> Iterator[World]:
    world = World(tmp_path)
    world.ls = LabelStudio()  # type: ignore[attr-defined]
    world.runtime.__dict__["label_studio"] = lambda: world.ls  # type: ignore[attr-defined]
    world.queue.mark_lost = list  # type: ignore[attr-defined]
    with world.runtime.database.write() as session:
        get_project(session, world.project.id).ls_ml_backend_id = 5
    run(world)
    yield world
    world.runtime.close()


def run(world: World) -> dict[str, object]:
    world.queue.jobs.clear()
    return refresh.run(world.runtime, world.project.id, lambda _progress: None)


def live_version(world: World) -> str:
    with world.runtime.database.read() as session:
        return get_project(session, world.project.id).live_version


def test_refresh_follows_when_another_version_is_wanted_meanwhile(world: World) -> None:
    before = live_version(world)
    register(world.runtime, 7, OTHER_QUESTION)
    world.ls.on_show = lambda: register(world.runtime, 7, CHOICE_CONFIG)
    run(world)
    assert live_version(world) == before != world.ls.version
    assert ("refresh", world.project.id) in world.queue.jobs
    run(world)
    assert live_version(world) == before == world.ls.version
    assert ("refresh", world.project.id) not in world.queue.jobs, "and then it is done"


@pytest.mark.parametrize(("elsewhere", "expected"), [("stage-teacher-old", True), ("", False)])
def test_reconcile_sees_that_label_studio_shows_another_version(world: World, elsewhere: str, expected: bool) -> None:
    world.ls.version = elsewhere or world.ls.version
    with world.runtime.database.write() as session:
        project = get_project(session, world.project.id)
        project.synced_until = project.created_at
    world.queue.jobs.clear()
    reconcile.run(world.runtime, world.project.id, lambda _progress: None)
    assert (("refresh", world.project.id) in world.queue.jobs) is expected


def test_refresh_does_not_switch_to_a_student_that_cannot_be_loaded(world: World) -> None:
    before, number = live_version(world), len(world.ls.pushed)
    world.annotate(world.rows(), "Offer")
    world.look(world.student("good", always("Offer")))

    def broken(*_arguments: object) -> None:
        raise ArtifactError("The student is damaged.")

    students, world.runtime.__dict__["students"] = world.students, SimpleNamespace(predict=broken)
    with pytest.raises(ArtifactError):
        run(world)
    assert (live_version(world), world.ls.version, len(world.ls.pushed)) == (before, before, number)
    world.runtime.__dict__["students"] = students
    run(world)
    assert live_version(world) == world.ls.version == "stage-student-good"
