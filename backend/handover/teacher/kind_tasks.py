"""What a completion means, for each kind of aspect: our spacy-llm tasks.

A task is what spacy-llm's `ty.py` asks for: `generate_prompts` and `parse_responses`. Its type hints are read
at run time (`spacy_llm.ty.validate_type_consistency`), which knows `typing.Iterable` only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Iterable  # noqa: UP035

from spacy.tokens import Doc

from handover.doc_relations import mark_relations, mark_spans
from handover.domain import Annotation, AnswerStatus, Relation, Span
from handover.teacher.answers import (
    AnswerError,
    Edge,
    Graph,
    parse_choice,
    parse_choices,
    parse_entities,
    parse_relations,
    parse_spans,
)
from handover.teacher.completion import Completion, as_completion
from handover.teacher.doc_answer import DocAnswer, write_answer
from handover.teacher.grounding import Grounding, ground
from handover.teacher.prompt import Prompt, Prompter, Question

MIN_USABLE = 0.5
"""An answer of which fewer parts than this share can be used is taken for an answer to something else."""


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


class ChoicesTask(HandoverTask):
    """Any of the labels: `doc.cats` is 1.0 for those that apply, 0.0 for the others, and stays empty without an
    answer.

    Labels that the aspect does not have are dropped one by one and listed as problems; the answer stays OK as
    long as at least half of its labels could be used (an answer without labels is OK).
    """

    def _read(self, doc: Doc, completion: Completion) -> DocAnswer:
        chosen = parse_choices(completion, self.question.label_names)
        problems = tuple(
            f"label {number} of {len(chosen)} is not one of the aspect's"
            for number, label in enumerate(chosen, start=1)
            if label is None
        )
        annotation = Annotation(cats=tuple(label for label in self.question.label_names if label in chosen))
        return _answer(completion, annotation, problems, enough=_enough(len(chosen) - len(problems), len(chosen)))

    def _set(self, doc: Doc, annotation: Annotation) -> None:
        doc.cats = {label: float(label in annotation.cats) for label in self.question.label_names}


class EntitiesTask(HandoverTask):
    """Spans that do not overlap: `doc.ents` holds those that begin and end with a token.

    Mentions that are not in the text are dropped one by one and listed as problems; the answer stays OK as
    long as at least half of its mentions could be placed (an answer without mentions is OK).
    """

    def _read(self, doc: Doc, completion: Completion) -> DocAnswer:
        grounding = ground(doc.text, parse_entities(completion, self.question.label_names))
        return _grounded(doc, completion, grounding, noun="entities", place="doc.ents")

    def _set(self, doc: Doc, annotation: Annotation) -> None:
        spans = [doc.char_span(span.start, span.end, label=span.label) for span in annotation.spans]
        doc.ents = [span for span in spans if span is not None]


class SpansTask(HandoverTask):
    """Spans that may overlap: `doc.spans["sc"]` holds those that begin and end with a token.

    What cannot be used is treated as for entities.
    """

    def _read(self, doc: Doc, completion: Completion) -> DocAnswer:
        grounding = ground(doc.text, parse_spans(completion, self.question.label_names), overlapping=True)
        return _grounded(doc, completion, grounding, noun="spans", place="doc.spans")

    def _set(self, doc: Doc, annotation: Annotation) -> None:
        mark_spans(doc, annotation.spans)


class RelationsTask(HandoverTask):
    """Spans and the relations between them: `doc.spans["sc"]` and `doc._.relations` hold those that tokens allow.

    A relation that names a span which is not there, not in the text or not the only one with its number is
    dropped and listed as a problem. At least half of the spans and half of the relations have to be usable.
    """

    def _read(self, doc: Doc, completion: Completion) -> DocAnswer:
        graph = parse_relations(completion, self.question.label_names, self.question.span_label_names)
        grounding = ground(doc.text, graph.mentions, overlapping=True)
        edges, problems = _connect(graph, grounding)
        enough = _enough(len(grounding.spans), len(graph.mentions)) and _enough(len(edges), len(graph.edges))
        annotation = Annotation(spans=grounding.spans, relations=tuple(sorted(set(edges))))
        problems = (*grounding.problems, *problems)
        if enough:
            problems += _not_aligned(doc, annotation.spans, noun="spans", place="doc.spans")
        return _answer(completion, annotation, problems, enough=enough)

    def _set(self, doc: Doc, annotation: Annotation) -> None:
        mark_relations(doc, annotation)


def _answer(completion: Completion, annotation: Annotation, problems: tuple[str, ...], *, enough: bool) -> DocAnswer:
    if not enough:
        return DocAnswer(AnswerStatus.UNPARSED, completion, problems=problems)
    return DocAnswer(AnswerStatus.OK, completion, annotation, problems)


def _enough(usable: int, all_of_them: int) -> bool:
    return usable >= MIN_USABLE * all_of_them


def _grounded(doc: Doc, completion: Completion, grounding: Grounding, *, noun: str, place: str) -> DocAnswer:
    spans, problems = grounding.spans, grounding.problems
    enough = _enough(len(spans), len(grounding.by_mention))
    if enough:
        problems += _not_aligned(doc, spans, noun=noun, place=place)
    return _answer(completion, Annotation(spans=spans), problems, enough=enough)


def _connect(graph: Graph, grounding: Grounding) -> tuple[list[Relation], tuple[str, ...]]:
    """The relations between grounded spans, as indices into these, and what is wrong with the others."""
    place = {span: index for index, span in enumerate(grounding.spans)}
    times = Counter(graph.numbers)
    named = dict(zip(graph.numbers, grounding.by_mention, strict=True))
    spans = {number: span for number, span in named.items() if span is not None}
    relations: list[Relation] = []
    problems: list[str] = []
    for number, edge in enumerate(graph.edges, start=1):
        problem = _edge_problem(edge, spans, times)
        if problem or edge.label is None:
            problems.append(f"relation {number} of {len(graph.edges)}: {problem}")
        else:
            relations.append(Relation(place[spans[edge.head]], place[spans[edge.child]], edge.label))
    return relations, tuple(problems)


def _edge_problem(edge: Edge, spans: dict[int, Span], times: Counter[int]) -> str:
    """Why a relation cannot be used; empty if it can."""
    if edge.label is None:
        return "its label is not one of the aspect's"
    for name, number in (("head", edge.head), ("child", edge.child)):
        if not times[number]:
            return f"its {name} is not one of the spans"
        if times[number] > 1:
            return f"{times[number]} spans have the number of its {name}"
        if number not in spans:
            return f"its {name} has no place in the text"
    return ""


def _not_aligned(doc: Doc, spans: Sequence[Span], *, noun: str, place: str) -> tuple[str, ...]:
    missing = sum(doc.char_span(span.start, span.end) is None for span in spans)
    if not missing:
        return ()
    return (f"{missing} of {len(spans)} {noun} do not begin and end with a token (not in {place})",)
