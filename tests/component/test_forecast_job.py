"""The forecast: nested trainings scored on dev, and what the student lacks to the teacher on gold."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from handover.errors import TrainingError
from handover.jobs import forecast
from handover.status import read_status
from handover.student.training import TrainedStudent
from tests.component.gold_world import World, always


@pytest.fixture
def world(tmp_path: Path, database) -> Iterator[World]:
    world = World(tmp_path, gold_share=0.1, dev_share=0.15, min_gold=10)
    yield world
    world.runtime.close()


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, tuple[str, ...]]]:
    """Trainings that score along a power law: 0.9 without end; what they were given is kept."""
    seen: list[tuple[int, int, tuple[str, ...]]] = []

    def train(_aspect: Any, examples: Any, *, options: Any, workdir: Path) -> TrainedStudent:
        size = len(examples.train)
        seen.append((size, options.seed, tuple(e.text for e in examples.train)))
        score = 0.9 - 2.0 * size**-0.5 + 0.001 * options.seed
        table = {"Bid": {"f": 0.4}, "Offer": {"f": score}, "Trade": {"f": score}}
        return TrainedStudent(workdir, "bow", False, score, report={"dev": {"cats_f_per_type": table}})

    monkeypatch.setattr(forecast, "train_student", train)
    return seen


def gold_and_student(world: World, right: int) -> None:
    """The teacher is right on `right` of the gold tasks, the student on four."""
    gold = world.rows()[:10]
    world.annotate(gold[:right], "Bid")
    world.annotate(gold[right:], "Offer")
    offers = {row.data["text"] for row in gold[-4:]}
    world.look(world.student("first", lambda text: "Offer" if text in offers else "Trade"))


def test_forecast_trains_on_nested_parts_and_says_how_many_more(world: World, trainings: list) -> None:
    gold_and_student(world, right=5)
    world.annotate(world.rows("train"), "Bid")
    world.annotate(world.rows("dev"), "Offer")
    n = len(world.rows("train"))
    forecast.run(world.runtime, world.aspect.id, lambda _progress: None)
    assert [(size, seed) for size, seed, _ in trainings] == [(n >> k, s) for s in range(3) for k in (2, 1, 0)]
    for small, large in pairwise(trainings):
        if small[1] == large[1]:
            assert small[2] == large[2][: small[0]], "smaller sets are part of larger ones"
    with world.runtime.database.read() as session:
        (found,) = read_status(session, world.settings).projects[0].aspects[0].findings
    now = 0.9 - 2.0 * n**-0.5 + 0.001
    assert found["kind"] == "forecast"
    assert found["details"]["lag"] == pytest.approx(0.1)
    assert found["details"]["target"] == pytest.approx(now + 0.1)
    assert "more training tasks" in found["text"]
    assert "More data does not help Bid: rules may." in found["text"]


def test_forecast_says_when_more_data_will_not_do(world: World, trainings: list) -> None:
    gold_and_student(world, right=10)
    world.annotate(world.rows("train"), "Bid")
    world.annotate(world.rows("dev"), "Offer")
    report = forecast.run(world.runtime, world.aspect.id, lambda _progress: None)
    assert str(report["sentence"]).startswith("Not with more data of this kind")


@pytest.mark.parametrize(("looked", "says"), [(False, "nothing to beat"), (True, "a forecast needs at least 80 and 8")])
def test_forecast_says_what_is_missing(world: World, trainings: list, looked: bool, says: str) -> None:
    if looked:
        gold_and_student(world, right=5)
    world.student("other", always("Bid"))
    with pytest.raises(TrainingError, match=says):
        forecast.run(world.runtime, world.aspect.id, lambda _progress: None)
    assert trainings == []
