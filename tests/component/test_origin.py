"""From which student a training may go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from handover.jobs.origin import find_origin, trained_anew
from handover.runtime import Runtime
from handover.settings import Settings
from handover.store.models import AspectRow, StudentRow
from handover.store.projects import aspects_of

LABELS = ["Bid", "Offer", "Trade"]
Add = Callable[..., StudentRow]


@pytest.fixture
def runtime(database) -> Iterator[Runtime]:
    runtime = Runtime(Settings(warm_from=100))
    yield runtime
    runtime.close()


@pytest.fixture
def row(runtime: Runtime, project) -> AspectRow:
    with runtime.database.read() as session:
        (row,) = aspects_of(session, project.id)
    return row


@pytest.fixture
def add(runtime: Runtime, row: AspectRow, tmp_path: Path) -> Add:
    """Puts a student into the store; its files are one file."""

    def add(version: str, n_train: int, **changes: Any) -> StudentRow:
        folder = tmp_path / version
        folder.mkdir()
        (folder / "meta.json").write_text("{}")
        values: dict[str, Any] = {
            "recipe": "choice-cnn", "uri": runtime.artifacts.save(folder, version, {}), "n_dev": 10, "n_silver": 0,
            "used_silver": False, "dev_score": 0.9, "report": {"labels": LABELS, "origin": None}, "seconds": 1.0,
        }  # fmt: skip
        student = StudentRow(aspect_id=row.id, version=version, n_train=n_train, **{**values, **changes})
        with runtime.database.write() as session:
            session.add(student)
        return student

    return add


def test_origin_is_the_newest_student_with_fewer_texts(runtime: Runtime, row: AspectRow, add: Add) -> None:
    assert find_origin(runtime, row, 150) is None
    add("first", 110)
    add("second", 120)
    found = find_origin(runtime, row, 150)
    assert found is not None
    assert (found.version, found.recipe, found.trained_anew) == ("second", "choice-cnn", 120)
    assert (found.path / "meta.json").is_file()
    again = find_origin(runtime, row, 120)
    assert again is not None
    assert again.version == "first", "the same data give the same student again"


@pytest.mark.parametrize(
    ("n_train", "changes"),
    [
        (99, {}),
        (240, {}),
        (150, {"used_silver": True}),
        (150, {"recipe": "choice-head"}),
        (150, {"report": {"labels": LABELS[:2], "origin": None}}),
        (150, {"report": {"labels": LABELS, "origin": {"version": "x", "trained_anew": 75}}}),
        (150, {"report": {}}),
    ],
)
def test_origin_is_none_where_going_on_may_cost_quality(
    runtime: Runtime, row: AspectRow, add: Add, n_train: int, changes: dict[str, Any]
) -> None:
    add("earlier", 90 if n_train == 99 else 120, **changes)
    assert find_origin(runtime, row, n_train) is None


def test_origin_passes_on_when_its_line_started_anew(runtime: Runtime, row: AspectRow, add: Add) -> None:
    student = add("earlier", 120, report={"labels": LABELS, "origin": {"version": "x", "trained_anew": 80}})
    assert trained_anew(student) == 80
    found = find_origin(runtime, row, 150)
    assert found is not None
    assert found.trained_anew == 80
    assert find_origin(runtime, row, 160) is None, "twice as many as when it started anew"


def test_origin_is_none_when_its_files_are_gone_or_it_is_switched_off(
    runtime: Runtime, row: AspectRow, add: Add
) -> None:
    add("earlier", 120)
    never = Runtime(Settings(warm_from=0))
    assert find_origin(never, row, 150) is None
    never.close()
    assert find_origin(runtime, row, 150) is not None
    runtime.artifacts.delete("earlier")
    assert find_origin(runtime, row, 150) is None
