"""What Handover asks of Label Studio, through its SDK. Every failure is a LabelStudioError."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, TypeVar

import httpx
from label_studio_sdk.core.api_error import ApiError
from pydantic import TypeAdapter, ValidationError

from handover.errors import LabelStudioError
from handover.labelstudio.protocol import AnnotationIn, TaskIn

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

PAGE_SIZE = 500
_TIME = TypeAdapter(datetime)
WEBHOOK_HEADER = "X-Handover-Secret"


@dataclass(frozen=True)
class ProjectInfo:
    """What Handover wants to know of a Label Studio project."""

    id: int
    title: str
    label_config: str
    model_version: str
    sampling: str


@dataclass(frozen=True)
class Unreadable:
    """An annotation that Label Studio holds and Handover cannot read; `id` is None where even that is none."""

    id: int | None
    reason: str


@dataclass(frozen=True)
class TaskState:
    """A task with its annotations, as Label Studio holds them now."""

    task: TaskIn
    annotations: tuple[AnnotationIn, ...]
    updated_at: datetime
    unreadable: tuple[Unreadable, ...] = ()


@dataclass(frozen=True)
class NewPrediction:
    """A prediction to be stored in Label Studio."""

    ls_task_id: int
    result: list[dict[str, Any]]
    score: float | None
    model_version: str


@dataclass(frozen=True)
class StoredPrediction:
    """What a prediction in Label Studio shows, and whose it is."""

    result: list[dict[str, Any]]
    model_version: str


@dataclass(frozen=True)
class BasicAuth:
    """User name and password that Label Studio sends to the ML backend."""

    user: str
    password: str


class LabelStudioClient:
    """A thin layer over `label_studio_sdk.LabelStudio`, which takes Personal Access Tokens and legacy tokens."""

    def __init__(self, url: str, api_key: str, *, timeout: float = 60.0) -> None:
        from label_studio_sdk import LabelStudio  # noqa: PLC0415 - imports pandas: seconds, which most commands save

        self.url = url.rstrip("/")
        # Ours, because the SDK never closes the one it makes.
        self._http = httpx.Client(timeout=timeout, follow_redirects=True)
        self._sdk = LabelStudio(base_url=self.url, api_key=api_key, timeout=timeout, httpx_client=self._http)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def whoami(self) -> str:
        """E-mail of the user that the token belongs to."""
        return str(_call("asking who I am", self._sdk.users.whoami).email)

    def project(self, ls_project_id: int) -> ProjectInfo:
        """One project."""
        return _project_info(_call(f"reading project {ls_project_id}", self._sdk.projects.get, id=ls_project_id))

    def create_project(
        self, title: str, label_config: str, *, instruction: str = "", sampling: str = "Sequential sampling"
    ) -> ProjectInfo:
        """Create a project whose annotators see `instruction` first."""
        created = _call(
            f"creating project {title!r}",
            self._sdk.projects.create,
            title=title,
            label_config=label_config,
            expert_instruction=instruction,
            show_instruction=bool(instruction),
            sampling=sampling,
            show_collab_predictions=True,
        )
        return self.project(created.id)

    def import_tasks(self, ls_project_id: int, tasks: Sequence[dict[str, Any]]) -> int:
        """Import tasks given as `{field: value}`; returns how many Label Studio took."""
        number = 0
        for start in range(0, len(tasks), PAGE_SIZE):
            part = list(tasks[start : start + PAGE_SIZE])
            doing = f"importing tasks {start + 1} to {start + len(part)}"
            answer = _call(doing, self._sdk.projects.import_tasks, id=ls_project_id, request=part)
            number += answer.task_count or 0
        return number

    def task_states(self, ls_project_id: int, *, updated_after: datetime | None = None) -> Iterator[TaskState]:
        """Tasks with their annotations, oldest change first; only those changed after a time if one is given.

        A change of an annotation or a prediction counts as a change of its task. Each page begins where the last one
        ended in time, not at a number: a task that changes meanwhile comes again at the end, and no other is skipped.
        """
        since = updated_after
        while items := self._tasks_page(ls_project_id, _changed_after(since)):
            yield from _task_states(items)
            last, known = _time_of(items[-1]), {item.id for item in items}
            yield from _task_states(self._changed_at(ls_project_id, last, but=known))
            if since is not None and last <= since:
                return
            since = last

    def _changed_at(self, ls_project_id: int, at: datetime, *, but: set[int]) -> Iterator[Any]:
        """Tasks that an action on many changed at the very same time, without the known ones."""
        for item in self._by_id(ls_project_id, _between(at)):
            if item.id not in but:
                yield item

    def _by_id(self, ls_project_id: int, filters: list[dict[str, Any]], *, only_tasks: bool = False) -> Iterator[Any]:
        last = 0
        while items := self._tasks_page(ls_project_id, _after_id(last, filters), only_tasks=only_tasks):
            yield from items
            if items[-1].id <= last:
                return
            last = items[-1].id

    def task_ids(self, ls_project_id: int) -> set[int]:
        """The ids of all tasks of a project."""
        return {item.id for item in self._by_id(ls_project_id, [], only_tasks=True)}

    def has_task(self, ls_task_id: int) -> bool:
        """Whether Label Studio still holds a task."""
        http, path = self._sdk._client_wrapper.httpx_client, f"api/tasks/{ls_task_id}/"
        response = _call(f"GET {path}", http.request, path, method="GET")
        if response.status_code == httpx.codes.NOT_FOUND:
            return False
        if response.status_code >= httpx.codes.BAD_REQUEST:
            raise LabelStudioError(_refusal(f"GET {path}", response.status_code, response.text))
        return True

    def prediction(self, ls_prediction_id: int) -> StoredPrediction | None:
        """A prediction that Label Studio holds; None when it is gone."""
        try:
            prediction = self._sdk.predictions.get(id=ls_prediction_id)
        except ApiError as error:
            if error.status_code == httpx.codes.NOT_FOUND:
                return None
            raise _as_error(f"reading prediction {ls_prediction_id}", error) from error
        except httpx.HTTPError as error:
            raise _as_error(f"reading prediction {ls_prediction_id}", error) from error
        result = prediction.result if isinstance(prediction.result, list) else []
        plain = [region if isinstance(region, dict) else region.model_dump() for region in result]
        return StoredPrediction(result=plain, model_version=prediction.model_version or "")

    def push_predictions(self, ls_project_id: int, predictions: Sequence[NewPrediction]) -> int:
        """Store predictions in bulk; returns how many Label Studio took."""
        rows = [
            {"task": p.ls_task_id, "result": p.result, "score": p.score, "model_version": p.model_version}
            for p in predictions
        ]
        number = 0
        for start in range(0, len(rows), PAGE_SIZE):
            part = rows[start : start + PAGE_SIZE]
            doing = f"storing {len(part)} predictions"
            answer = _call(doing, self._sdk.projects.import_predictions, id=ls_project_id, request=part)
            number += answer.created or 0
        return number

    def ensure_webhook(self, ls_project_id: int, url: str, *, secret: str) -> int:
        """The project's webhook for all actions with this URL and our secret header; made or brought up to date."""
        headers = {WEBHOOK_HEADER: secret} if secret else {}
        wanted = {
            "url": url,
            "headers": headers,
            "send_payload": True,
            "send_for_all_actions": True,
            "is_active": True,
        }
        hooks = _call("listing webhooks", self._sdk.webhooks.list, project=str(ls_project_id))
        for hook in hooks:
            if hook.url == url and hook.project == ls_project_id:
                self._request("PATCH", f"api/webhooks/{hook.id}/", json=wanted)
                return int(hook.id)
        created = self._request("POST", "api/webhooks/", json={"project": ls_project_id, **wanted})
        return int(created["id"])

    def delete_webhook(self, ls_webhook_id: int) -> None:
        """Remove a webhook."""
        self._request("DELETE", f"api/webhooks/{ls_webhook_id}/")

    def ensure_ml_backend(self, ls_project_id: int, url: str, *, title: str, auth: BasicAuth | None) -> int:
        """The project's ML backend with this URL; connected or brought up to date.

        Label Studio calls /health and /setup at once, so the backend has to be running.
        """
        wanted = {"project": ls_project_id, "url": url, "title": title, "is_interactive": False, **_auth_fields(auth)}
        backends = _call("listing ML backends", self._sdk.ml.list, project=ls_project_id)
        for backend in backends:
            if (backend.url or "").rstrip("/") == url:
                self._request("PATCH", f"api/ml/{backend.id}", json=wanted)
                return int(backend.id or 0)
        return int(self._request("POST", "api/ml", json=wanted)["id"])

    def show_version(self, ls_project_id: int, ls_ml_backend_id: int, version: str, *, auth: BasicAuth | None) -> None:
        """Make Label Studio show this version: ML backend title and project.model_version move together.

        Renaming the backend moves the project along when both were equal before; asking for both makes the
        call complete what an interrupted one left half done.
        """
        path = f"api/ml/{ls_ml_backend_id}"
        # Label Studio calls the backend when it is changed, and takes URL and credentials from the request alone.
        url = self._request("GET", path)["url"]
        wanted = {"title": version, "project": ls_project_id, "url": url, **_auth_fields(auth)}
        self._request("PATCH", path, json=wanted)
        if self.project(ls_project_id).model_version != version:
            self._request("PATCH", f"api/projects/{ls_project_id}/", json={"model_version": version})

    def _tasks_page(self, ls_project_id: int, query: str, *, only_tasks: bool = False) -> list[Any]:
        fields: Any = "task_only" if only_tasks else "all"
        doing = f"listing the tasks of project {ls_project_id}"
        pager = _call(
            doing, self._sdk.tasks.list, project=ls_project_id, page=1, page_size=PAGE_SIZE, fields=fields, query=query
        )
        return list(pager.items or [])

    def _request(self, method: str, path: str, *, json: dict[str, Any] | None = None) -> dict[str, Any]:
        # The SDK's typed methods for these records lag behind the server's fields; its HTTP client does
        # the token exchange, so it is used directly.
        http = self._sdk._client_wrapper.httpx_client
        response = _call(f"{method} {path}", http.request, path, method=method, json=json)
        if response.status_code >= httpx.codes.BAD_REQUEST:
            raise LabelStudioError(_refusal(f"{method} {path}", response.status_code, response.text))
        body = response.json() if response.content else {}
        return body if isinstance(body, dict) else {}


