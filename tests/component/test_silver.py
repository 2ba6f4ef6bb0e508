"""The silver that a training starts from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from handover.jobs.retrain import _snapshot
from handover.labelstudio.protocol import TaskIn
from handover.serving import predict
from handover.store.database import Database
from tests.component.gold_world import World, task_in


@pytest.fixture
def world(tmp_path: Path, database: Database) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.runtime.close()


def test_silver_leaves_out_a_task_whose_text_is_gold(world: World) -> None:
    gold, (twin, other) = world.rows("gold")[0], world.rows("train")[:2]
    predict(world.runtime, 7, [TaskIn(id=twin.ls_id, data=gold.data), task_in(other)])
    silver = _snapshot(world.runtime, world.aspect.id).silver
    assert [example.text for example in silver] == [other.data["text"]]
