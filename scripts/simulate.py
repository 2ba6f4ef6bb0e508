"""Play an annotator through Label Studio's own API, task by task through the label stream as the browser does.

The gold labels of the sample data stand in for the person: a task without a prediction is answered from
scratch; on the others the answer starts from the prediction and is corrected where that is wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

LEAD_TIME_BLIND = 9.0  # seconds, what a person might need
LEAD_TIME_CORRECTING = 4.0


@dataclass
class Tally:
    """What an annotator did: tasks done, of them blind, accepted untouched; versions of the predictions seen."""

    done: int = 0
    blind: int = 0
    untouched: int = 0
    versions: Counter[str] = field(default_factory=Counter)


class Annotator:
    """A person at work in Label Studio."""

    def __init__(self, url: str, token: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=120)
        self._token = token
        self._login()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def next_task(self, ls_project_id: int) -> dict[str, Any] | None:
        """The task that the label stream offers next, None when nothing is left."""
        answer = self._request("GET", f"/api/projects/{ls_project_id}/next")
        return None if answer is None else dict(answer)

    def submit(
        self, ls_task_id: int, result: list[dict[str, Any]], *, parent: int | None = None, seconds: float = 5.0
    ) -> int:
        """Submit an annotation, started from the prediction `parent` if there is one; returns its id."""
        body = {"result": result, "lead_time": seconds, "parent_prediction": parent}
        answer = self._request("POST", f"/api/tasks/{ls_task_id}/annotations/", json=body)
        assert answer is not None
        return int(answer["id"])

    def _request(self, method: str, path: str, **options: Any) -> Any:
        answer = self._http.request(method, path, **options)
        if answer.status_code == httpx.codes.UNAUTHORIZED:  # access tokens live for five minutes
            self._login()
            answer = self._http.request(method, path, **options)
        if answer.status_code == httpx.codes.NOT_FOUND and path.endswith("/next"):
            return None
        answer.raise_for_status()
        return answer.json()

    def _login(self) -> None:
        answer = self._http.post("/api/token/refresh", json={"refresh": self._token})
        answer.raise_for_status()
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access']}"


def regions(name: str, gold: Any, text: str, *, to_name: str = "text") -> list[dict[str, Any]]:
    """A gold label or gold spans as Label Studio's result."""
    if isinstance(gold, str):
        return [{"from_name": name, "to_name": to_name, "type": "choices", "value": {"choices": [gold]}}]
    return [
        {
            "id": f"s{number}",
            "from_name": name,
            "to_name": to_name,
            "type": "labels",
            "value": {
                "start": span["start"],
                "end": span["end"],
                "text": text[span["start"] : span["end"]],
                "labels": [span["label"]],
            },
        }
        for number, span in enumerate(gold)
    ]


def annotate(
    annotator: Annotator,
    ls_project_id: int,
    name: str,
    gold: Mapping[str, Any],
    *,
    limit: int,
    on_task: Callable[[Tally], None] = lambda _tally: None,
) -> Tally:
    """Do up to `limit` tasks of a project in the order of the label stream."""
    tally = Tally()
    while tally.done < limit:
        task = annotator.next_task(ls_project_id)
        if task is None:
            break
        _do(annotator, task, name, gold, tally)
        on_task(tally)
    return tally


def _do(annotator: Annotator, task: dict[str, Any], name: str, gold: Mapping[str, Any], tally: Tally) -> None:
    text = task["data"]["text"]
    answer = regions(name, gold[text], text)
    prediction = next((p for p in task.get("predictions") or [] if p["result"]), None)
    if prediction is None:
        annotator.submit(task["id"], answer, seconds=LEAD_TIME_BLIND)
        tally.blind += 1
    else:
        same = _essence(prediction["result"]) == _essence(answer)
        annotator.submit(task["id"], answer, parent=prediction["id"], seconds=LEAD_TIME_CORRECTING)
        tally.untouched += same
        tally.versions[prediction["model_version"]] += 1
    tally.done += 1


def _essence(result: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    values = (region["value"] for region in result)
    return sorted((v.get("start", 0), v.get("end", 0), *(v.get("choices") or v.get("labels") or ())) for v in values)
