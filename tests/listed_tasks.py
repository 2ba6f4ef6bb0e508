"""Label Studio's list of tasks behind the SDK: filters, order and pages, and what happens between two pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

from handover.labelstudio.client import LabelStudioClient, ProjectInfo
from handover.labelstudio.protocol import TaskIn
from tests.projects import CHOICE_CONFIG

COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "greater": lambda a, b: a > b,
    "greater_or_equal": lambda a, b: a >= b,
    "less_or_equal": lambda a, b: a <= b,
}


class ListedTasks:
    """Tasks in memory. `after_page` is called with the number of a page (from 0) once that was read.

    As in Label Studio there is no order among tasks that changed at the same time, and the server may give shorter
    pages than it is asked for.
    """

    def __init__(self, *, largest_page: int = 100) -> None:
        self.rows: dict[int, SimpleNamespace] = {}
        self.largest_page = largest_page
        self.after_page: Callable[[int], None] = lambda _number: None
        self.pages = 0

    def put(self, task: TaskIn, at: datetime, *annotations: dict[str, Any]) -> None:
        """A task as it is from now on."""
        self.rows[task.id] = SimpleNamespace(
            id=task.id, data=task.data, annotations=list(annotations), updated_at=at.isoformat()
        )

    def list(self, *, page: int, page_size: int, query: str, **_more: Any) -> SimpleNamespace:
        """What `sdk.tasks.list` answers."""
        asked = json.loads(query)
        rows = [row for row in self.rows.values() if all(_holds(row, item) for item in asked["filters"]["items"])]
        field = asked["ordering"][0].removeprefix("tasks:")
        rows.sort(key=lambda row: (_value(row, field), -row.id))
        size = min(page_size, self.largest_page)
        found = [SimpleNamespace(**vars(row)) for row in rows[(page - 1) * size : page * size]]
        self.pages += 1
        self.after_page(self.pages - 1)
        return SimpleNamespace(items=found)

    def client(self) -> LabelStudioClient:
        """Our client on these tasks."""
        client = LabelStudioClient("http://label-studio", "0" * 40)
        client._sdk = SimpleNamespace(tasks=self)
        client.project = lambda ls_id: ProjectInfo(ls_id, "Market", CHOICE_CONFIG, "", "Sequential sampling")  # type: ignore[method-assign]
        client.has_task = lambda ls_id: ls_id in self.rows  # type: ignore[method-assign]
        return client


def _value(row: SimpleNamespace, field: str) -> Any:
    return row.id if field == "id" else datetime.fromisoformat(row.updated_at)


def _holds(row: SimpleNamespace, item: dict[str, Any]) -> bool:
    field = item["filter"].removeprefix("filter:tasks:")
    value = item["value"]
    if field == "updated_at":
        value = datetime.strptime(value, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    return COMPARE[item["operator"]](_value(row, field), value)
