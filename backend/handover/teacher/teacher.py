"""A teacher: texts in, answers out, each asked at most once."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from handover.domain import Annotation, AnswerStatus
from handover.teacher.cache import AnswerCache, CachedAnswer, MemoryCache, cache_key
from handover.teacher.completion import Completion
from handover.teacher.doc_answer import DocAnswer, read_answer

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

    from handover.teacher.tasks import HandoverTask

__all__ = ["AnswerCache", "CachedAnswer", "MemoryCache", "Teacher", "TeacherAnswer"]

logger = logging.getLogger(__name__)

CHUNK = 64
"""Texts that are asked before their answers are put into the cache: no more than these can be lost."""


@dataclass(frozen=True)
class TeacherAnswer:
    """What the teacher says about one text.

    `annotation` holds exact offsets and is None unless `status` is OK. An OK answer can have `problems`:
    parts of it that could not be used. Tokens and latency are those of the request; `from_cache` tells that
    this answer did not cost them again. `key` is empty and `doc` None for texts that are never asked.
    """

    status: AnswerStatus
    key: str
    model_id: str
    annotation: Annotation | None = None
    completion: str = field(default="", repr=False)
    problems: tuple[str, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    latency_ms: float | None = None
    from_cache: bool = False
    doc: Doc | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class _Question:
    """One text on its way to the model; `problem` says why it is not asked at all."""

    doc: Doc | None = None
    key: str = ""
    problem: str = ""


class Teacher:
    """An LLM's answers for one aspect, through a spacy-llm pipeline whose component is called `llm`.

    Its task has to be one of ours. May be called from many threads.
    """

    def __init__(self, nlp: Language, *, model_id: str, max_tokens: int | None = None) -> None:
        self._nlp = nlp
        self._task: HandoverTask = nlp.get_pipe("llm").task
        self._max_tokens = max_tokens
        self.model_id = model_id

    @property
    def prompt_hash(self) -> str:
        """SHA-256 over template, question, labels with hints, guidelines, examples and schema, in hex."""
        return self._task.prompt_hash

    @property
    def id(self) -> str:
        """Names model and prompt: with either changed it is another teacher."""
        return f"{self.model_id}-{self.prompt_hash[:8]}"

    def prompt(self, text: str) -> str:
        """The whole prompt for a text, as the model gets it; a `Prompt`, which knows its parts."""
        return next(iter(self._task.generate_prompts([self._nlp.make_doc(text)])))

    def annotate(self, texts: Sequence[str], cache: AnswerCache) -> list[TeacherAnswer]:
        """One answer per text, in order. Only what the cache does not know is asked, and that once.

        Nothing is raised for a text: whatever goes wrong with one is in its status and problems.
        """
        questions = [self._question(text) for text in texts]
        completions = self._recall(questions, cache)
        new: dict[str, _Question] = {}
        for question in questions:
            if question.key and question.key not in completions:
                new.setdefault(question.key, question)
        for chunk in _chunks(list(new.values())):
            asked = self._ask(chunk)
            completions.update({answer.key: completion for answer, completion in asked})
            cache.put([answer for answer, _ in asked if answer.status is not AnswerStatus.FAILED])
        answers = [self._answer(q, completions, from_cache=new.get(q.key) is not q) for q in questions]
        _log(self.id, answers)
        return answers

    def _question(self, text: str) -> _Question:
        problem = _why_unaskable(text, self._nlp.max_length)
        if problem:
            return _Question(problem=problem)
        doc = self._nlp.make_doc(text)
        prompt = next(iter(self._task.generate_prompts([doc])))
        return _Question(doc=doc, key=cache_key(self.model_id, prompt))

    def _recall(self, questions: Sequence[_Question], cache: AnswerCache) -> dict[str, Completion]:
        keys = list(dict.fromkeys(question.key for question in questions if question.key))
        known = cache.get(keys) if keys else {}
        return {key: completion for key, completion in known.items() if not self._is_outdated(completion)}

    def _is_outdated(self, completion: Completion) -> bool:
        """True for an answer that was cut off by a lower limit than today's."""
        if completion.stop_reason != "max_tokens" or None in (completion.output_tokens, self._max_tokens):
            return False
        return (completion.output_tokens or 0) < (self._max_tokens or 0)

    def _ask(self, questions: Sequence[_Question]) -> list[tuple[CachedAnswer, Completion]]:
        docs = self._nlp.pipe([question.doc for question in questions], batch_size=CHUNK)
        found = [read_answer(doc) for doc in docs]
        return [
            (_to_cache(question.key, self.model_id, answer), answer.completion)
            for question, answer in zip(questions, found, strict=True)
        ]

    def _answer(self, question: _Question, completions: Mapping[str, Completion], *, from_cache: bool) -> TeacherAnswer:
        if question.doc is None:
            return TeacherAnswer(AnswerStatus.FAILED, "", self.model_id, problems=(question.problem,))
        # Also done for those that were just asked, so that a cached answer cannot mean anything else.
        doc = next(iter(self._task.parse_responses([question.doc], [completions[question.key]])))
        answer = read_answer(doc)
        return TeacherAnswer(
            status=answer.status,
            key=question.key,
            model_id=self.model_id,
            annotation=answer.annotation,
            completion=str(answer.completion),
            problems=answer.problems,
            input_tokens=answer.completion.input_tokens,
            output_tokens=answer.completion.output_tokens,
            cached_tokens=answer.completion.cached_tokens,
            latency_ms=answer.completion.latency_ms,
            from_cache=from_cache,
            doc=doc,
        )


def _why_unaskable(text: str, max_length: int) -> str:
    if not text.strip():
        return "empty text"
    if len(text) > max_length:
        return f"the text is too long: it has {len(text)} characters, at most {max_length} can be read"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"the text is not valid Unicode: there is half a surrogate pair at character {error.start}"
    return ""


def _to_cache(key: str, model_id: str, answer: DocAnswer) -> CachedAnswer:
    completion = answer.completion
    return CachedAnswer(
        key=key,
        model_id=model_id,
        completion=str(completion),
        status=answer.status,
        problems=answer.problems,
        input_tokens=completion.input_tokens,
        output_tokens=completion.output_tokens,
        cached_tokens=completion.cached_tokens,
        latency_ms=completion.latency_ms,
        stop_reason=completion.stop_reason,
    )


def _chunks(questions: Sequence[_Question]) -> Iterator[Sequence[_Question]]:
    for start in range(0, len(questions), CHUNK):
        yield questions[start : start + CHUNK]


def _log(teacher_id: str, answers: Sequence[TeacherAnswer]) -> None:
    if not answers:
        return
    counts = Counter(answer.status.value for answer in answers)
    cached = sum(answer.from_cache for answer in answers)
    summary = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
    logger.info("Teacher %s: %d texts (%d from the cache): %s", teacher_id, len(answers), cached, summary)
