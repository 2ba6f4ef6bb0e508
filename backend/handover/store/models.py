"""The tables. Times are UTC; `*_id` without `ls_` is ours, `ls_*` is an id of Label Studio."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, Integer, LargeBinary, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from handover.store.columns import Base, LsId, cascade, utcnow


class ProjectRow(Base):
    """A connected Label Studio project and what Label Studio was told about it.

    `live_version` is what `/setup` returns and Label Studio shows. While a switch is on its way it differs
    from what the aspects' servers would give (`handover.versions`).
    """

    __tablename__ = "projects"
    id: Mapped[int] = mapped_column(primary_key=True)
    ls_id: Mapped[LsId] = mapped_column(unique=True)
    title: Mapped[str] = mapped_column(default="")
    label_config: Mapped[str] = mapped_column(default="")
    guidelines: Mapped[str] = mapped_column(default="")
    sampling: Mapped[str] = mapped_column(default="")
    options: Mapped[dict[str, Any]] = mapped_column(default=dict)
    ls_ml_backend_id: Mapped[LsId | None]
    ls_webhook_id: Mapped[LsId | None]
    live_version: Mapped[str] = mapped_column(default="")
    synced_until: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)


class AspectRow(Base):
    """An aspect of a project: its definition, who serves it, and how far its training got.

    `server`, `teacher_id` and `champion_id` say who should answer; `live_version` and `live_student_id` say
    whose answers Label Studio shows until the switch is complete. Nothing but a person changes the server while
    it is `pinned`. With a `threshold` the student answers where it is at least so sure, the teacher elsewhere; with
    `held` labels it answers for those, the teacher for the others. `guidelines`, `use_guidelines` (the project's)
    and `teacher_examples` (how many; None: as the project says) are what its teacher is built with.
    """

    __tablename__ = "aspects"
    __table_args__ = (UniqueConstraint("project_id", "name"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = cascade("projects.id")
    name: Mapped[str]
    definition: Mapped[dict[str, Any]]
    active: Mapped[bool] = mapped_column(default=True)
    position: Mapped[int] = mapped_column(default=0)
    server: Mapped[str] = mapped_column(default="teacher")
    teacher_id: Mapped[str] = mapped_column(default="")
    champion_id: Mapped[int | None] = mapped_column(
        ForeignKey("students.id", name="fk_aspects_champion_id_students", use_alter=True, ondelete="SET NULL")
    )
    live_version: Mapped[str] = mapped_column(default="")
    live_student_id: Mapped[int | None] = mapped_column(
        ForeignKey("students.id", name="fk_aspects_live_student_id_students", use_alter=True, ondelete="SET NULL")
    )
    trained_revision: Mapped[int] = mapped_column(default=0)
    attempted_revision: Mapped[int] = mapped_column(default=0)
    guidelines: Mapped[str] = mapped_column(default="")
    use_guidelines: Mapped[bool] = mapped_column(default=True)
    teacher_examples: Mapped[int | None]
    looked_revision: Mapped[int] = mapped_column(default=0)
    pinned: Mapped[bool] = mapped_column(default=False)
    threshold: Mapped[float | None]
    live_threshold: Mapped[float | None]
    held: Mapped[list[Any]] = mapped_column(default=list)
    live_held: Mapped[list[Any]] = mapped_column(default=list)
    live_teacher_id: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)


class TextGroupRow(Base):
    """The first of a group of near-identical texts; the others get its split."""

    __tablename__ = "text_groups"
    key: Mapped[str] = mapped_column(primary_key=True)
    signature: Mapped[bytes] = mapped_column(LargeBinary)


class TextBandRow(Base):
    """One band of a group's MinHash signature: equal bands make two texts candidates for the same group."""

    __tablename__ = "text_bands"
    band: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(ForeignKey("text_groups.key", ondelete="CASCADE"), primary_key=True)


class TaskRow(Base):
    """A task of Label Studio.

    `split` is fixed when the task is first seen; `pushed_version` is the newest version whose prediction
    Label Studio was given for it.
    """

    __tablename__ = "tasks"
    __table_args__ = (
        UniqueConstraint("project_id", "ls_id"),
        Index("ix_tasks_project_id_split", "project_id", "split"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = cascade("projects.id")
    ls_id: Mapped[LsId]
    data: Mapped[dict[str, Any]]
    text_key: Mapped[str] = mapped_column(default="", index=True)
    group_key: Mapped[str] = mapped_column(default="", index=True)
    split: Mapped[str]
    deleted: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    data_changed_at: Mapped[datetime | None]
    pushed_version: Mapped[str] = mapped_column(default="")


class AnnotationRow(Base):
    """The current state of one Label Studio annotation.

    `revision` grows with every change, so that "changed since" is a comparison. `parent_has_content` is
    None until the prediction that the annotator started from has been looked at; what it showed is kept, because
    Label Studio drops predictions. `parent_result` is None where that is not known.
    """

    __tablename__ = "annotations"
    __table_args__ = (
        UniqueConstraint("task_id", "ls_id"),
        Index("ix_annotations_project_id_revision", "project_id", "revision"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = cascade("projects.id")
    task_id: Mapped[int] = cascade("tasks.id")
    ls_id: Mapped[LsId] = mapped_column(index=True)
    result: Mapped[list[Any]]
    was_cancelled: Mapped[bool] = mapped_column(default=False)
    ground_truth: Mapped[bool] = mapped_column(default=False)
    imported: Mapped[bool] = mapped_column(default=False)
    completed_by: Mapped[int | None]
    lead_time: Mapped[float | None]
    ls_parent_prediction_id: Mapped[LsId | None]
    parent_has_content: Mapped[bool | None]
    parent_version: Mapped[str] = mapped_column(default="")
    parent_result: Mapped[list[Any] | None]
    ls_updated_at: Mapped[datetime]
    deleted: Mapped[bool] = mapped_column(default=False)
    revision: Mapped[int]


class AnnotationHistoryRow(Base):
    """Every state an annotation ever had; rows are only added."""

    __tablename__ = "annotation_history"
    id: Mapped[int] = mapped_column(primary_key=True)
    annotation_id: Mapped[int] = cascade("annotations.id")
    revision: Mapped[int]
    action: Mapped[str]
    result: Mapped[list[Any]]
    was_cancelled: Mapped[bool]
    ls_updated_at: Mapped[datetime]
    recorded_at: Mapped[datetime] = mapped_column(default=utcnow)


class SetAsideRow(Base):
    """What could not be used, why, and how often: a control tag, a task, or parts of an annotation."""

    __tablename__ = "set_asides"
    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = cascade("projects.id")
    task_id: Mapped[int | None] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), index=True)
    annotation_id: Mapped[int | None] = mapped_column(ForeignKey("annotations.id", ondelete="CASCADE"), index=True)
    subject: Mapped[str]
    name: Mapped[str] = mapped_column(default="")
    reason: Mapped[str]
    repaired: Mapped[bool] = mapped_column(default=False)
    number: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class EventRow(Base):
    """A webhook as it came in (without the task's text), and what was done about it."""

    __tablename__ = "events"
    id: Mapped[int] = mapped_column(primary_key=True)
    ls_project_id: Mapped[LsId | None] = mapped_column(index=True)
    action: Mapped[str]
    summary: Mapped[dict[str, Any]]
    outcome: Mapped[str] = mapped_column(default="")
    received_at: Mapped[datetime] = mapped_column(default=utcnow)


class TeacherAnswerRow(Base):
    """A teacher's answer, keyed by the hash of model id and full rendered prompt. The row is the cache entry."""

    __tablename__ = "teacher_answers"
    key: Mapped[str] = mapped_column(primary_key=True)
    model_id: Mapped[str]
    completion: Mapped[str]
    status: Mapped[str]
    problems: Mapped[list[Any]]
    input_tokens: Mapped[int | None]
    output_tokens: Mapped[int | None]
    cached_tokens: Mapped[int | None]
    latency_ms: Mapped[float | None]
    stop_reason: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class TeacherExampleRow(Base):
    """A corrected train task as it is shown in the prompts of an aspect's teacher.

    Text and annotation are those of the moment it was chosen: a correction must not make another teacher at any
    time, but at the next step. `step` and `wanted` belong to the whole set: how far the annotation was, and how
    many examples were asked for.
    """

    __tablename__ = "teacher_examples"
    __table_args__ = (UniqueConstraint("aspect_id", "position"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    aspect_id: Mapped[int] = cascade("aspects.id")
    task_id: Mapped[int] = cascade("tasks.id")
    position: Mapped[int]
    step: Mapped[int]
    wanted: Mapped[int]
    text_field: Mapped[str]
    text: Mapped[str]
    text_key: Mapped[str]
    annotation: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class TeacherBatchRow(Base):
    """A batch of questions at the teacher's API. Its questions are the rows of `teacher_calls` with its id.

    `api_id` is the API's id, empty while the batch is being sent; `status` is `open` until all answers are
    fetched, then `ended`, or `lost` when there is nothing to fetch.
    """

    __tablename__ = "teacher_batches"
    id: Mapped[int] = mapped_column(primary_key=True)
    aspect_id: Mapped[int] = cascade("aspects.id")
    api_id: Mapped[str] = mapped_column(default="")
    model_id: Mapped[str]
    status: Mapped[str] = mapped_column(default="open", index=True)
    number: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    ended_at: Mapped[datetime | None]


class TeacherCallRow(Base):
    """The ledger: one question to a teacher, or a `number` of questions that were not sent (`cached`,
    `over budget`, `skipped`).

    The row is there before the question leaves, with status `asked` and as `ceiling` the most that it can cost;
    a process that dies leaves it so. `cost` is None where it is not known, for want of tokens or of a price.
    Rows outlive their project: what was spent was spent.
    """

    __tablename__ = "teacher_calls"
    __table_args__ = (Index("ix_teacher_calls_project_id_status", "project_id", "status"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(default=utcnow, index=True)
    project_id: Mapped[int | None] = mapped_column(ForeignKey("projects.id", ondelete="SET NULL"))
    aspect_id: Mapped[int | None] = mapped_column(ForeignKey("aspects.id", ondelete="SET NULL"), index=True)
    batch_id: Mapped[int | None] = mapped_column(ForeignKey("teacher_batches.id", ondelete="SET NULL"), index=True)
    is_batch: Mapped[bool] = mapped_column(default=False)
    purpose: Mapped[str]
    model_id: Mapped[str]
    answer_key: Mapped[str] = mapped_column(default="", index=True)
    status: Mapped[str]
    problem: Mapped[str] = mapped_column(default="")
    number: Mapped[int] = mapped_column(default=1)
    prompt_chars: Mapped[int] = mapped_column(default=0)
    input_tokens: Mapped[int | None]
    output_tokens: Mapped[int | None]
    cached_tokens: Mapped[int | None]
    cache_write_tokens: Mapped[int | None]
    attempts: Mapped[int] = mapped_column(default=0)
    latency_ms: Mapped[float | None]
    cost: Mapped[float | None]
    ceiling: Mapped[float] = mapped_column(default=0.0)
    ended_at: Mapped[datetime | None]


class PredictionRow(Base):
    """What a version says about a task. Only status `ok` is ever shown; others keep the problem for the status page."""

    __tablename__ = "predictions"
    __table_args__ = (UniqueConstraint("task_id", "aspect_id", "version"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[int] = cascade("tasks.id")
    aspect_id: Mapped[int] = cascade("aspects.id")
    version: Mapped[str] = mapped_column(index=True)
    status: Mapped[str]
    annotation: Mapped[dict[str, Any] | None]
    score: Mapped[float | None]
    problem: Mapped[str] = mapped_column(default="")
    answer_key: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class StudentRow(Base):
    """A trained student. `version` is the hash of its training data, recipe and seed."""

    __tablename__ = "students"
    __table_args__ = (UniqueConstraint("aspect_id", "version"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    aspect_id: Mapped[int] = cascade("aspects.id")
    version: Mapped[str]
    recipe: Mapped[str]
    uri: Mapped[str]
    n_train: Mapped[int]
    n_dev: Mapped[int]
    n_silver: Mapped[int]
    used_silver: Mapped[bool]
    dev_score: Mapped[float]
    report: Mapped[dict[str, Any]]
    seconds: Mapped[float]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class EvaluationRow(Base):
    """Teacher's and student's scores on the same gold documents."""

    __tablename__ = "evaluations"
    id: Mapped[int] = mapped_column(primary_key=True)
    aspect_id: Mapped[int] = cascade("aspects.id")
    student_id: Mapped[int] = cascade("students.id")
    teacher_id: Mapped[str]
    gold_hash: Mapped[str]
    n: Mapped[int]
    metric: Mapped[str]
    teacher_score: Mapped[float]
    student_score: Mapped[float]
    details: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class DecisionRow(Base):
    """A decision about who serves, with its reason. Rows are only added.

    `actor` says who decided (`domain.Actor`), `author` names a person. `applied` is true where the decision took
    effect: false for what a pin withheld, and where all stays as it is. `mark` is the newest revision of the
    annotations that had been read.
    """

    __tablename__ = "decisions"
    id: Mapped[int] = mapped_column(primary_key=True)
    aspect_id: Mapped[int] = cascade("aspects.id")
    evaluation_id: Mapped[int | None] = mapped_column(ForeignKey("evaluations.id", ondelete="SET NULL"))
    student_id: Mapped[int | None] = mapped_column(ForeignKey("students.id", ondelete="SET NULL"))
    teacher_id: Mapped[str] = mapped_column(default="")
    outcome: Mapped[str]
    reason: Mapped[str]
    actor: Mapped[str] = mapped_column(default="gate")
    author: Mapped[str] = mapped_column(default="")
    applied: Mapped[bool] = mapped_column(default=False)
    mark: Mapped[int] = mapped_column(default=0)
    n: Mapped[int] = mapped_column(default=0)
    planned: Mapped[int] = mapped_column(default=0)
    alpha: Mapped[float] = mapped_column(default=0.0)
    details: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class FindingRow(Base):
    """What was found out about an aspect besides its decisions: drift, a forecast. The newest of a kind counts."""

    __tablename__ = "findings"
    id: Mapped[int] = mapped_column(primary_key=True)
    aspect_id: Mapped[int] = cascade("aspects.id")
    kind: Mapped[str]
    is_warning: Mapped[bool] = mapped_column(default=False)
    text: Mapped[str]
    details: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class HintRow(Base):
    """An annotation that may be wrong, and why: for a person to look at. `given` and `suggested` hold labels, and
    of spans their offsets, never a text."""

    __tablename__ = "hints"
    __table_args__ = (UniqueConstraint("aspect_id", "task_id", "reason"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    aspect_id: Mapped[int] = cascade("aspects.id")
    task_id: Mapped[int] = cascade("tasks.id")
    reason: Mapped[str]
    score: Mapped[float]
    given: Mapped[list[Any]]
    suggested: Mapped[list[Any]]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class JobRow(Base):
    """A job on the queue. Of the same job one waits at most: `waiting_key` is unique while it waits."""

    __tablename__ = "jobs"
    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(index=True)
    subject_id: Mapped[int | None] = mapped_column(Integer)
    waiting_key: Mapped[str | None] = mapped_column(unique=True)
    status: Mapped[str]
    progress: Mapped[dict[str, Any]]
    error: Mapped[str] = mapped_column(default="")
    enqueued_at: Mapped[datetime] = mapped_column(default=utcnow)
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class CounterRow(Base):
    """A named counter; `revision` numbers the changes of annotations."""

    __tablename__ = "counters"
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[int] = mapped_column(default=0)


class SecretRow(Base):
    """A secret, encrypted with the key that is not in the database."""

    __tablename__ = "secrets"
    name: Mapped[str] = mapped_column(primary_key=True)
    ciphertext: Mapped[bytes] = mapped_column(LargeBinary)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)
