"""What an aspect's teacher is built with besides the question: guidelines, examples, the config of its model."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from handover.domain import Annotation, Aspect
from handover.errors import ConfigError, TeacherError
from handover.settings import Settings
from handover.store.models import AspectRow, ProjectRow, TeacherExampleRow
from handover.store.projects import aspect_of
from handover.store.teacher_examples import shown_examples
from handover.teacher.config import read_config_file
from handover.teacher.prompt import Example

EXAMPLES, CONFIG = "teacher_examples", "teacher_config"
"""The project's own values in its options; a config is kept as text, so that every process finds it."""


@dataclass(frozen=True)
class TeacherPlan:
    """All of it: two equal plans of an aspect make the same teacher. `config` is the text of a spacy-llm config."""

    guidelines: str = ""
    examples: tuple[Example, ...] = ()
    config: str = ""


def examples_wanted(settings: Settings, project: ProjectRow, row: AspectRow) -> int:
    """How many examples an aspect's prompt should show: its own number, else the project's, else the setting."""
    if row.teacher_examples is not None:
        return row.teacher_examples
    return int((project.options or {}).get(EXAMPLES, settings.teacher_examples))


def guidelines_of(project: ProjectRow, row: AspectRow) -> str:
    """The guidelines for an aspect's teacher: the project's, then the aspect's own; empty when they are off."""
    return all_guidelines(project, row) if row.use_guidelines else ""


def all_guidelines(project: ProjectRow, row: AspectRow) -> str:
    """The guidelines there are for an aspect, whether its teacher is given them or not."""
    return "\n\n".join(part for part in (project.guidelines, row.guidelines) if part.strip())


def config_of(settings: Settings, project: ProjectRow) -> str:
    """The text of the teacher's config, empty for the default. Raises TeacherError when its file cannot be read."""
    own = str((project.options or {}).get(CONFIG, ""))
    if own or settings.teacher_config is None:
        return own
    try:
        return read_config_file(settings.teacher_config)
    except ConfigError as error:
        raise TeacherError(f"HANDOVER_TEACHER_CONFIG: {error}") from error


def examples_of(session: Session, row: AspectRow) -> tuple[Example, ...]:
    """The examples that an aspect's prompt may show now, in their order."""
    aspect = aspect_of(row)
    rows = shown_examples(session, row.id, text_field=aspect.text_field)
    found = (as_example(example) for example in rows)
    return tuple(example for example in found if _fits(example.annotation, aspect))


def as_example(row: TeacherExampleRow) -> Example:
    """A stored example as the prompt takes it."""
    return Example(row.text, Annotation.from_json(row.annotation))


def _fits(annotation: Annotation, aspect: Aspect) -> bool:
    """Whether the labeling config still has all labels of an example."""
    labels = {*annotation.cats, *(edge.label for edge in annotation.relations)}
    spans = {span.label for span in annotation.spans}
    return labels <= set(aspect.label_names) and spans <= set(aspect.span_label_names)
