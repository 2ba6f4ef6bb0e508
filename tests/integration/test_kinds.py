"""Choices, overlapping spans and relations in the real Label Studio: taken as predictions, read as annotations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.orm import Session

from handover.domain import Annotation, Aspect, Span
from handover.examples import load_examples
from handover.labelstudio.convert import read_result, write_result
from handover.labelstudio.label_config import parse_label_config
from handover.settings import Settings
from handover.status import read_status
from handover.store.database import Database
from handover.store.projects import aspects_of, project_by_ls_id
from scripts.stack import Backend, LabelStudio, stopping
from tests.waiting import wait_until

CONFIG = """
<View>
  <Choices name="topics" toName="text" choice="multiple"><Choice value="Price"/><Choice value="Place"/></Choices>
  <Labels name="phrases" toName="text" choice="multiple"><Label value="GOOD"/><Label value="PLACE"/></Labels>
  <Relations><Relation value="in"/><Relation value="near"/></Relations>
  <Text name="text" value="$text"/>
</View>
"""
ASPECTS = {aspect.name: aspect for aspect in parse_label_config(CONFIG).aspects}
FRAMES = ("%s in Santos", "👩‍🚀🚢🇧🇷 %s in Santos", "first 😀\r\nline\r\n%s in Santos", "е́ מתכת %s in Santos")
GOODS = "copper|zinc|diesel|wheat|sugar|urea".split("|")


def answers(text: str, good: str) -> dict[str, Annotation]:
    """What the teacher says: nested spans, the same words with two labels, two relations between two spans."""
    whole = Span(text.index(good), len(text), "GOOD")
    good_span = Span(whole.start, whole.start + len(good), "GOOD")
    place = Span(text.index("Santos"), len(text), "PLACE")
    twin = Span(place.start, place.end, "GOOD")
    edges = [(good_span, place, "in"), (good_span, place, "near"), (place, twin, "near"), (twin, place, "near")]
    return {
        "topics": Annotation(cats=("Price", "Place") if good < "t" else ()),
        "phrases": Annotation(spans=tuple(sorted([whole, good_span, place, twin]))),
        "relations": Annotation.connecting([good_span, place, twin], edges),
    }


def recorded(annotation: Annotation, aspect: Aspect) -> Any:
    if aspect.name == "topics":
        return list(annotation.cats)
    spans = [{"start": s.start, "end": s.end, "label": s.label} for s in annotation.spans]
    relations = [{"head": r.head, "child": r.child, "label": r.label} for r in annotation.relations]
    return spans if aspect.name == "phrases" else {"spans": spans, "relations": relations}


@dataclass
class Project:
    """A connected project, and what its recorded teacher says about each text."""

    backend: Backend
    ls_id: int
    answers: dict[str, dict[str, Annotation]]

    @property
    def settings(self) -> Settings:
        return Settings(data_dir=Path(self.backend.env["HANDOVER_DATA_DIR"]))

    @contextmanager
    def read(self) -> Iterator[Session]:
        """The store, without the seconds that starting a command takes."""
        database = Database(self.settings.store_url)
        with database.read() as session:
            yield session
        database.close()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, label_studio: LabelStudio, token: str) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("kinds")
    found = {frame % good: answers(frame % good, good) for frame in FRAMES for good in GOODS}
    lines = [
        json.dumps({"text": text, "teacher": {name: recorded(said[name], ASPECTS[name]) for name in ASPECTS}})
        for text, said in found.items()
    ]
    (folder / "tasks.jsonl").write_text("\n".join(lines))
    (folder / "kinds.xml").write_text(CONFIG)
    backend = Backend(
        folder, label_studio.url, teacher="recorded", teacher_recorded=str(folder / "tasks.jsonl"), gold_share="0.05"
    )
    with stopping(backend):
        backend.start()
        files = ["--config", str(folder / "kinds.xml"), "--data", str(folder / "tasks.jsonl")]
        done = backend.run("connect", "--token-stdin", "--title", "Kinds", *files, stdin=token + "\n")
        assert done.returncode == 0, done.stdout + done.stderr
        status = json.loads(backend.run("status", "--json").stdout)
        yield Project(backend, max(p["ls_id"] for p in status["projects"]), found)


def tasks_of(api: httpx.Client, project: Project) -> list[dict[str, Any]]:
    query = {"project": project.ls_id, "fields": "all", "page_size": 1000}
    return list(api.get("/api/tasks/", params=query).json()["tasks"])


def predicted(api: httpx.Client, project: Project) -> list[dict[str, Any]]:
    return [task for task in tasks_of(api, project) if task["predictions"]]


def test_kinds_predictions_are_taken_and_come_back_identical(api: httpx.Client, project: Project) -> None:
    with project.read() as session:
        (status,) = read_status(session, project.settings).to_json()["projects"]
    assert [(a["name"], a["kind"]) for a in status["aspects"]] == [
        ("topics", "choices"),
        ("phrases", "spans"),
        ("relations", "relations"),
    ]
    assert status["set_aside"] == ()
    blind = status["tasks"].get("gold", 0)
    expected_tasks = len(project.answers) - blind
    wait_until(lambda: len(predicted(api, project)) == expected_tasks > 15, backend=project.backend)
    for task in predicted(api, project):
        text, (prediction,) = task["data"]["text"], task["predictions"]
        said = project.answers[text]
        ids = {region["id"] for region in prediction["result"] if region["type"] == "labels"}
        assert len(ids) == len(said["phrases"].spans), "regions that two aspects predict are there once"
        for name, aspect in ASPECTS.items():
            reading = read_result(prediction["result"], aspect, text)
            assert (reading.repaired, reading.set_aside) == (0, ())
            expected = said[name]
            if name == "relations":  # the other spans of the tag are read along
                expected = Annotation.connecting(said["phrases"].spans, expected.edges)
            assert reading.annotation == expected
            sent = write_result(said[name], aspect, text)
            assert all(part in prediction["result"] for part in sent)


def test_kinds_annotations_are_read_as_people_make_them(api: httpx.Client, project: Project) -> None:
    with project.read() as session:
        row = project_by_ls_id(session, project.ls_id)
        assert row is not None
        aspects = {aspect.name: aspect for aspect in aspects_of(session, row.id)}
    task = next(task for task in predicted(api, project) if "👩" in task["data"]["text"])
    text = task["data"]["text"]
    start = text.index("in Santos")

    def region(id: str, begin: int, end: int, *labels: str) -> dict[str, Any]:
        value = {"start": begin, "end": end, "text": text[begin:end], "labels": list(labels)}
        names = {"from_name": "phrases", "to_name": "text", "type": "labels", "origin": "manual"}
        return {"id": id, "value": value, **names}

    result = [
        region("aa", start, start + 9, "GOOD"),
        region("bb", start + 3, start + 9, "PLACE", "GOOD"),
        {"type": "relation", "from_id": "aa", "to_id": "bb", "direction": "left", "labels": ["in"]},
    ]
    answer = api.post(f"/api/tasks/{task['id']}/annotations/", json={"result": result})
    assert answer.status_code == 201, answer.text

    def examples(name: str) -> list[Annotation]:
        with project.read() as session:
            found = load_examples(session, aspects[name], max_text_chars=50_000)
        return [example.annotation for example in (*found.train, *found.dev)]

    wait_until(lambda: examples("phrases"), backend=project.backend)
    outer, *inner = (
        Span(start, start + 9, "GOOD"),
        Span(start + 3, start + 9, "GOOD"),
        Span(start + 3, start + 9, "PLACE"),
    )
    assert examples("topics") == [Annotation()], "none of them applies"
    assert examples("phrases") == [Annotation(spans=(outer, *inner))]
    assert examples("relations") == [Annotation.connecting([outer, *inner], [(head, outer, "in") for head in inner])]
