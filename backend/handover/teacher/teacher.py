"""A teacher: texts in, answers out, each asked at most once."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from handover.domain import Annotation, AnswerStatus
from handover.teacher.cache import AnswerCache, CachedAnswer, MemoryCache, cache_key
from handover.teacher.calls import OUTPUT_TOKENS, Call, CallStatus, Ledger, NoLedger, Outcome, Purpose, most_tokens
from handover.teacher.completion import Completion
from handover.teacher.doc_answer import DocAnswer, read_answer
from handover.teacher.votes import SAMPLE_KEY, vote

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

    from handover.teacher.prompt import Prompt
    from handover.teacher.samples import SampledTask
    from handover.teacher.tasks import HandoverTask

__all__ = ["AnswerCache", "CachedAnswer", "MemoryCache", "Sample", "Teacher", "TeacherAnswer"]

logger = logging.getLogger(__name__)

CHUNK = 64
"""Questions that are asked before their answers are put into the cache: no more than these can be lost."""


@dataclass(frozen=True)
class TeacherAnswer:
    """What the teacher says about one text.

    `annotation` holds exact offsets and is None unless `status` is OK. An OK answer can have `problems`:
    parts of it that could not be used. Tokens and latency are those of the request; `from_cache` tells that
    this answer did not cost them again. `key` is empty and `doc` None for texts that are never asked.
    With several samples `annotation` is what they voted for and `agreement` how far they agree, from 0 to 1;
    everything else is of the first sample.
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
    agreement: float | None = None


@dataclass(frozen=True)
class Sample:
    """One sample of one text on its way to the model; `problem` says why it is not asked at all."""

    doc: Doc | None = field(default=None, repr=False)
    key: str = ""
    prompt: Prompt | None = field(default=None, repr=False)
    problem: str = ""


@runtime_checkable
class BatchModel(Protocol):
    """A model that also answers questions later, for less."""

    def send_batch(self, prompts: Mapping[str, str]) -> str:
        """Ask all prompts, by key; returns the batch's id."""

    def fetch_batch(self, batch_id: str) -> dict[str, Completion] | None:
        """The answers by key, None while the batch is under way."""


