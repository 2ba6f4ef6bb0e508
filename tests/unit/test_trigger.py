"""When a retrain is due."""

from __future__ import annotations

import pytest

from handover.intake import apply_annotation, apply_tasks, options_for
from handover.jobs.trigger import changes_needed, is_due
from handover.settings import Settings
from handover.store.projects import aspects_of
from tests.unit.conftest import chosen, tasks


@pytest.mark.parametrize(("finished", "expected"), [(0, 20), (100, 20), (101, 21), (1000, 200)])
def test_trigger_needs_more_changes_as_the_data_grow(finished: int, expected: int) -> None:
    assert changes_needed(finished, Settings(retrain_after=20, retrain_growth=0.2)) == expected


def test_trigger_counts_changes_and_not_totals(database, project) -> None:
    settings = Settings(min_train=4, retrain_after=5, retrain_growth=0.0)
    with database.write() as session:
        rows = apply_tasks(session, project, tasks(10), options_for(project, settings))
        (aspect,) = aspects_of(session, project.id)
        for number in range(1, 5):
            apply_annotation(session, project, rows[number], chosen("Bid", id=number))
            assert not is_due(session, aspect, settings)
        apply_annotation(session, project, rows[4], chosen("Offer", id=4, seconds=9))
        assert is_due(session, aspect, settings), "four annotations, five changes"
        aspect.trained_revision = 5
        assert not is_due(session, aspect, settings), "the training saw them all"


def test_trigger_waits_for_enough_to_train_on(database, project) -> None:
    settings = Settings(min_train=6, retrain_after=2, retrain_growth=0.0)
    with database.write() as session:
        rows = apply_tasks(session, project, tasks(10), options_for(project, settings))
        (aspect,) = aspects_of(session, project.id)
        due = []
        for number in range(1, 8):
            apply_annotation(session, project, rows[number], chosen("Bid", id=number))
            due.append(is_due(session, aspect, settings))
    assert due == [False] * 5 + [True, True]
