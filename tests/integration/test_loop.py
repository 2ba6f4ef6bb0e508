"""The whole loop in the real Label Studio: annotate, train, gate, switch; and what each event does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from scripts.simulate import Annotator, annotate, regions
from scripts.stack import LabelStudio
from tests.integration.market import CONFIG, Market, market
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory, label_studio: LabelStudio, token: str) -> Iterator[Market]:
    with market(tmp_path_factory.mktemp("sides"), label_studio, token) as sides:
        wait_until(lambda: sides.aspect()["answers"].get("ok"), backend=sides.backend)
        wait_until(sides.is_idle, backend=sides.backend)
        yield sides


@pytest.fixture
def annotator(label_studio: LabelStudio, token: str) -> Iterator[Annotator]:
    annotator = Annotator(label_studio.url, token)
    yield annotator
    annotator.close()


def tasks_of(api: httpx.Client, sides: Market) -> list[dict[str, Any]]:
    query = {"project": sides.ls_id, "fields": "all", "page_size": 1000}
    return list(api.get("/api/tasks/", params=query).json()["tasks"])


def post(api: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = api.post(path, json=body)
    assert answer.status_code < 300, answer.text
    return dict(answer.json())


def test_connect_sets_webhook_with_secretless_header_backend_and_version(api: httpx.Client, sides: Market) -> None:
    (backend,) = api.get("/api/ml/", params={"project": sides.ls_id}).json()
    project = api.get(f"/api/projects/{sides.ls_id}/").json()
    version = sides.status()["live_version"]
    assert version.startswith("side-teacher-claude-sonnet-5-5-")
    assert (backend["url"], backend["title"], backend["state"]) == (sides.backend.url, version, "CO")
    assert project["model_version"] == version
    hooks = [hook for hook in api.get("/api/webhooks/").json() if hook["project"] == sides.ls_id]
    assert [hook["url"] for hook in hooks] == [f"{sides.backend.url}/webhook"]


def test_connect_again_changes_nothing(api: httpx.Client, sides: Market, token: str) -> None:
    before = sides.status()
    done = sides.backend.run("connect", "--project", str(sides.ls_id), "--token-stdin", stdin=token + "\n")
    assert done.returncode == 0, done.stdout + done.stderr
    wait_until(sides.is_idle, backend=sides.backend)
    assert sides.status() == before
    assert len(api.get("/api/ml/", params={"project": sides.ls_id}).json()) == 1
    assert len([hook for hook in api.get("/api/webhooks/").json() if hook["project"] == sides.ls_id]) == 1


def test_connect_that_fails_leaves_no_webhook_behind(api: httpx.Client, sides: Market, token: str) -> None:
    ls_id = api.post("/api/projects/", json={"title": "Other", "label_config": CONFIG}).json()["id"]
    sides.backend.env["HANDOVER_PUBLIC_URL"] = "http://127.0.0.1:9"
    done = sides.backend.run("connect", "--token-stdin", "--project", str(ls_id), stdin=token + "\n")
    del sides.backend.env["HANDOVER_PUBLIC_URL"]
    assert done.returncode == 1
    assert "Label Studio could not connect to this backend at http://127.0.0.1:9." in done.stderr
    assert api.get("/api/webhooks/", params={"project": ls_id}).json() == []


def test_gold_tasks_hold_no_prediction_and_all_others_do(api: httpx.Client, sides: Market) -> None:
    status = sides.status()
    tasks = tasks_of(api, sides)
    with_content = [task for task in tasks if any(p["result"] for p in task["predictions"])]
    assert len(with_content) == status["tasks"]["train"] + status["tasks"]["dev"]
    assert len(tasks) - len(with_content) == status["tasks"]["gold"] > 20
    assert all(set(task["data"]) == {"text"} for task in tasks), "other fields of the file stay out"


def test_retrieving_predictions_leaves_gold_blind(api: httpx.Client, sides: Market) -> None:
    blind = [task["id"] for task in tasks_of(api, sides) if not task["predictions"]]
    body = {"selectedItems": {"all": False, "included": blind[:5]}, "ordering": []}
    answer = api.post("/api/dm/actions", params={"id": "retrieve_tasks_predictions", "project": sides.ls_id}, json=body)
    assert answer.status_code == 200, answer.text
    after = {task["id"]: task for task in tasks_of(api, sides)}
    assert all(not after[ls_id]["predictions"] for ls_id in blind)


def test_events_each_have_their_effect(api: httpx.Client, sides: Market) -> None:
    text, right = next(iter(sides.gold.items()))
    task = next(task for task in tasks_of(api, sides) if task["data"]["text"] == text)
    before = sides.status()
    annotation = post(api, f"/api/tasks/{task['id']}/annotations/", {"result": regions("side", right, text)})
    assert sides.status()["finished"] == before["finished"] + 1

    other = post(api, f"/api/tasks/{task['id']}/annotations/", {"result": regions("side", "Bid", text)})
    third = post(api, f"/api/tasks/{task['id']}/annotations/", {"result": regions("side", "Offer", text)})
    usable = ("train", "dev", "gold")
    assert sum(sides.aspect()[split] for split in usable) == sum(before["aspects"][0][split] for split in usable) + 1
    assert api.delete(f"/api/annotations/{third['id']}/").status_code == 204
    assert api.delete(f"/api/annotations/{other['id']}/").status_code == 204

    answer = api.patch(f"/api/annotations/{annotation['id']}/", json={"result": regions("side", "Offer", text)})
    assert answer.status_code == 200
    assert sides.history(annotation["id"]) == ["created", "updated"]

    skipped = api.patch(f"/api/annotations/{annotation['id']}/", json={"was_cancelled": True})
    assert skipped.status_code == 200
    assert sum(sides.aspect()[split] for split in usable) == sum(before["aspects"][0][split] for split in usable)
    assert api.delete(f"/api/annotations/{annotation['id']}/").status_code == 204
    assert sides.status()["finished"] == before["finished"]
    assert sides.history(annotation["id"]) == ["created", "updated", "updated", "deleted"]
    assert sides.history(third["id"]) == ["created", "deleted"]


def test_events_of_tasks_are_followed(api: httpx.Client, sides: Market) -> None:
    before = sum(sides.status()["tasks"].values())
    text = "platinum Osaka is bid for 12345 cargo 678901234"
    answer = api.post(f"/api/projects/{sides.ls_id}/import", params={"return_task_ids": True}, json=[{"text": text}])
    assert answer.status_code == 201, answer.text
    (ls_id,) = answer.json()["task_ids"]
    wait_until(lambda: sum(sides.status()["tasks"].values()) == before + 1, backend=sides.backend)
    body = {"selectedItems": {"all": False, "included": [ls_id]}}
    api.post("/api/dm/actions", params={"id": "delete_tasks", "project": sides.ls_id}, json=body)
    wait_until(lambda: sum(sides.status()["tasks"].values()) == before, backend=sides.backend)


def test_loop_hands_over_and_label_studio_shows_the_student(
    api: httpx.Client, sides: Market, annotator: Annotator
) -> None:
    tally = annotate(annotator, sides.ls_id, "side", sides.gold, limit=110)
    assert (tally.done, tally.blind > 12) == (110, True)
    wait_until(lambda: "-student-" in sides.status()["live_version"], timeout=180, backend=sides.backend)
    sides.backend.run("retrain", "--project", str(sides.ls_id))
    wait_until(sides.is_idle, timeout=120, backend=sides.backend)
    aspect, version = sides.aspect(), sides.status()["live_version"]
    assert aspect["server"] == "student"
    assert aspect["student_score"] > aspect["teacher_score"]
    assert aspect["scored_on"] >= 12
    assert aspect["voided"] == 0
    (backend,) = api.get("/api/ml/", params={"project": sides.ls_id}).json()
    assert backend["title"] == version
    assert api.get(f"/api/projects/{sides.ls_id}/").json()["model_version"] == version
    open_tasks = [task for task in tasks_of(api, sides) if not task["is_labeled"]]
    shown = {
        task["data"]["text"]: p["result"][0]["value"]["choices"][0]
        for task in open_tasks
        for p in task["predictions"]
        if p["model_version"] == version and p["result"]
    }
    assert len(shown) > 20
    right = sum(sides.gold[text] == choice for text, choice in shown.items())
    assert right / len(shown) > 0.8, "the LLM would have half of them right"
    offered = annotator.next_task(sides.ls_id)
    assert offered is not None
    assert {p["model_version"] for p in offered["predictions"]} <= {version}


def test_start_training_button_trains(api: httpx.Client, sides: Market) -> None:
    (backend,) = api.get("/api/ml/", params={"project": sides.ls_id}).json()
    before = {job["id"] for job in sides.jobs("retrain")}
    answer = api.post(f"/api/ml/{backend['id']}/train")
    assert answer.status_code == 200, answer.text
    wait_until(lambda: {job["id"] for job in sides.jobs("retrain")} - before, backend=sides.backend)
    wait_until(sides.is_idle, timeout=120, backend=sides.backend)


def test_gold_annotated_from_a_foreign_prediction_is_voided(api: httpx.Client, sides: Market) -> None:
    before = sides.aspect()
    gold = [task for task in tasks_of(api, sides) if not task["is_labeled"] and not task["predictions"]]
    task, text = gold[0], gold[0]["data"]["text"]
    result = regions("side", sides.gold[text], text)
    foreign = post(api, "/api/predictions/", {"task": task["id"], "result": result, "model_version": "someone-elses"})
    post(api, f"/api/tasks/{task['id']}/annotations/", {"result": result, "parent_prediction": foreign["id"]})
    wait_until(lambda: sides.aspect()["voided"] == before["voided"] + 1, backend=sides.backend)
    assert sides.aspect()["gold"] == before["gold"]


def test_config_change_with_other_labels_goes_back_to_the_teacher(api: httpx.Client, sides: Market) -> None:
    config = CONFIG.replace("</Choices>", '<Choice value="None"/></Choices>')
    assert api.patch(f"/api/projects/{sides.ls_id}/", json={"label_config": config}).status_code == 200
    wait_until(lambda: "-teacher-" in sides.status()["live_version"], timeout=90, backend=sides.backend)
    assert sides.aspect()["labels"] == ("Bid", "Offer", "None")
    version = sides.status()["live_version"]
    assert api.get(f"/api/projects/{sides.ls_id}/").json()["model_version"] == version
