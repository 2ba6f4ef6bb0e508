"""The shapes of Label Studio's requests and of our answers (ML backend protocol and webhooks).

Only what Handover reads is declared; everything else in a request is ignored.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator

One = TypeVar("One")


MAX_ID = 2**63 - 1
MAX_CONFIG_CHARS = 2_000_000
MAX_TITLE_CHARS = 10_000
CLOCK_SKEW = timedelta(minutes=5)
BULK_ACTIONS = frozenset({"imported", "prediction", "propagated_annotation"})
"""What `last_action` says in the enterprise edition; the open-source one leaves it empty."""


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("an id must be a number")
    return value


def _in_utc(value: datetime) -> datetime:
    """Aware and in UTC; a time in the future is taken for now, so that it cannot outrank what comes after it."""
    try:
        aware = value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)
    except OverflowError as error:
        raise ValueError("the time is out of range") from error
    now = datetime.now(timezone.utc)
    return now if aware > now + CLOCK_SKEW else aware


def _finite(value: dict[str, Any]) -> dict[str, Any]:
    json.dumps(value, allow_nan=False)  # NaN equals nothing, itself included: such a task would change with each look
    return value


Id = Annotated[int, BeforeValidator(_no_bool), Field(ge=1, le=MAX_ID)]
Time = Annotated[datetime, AfterValidator(_in_utc)]
Data = Annotated[dict[str, Any], AfterValidator(_finite)]
Config = Annotated[str, Field(max_length=MAX_CONFIG_CHARS)]


class Shape(BaseModel):
    """Base: unknown fields are ignored, types are checked."""

    model_config = ConfigDict(extra="ignore")


def project_id_of(value: Any) -> int:
    """The id in Label Studio's project reference, which is `12`, `"12"` or `"12.1730000000"`.

    Raises ValueError for anything else.
    """
    head = str(value).split(".", 1)[0]
    if isinstance(value, bool) or not (head.isascii() and head.isdecimal() and len(head) < 20):
        raise ValueError(f"project must look like '12' or '12.1730000000', got {str(value)[:40]!r}")
    if not 1 <= int(head) <= MAX_ID:
        raise ValueError(f"project must be between 1 and {MAX_ID}, got {head}")
    return int(head)


class TaskIn(Shape):
    """A task as Label Studio sends it. `updated_at` is not before the last change of its data, by its clock."""

    id: Id
    data: Data
    updated_at: Time | None = None


class AnnotationIn(Shape):
    """An annotation as Label Studio sends it; `task` is missing where it is nested in its task."""

    id: Id
    result: list[Any] = Field(default_factory=list)
    task: Id | None = None
    was_cancelled: bool = False
    ground_truth: bool = False
    completed_by: Id | None = None
    lead_time: float | None = None
    parent_prediction: Id | None = None
    import_id: int | None = None  # the id that the import gave, whatever it was
    last_action: str | None = None
    updated_by: Id | None = None
    updated_at: Time

    @field_validator("completed_by", "updated_by", mode="before")
    @classmethod
    def _user_id(cls, value: Any) -> Any:
        return value.get("id") if isinstance(value, dict) else value

    @field_validator("result", mode="before")
    @classmethod
    def _no_result(cls, value: Any) -> Any:
        return [] if value is None else value

    @property
    def is_imported(self) -> bool:
        """True when it came with a file, a storage or an action on many tasks, not from a person at work.

        Of what the open-source edition imports only the id from the file is kept, where there was one; ground truth
        is set by default. The rest shows in who made it.
        """
        return self.import_id is not None or self.last_action in BULK_ACTIONS or self.is_bulk or self._is_from_storage

    @property
    def is_bulk(self) -> bool:
        """True when Label Studio wrote it along with many others (an import, "Create annotations from predictions",
        a propagation), and nobody saved it since: only then it names who made it, but not who saved it last."""
        given = {"completed_by", "updated_by"} <= self.model_fields_set
        return given and self.completed_by is not None and self.updated_by is None

    @property
    def _is_from_storage(self) -> bool:
        """Synchronized from a cloud storage: nobody made it and it took no time. Of a user who is gone, the time
        stays."""
        given = {"completed_by", "lead_time"} <= self.model_fields_set
        return given and self.completed_by is None and self.lead_time is None


class ProjectIn(Shape):
    """A project as webhooks carry it."""

    id: Id
    title: Annotated[str, Field(max_length=MAX_TITLE_CHARS)] = ""
    label_config: Config = ""


class ReferenceIn(Shape):
    """An object of which Label Studio only tells the id."""

    id: Id


class SetupRequest(Shape):
    """`POST /setup`."""

    project: str
    label_config: str = Field("", alias="schema", max_length=MAX_CONFIG_CHARS)

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
    label_config: Config = ""

    @property
    def ls_project_id(self) -> int:
        """The project's id in Label Studio."""
        return project_id_of(self.project)

    @field_validator("tasks")
    @classmethod
    def _no_task_twice(cls, value: list[TaskIn]) -> list[TaskIn]:
        if len({task.id for task in value}) < len(value):
            raise ValueError("a task comes twice")
        return value

    @field_validator("project", mode="before")
    @classmethod
    def _check_project(cls, value: Any) -> str:
        project_id_of(value)
        return str(value)


class WebhookRequest(Shape):
    """`POST /webhook`: the parts that some action carries."""

    action: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_.-]+$")
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
