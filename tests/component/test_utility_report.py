"""Utility and anchoring, from stored annotations and the predictions they started from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from handover.commands.utility import lines_of
from handover.jobs.reconcile import set_parent
from handover.labelstudio.client import StoredPrediction
from handover.preannotation import ask
from handover.store.annotations import annotations_by_ls_id
from handover.store.models import TaskRow
from handover.store.teacher_examples import replace_examples
from handover.teacher.calls import Purpose
from handover.utility import AspectUtility, read_utility
from tests.component.gold_world import World, always
from tests.projects import chosen
from tests.unit.test_cli import run


@pytest.fixture
def world(tmp_path: Path, database) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.runtime.close()


def correct(world: World, rows: Sequence[TaskRow], label: str, *, start: str, annotator: int, seconds: float) -> None:
    """Annotations that started from a prediction."""
    for row in rows:
        world.annotate([row], label, parent_prediction=row.ls_id, completed_by=annotator, lead_time=seconds)
        with world.runtime.database.write() as session:
            annotation = annotations_by_ls_id(session, world.project.id, [row.ls_id])[row.ls_id]
            result = chosen(start, id=1).result if start else []
            set_parent(annotation, StoredPrediction(result, "stage-teacher-x"))


def read(world: World) -> AspectUtility:
    with world.runtime.database.read() as session:
        return read_utility(session, world.settings, ls_project_id=7)[0]


def test_utility_compares_annotations_with_what_they_started_from(world: World) -> None:
    others = [*world.rows("train"), *world.rows("dev")]
    correct(world, others[:6], "Bid", start="Bid", annotator=1, seconds=4)
    correct(world, others[6:8], "Offer", start="Bid", annotator=1, seconds=6)
    correct(world, others[8:14], "Offer", start="", annotator=1, seconds=10)
    world.annotate(world.rows()[:5], "Bid", completed_by=2, lead_time=20)
    report = read(world).report
    assert (report.total.tasks, report.total.untouched.count, report.total.untouched.n) == (19, 6, 8)
    first, second = report.annotators
    assert (first.annotator, first.assisted_seconds, first.blind_seconds) == (1, 4.0, 10.0)
    assert (second.untouched.n, second.blind_seconds) == (0, 20.0)
    assert first.minutes_saved == pytest.approx(6 * 8 / 60)


def test_utility_leaves_out_what_nobody_knows(world: World) -> None:
    row = world.rows("train")[0]
    world.annotate([row], "Bid", parent_prediction=5)
    world.annotate(world.rows("train")[1:2], "Bid", import_id=3)
    assert read(world).report.total.tasks == 0
    with world.runtime.database.write() as session:
        set_parent(annotations_by_ls_id(session, world.project.id, [row.ls_id])[row.ls_id], None)
    assert read(world).report.total.tasks == 0, "the prediction is gone"


def test_anchoring_sets_the_teacher_on_blind_gold_beside_what_people_corrected(world: World) -> None:
    """The teacher says Bid to all: people who see that agree, people who do not say Offer half of the time."""
    gold = world.rows()[:40]
    world.annotate(gold[:20], "Bid")
    world.annotate(gold[20:], "Offer")
    world.look(world.student("any", always("Trade")))
    others = [*world.rows("train"), *world.rows("dev")][:40]
    ask(world.runtime, world.project, world.aspect, others, purpose=Purpose.PREFETCH)
    correct(world, others[:30], "Bid", start="Bid", annotator=1, seconds=3)
    correct(world, others[30:35], "Offer", start="Trade", annotator=1, seconds=3)
    world.annotate(others[35:], "Offer")
    gap = read(world).gap
    assert gap is not None
    assert (gap.blind, gap.blind_n, gap.assisted, gap.assisted_n) == (0.5, 40, 1.0, 30)
    assert gap.is_shown
    row = others[0]
    example = {"task_id": row.id, "step": 1, "wanted": 1, "text_field": "text", "text": "x", "text_key": row.text_key}
    with world.runtime.database.write() as session:
        replace_examples(session, world.aspect.id, [{**example, "annotation": {}}])
    without = read(world).gap
    assert without is not None
    assert without.assisted_n == 29, "an example in the prompt is no evidence"
    text = "\n".join(lines_of([read(world)]))
    assert "86% [71%, 94%] of 35 suggestions accepted untouched" in text
    assert "people drift towards the suggestions" in text
    code, output = run("utility", "-p", "7", "--json")
    assert code == 0
    assert json.loads(output)[0]["anchoring"]["gap"] == 0.5