def _call(doing: str, function: Callable[..., Result], *args: Any, **kwargs: Any) -> Result:
    try:
        return function(*args, **kwargs)
    except (ApiError, httpx.HTTPError, ValidationError) as error:
        raise _as_error(doing, error) from error


def _auth_fields(auth: BasicAuth | None) -> dict[str, str]:
    if auth is None:
        return {"auth_method": "NONE", "basic_auth_user": ""}
    return {"auth_method": "BASIC_AUTH", "basic_auth_user": auth.user, "basic_auth_pass": auth.password}


def _project_info(project: Any) -> ProjectInfo:
    return ProjectInfo(
        id=project.id,
        title=project.title or "",
        label_config=project.label_config or "",
        model_version=project.model_version or "",
        sampling=str(project.sampling or ""),
    )


def _task_states(items: Iterable[Any]) -> Iterator[TaskState]:
    for item in items:
        state = _task_state(item)
        if state is not None:
            yield state


def _task_state(item: Any) -> TaskState | None:
    """One that cannot be read must not keep the others from being read: annotations are set aside, a task is left
    out."""
    updated_at = _time_of(item)
    try:
        task = TaskIn(id=item.id, data=item.data if isinstance(item.data, dict) else {}, updated_at=updated_at)
    except ValidationError as error:
        logger.warning("Task %s of Label Studio cannot be read and is left out: %s", item.id, _fields_of(error))
        return None
    raw = item.annotations if isinstance(item.annotations, list) else []
    read = [_read_annotation(a if isinstance(a, dict) else a.model_dump(), task.id) for a in raw]
    return TaskState(
        task=task,
        annotations=tuple(a for a in read if isinstance(a, AnnotationIn)),
        updated_at=updated_at,
        unreadable=tuple(a for a in read if isinstance(a, Unreadable)),
    )


