"""Who answers, and what is never shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from handover.domain import Annotation, Span, Split
from handover.errors import NotFoundError
from handover.labelstudio.protocol import TaskIn
from handover.preannotation import Shown
from handover.runtime import Runtime
from handover.serving import Note, compose, go_live, live, predict, register, version_of, wanted
from handover.settings import Settings
from handover.store.models import ProjectRow, StudentRow, TaskRow
from handover.store.projects import aspects_of, get_project
from handover.store.tasks import count_open_by_push, tasks_by_ls_id
from tests.projects import CHOICE_CONFIG, ENTITY_CONFIG, tasks

BOTH = CHOICE_CONFIG.replace("</View>", ENTITY_CONFIG.split("<View>")[1].split("<Text")[0] + "</View>")


@pytest.fixture
def runtime(tmp_path: Path, database, settings: Settings) -> Iterator[Runtime]:
    """A runtime whose teacher knows the answers to most tasks: Bid, and nonsense for every tenth."""
    path = tmp_path / "recorded.jsonl"
    rows = []
    for task in tasks(60)[:50]:
        stage = "gibberish" if task.id % 10 == 0 else '{"label": "Bid"}'
        first = task.data["text"].split()[0]
        terms = json.dumps({"entities": [{"text": first, "label": "PLACE"}]})
        rows.append({"text": task.data["text"], "aspect": "stage", "completion": stage})
        rows.append({"text": task.data["text"], "aspect": "terms", "completion": terms})
    path.write_text("\n".join(json.dumps(row) for row in rows))
    settings = Settings(teacher="recorded", teacher_recorded=path)
    runtime = Runtime(settings)
    yield runtime
    runtime.close()


def shown(runtime: Runtime, project: ProjectRow, given: list[TaskIn]) -> dict[int, list[dict]]:
    """The regions that are shown, by Label Studio's task id; tasks without any are missing."""
    predictions = predict(runtime, project.ls_id, given)
    assert len(predictions) == len(given)
    return {p.ls_task_id: p.result for p in predictions if p is not None and p.result}


def rows_of(runtime: Runtime, project: ProjectRow) -> dict[int, TaskRow]:
    with runtime.database.read() as session:
        return tasks_by_ls_id(session, project.id, [task.id for task in tasks(60)])


def test_serving_never_gives_content_to_gold_nor_shows_what_was_not_understood(runtime: Runtime) -> None:
    project = register(runtime, 7, CHOICE_CONFIG)
    found = shown(runtime, project, tasks(60))
    splits = {ls_id: row.split for ls_id, row in rows_of(runtime, project).items()}
    expected = {i for i in range(1, 51) if i % 10 and splits[i] != Split.GOLD.value}
    assert set(found) == expected
    assert sum(split == "gold" for split in splits.values()) > 5
    assert {region["value"]["choices"][0] for regions in found.values() for region in regions} == {"Bid"}


@pytest.mark.parametrize(("sampling", "entries"), [("Sequential sampling", 0), ("Uncertainty sampling", 1)])
def test_serving_keeps_gold_in_the_queue_of_uncertainty_sampling(runtime: Runtime, sampling: str, entries: int) -> None:
    project = register(runtime, 7, CHOICE_CONFIG, sampling=sampling)
    predictions = predict(runtime, 7, tasks(60))
    gold = [row.ls_id for row in rows_of(runtime, project).values() if row.split == "gold"]
    given = [p for p in predictions if p is not None and p.ls_task_id in gold]
    assert len(given) == entries * len(gold)
    assert all((p.result, p.score, p.model_version) == ([], 0.0, project.live_version) for p in given)


def test_serving_puts_several_aspects_into_one_prediction(runtime: Runtime) -> None:
    project = register(runtime, 7, BOTH)
    found = shown(runtime, project, tasks(60))
    names = {ls_id: sorted({region["from_name"] for region in regions}) for ls_id, regions in found.items()}
    assert set(map(tuple, names.values())) == {("stage", "terms"), ("terms",)}
    assert all((names[i] == ["terms"]) == (i % 10 == 0) for i in names), "an aspect not understood is left out"
    assert project.live_version.startswith("0-of-2-students-")


