"""Which task asks an aspect's question, and the tasks' names for configs of spacy-llm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from handover.domain import Aspect, Kind, Label
from handover.errors import ConfigError
from handover.teacher.kind_tasks import (
    ChoicesTask,
    ChoiceTask,
    EntitiesTask,
    HandoverTask,
    RelationsTask,
    SpansTask,
)
from handover.teacher.prompt import Example, Question

__all__ = [
    "HandoverTask",
    "make_choice_task",
    "make_choices_task",
    "make_entities_task",
    "make_relations_task",
    "make_spans_task",
    "task_for",
]

DEFAULT_WORDING = {
    Kind.CHOICE: 'Which label fits the text best when it comes to "{name}"?',
    Kind.CHOICES: 'Which labels apply to the text when it comes to "{name}"?',
    Kind.ENTITIES: 'Which stretches of the text do the labels of "{name}" apply to?',
    Kind.SPANS: 'Which stretches of the text do the labels of "{name}" apply to?',
    Kind.RELATIONS: 'How are stretches of the text related when it comes to "{name}"?',
}
"""Asked where the labeling config has no question; with the name, so that no two aspects ask the same."""

TASKS: Mapping[Kind, type[HandoverTask]] = {
    Kind.CHOICE: ChoiceTask,
    Kind.CHOICES: ChoicesTask,
    Kind.ENTITIES: EntitiesTask,
    Kind.SPANS: SpansTask,
    Kind.RELATIONS: RelationsTask,
}


def task_for(aspect: Aspect, *, guidelines: str = "", examples: Sequence[Example] = ()) -> HandoverTask:
    """The task of an aspect. Raises ConfigError when it has no labels."""
    if not aspect.labels or not aspect.span_label_names:
        raise ConfigError(f"Aspect '{aspect.name}' has no labels. Add at least one to the labeling config.")
    wording = aspect.question.strip() or DEFAULT_WORDING[aspect.kind].format(name=aspect.name)
    question = Question(
        aspect.kind, wording, aspect.labels, guidelines, tuple(examples), span_labels=aspect.span_labels
    )
    return TASKS[aspect.kind](question)


def make_choice_task(
    labels: list[str], question: str, hints: dict[str, str] | None = None, guidelines: str = ""
) -> ChoiceTask:
    """`handover.Choice.v1`: which one of the labels. `hints` describe labels by name."""
    return ChoiceTask(_question(Kind.CHOICE, labels, question, hints, guidelines))


def make_choices_task(
    labels: list[str], question: str, hints: dict[str, str] | None = None, guidelines: str = ""
) -> ChoicesTask:
    """`handover.Choices.v1`: which of the labels, any number of them. `hints` describe labels by name."""
    return ChoicesTask(_question(Kind.CHOICES, labels, question, hints, guidelines))


def make_entities_task(
    labels: list[str], question: str, hints: dict[str, str] | None = None, guidelines: str = ""
) -> EntitiesTask:
    """`handover.Entities.v1`: where the labels are in the text. `hints` describe labels by name."""
    return EntitiesTask(_question(Kind.ENTITIES, labels, question, hints, guidelines))


def make_spans_task(
    labels: list[str], question: str, hints: dict[str, str] | None = None, guidelines: str = ""
) -> SpansTask:
    """`handover.Spans.v1`: where the labels are in the text, overlaps allowed. `hints` describe labels by name."""
    return SpansTask(_question(Kind.SPANS, labels, question, hints, guidelines))


def make_relations_task(
    labels: list[str],
    span_labels: list[str],
    question: str,
    hints: dict[str, str] | None = None,
    span_hints: dict[str, str] | None = None,
    guidelines: str = "",
) -> RelationsTask:
    """`handover.Relations.v1`: how spans with `span_labels` are related. Hints describe labels by name."""
    described = _described(Kind.RELATIONS, span_labels, span_hints)
    return RelationsTask(_question(Kind.RELATIONS, labels, question, hints, guidelines, span_labels=described))


def _question(
    kind: Kind,
    labels: Sequence[str],
    wording: str,
    hints: Mapping[str, str] | None,
    guidelines: str,
    *,
    span_labels: tuple[Label, ...] = (),
) -> Question:
    return Question(kind, wording, _described(kind, labels, hints), guidelines, span_labels=span_labels)


def _described(kind: Kind, labels: Sequence[str], hints: Mapping[str, str] | None) -> tuple[Label, ...]:
    if not labels:
        raise ConfigError(f"A task of kind '{kind.value}' needs at least one label. Set its labels in its config.")
    return tuple(Label(name, (hints or {}).get(name, "")) for name in labels)
