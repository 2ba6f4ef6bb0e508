"""`handover.Recorded.v1`: a model that answers from files, so that everything runs without a key.

A file has one JSON object a line, in one of two forms:

- `{"text": …, "aspect": …, "completion": "…"}`: what a model answered, word for word; without `aspect` for
  any aspect;
- `{"text": …, "teacher": answer}` or `{"text": …, "teacher": {aspect: answer}}`: a known answer, from which the
  completion is composed that a model would have given: a label, a list of labels, a list of spans `{"start",
  "end", "label"}`, or `{"spans": […], "relations": [{"head", "child", "label"}]}` with positions in `spans`.

Of several records for the same text the last one counts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Iterable  # noqa: UP035 - spacy-llm reads hints with typing.Iterable only

from handover.domain import AnswerStatus, Kind
from handover.errors import TeacherError
from handover.teacher.answers import completion_for
from handover.teacher.completion import Completion

__all__ = ["Recorded", "completion_for", "completions_in", "make_recorded"]

ANY_ASPECT = ""
NOT_RECORDED = Completion(status=AnswerStatus.FAILED, problem="no recorded answer")

Records = Mapping[tuple[str, str], str]
"""Completions by aspect and text."""


class Recorded:
    """Answers of one aspect, found by the exact text."""

    def __init__(self, completions: Mapping[str, str], *, name: str = "recorded") -> None:
        self._completions = completions
        self._name = name

    def __call__(self, prompts: Iterable[Iterable[str]]) -> Iterable[Iterable[str]]:
        """One completion per prompt, in the same nesting; FAILED where nothing was recorded."""
        return [[self._ask(prompt) for prompt in group] for group in prompts]

    @property
    def model_id(self) -> str:
        """Name and digest of the answers: other answers are another model, for the cache and the gate."""
        content = json.dumps(sorted(self._completions.items()))
        return f"{self._name}-{hashlib.sha256(content.encode()).hexdigest()[:6]}"

    def _ask(self, prompt: str) -> Completion:
        completion = self._completions.get(str(getattr(prompt, "text", prompt)))
        return NOT_RECORDED if completion is None else Completion(completion, model=self._name, latency_ms=0.0)


def make_recorded(path: str, aspect: str, name: str = "recorded", kind: str = "") -> Recorded:
    """`handover.Recorded.v1`: the answers in a file, or in all `*.jsonl` files of a folder and below it.

    `kind` is that of the aspect; without it, spans are those of kind `entities`. Raises TeacherError when there is
    no such file, or a line of it is not a record.
    """
    return Recorded(completions_in(Path(path), aspect, Kind(kind) if kind else None), name=name)


def completions_in(path: Path, aspect: str, kind: Kind | None = None) -> dict[str, str]:
    """The recorded completions of an aspect, by text. Raises TeacherError.

    Files are read once per process, and again when they have changed.
    """
    found: dict[str, str] = {}
    for file in _files(path):
        status = file.stat()
        records = _read(file, kind, status.st_mtime_ns, status.st_size)
        found.update({text: c for (name, text), c in records.items() if name in (aspect, ANY_ASPECT)})
    return found


def _files(path: Path) -> list[Path]:
    files = sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise TeacherError(
            f"There are no recorded answers at '{path}'. "
            "Set HANDOVER_TEACHER_RECORDED to a JSONL file, or to a folder with *.jsonl files."
        )
    return files


@lru_cache(maxsize=64)
def _read(file: Path, kind: Kind | None, changed_ns: int, size: int) -> Records:
    """The records of a file, for aspects of one kind. The last two arguments only make a changed file another call."""
    records: dict[tuple[str, str], str] = {}
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                records.update(_completions(json.loads(line), kind))
            except (ValueError, KeyError, TypeError) as error:
                # `from None` and no message of the error: both may quote the line.
                raise TeacherError(
                    f"Line {number} of '{file}' is not a recorded answer ({type(error).__name__}). Expected "
                    '{"text", "aspect", "completion"} or {"text", "teacher"}.'
                ) from None
    return records


def _completions(record: Any, kind: Kind | None) -> Iterator[tuple[tuple[str, str], str]]:
    text = record["text"]
    if not isinstance(text, str):
        raise TypeError("text is not a string")
    if "completion" in record:
        completion = record["completion"]
        if not isinstance(completion, str):
            raise TypeError("completion is not a string")
        yield (record.get("aspect") or ANY_ASPECT, text), completion
        return
    answers = record["teacher"]
    by_aspect = answers if isinstance(answers, dict) and not _is_graph(answers) else {ANY_ASPECT: answers}
    for aspect, answer in by_aspect.items():
        yield (aspect, text), completion_for(_kind_of(answer, kind), text, answer)


def _is_graph(answer: dict[str, Any]) -> bool:
    """Whether this is an answer of kind `relations`, and no mapping from aspects to answers."""
    return answer.keys() == {"spans", "relations"} and all(isinstance(part, list) for part in answer.values())


def _kind_of(answer: Any, kind: Kind | None) -> Kind:
    """The kind that an answer has by its form; where several have the same one, that of the aspect.

    Answers of other aspects in the same file may be of any kind.
    """
    if isinstance(answer, dict):
        return Kind.RELATIONS
    if isinstance(answer, str):
        return Kind.CHOICE
    if answer and all(isinstance(part, str) for part in answer):
        return Kind.CHOICES
    return kind if kind is Kind.SPANS or (kind is Kind.CHOICES and not answer) else Kind.ENTITIES