def test_serving_asks_about_a_task_once(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    project = register(runtime, 7, CHOICE_CONFIG)
    first = shown(runtime, project, tasks(40))
    monkeypatch.setattr("handover.serving.ask", lambda *_args: pytest.fail("asked again"))
    assert shown(runtime, project, tasks(40)) == first


def test_serving_follows_an_edit_of_the_text(runtime: Runtime) -> None:
    project = register(runtime, 7, CHOICE_CONFIG)
    ls_id = next(iter(shown(runtime, project, tasks(40))))
    assert not shown(runtime, project, [TaskIn(id=ls_id, data={"text": "nobody recorded an answer to this"})])


def test_serving_follows_a_config_that_shows_another_field(tmp_path: Path, database) -> None:
    answers = [("Bid", f"title {i * 7919}") for i in range(9)] + [("Trade", f"body {i * 7919}") for i in range(9)]
    lines = [json.dumps({"text": text, "completion": json.dumps({"label": label})}) for label, text in answers]
    recorded = tmp_path / "both.jsonl"
    recorded.write_text("\n".join(lines))
    runtime = Runtime(Settings(teacher="recorded", teacher_recorded=recorded))
    given = [TaskIn(id=i, data={"title": f"title {i * 7919}", "body": f"body {i * 7919}"}) for i in range(1, 9)]
    said = []
    for field in ("$title", "$body"):
        project = register(runtime, 7, CHOICE_CONFIG.replace("$text", field))
        said.append([result[0]["value"]["choices"] for result in shown(runtime, project, given).values() if result])
    runtime.close()
    assert len(said[0]) == len(said[1]) > 3
    assert (said[0][0], said[1][0]) == (["Bid"], ["Trade"])


def test_serving_without_a_teacher_shows_nothing(database, settings: Settings) -> None:
    runtime = Runtime(Settings(teacher="none"))
    project = register(runtime, 7, CHOICE_CONFIG)
    assert project.live_version == "stage-teacher-none"
    assert shown(runtime, project, tasks(40)) == {}
    runtime.close()


def test_serving_moves_version_and_answers_together(runtime: Runtime) -> None:
    project = register(runtime, 7, CHOICE_CONFIG)
    with runtime.database.write() as session:
        (row,) = aspects_of(session, project.id)
        student = StudentRow(
            aspect_id=row.id, version="abc", recipe="r", uri="", n_train=1, n_dev=1, n_silver=0, used_silver=False,
            dev_score=1.0, report={}, seconds=0.0,
        )  # fmt: skip
        session.add(student)
        session.flush()
        row.server, row.champion_id = "student", student.id
    with runtime.database.write() as session:
        project = get_project(session, project.id)
        before = live(session, project)
        after = wanted(session, runtime, project)
        assert (before[0].student, after[0].student) == (None, "abc")
        assert version_of(after) == "stage-student-abc" != project.live_version == version_of(before)
        go_live(project, after)
        assert project.live_version == "stage-student-abc"
        assert live(session, project)[0].student == "abc"


def test_serving_survives_a_student_that_cannot_be_loaded(runtime: Runtime) -> None:
    test_serving_moves_version_and_answers_together(runtime)
    assert predict(runtime, 7, tasks(5)) == [None] * 5


def test_serving_leaves_out_a_stored_answer_that_does_not_fit_any_more(runtime: Runtime, caplog) -> None:
    project = register(runtime, 7, CHOICE_CONFIG)
    given = shown(runtime, project, tasks(40))
    with runtime.database.read() as session:
        served = live(session, project)
        row = tasks_by_ls_id(session, project.id, [next(iter(given))]).popitem()[1]
    stale = {(row.id, served[0].row.id): Shown(Annotation(cats=("Gone",)), None)}
    prediction = compose(project, served, row, stale)
    assert prediction is None or prediction.result == []
    assert "Gone" in caplog.text


def test_serving_gives_each_region_its_own_score(runtime: Runtime) -> None:
    project = register(runtime, 7, ENTITY_CONFIG)
    shown(runtime, project, tasks(40))
    with runtime.database.read() as session:
        served = live(session, project)
        rows = tasks_by_ls_id(session, project.id, range(1, 41)).values()
        row = next(row for row in rows if row.split != Split.GOLD.value)
    spans = (Span(0, 2, "PLACE"), Span(3, 5, "PRICE"))
    given = {(row.id, served[0].row.id): Shown(Annotation(spans=spans), 0.25, (0.75, 0.5))}
    prediction = compose(project, served, row, given)
    assert prediction is not None
    assert prediction.score == 0.25
    assert [region["score"] for region in prediction.result] == [0.75, 0.5]


RELATION_CONFIG = """
<View>
  <Text name="text" value="$text"/>
  <Relations><Relation value="in"/></Relations>
  <Labels name="terms" toName="text" choice="multiple"><Label value="GOOD"/><Label value="PLACE"/></Labels>
</View>
"""


def test_serving_sends_a_region_once_that_two_aspects_predict(tmp_path: Path, database) -> None:
    text = "copper in Santos, zinc in Santos"
    spans = [{"start": 0, "end": 6, "label": "GOOD"}, {"start": 10, "end": 16, "label": "PLACE"}]
    zinc = {"start": 18, "end": 22, "label": "GOOD"}
    graph = {"spans": [*spans, zinc], "relations": [{"head": 0, "child": 1, "label": "in"}]}
    path = tmp_path / "both.jsonl"
    path.write_text(json.dumps({"text": text, "teacher": {"relations": graph, "terms": [spans[0], zinc]}}))
    runtime = Runtime(Settings(teacher="recorded", teacher_recorded=path))
    try:
        project = register(runtime, 7, RELATION_CONFIG)
        (regions,) = shown(runtime, project, [TaskIn(id=1, data={"text": text})]).values()
    finally:
        runtime.close()
    by_words = {region["value"]["text"]: region["id"] for region in regions if region["type"] == "labels"}
    assert sorted(by_words) == ["Santos", "copper", "zinc"]
    assert len(regions) == 4
    (relation,) = [region for region in regions if region["type"] == "relation"]
    assert (relation["from_id"], relation["to_id"]) == (by_words["copper"], by_words["Santos"])


def test_serving_refuses_a_project_that_is_not_connected(runtime: Runtime) -> None:
    with pytest.raises(NotFoundError, match="Project 99 is not connected"):
        predict(runtime, 99, tasks(1))


def test_serving_notes_what_was_sent_when_it_is_told_to(runtime: Runtime) -> None:
    project = register(runtime, 7, CHOICE_CONFIG)
    notes: list[Note] = []
    predictions = [p for p in predict(runtime, 7, tasks(20), afterwards=notes.append) if p is not None]

    def pushed() -> int:
        with runtime.database.read() as session:
            return count_open_by_push(session, project.id, project.live_version)[0]

    assert (len(notes), pushed()) == (1, 0)
    notes[0]()
    assert pushed() == len(predictions) > 0
