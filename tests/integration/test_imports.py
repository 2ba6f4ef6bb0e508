"""What Label Studio says of annotations that no person made, and of those that people made: what we rely on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from handover.labelstudio import client as client_module
from handover.labelstudio.client import LabelStudioClient, NewPrediction, TaskState
from scripts.stack import LabelStudio
from tests.integration.market import CONFIG
from tests.waiting import wait_until

RESULT = [{"from_name": "side", "to_name": "text", "type": "choices", "value": {"choices": ["Bid"]}}]


@pytest.fixture
def client(label_studio: LabelStudio, token: str) -> Iterator[LabelStudioClient]:
    client = LabelStudioClient(label_studio.url, token)
    yield client
    client.close()


@pytest.fixture
def project(client: LabelStudioClient) -> int:
    return client.create_project("Imports", CONFIG).id


def load(api: httpx.Client, project: int, *rows: dict[str, Any]) -> None:
    assert api.post(f"/api/projects/{project}/import", json=list(rows)).status_code == 201


def act(api: httpx.Client, project: int, action: str, included: list[int], **more: Any) -> None:
    body = {"selectedItems": {"all": False, "included": included}, "project": str(project), **more}
    answer = api.post("/api/dm/actions", params={"id": action, "project": project}, json=body)
    assert answer.status_code == 200, answer.text


def annotate(api: httpx.Client, ls_task_id: int, **more: Any) -> int:
    answer = api.post(f"/api/tasks/{ls_task_id}/annotations/", json={"result": RESULT, **more})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def by_text(client: LabelStudioClient, project: int) -> dict[str, TaskState]:
    return {state.task.data["text"]: state for state in client.task_states(project)}


def test_imports_are_told_from_what_people_annotate(api: httpx.Client, client: LabelStudioClient, project: int) -> None:
    load(
        api,
        project,
        {"data": {"text": "bare"}, "annotations": [{"result": RESULT}]},
        {"data": {"text": "numbered"}, "annotations": [{"id": 0, "result": RESULT, "lead_time": 3}]},
        {"data": {"text": "marked"}, "annotations": [{"result": RESULT, "ground_truth": False}]},
        *({"data": {"text": text}} for text in ("predicted", "person", "timed", "truth", "open")),
    )
    states = by_text(client, project)
    predicted = states["predicted"].task.id
    client.push_predictions(project, [NewPrediction(predicted, [], 0.0, "v1")])
    act(api, project, "predictions_to_annotations", [predicted], model_version="v1")
    annotate(api, states["person"].task.id)
    annotate(api, states["timed"].task.id, lead_time=3)
    annotate(api, states["truth"].task.id, ground_truth=True)
    states = by_text(client, project)
    found = {text: [a.is_imported for a in state.annotations] for text, state in states.items()}
    assert found == {
        "bare": [True], "numbered": [True], "marked": [True], "predicted": [True],
        "person": [False], "timed": [False], "truth": [False], "open": [],
    }  # fmt: skip
    marks = {text: states[text].annotations[0].ground_truth for text in ("bare", "marked", "predicted", "truth")}
    assert marks == {"bare": True, "marked": False, "predicted": False, "truth": True}
    assert states["predicted"].annotations[0].parent_prediction is not None
    assert all(state.unreadable == () for state in states.values())


def test_imports_that_somebody_saved_since_are_bulk_no_longer(
    api: httpx.Client, client: LabelStudioClient, project: int
) -> None:
    load(api, project, {"data": {"text": "bare"}, "annotations": [{"result": RESULT}]})
    (before,) = by_text(client, project)["bare"].annotations
    assert api.patch(f"/api/annotations/{before.id}/", json={"ground_truth": True}).status_code == 200
    (after,) = by_text(client, project)["bare"].annotations
    assert (before.is_bulk, after.is_bulk, after.updated_at > before.updated_at) == (True, False, True)


def test_removed_duplicates_leave_their_annotations_to_another_task(
    api: httpx.Client, client: LabelStudioClient, project: int
) -> None:
    load(api, project, {"data": {"text": "twin"}}, {"data": {"text": "twin"}})
    first, second = sorted(client.task_ids(project))
    kept = [annotate(api, ls_id) for ls_id in (first, second)]
    act(api, project, "remove_duplicates", [first, second])
    wait_until(lambda: not all(client.has_task(ls_id) for ls_id in (first, second)))
    (state,) = client.task_states(project)
    assert sorted(annotation.id for annotation in state.annotations) == kept


def test_tasks_are_read_in_pages_by_time_and_by_id(
    api: httpx.Client, client: LabelStudioClient, project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(api, project, *({"data": {"text": f"text {i}"}} for i in range(23)))
    ids = sorted(client.task_ids(project))
    client.push_predictions(project, [NewPrediction(ls_id, RESULT, 0.5, "v1") for ls_id in ids])
    act(api, project, "predictions_to_annotations", ids[:15], model_version="v1")  # all at the very same time
    annotate(api, ids[3])
    monkeypatch.setattr(client_module, "PAGE_SIZE", 4)
    states = list(client.task_states(project))
    assert sorted(client.task_ids(project)) == ids
    assert sorted(state.task.id for state in states) == ids
    times = [state.updated_at for state in states]
    assert times == sorted(times)
    assert len(set(times)) == 23 - 15 + 2
    assert [s.task.id for s in client.task_states(project, updated_after=times[-2])] == [ids[3]]
    assert not list(client.task_states(project, updated_after=times[-1]))
    since = times[-1] - timedelta(microseconds=1)
    assert [s.task.id for s in client.task_states(project, updated_after=since)] == [ids[3]]


def test_tasks_that_are_gone_are_gone(api: httpx.Client, client: LabelStudioClient, project: int) -> None:
    load(api, project, {"data": {"text": "one"}}, {"data": {"text": "two"}})
    first, second = sorted(client.task_ids(project))
    assert api.delete(f"/api/tasks/{first}/").status_code == 204
    assert (client.has_task(first), client.has_task(second)) == (False, True)
