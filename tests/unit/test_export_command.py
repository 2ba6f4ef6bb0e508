"""What `handover export` picks, and what it tells about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from handover.commands import export as command
from handover.commands.export import ExportRequest, export
from handover.errors import NotFoundError
from handover.intake import adopt_project, apply_config
from handover.settings import Settings
from handover.store.database import Database
from handover.store.models import AspectRow, DecisionRow, EvaluationRow, StudentRow
from handover.store.projects import aspects_of
from tests.projects import CHOICE_CONFIG, ENTITY_CONFIG


class Artifacts:
    def fetch(self, version: str) -> Path:
        return Path("/students") / version


class StubRuntime:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.settings = Settings()
        self.artifacts = Artifacts()


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What would be written, instead of writing it."""
    seen: dict[str, Any] = {}

    def write(parts: Any, target: Path, **more: Any) -> Path:
        seen.update(parts=parts, target=target, **more)
        return target

    monkeypatch.setattr(command, "export_students", write)
    return seen


def student(version: str, **more: Any) -> StudentRow:
    values = {"recipe": "choice-bow", "uri": "", "n_train": 40, "n_dev": 10, "n_silver": 7, "used_silver": False}
    return StudentRow(version=version, dev_score=0.9, seconds=1.0, **{**values, "report": {}, **more})


@pytest.fixture
def runtime(database: Database) -> Any:
    """Two projects that ask for the stage, the first with a champion and a newer student, and one for the terms."""
    with database.write() as session:
        rows = []
        for ls_id, config in ((7, CHOICE_CONFIG), (8, CHOICE_CONFIG), (9, ENTITY_CONFIG)):
            project = adopt_project(session, ls_id, title=f"Project {ls_id}", sampling="Sequential sampling")
            apply_config(session, project, config, max_text_chars=50_000)
            rows.append(aspects_of(session, project.id)[0])
        champion = student(
            "aaa",
            aspect_id=rows[0].id,
            used_silver=True,
            report={"calibration": {"document": {"after": {"ece": 0.04}}}},
        )
        session.add_all([champion, student("bbb", aspect_id=rows[0].id), student("ccc", aspect_id=rows[1].id)])
        session.flush()
        rows[0].champion_id = champion.id
        scores = {"metric": "cats_acc", "teacher_score": 0.8, "student_score": 0.9, "details": {}}
        ids = {"aspect_id": rows[0].id, "student_id": champion.id, "teacher_id": "claude-x-12345678"}
        evaluation = EvaluationRow(**ids, gold_hash="g", n=60, **scores)
        session.add(evaluation)
        session.flush()
        details = {"low": 0.01, "high": 0.19}
        decision = DecisionRow(**ids, evaluation_id=evaluation.id, outcome="promote", reason="It won.", details=details)
        session.add_all([decision, DecisionRow(**ids, outcome="keep", reason="About another look.", details={})])
    return StubRuntime(database)


def facts(written: dict[str, Any]) -> list[Any]:
    return [part.facts for part in written["parts"]]


def test_export_takes_no_student_of_other_labels_unless_it_is_named(runtime: Any, written: dict[str, Any]) -> None:
    with runtime.database.write() as session:
        row = session.scalars(select(AspectRow)).first()
        row.champion_id = None
        session.add(student("old", aspect_id=row.id, report={"labels": ["Bid", "Spam"]}))
    assert export(runtime, ExportRequest(Path("out"), projects=(7,), name="deals")).students == {"stage": "bbb"}
    named = ExportRequest(Path("out"), projects=(7,), name="deals", versions=("old",), force=True)
    assert export(runtime, named).students == {"stage": "old"}


def test_export_takes_the_champion_and_tells_its_scores(runtime: Any, written: dict[str, Any]) -> None:
    done = export(runtime, ExportRequest(Path("out"), projects=(7,), name="deals"))
    assert (done.path, done.students, written["name"]) == (Path("out"), {"stage": "aaa"}, "deals")
    assert [part.path for part in written["parts"]] == [Path("/students/aaa")]
    assert facts(written) == [
        {
            "aspect": "stage",
            "project": "Project 7",
            "kind": "choice",
            "labels": ["Bid", "Offer", "Trade"],
            "span_labels": [],
            "text_field": "text",
            "version": "aaa",
            "recipe": "choice-bow",
            "is_champion": True,
            "n_train": 40,
            "n_dev": 10,
            "n_silver": 7,
            "dev_score": 0.9,
            "gold": 60,
            "metric": "cats_acc",
            "gold_score": 0.9,
            "teacher": "claude-x",
            "prompt_hash": "12345678",
            "teacher_score": 0.8,
            "decision": "It won.",
            "low": 0.01,
            "high": 0.19,
            "ece": 0.04,
        }
    ]


def test_export_of_the_newest_student_where_there_is_no_champion(runtime: Any, written: dict[str, Any]) -> None:
    export(runtime, ExportRequest(Path("out"), projects=(8,)))
    (fact,) = facts(written)
    assert (fact["version"], fact["is_champion"], fact["n_silver"]) == ("ccc", False, 0)
    assert "gold" not in fact


def test_export_of_several_projects_tells_equal_aspects_apart(runtime: Any, written: dict[str, Any]) -> None:
    done = export(runtime, ExportRequest(Path("out"), projects=(8, 7, 8), versions=("bbb",)))
    assert done.students == {"stage_8": "ccc", "stage_7": "bbb"}
    assert [fact["aspect"] for fact in facts(written)] == ["stage_8", "stage_7"]


def test_export_of_all_leaves_out_what_has_no_student(runtime: Any, written: dict[str, Any]) -> None:
    done = export(runtime, ExportRequest(Path("out")))
    assert done.students == {"stage_7": "aaa", "stage_8": "ccc"}
    assert done.left_out == ("terms",)


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (ExportRequest(Path("out"), projects=(9,)), "Aspect 'terms' has no student yet"),
        (ExportRequest(Path("out"), projects=(7, 9)), "Aspect 'terms' has no student yet"),
        (ExportRequest(Path("out"), projects=(7, 5)), "Project 5 is not connected"),
        (ExportRequest(Path("out"), projects=(7,), aspects=("stag",)), "Project 7 has no aspect 'stag'"),
        (ExportRequest(Path("out"), versions=("zzz",)), r"the student 'zzz' \(has: stage: bbb, aaa"),
    ],
)
def test_export_of_what_is_not_there(runtime: Any, written: dict[str, Any], request_: ExportRequest, says: str) -> None:
    with pytest.raises(NotFoundError, match=says):
        export(runtime, request_)
    assert not written
