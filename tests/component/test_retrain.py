"""From a training to who serves, with a training that is scripted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from handover.jobs import retrain
from handover.serving import register
from handover.store.models import StudentRow
from tests.component.gold_world import World, always
from tests.projects import CHOICE_CONFIG

OTHER_LABELS = CHOICE_CONFIG.replace('<Choice value="Bid"/>', '<Choice value="Spam"/><Choice value="Bid"/>')


@pytest.fixture
def world(tmp_path: Path, database) -> Iterator[World]:
    world = World(tmp_path, min_train=5, hints=False)
    world.annotate([*world.rows("train"), *world.rows("dev")], "Offer")
    world.annotate(world.rows("gold"), "Offer")
    yield world
    world.runtime.close()


def train(world: World, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], object]) -> dict[str, object]:
    """A training that ends with a student that is always right."""

    def scripted(*_arguments: object) -> StudentRow:
        student = world.student("new", always("Offer"))
        world.change(trained_revision=0)
        meanwhile()
        return student

    monkeypatch.setattr(retrain, "_train", scripted)
    return retrain.run(world.runtime, world.aspect.id, lambda _progress: None)


def test_retrain_notes_what_it_saw_and_hands_over(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert train(world, monkeypatch, lambda: None)["outcome"] == "promote"
    assert world.aspect.trained_revision == world.aspect.attempted_revision > 0


def test_retrain_during_which_the_labels_changed_counts_for_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = train(world, monkeypatch, lambda: register(world.runtime, 7, OTHER_LABELS))
    assert report["outcome"] == "the labels changed since it was trained"
    row = world.aspect
    assert (row.server, row.trained_revision, row.attempted_revision) == ("teacher", 0, 0), (
        "due again, with the new ones"
    )
