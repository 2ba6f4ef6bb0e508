"""After the handover in the real Label Studio: the texts change, the student falls behind, the teacher returns."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from scripts.simulate import Annotator, annotate
from scripts.stack import LabelStudio
from tests.integration.market import Market, market
from tests.waiting import wait_until

FIRST, LATER, LEFT = 90, 100, 20


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory, label_studio: LabelStudio, token: str) -> Iterator[Market]:
    """One training only: later ones would learn the new rule before the student is caught."""
    settings = {"min_train": "50", "retrain_growth": "10", "look_after": "4"}
    with market(tmp_path_factory.mktemp("shift"), label_studio, token, number=FIRST, **settings) as sides:
        yield sides


@pytest.fixture(scope="module")
def annotator(label_studio: LabelStudio, token: str) -> Iterator[Annotator]:
    annotator = Annotator(label_studio.url, token)
    yield annotator
    annotator.close()


def shifted(number: int) -> dict[str, str]:
    """New texts with the words of a bid, which are offers from now on."""
    draw = random.Random(7)
    goods = "barley palladium lithium ethanol rubber cocoa tin gasoil soybeans cobalt".split()
    places = "Genoa Busan Callao Lagos Gdansk Mersin Chennai".split()
    texts = (
        f"{draw.choice(places)} {draw.randrange(10**6)} {draw.choice(goods)} is bid for {draw.randrange(10**8)} "
        f"lot {draw.randrange(10**8)}"
        for _ in range(number)
    )
    return dict.fromkeys(texts, "Offer")


def decisions(sides: Market) -> list[dict[str, Any]]:
    done = sides.backend.run("decisions", "--project", str(sides.ls_id), "--json")
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def shown(api: httpx.Client, sides: Market) -> tuple[str, dict[str, set[str]]]:
    """The version that Label Studio shows, and what it shows on open tasks, by whether they have content at all."""
    version = str(api.get(f"/api/projects/{sides.ls_id}/").json()["model_version"])
    query = {"project": sides.ls_id, "fields": "all", "page_size": 1000}
    tasks = [task for task in api.get("/api/tasks/", params=query).json()["tasks"] if not task["is_labeled"]]
    found: dict[str, set[str]] = {}
    for task in tasks:
        now = [p for p in task["predictions"] if p["model_version"] == version and p["result"]]
        found[task["data"]["text"]] = {p["result"][0]["value"]["choices"][0] for p in now}
    return version, found


def import_tasks(api: httpx.Client, sides: Market, texts: dict[str, str]) -> None:
    before = sum(sides.status()["tasks"].values())
    answer = api.post(f"/api/projects/{sides.ls_id}/import", json=[{"text": text} for text in texts])
    assert answer.status_code == 201, answer.text
    wait_until(lambda: sum(sides.status()["tasks"].values()) == before + len(texts), backend=sides.backend)
    wait_until(sides.is_idle, timeout=90, backend=sides.backend)


def test_rollback_follows_a_shift_of_the_data(api: httpx.Client, sides: Market, annotator: Annotator) -> None:
    annotate(annotator, sides.ls_id, "side", sides.gold, limit=FIRST)
    wait_until(lambda: "-student-" in sides.status()["live_version"], timeout=120, backend=sides.backend)
    wait_until(sides.is_idle, timeout=90, backend=sides.backend)
    handed_over, student = sides.aspect(), sides.status()["live_version"]
    assert (handed_over["server"], handed_over["switch"]) == ("student", "promote")

    new = shifted(LATER)
    asked = len(sides.stub.requests)
    import_tasks(api, sides, new)
    version, found = shown(api, sides)
    assert version == student
    assert set().union(*found.values()) == {"Bid"}, "the student knows these words"
    assert len(sides.stub.requests) == asked, "nobody asks the teacher about what the student answers"
    offered = annotator.next_task(sides.ls_id)
    assert offered is not None
    assert {p["model_version"] for p in offered["predictions"]} <= {student}

    annotate(annotator, sides.ls_id, "side", new, limit=LATER - LEFT)
    wait_until(lambda: "-teacher-" in sides.status()["live_version"], timeout=90, backend=sides.backend)
    wait_until(sides.is_idle, timeout=90, backend=sides.backend)
    aspect = sides.aspect()
    assert (aspect["server"], aspect["switch"]) == ("teacher", "rollback")
    assert "fell behind" in aspect["switch_reason"]
    assert "gold tasks since the handover" in aspect["switch_reason"]


def test_rollback_is_what_label_studio_shows(api: httpx.Client, sides: Market) -> None:
    version, found = shown(api, sides)
    assert version == sides.status()["live_version"]
    assert version.startswith("side-teacher-")
    (backend,) = api.get("/api/ml/", params={"project": sides.ls_id}).json()
    assert backend["title"] == version
    assert len(found) == LEFT
    with_content = [answers for answers in found.values() if answers]
    assert len(with_content) > LEFT / 2
    assert all(answers == {"Offer"} for answers in with_content), "the teacher's answers again"


def test_rollback_is_in_the_decision_log(sides: Market) -> None:
    log = decisions(sides)
    moved = [(row["outcome"], row["actor"]) for row in log if row["applied"]]
    assert moved == [("rollback", "watch"), ("promote", "gate")]
    rollback = next(row for row in log if row["outcome"] == "rollback")
    assert rollback["n"] >= 12
    assert rollback["teacher_score"] > rollback["student_score"]
    assert rollback["high"] < 0
    text = sides.backend.run("decisions", "--project", str(sides.ls_id)).stdout
    assert "side: rollback" in text
    assert "decided by watch" in text
    assert "rolled back: " in sides.backend.run("status").stdout or "fell behind" in sides.backend.run("status").stdout


def test_promotion_by_hand_brings_the_old_student_back(api: httpx.Client, sides: Market) -> None:
    where = ("--project", str(sides.ls_id), "--as", "Anna", "--reason", "the old texts are back")
    done = sides.backend.run("promote", *where)
    assert done.returncode == 0, done.stderr
    wait_until(lambda: "-student-" in sides.status()["live_version"], backend=sides.backend)
    wait_until(sides.is_idle, backend=sides.backend)
    version, found = shown(api, sides)
    assert "-student-" in version
    assert set().union(*found.values()) == {"Bid"}
    newest = decisions(sides)[0]
    assert (newest["outcome"], newest["actor"], newest["author"]) == ("promote", "person", "Anna")
    assert newest["reason"] == "the old texts are back"
