"""Our spacy-llm tasks: a question about a text, and what the answer means.

A task is what spacy-llm's `ty.py` asks for: `generate_prompts` and `parse_responses`. Its type hints are read
at run time (`spacy_llm.ty.validate_type_consistency`), which knows `typing.Iterable` only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Iterable  # noqa: UP035

from spacy.tokens import Doc

from handover.domain import Annotation, AnswerStatus, Aspect, Kind, Label
from handover.errors import ConfigError
from handover.teacher.answers import AnswerError, parse_choice, parse_entities
from handover.teacher.completion import Completion, as_completion
from handover.teacher.doc_answer import DocAnswer, write_answer
from handover.teacher.grounding import ground
from handover.teacher.prompt import Example, Prompt, Prompter, Question

MIN_GROUNDED = 0.5
"""An answer of which fewer mentions than this share can be used is taken for an answer to something else."""


class HandoverTask:
    """What all kinds have in common. Subclasses say what a completion means and what it sets on the doc."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self._prompter = Prompter(question)

    @property
    def prompt_hash(self) -> str:
        """SHA-256 over template, question, labels with hints, guidelines, examples and schema."""
        return self._prompter.hash

    def generate_prompts(self, docs: Iterable[Doc]) -> Iterable[Prompt]:
        """One prompt per doc."""
        for doc in docs:
            yield self._prompter(doc.text)

    def parse_responses(self, docs: Iterable[Doc], responses: Iterable[Any]) -> Iterable[Doc]:
        """Set on each doc what its response says. Responses come as strings or as lists of one.

        Nothing is raised for a response that cannot be understood: its doc holds the status and the reason.
        """
        for doc, response in zip(docs, responses, strict=False):
            completion = as_completion(response)
            answer = self._answer(doc, completion)
            if answer.annotation is not None:
                self._set(doc, answer.annotation)
            write_answer(doc, answer)
            yield doc

    def _answer(self, doc: Doc, completion: Completion) -> DocAnswer:
        if completion.status in (AnswerStatus.FAILED, AnswerStatus.REFUSED):
            return DocAnswer(completion.status, completion, problems=(completion.problem or "No reason was given.",))
        if completion.is_cut_off:
            return DocAnswer(
                AnswerStatus.UNPARSED, completion, problems=(completion.problem or "The answer was cut off.",)
            )
        try:
            return self._read(doc, completion)
        except AnswerError as error:
            return DocAnswer(AnswerStatus.UNPARSED, completion, problems=(f"The answer cannot be read: {error}",))

    def _read(self, doc: Doc, completion: Completion) -> DocAnswer:
        raise NotImplementedError

    def _set(self, doc: Doc, annotation: Annotation) -> None:
        raise NotImplementedError


class ChoiceTask(HandoverTask):
    """One of the labels: `doc.cats` is 1.0 for it, 0.0 for the others, and stays empty without an answer."""

    def _read(self, doc: Doc, completion: Completion) -> DocAnswer:
        label = parse_choice(completion, self.question.label_names)
        return DocAnswer(AnswerStatus.OK, completion, Annotation(cats=(label,)))

    def _set(self, doc: Doc, annotation: Annotation) -> None:
        doc.cats = {label: float(label in annotation.cats) for label in self.question.label_names}


class EntitiesTask(HandoverTask):
    """Spans that do not overlap: `doc.ents` holds those that begin and end with a token.

    Mentions that are not in the text are dropped one by one and listed as problems; the answer stays OK as
    long as at least half of its mentions could be placed (an answer without mentions is OK).
    """

    def _read(self, doc: Doc, completion: Completion) -> DocAnswer:
        mentions = parse_entities(completion, self.question.label_names)
        grounding = ground(doc.text, mentions)
        if len(grounding.spans) < MIN_GROUNDED * len(mentions):
            return DocAnswer(AnswerStatus.UNPARSED, completion, problems=grounding.problems)
        annotation = Annotation(spans=grounding.spans)
        problems = grounding.problems + _not_aligned(doc, annotation)
        return DocAnswer(AnswerStatus.OK, completion, annotation, problems)

    def _set(self, doc: Doc, annotation: Annotation) -> None:
        spans = [doc.char_span(span.start, span.end, label=span.label) for span in annotation.spans]
        doc.ents = [span for span in spans if span is not None]


DEFAULT_WORDING = {
    Kind.CHOICE: 'Which label fits the text best when it comes to "{name}"?',
    Kind.ENTITIES: 'Which stretches of the text do the labels of "{name}" apply to?',
}
"""Asked where the labeling config has no question; with the name, so that no two aspects ask the same."""

TASKS: Mapping[Kind, type[HandoverTask]] = {Kind.CHOICE: ChoiceTask, Kind.ENTITIES: EntitiesTask}


def task_for(aspect: Aspect, *, guidelines: str = "", examples: Sequence[Example] = ()) -> HandoverTask:
    """The task of an aspect. Raises ConfigError when its kind is not supported or it has no labels."""
    if aspect.kind not in TASKS:
        supported = ", ".join(kind.value for kind in TASKS)
        raise ConfigError(
            f"Aspect '{aspect.name}' is of kind '{aspect.kind.value}', which the teacher cannot answer "
            f"(it can: {supported}). Start with HANDOVER_TEACHER=none, or take this control tag out."
        )
    if not aspect.labels:
        raise ConfigError(f"Aspect '{aspect.name}' has no labels. Add at least one to the labeling config.")
    wording = aspect.question.strip() or DEFAULT_WORDING[aspect.kind].format(name=aspect.name)
    return TASKS[aspect.kind](Question(aspect.kind, wording, aspect.labels, guidelines, tuple(examples)))


def make_choice_task(
    labels: list[str], question: str, hints: dict[str, str] | None = None, guidelines: str = ""
) -> ChoiceTask:
    """`handover.Choice.v1`: which one of the labels. `hints` describe labels by name."""
    return ChoiceTask(_question(Kind.CHOICE, labels, question, hints or {}, guidelines))


def make_entities_task(
    labels: list[str], question: str, hints: dict[str, str] | None = None, guidelines: str = ""
) -> EntitiesTask:
    """`handover.Entities.v1`: where the labels are in the text. `hints` describe labels by name."""
    return EntitiesTask(_question(Kind.ENTITIES, labels, question, hints or {}, guidelines))


def _question(kind: Kind, labels: Sequence[str], wording: str, hints: Mapping[str, str], guidelines: str) -> Question:
    if not labels:
        raise ConfigError(f"A task of kind '{kind.value}' needs at least one label. Set `labels` in its config.")
    described = tuple(Label(name, hints.get(name, "")) for name in labels)
    return Question(kind, wording, described, guidelines)


def _not_aligned(doc: Doc, annotation: Annotation) -> tuple[str, ...]:
    missing = sum(doc.char_span(span.start, span.end) is None for span in annotation.spans)
    if not missing:
        return ()
    return (f"{missing} of {len(annotation.spans)} entities do not begin and end with a token (not in doc.ents)",)
