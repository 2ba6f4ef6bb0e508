"""Gold stays blind on every path by which a prediction could reach an annotator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from handover.api.app import create_app
from handover.domain import Split
from handover.evaluation.split import assign_split, fingerprints
from handover.jobs import prefetch, refresh
from handover.labelstudio.client import NewPrediction
from handover.store.projects import get_project
from tests.component.gold_world import World, always, task_in

UNCERTAINTY = "Uncertainty sampling"


@dataclass
class FakeLabelStudio:
    """Takes predictions and remembers them."""

    pushed: list[NewPrediction] = field(default_factory=list)

    def push_predictions(self, _ls_project_id: int, predictions: Sequence[NewPrediction]) -> int:
        self.pushed += predictions
        return len(predictions)

    def show_version(self, *_arguments: Any, **_more: Any) -> None:
        """Nothing to show."""

    def close(self) -> None:
        """Nothing to close."""


@pytest.fixture(params=["teacher", "student"])
def server(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["Sequential sampling", UNCERTAINTY])
def sampling(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def world(tmp_path: Path, database, server: str, sampling: str) -> Iterator[World]:
    world = World(tmp_path, label_studio_api_key="token")
    with world.runtime.database.write() as session:
        get_project(session, world.project.id).sampling = sampling
    if server == "student":
        world.change(server="student", champion_id=world.student("any", always("Trade")).id)
        world.runtime.__dict__["_client"] = FakeLabelStudio()
        refresh.run(world.runtime, world.project.id, lambda _progress: None)
    yield world
    world.runtime.close()


def pushed(world: World, job: Any) -> list[NewPrediction]:
    """What a job pushes to Label Studio."""
    client = FakeLabelStudio()
    world.runtime.__dict__["_client"] = client
    with world.runtime.database.write() as session:
        for row in [*world.rows("gold"), *world.rows("train"), *world.rows("dev")]:
            session.merge(row).pushed_version = ""
    job.run(world.runtime, world.project.id, lambda _progress: None)
    return client.pushed


def check(world: World, given: dict[int, list[Any]], *, sampling: str) -> None:
    """Gold: nothing, or nothing with the lowest score; the others: content."""
    gold = {row.ls_id for row in world.rows()}
    assert gold & set(given) if sampling == UNCERTAINTY else True
    for ls_id, results in given.items():
        if ls_id in gold:
            assert results in ([], [([], 0.0)])
    assert any(result for ls_id, results in given.items() if ls_id not in gold for result, _ in results)


@pytest.mark.parametrize("params", [{}, {"context": {"result": [{"from_name": "stage", "value": {}}]}}])
@pytest.mark.parametrize("size", [1, 140])
def test_withheld_in_predict_one_by_one_in_batches_and_interactively(
    world: World, server: str, sampling: str, params: dict[str, Any], size: int
) -> None:
    """`/predict` serves the label stream, "retrieve predictions" (batches) and interactive requests (a context)."""
    app = create_app(world.settings)
    app.state.runtime = world.runtime
    client = TestClient(app)
    rows = [*world.rows("gold"), *world.rows("train")][-70:] if size > 1 else [world.rows()[0], world.rows("train")[0]]
    given: dict[int, list[Any]] = {}
    for start in range(0, len(rows), size):
        part = [task_in(row).model_dump() for row in rows[start : start + size]]
        answer = client.post("/predict", json={"project": "7.1", "tasks": part, "params": params})
        assert answer.status_code == 200, answer.text
        for task, entry in zip(part, answer.json()["results"], strict=True):
            entries = [entry] if isinstance(entry, dict) else entry
            given[task["id"]] = [(p["result"], p["score"]) for p in entries]
    check(world, given, sampling=sampling)


@pytest.mark.parametrize("job", [prefetch, refresh])
def test_withheld_in_what_jobs_push(world: World, server: str, sampling: str, job: Any) -> None:
    if server == "teacher":
        pushed(world, prefetch)  # so that there are answers to push
    given: dict[int, list[Any]] = {}
    for prediction in pushed(world, job):
        given.setdefault(prediction.ls_task_id, []).append((prediction.result, prediction.score))
    gold = {row.ls_id for row in world.rows()}
    assert all(results == [([], 0.0)] for ls_id, results in given.items() if ls_id in gold)
    assert bool(gold & set(given)) == (sampling == UNCERTAINTY and job is refresh)
    assert any(result for ls_id, results in given.items() if ls_id not in gold for result, _ in results)


def test_gold_is_about_its_share_of_the_first_tasks_in_any_order() -> None:
    """So that sequential sampling needs no help: the share holds for every beginning of a list."""
    keys = [fingerprint.key for fingerprint in fingerprints(f"task number {i * 7919} of {i}" for i in range(2000))]
    gold = [assign_split(key, gold_share=0.2, dev_share=0.2) is Split.GOLD for key in keys]
    for first in (100, 200, 500, 1000, 2000):
        deviation = abs(sum(gold[:first]) / first - 0.2)
        assert deviation < 3 * (0.2 * 0.8 / first) ** 0.5
