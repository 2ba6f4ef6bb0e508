"""The shapes of Label Studio's requests and of our answers (ML backend protocol and webhooks).

Only what Handover reads is declared; everything else in a request is ignored.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

One = TypeVar("One")


class Shape(BaseModel):
    """Base: unknown fields are ignored, types are checked."""

    model_config = ConfigDict(extra="ignore")


def project_id_of(value: Any) -> int:
    """The id in Label Studio's project reference, which is `12`, `"12"` or `"12.1730000000"`.

    Raises ValueError for anything else.
    """
    if isinstance(value, bool):
        raise ValueError(f"project must be an id, got {value!r}")
    if isinstance(value, int):
        return value
    head = str(value).split(".", 1)[0]
    if not head.isdecimal():
        raise ValueError(f"project must look like '12' or '12.1730000000', got {str(value)[:40]!r}")
    return int(head)


class TaskIn(Shape):
    """A task as Label Studio sends it."""

    id: int
    data: dict[str, Any]


class AnnotationIn(Shape):
    """An annotation as Label Studio sends it; `task` is missing where it is nested in its task."""

    id: int
    result: list[Any] = Field(default_factory=list)
    task: int | None = None
    was_cancelled: bool = False
    ground_truth: bool = False
    completed_by: int | None = None
    lead_time: float | None = None
    parent_prediction: int | None = None
    import_id: int | None = None
    last_action: str | None = None
    updated_at: datetime

    @field_validator("completed_by", mode="before")
    @classmethod
    def _user_id(cls, value: Any) -> Any:
        return value.get("id") if isinstance(value, dict) else value

    @field_validator("result", mode="before")
    @classmethod
    def _no_result(cls, value: Any) -> Any:
        return [] if value is None else value

    @property
    def is_imported(self) -> bool:
        """True when it came in with a file or through an import, not from a person at work in Label Studio."""
        return self.import_id is not None or self.last_action == "imported"


class ProjectIn(Shape):
    """A project as webhooks carry it."""

    id: int
    title: str = ""
    label_config: str = ""


class ReferenceIn(Shape):
    """An object of which Label Studio only tells the id."""

    id: int


class SetupRequest(Shape):
    """`POST /setup`."""

    project: str
    label_config: str = Field("", alias="schema")

    @property
    def ls_project_id(self) -> int:
        """The project's id in Label Studio."""
        return project_id_of(self.project)

    @field_validator("project", mode="before")
    @classmethod
    def _check_project(cls, value: Any) -> str:
        project_id_of(value)
        return str(value)


class PredictRequest(Shape):
    """`POST /predict`."""

    tasks: list[TaskIn]
    project: str
    label_config: str = ""

    @property
    def ls_project_id(self) -> int:
        """The project's id in Label Studio."""
        return project_id_of(self.project)

    @field_validator("project", mode="before")
    @classmethod
    def _check_project(cls, value: Any) -> str:
        project_id_of(value)
        return str(value)


class WebhookRequest(Shape):
    """`POST /webhook`: the parts that some action carries."""

    action: str = Field(min_length=1, max_length=100)
    project: ProjectIn | None = None
    annotation: AnnotationIn | list[AnnotationIn] | None = None
    task: TaskIn | list[TaskIn] | None = None
    annotations: list[ReferenceIn] | None = None
    tasks: list[ReferenceIn] | None = None

    @property
    def annotation_list(self) -> list[AnnotationIn]:
        """The annotations of the event, whether Label Studio sent one or several."""
        return _listed(self.annotation)

    @property
    def task_list(self) -> list[TaskIn]:
        """The tasks with data that came along."""
        return _listed(self.task)


def _listed(value: One | list[One] | None) -> list[One]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


class JobStatusRequest(Shape):
    """`POST /job_status`."""

    job: str = Field(min_length=1, max_length=200)


class PredictionOut(Shape):
    """One prediction of an answer to `/predict`."""

    model_config = ConfigDict(protected_namespaces=())

    result: list[dict[str, Any]]
    score: float | None = None
    model_version: str


class PredictResponse(Shape):
    """The answer to `/predict`: one entry per task, an empty list where nothing is shown."""

    results: list[PredictionOut | list[PredictionOut]]