class Teacher:
    """An LLM's answers for one aspect, through a spacy-llm pipeline whose component is called `llm`.

    Its task has to be one of ours. May be called from many threads. What it asks is entered into `ledger`, which
    may also refuse; `is_free` tells that its answers cost nothing.
    """

    def __init__(
        self,
        nlp: Language,
        *,
        model_id: str,
        max_tokens: int | None = None,
        samples: int = 1,
        ledger: Ledger | None = None,
        is_free: bool = False,
    ) -> None:
        self._nlp = nlp
        self._task: HandoverTask | SampledTask = nlp.get_pipe("llm").task
        self._max_tokens = max_tokens
        self._samples = samples
        self._ledger: Ledger = ledger or NoLedger()
        self._is_free = is_free
        self.model_id = model_id

    @property
    def prompt_hash(self) -> str:
        """SHA-256 over template, question, labels with hints, guidelines, examples and schema, in hex."""
        return self._task.prompt_hash

    @property
    def id(self) -> str:
        """Names model and prompt: with either changed it is another teacher."""
        return f"{self.model_id}-{self.prompt_hash[:8]}"

    @property
    def example_texts(self) -> tuple[str, ...]:
        """The texts that the prompt shows as examples."""
        return tuple(example.text for example in self._task.question.examples)

    @property
    def max_tokens(self) -> int | None:
        """The most tokens that one answer may have."""
        return self._max_tokens

    @property
    def is_free(self) -> bool:
        """Whether its answers cost nothing."""
        return self._is_free

    @property
    def batches(self) -> BatchModel | None:
        """The model, if it takes batches."""
        model = self._nlp.get_pipe("llm")._model  # spacy-llm has no other way to it
        return model if isinstance(model, BatchModel) else None

    def prompt(self, text: str) -> str:
        """The whole prompt for a text, as the model gets it; a `Prompt`, which knows its parts."""
        return next(iter(self._task.generate_prompts([self._nlp.make_doc(text)])))

    def annotate(
        self, texts: Sequence[str], cache: AnswerCache, *, purpose: str = Purpose.OTHER.value
    ) -> list[TeacherAnswer]:
        """One answer per text, in order. Only what the cache does not know is asked, and that once.

        Nothing is raised for a text: whatever goes wrong with one is in its status and problems.
        """
        questions = [question for text in texts for question in self.questions(text)]
        completions = self._recall(questions, cache)
        self._note_hits(completions, purpose)
        new: dict[str, Sample] = {}
        for question in questions:
            if question.key and question.key not in completions:
                new.setdefault(question.key, question)
        for chunk in _chunks(list(new.values())):
            completions.update(self._ask(chunk, cache, purpose))
        answers = [self._answer(q, completions, from_cache=new.get(q.key) is not q) for q in questions]
        merged = [self._merged(answers[i : i + self._samples]) for i in range(0, len(answers), self._samples)]
        _log(self.id, merged)
        return merged

    def recall(self, texts: Sequence[str], cache: AnswerCache) -> list[TeacherAnswer | None]:
        """The answers that are known already; None for a text about which something would have to be asked."""
        questions = [question for text in texts for question in self.questions(text)]
        completions = self._recall(questions, cache)
        found: list[TeacherAnswer | None] = []
        for start in range(0, len(questions), self._samples):
            samples = questions[start : start + self._samples]
            is_known = all(sample.key in completions for sample in samples)
            answers = [self._answer(q, completions, from_cache=True) for q in samples] if is_known else []
            found.append(self._merged(answers) if answers else None)
        return found

    def unknown(self, texts: Sequence[str], cache: AnswerCache) -> list[list[Sample]]:
        """For each text, the questions that `annotate` would ask."""
        grouped = [[question for question in self.questions(text) if question.key] for text in texts]
        known = self._recall([question for group in grouped for question in group], cache)
        return [[question for question in group if question.key not in known] for group in grouped]

    def questions(self, text: str) -> list[Sample]:
        """What is asked about a text: one question per sample."""
        problem = _why_unaskable(text, self._nlp.max_length)
        if problem:
            return [Sample(problem=problem)] * self._samples
        return [self._question(text, sample) for sample in range(self._samples)]

    def call(self, question: Sample, *, purpose: str) -> Call:
        """A question as the ledger enters it."""
        prompt = question.prompt or ""
        return Call(
            key=question.key,
            model_id=self.model_id,
            purpose=purpose,
            prompt_chars=len(prompt),
            max_input_tokens=most_tokens(prompt),
            max_output_tokens=self._max_tokens or OUTPUT_TOKENS,
            is_free=self._is_free,
        )

    def understand(self, question: Sample, completion: Completion) -> Outcome:
        """What a completion that came another way means for a question."""
        answer = self._read(question, completion)
        return Outcome(answer.status, completion, answer.problems)

    def to_cache(self, key: str, outcome: Outcome) -> CachedAnswer:
        """An outcome as it is kept."""
        completion = outcome.completion
        return CachedAnswer(
            key=key,
            model_id=self.model_id,
            completion=str(completion),
            status=outcome.status,
            problems=outcome.problems,
            input_tokens=completion.input_tokens,
            output_tokens=completion.output_tokens,
            cached_tokens=completion.cached_tokens,
            latency_ms=completion.latency_ms,
            stop_reason=completion.stop_reason,
        )

    def _question(self, text: str, sample: int) -> Sample:
        doc = self._nlp.make_doc(text)
        doc.user_data[SAMPLE_KEY] = sample
        prompt = next(iter(self._task.generate_prompts([doc])))
        return Sample(doc=doc, key=cache_key(self.model_id, prompt, sample=sample), prompt=prompt)

    def _recall(self, questions: Sequence[Sample], cache: AnswerCache) -> dict[str, Completion]:
        keys = list(dict.fromkeys(question.key for question in questions if question.key))
        known = cache.get(keys) if keys else {}
        return {key: completion for key, completion in known.items() if not self._is_outdated(completion)}

    def _is_outdated(self, completion: Completion) -> bool:
        """True for an answer that was cut off by a lower limit than today's."""
        if completion.stop_reason != "max_tokens" or None in (completion.output_tokens, self._max_tokens):
            return False
        return (completion.output_tokens or 0) < (self._max_tokens or 0)

    def _ask(self, questions: Sequence[Sample], cache: AnswerCache, purpose: str) -> dict[str, Completion]:
        """Ask what the ledger admits; the others get a completion that says why not. Everything is entered."""
        admission = self._ledger.open([self.call(question, purpose=purpose) for question in questions])
        admitted = questions[: len(admission.tickets)]
        docs = self._nlp.pipe([question.doc for question in admitted], batch_size=CHUNK)
        found = [_outcome(read_answer(doc)) for doc in docs]
        cache.put(
            [
                self.to_cache(question.key, outcome)
                for question, outcome in zip(admitted, found, strict=True)
                if outcome.status is not AnswerStatus.FAILED
            ]
        )
        outcomes = dict(zip(admission.tickets, found, strict=True))
        self._ledger.close(outcomes, model_id=self.model_id, is_free=self._is_free)
        completions = {q.key: outcome.completion for q, outcome in zip(admitted, found, strict=True)}
        held = questions[len(admitted) :]
        if held:
            refused = CallStatus.OVER_BUDGET
            number = len(held)
            self._ledger.note(
                refused, purpose=purpose, model_id=self.model_id, number=number, problem=admission.problem
            )
        completion = Completion(status=AnswerStatus.FAILED, problem=admission.problem)
        return completions | {question.key: completion for question in held}

    def _note_hits(self, completions: Mapping[str, Completion], purpose: str) -> None:
        if completions:
            number = len(completions)
            self._ledger.note(CallStatus.CACHED, purpose=purpose, model_id=self.model_id, number=number)

    def _read(self, question: Sample, completion: Completion) -> DocAnswer:
        return read_answer(next(iter(self._task.parse_responses([question.doc], [completion]))))

    def _answer(self, question: Sample, completions: Mapping[str, Completion], *, from_cache: bool) -> TeacherAnswer:
        if question.doc is None:
            return TeacherAnswer(AnswerStatus.FAILED, "", self.model_id, problems=(question.problem,))
        # Also done for those that were just asked, so that a cached answer cannot mean anything else.
        answer = self._read(question, completions[question.key])
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
            doc=question.doc,
        )

    def _merged(self, answers: Sequence[TeacherAnswer]) -> TeacherAnswer:
        """The samples of one text as one answer.

        Samples that came to nothing do not vote. Without an answer of most of them the text counts as failed, and
        is asked about again later: what did come is in the cache.
        """
        first = answers[0]
        if len(answers) == 1 or first.doc is None:
            return first
        failed = [answer for answer in answers if answer.status is AnswerStatus.FAILED]
        if 2 * len(failed) >= len(answers):
            return failed[0]
        voters = [answer for answer in answers if answer.annotation is not None]
        if not voters:
            return next(answer for answer in answers if answer.status is not AnswerStatus.FAILED)
        heard = len(answers) - len(failed)
        annotations = [answer.annotation for answer in voters if answer.annotation is not None]
        annotation, agreement = vote(self._task.question.kind, annotations, samples=heard)
        from_cache = all(answer.from_cache for answer in answers)
        return replace(voters[0], annotation=annotation, agreement=agreement, from_cache=from_cache)


def _outcome(answer: DocAnswer) -> Outcome:
    return Outcome(answer.status, answer.completion, answer.problems)


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


def _chunks(questions: Sequence[Sample]) -> Iterator[Sequence[Sample]]:
    for start in range(0, len(questions), CHUNK):
        yield questions[start : start + CHUNK]


def _log(teacher_id: str, answers: Sequence[TeacherAnswer]) -> None:
    if not answers:
        return
    counts = Counter(answer.status.value for answer in answers)
    cached = sum(answer.from_cache for answer in answers)
    summary = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
    logger.info("Teacher %s: %d texts (%d from the cache): %s", teacher_id, len(answers), cached, summary)
