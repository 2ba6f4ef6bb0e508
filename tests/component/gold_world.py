"""An aspect with a teacher that says Bid to everything, and students that are scripted: what the gate sees."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from handover.annotation_intake import apply_annotation
from handover.domain import Annotation, Aspect, Prediction
from handover.examples import load_examples
from handover.intake import apply_tasks, options_for
from handover.jobs.queue import JobKind
from handover.jobs.settle import look_and_settle
from handover.labelstudio.convert import write_result
from handover.labelstudio.protocol import TaskIn
from handover.runtime import Runtime
from handover.serving import register
from handover.settings import Settings
from handover.store.models import AspectRow, DecisionRow, StudentRow, TaskRow
from handover.store.projects import aspect_of, aspects_of, get_project
from handover.store.students import decisions_of
from handover.store.tasks import tasks_by_ls_id
from tests.projects import CHOICE_CONFIG, chosen, tasks

NUMBER = 140


@dataclass
class FakeQueue:
    """Remembers what was enqueued."""

    jobs: list[tuple[str, int | None]] = field(default_factory=list)

    def enqueue(self, kind: JobKind, subject_id: int | None, **_more: Any) -> str:
        self.jobs.append((kind.value, subject_id))
        return f"{kind.value}-{len(self.jobs)}"


@dataclass
class FakeStudents:
    """Students that are functions from text to label, as sure as `sure` says."""

    rules: dict[str, Callable[[str], str | Annotation]] = field(default_factory=dict)
    sure: Callable[[str], float] = lambda _text: 0.9

    def predict(self, version: str, texts: Sequence[str], _aspect: Aspect) -> list[Prediction]:
        rule = self.rules[version]
        return [Prediction(as_annotation(rule(text)), version, self.sure(text)) for text in texts]


class World:
    """A store with a project of `NUMBER` tasks; nobody has annotated anything yet."""

    def __init__(self, folder: Path, *, config: str = CHOICE_CONFIG, **settings: Any) -> None:
        self.folder = folder
        self.recorded = folder / "recorded.jsonl"
        self.say("Bid")
        given = {"teacher": "recorded", "teacher_recorded": self.recorded, "gold_share": 0.5, "min_gold": 12}
        self.settings = Settings.model_validate({**given, **settings})
        self.runtime = Runtime(self.settings)
        self.queue, self.students = FakeQueue(), FakeStudents()
        self.runtime.__dict__.update(queue=self.queue, students=self.students)
        self.project = register(self.runtime, 7, config)
        with self.runtime.database.write() as session:
            apply_tasks(session, self.project, tasks(NUMBER), options_for(self.project, self.settings))
        self._ids = 0

    def say(self, label: str) -> None:
        """What the teacher says to all texts from now on; another file is another teacher."""
        self.record(lambda _text: json.dumps({"label": label}))

    def record(self, completion: Callable[[str], str]) -> None:
        """What the teacher says, as completions."""
        texts = [task.data["text"] for task in tasks(NUMBER)]
        self.recorded.write_text("\n".join(json.dumps({"text": t, "completion": completion(t)}) for t in texts))

    def restart(self, **settings: Any) -> None:
        """A new process with other settings."""
        self.runtime.close()
        self.settings = self.settings.model_copy(update=settings)
        self.runtime = Runtime(self.settings)
        self.runtime.__dict__.update(queue=self.queue, students=self.students)

    def rows(self, split: str = "gold") -> list[TaskRow]:
        """The tasks of a split, in Label Studio's order."""
        with self.runtime.database.read() as session:
            known = tasks_by_ls_id(session, self.project.id, range(1, NUMBER + 1))
        return [row for _, row in sorted(known.items()) if row.split == split]

    def annotate(self, rows: Sequence[TaskRow], label: str | Annotation, **more: Any) -> None:
        """A person gives these tasks a label, or marks spans."""
        result = None if isinstance(label, str) else write_result(label, aspect_of(self.aspect), rows[0].data["text"])
        with self.runtime.database.write() as session:
            project = get_project(session, self.project.id)
            for row in rows:
                self._ids += 1
                annotation = chosen(str(label), id=row.ls_id, seconds=self._ids, **more)
                changes = {} if result is None else {"result": result}
                apply_annotation(session, project, row, annotation.model_copy(update=changes))

    def student(self, version: str, rule: Callable[[str], str | Annotation]) -> StudentRow:
        """A student in the store."""
        self.students.rules[version] = rule
        row = StudentRow(
            aspect_id=self.aspect.id, version=version, recipe="r", uri="", n_train=1, n_dev=1, n_silver=0,
            used_silver=False, dev_score=1.0, report={"labels": list(aspect_of(self.aspect).label_names)}, seconds=0.0,
        )  # fmt: skip
        with self.runtime.database.write() as session:
            session.add(row)
            aspects_of(session, self.project.id)[0].trained_revision = 1
        return row

    @property
    def aspect(self) -> AspectRow:
        """The aspect as it is now."""
        with self.runtime.database.read() as session:
            return aspects_of(session, self.project.id)[0]

    def change(self, **values: Any) -> None:
        """Set columns of the aspect."""
        with self.runtime.database.write() as session:
            row = aspects_of(session, self.project.id)[0]
            for name, value in values.items():
                setattr(row, name, value)

    def look(self, student: StudentRow | None = None) -> dict[str, object]:
        """Take a look and settle it."""
        return look_and_settle(self.runtime, self.aspect.id, student)

    def decisions(self) -> list[DecisionRow]:
        """The decisions, oldest first."""
        with self.runtime.database.read() as session:
            return list(reversed(decisions_of(session, self.aspect.id)))

    def examples(self) -> Any:
        """What people annotated."""
        with self.runtime.database.read() as session:
            return load_examples(session, self.aspect, max_text_chars=self.settings.max_text_chars)


def as_annotation(answer: str | Annotation) -> Annotation:
    """A label as an annotation."""
    return Annotation(cats=(answer,)) if isinstance(answer, str) else answer


def always(label: str) -> Callable[[str], str]:
    """A student that says the same to every text."""
    return lambda _text: label


def task_in(row: TaskRow) -> TaskIn:
    """The task as Label Studio sends it."""
    return TaskIn(id=row.ls_id, data=row.data)