def _read_annotation(raw: dict[str, Any], ls_task_id: int) -> AnnotationIn | Unreadable:
    try:
        return AnnotationIn.model_validate({"task": ls_task_id, **raw})
    except ValidationError as error:
        given = raw.get("id")
        return Unreadable(given if isinstance(given, int) else None, f"cannot be read: {_fields_of(error)}")


def _fields_of(error: ValidationError) -> str:
    """What was wrong with which field, without what was in it."""
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False)[:3])


def _time_of(item: Any) -> datetime:
    """When a task was changed last; the SDK gives a string or a time, by endpoint."""
    return _TIME.validate_python(item.updated_at)


def _changed_after(time: datetime | None) -> str:
    return _query([_compare("updated_at", "greater", time)] if time else [], "updated_at")


def _between(time: datetime) -> list[dict[str, Any]]:
    return [_compare("updated_at", operator, time) for operator in ("greater_or_equal", "less_or_equal")]


def _after_id(ls_task_id: int, filters: list[dict[str, Any]]) -> str:
    return _query([*filters, _compare("id", "greater", ls_task_id)], "id")


def _compare(field: str, operator: str, value: datetime | int) -> dict[str, Any]:
    given: dict[str, Any] = {"filter": f"filter:tasks:{field}", "operator": operator, "type": "Number", "value": value}
    if isinstance(value, datetime):
        stamp = value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        given |= {"type": "Datetime", "value": stamp}
    return given


def _query(filters: list[dict[str, Any]], order: str) -> str:
    return json.dumps({"filters": {"conjunction": "and", "items": filters}, "ordering": [f"tasks:{order}"]})


def _as_error(doing: str, error: Exception) -> LabelStudioError:
    if isinstance(error, ApiError) and error.status_code is not None:
        return LabelStudioError(_refusal(doing, error.status_code, error.body))
    return LabelStudioError(
        f"Label Studio could not be reached while {doing} ({type(error).__name__}). Check HANDOVER_LABEL_STUDIO_URL "
        "and that Label Studio is running; jobs try again by themselves."
    )


def _refusal(doing: str, status: int, body: Any) -> str:
    hints: dict[int, str] = {
        httpx.codes.UNAUTHORIZED: "Check the token: Account & Settings in Label Studio shows it.",
        httpx.codes.FORBIDDEN: (
            "Check what the token's user may do; Label Studio also refuses backends on private addresses unless it "
            "runs with SSRF_PROTECTION_ENABLED=false and ML_BLOCK_LOCAL_IP=false."
        ),
        httpx.codes.NOT_FOUND: "Check the id, and that the token's user may see it.",
    }
    return f"Label Studio answered {status} while {doing}: {_said(body)} {hints.get(status, '')}".rstrip()


def _said(body: Any) -> str:
    """What Label Studio says for people in the body of an error."""
    with contextlib.suppress(ValueError, TypeError):
        body = json.loads(body)
    parts = [body.get("detail"), body.get("validation_errors")] if isinstance(body, dict) else []
    return (" ".join(str(part) for part in parts if part) or str(body))[:300]
