"""What happens when Redis, the database or Label Studio is away, and that everything is made up for afterwards."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from scripts.simulate import Annotator, annotate, regions
from scripts.stack import LabelStudio
from tests.integration.market import Market, market
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory, label_studio: LabelStudio, token: str) -> Iterator[Market]:
    # Trainings only on demand, so that the tests decide when something happens.
    with market(tmp_path_factory.mktemp("out"), label_studio, token, number=80, retrain_after="1000") as sides:
        wait_until(lambda: sides.aspect()["answers"].get("ok"), backend=sides.backend)
        wait_until(sides.is_idle, backend=sides.backend)
        yield sides


def tasks_of(api: httpx.Client, sides: Market) -> list[dict]:
    query = {"project": sides.ls_id, "fields": "all", "page_size": 1000}
    return list(api.get("/api/tasks/", params=query).json()["tasks"])


def an_open_task(api: httpx.Client, sides: Market) -> dict:
    return next(task for task in tasks_of(api, sides) if not task["is_labeled"])


def submit(api: httpx.Client, sides: Market, task: dict) -> int:
    text = task["data"]["text"]
    answer = api.post(f"/api/tasks/{task['id']}/annotations/", json={"result": regions("side", sides.gold[text], text)})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def predict_body(task: dict, sides: Market) -> dict:
    return {"tasks": [{"id": task["id"], "data": task["data"]}], "project": f"{sides.ls_id}.1", "label_config": ""}


def timed_post(url: str, body: dict) -> tuple[int, float, dict]:
    started = time.monotonic()
    answer = httpx.post(url, json=body, timeout=30)
    return answer.status_code, time.monotonic() - started, answer.json()


def redis_of(sides: Market) -> psutil.Process:
    folder = str(Path(sides.backend.env["HANDOVER_DATA_DIR"]) / "redis")
    return next(p for p in psutil.process_iter(["cmdline"]) if folder in " ".join(p.info["cmdline"] or []))


def event_for(task: dict, sides: Market, number: int) -> dict:
    text = task["data"]["text"]
    annotation = {
        "id": number,
        "task": task["id"],
        "result": regions("side", sides.gold[text], text),
        "updated_at": "2026-01-01T00:00:00Z",
    }
    return {"action": "ANNOTATION_CREATED", "project": {"id": sides.ls_id}, "annotation": annotation, "task": task}


def test_outage_of_redis_answers_503_at_once_and_loses_nothing(api: httpx.Client, sides: Market) -> None:
    redis = redis_of(sides)
    before = sides.status()["finished"]
    os.kill(redis.pid, signal.SIGSTOP)  # it hangs, which is worse than being gone
    try:
        event = {"action": "START_TRAINING", "project": {"id": sides.ls_id}}
        status, seconds, body = timed_post(f"{sides.backend.url}/webhook", event)
        assert (status, list(body)) == (503, ["error"])
        assert "Redis" in body["error"]
        assert seconds < 1.0
        submit(api, sides, an_open_task(api, sides))
        assert sides.status()["finished"] == before + 1, "the annotation itself needs no Redis"
    finally:
        os.kill(redis.pid, signal.SIGCONT)
    event = {"action": "TASKS_CREATED", "project": {"id": sides.ls_id}}
    status, _, body = timed_post(f"{sides.backend.url}/webhook", event)
    assert status == 200, "it recovers without a restart"
    wait_until(sides.is_idle, backend=sides.backend)


def test_outage_of_a_killed_redis_ends_by_itself(sides: Market) -> None:
    os.kill(redis_of(sides).pid, signal.SIGKILL)
    event = {"action": "TASKS_CREATED", "project": {"id": sides.ls_id}}

    def answers() -> bool:
        return timed_post(f"{sides.backend.url}/webhook", event)[0] == 200

    wait_until(answers, timeout=30, backend=sides.backend)
    if sides.backend.workers[0].process is None or sides.backend.workers[0].process.poll() is not None:
        sides.backend.workers.clear()
        sides.backend.start_worker()
    wait_until(sides.is_idle, timeout=60, backend=sides.backend)


def test_outage_of_the_database_answers_503_at_once_and_reconcile_makes_up(api: httpx.Client, sides: Market) -> None:
    before = sides.status()["finished"]
    task = an_open_task(api, sides)
    path = Path(sides.backend.env["HANDOVER_DATA_DIR"]) / "handover.db"
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    try:
        status, seconds, body = timed_post(f"{sides.backend.url}/webhook", event_for(task, sides, 999_999))
        assert (status, seconds < 1.0) == (503, True), body
        assert "database" in body["error"]
        submit(api, sides, task)
    finally:
        blocker.execute("ROLLBACK")
        blocker.close()
    assert sides.status()["finished"] == before, "the webhook was lost"
    done = sides.backend.run("sync", "--project", str(sides.ls_id))
    assert done.returncode == 0, done.stderr
    assert sides.status()["finished"] == before + 1
    again = sides.backend.run("sync", "--project", str(sides.ls_id))
    assert "0 changed" in again.stdout, "the same twice changes nothing"


def test_outage_of_the_backend_is_made_up_at_its_start(api: httpx.Client, sides: Market) -> None:
    before = sides.status()
    tasks = [task for task in tasks_of(api, sides) if not task["is_labeled"]]
    sides.backend.server.stop()
    kept = [submit(api, sides, task) for task in tasks[:3]]
    gone = submit(api, sides, tasks[3])
    assert api.delete(f"/api/annotations/{gone}/").status_code == 204
    api.post(
        "/api/dm/actions",
        params={"id": "delete_tasks", "project": sides.ls_id},
        json={"selectedItems": {"all": False, "included": [tasks[4]["id"]]}},
    )
    sides.backend.server.start()
    sides.backend.server.wait_for(f"{sides.backend.url}/health", timeout=60)
    wait_until(lambda: sides.status()["finished"] == before["finished"] + len(kept), backend=sides.backend)
    wait_until(
        lambda: sum(sides.status()["tasks"].values()) == sum(before["tasks"].values()) - 1, backend=sides.backend
    )


def test_outage_of_label_studio_never_leaves_half_a_switch(
    api: httpx.Client, sides: Market, label_studio: LabelStudio, token: str
) -> None:
    annotator = Annotator(label_studio.url, token)
    annotate(annotator, sides.ls_id, "side", sides.gold, limit=60)
    annotator.close()
    old = sides.status()["live_version"]
    process = label_studio.server.process
    assert process is not None
    os.killpg(process.pid, signal.SIGSTOP)
    try:
        sides.backend.run("retrain", "--project", str(sides.ls_id))
        wait_until(lambda: sides.aspect()["decision"] == "promote", timeout=120, backend=sides.backend)
        wait_until(lambda: [j for j in sides.jobs("refresh") if j["status"] == "started"], backend=sides.backend)
        assert sides.status()["live_version"] == old, "Label Studio and /setup still agree"
    finally:
        os.killpg(process.pid, signal.SIGCONT)
    wait_until(lambda: "-student-" in sides.status()["live_version"], timeout=120, backend=sides.backend)
    shown = api.get(f"/api/projects/{sides.ls_id}/").json()["model_version"]
    assert shown == sides.status()["live_version"]


def test_outage_of_the_worker_keeps_the_champion_and_the_next_training_runs(api: httpx.Client, sides: Market) -> None:
    champion = sides.status()["live_version"]
    submit(api, sides, an_open_task(api, sides))
    sides.backend.run("retrain", "--project", str(sides.ls_id))
    wait_until(lambda: [j for j in sides.jobs("retrain") if j["status"] == "started"], backend=sides.backend)
    sides.backend.workers.pop().kill()
    assert sides.status()["live_version"] == champion
    task = an_open_task(api, sides)
    status, _, body = timed_post(f"{sides.backend.url}/predict", predict_body(task, sides))
    assert status == 200
    assert all(entry["model_version"] == champion for entry in body["results"] if entry)
    sides.backend.start_worker()
    submit(api, sides, an_open_task(api, sides))
    sides.backend.run("retrain", "--project", str(sides.ls_id))
    wait_until(
        lambda: [j for j in sides.jobs("retrain") if j["status"] == "finished"][1:], timeout=180, backend=sides.backend
    )
