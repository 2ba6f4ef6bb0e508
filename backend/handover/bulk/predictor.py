"""An exported pipeline at work: it answers as the server does, with the same calibrated confidences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from handover.bulk.fields import CATALOG, ERROR, columns_of, fields_of
from handover.bulk.pipelines import aspects_of, has_catalog
from handover.doc_relations import SPANS_KEY
from handover.domain import Aspect, Kind, Label
from handover.student.calibrate import Answer, Calibration, calibration_from_json
from handover.student.confidence import Trace, watch
from handover.student.pipeline import MAX_NEW_WORDS, load_student
from handover.student.readings import read_trace

if TYPE_CHECKING:
    from spacy.tokens import Doc

BATCH = 128
"""Texts that are worked on at once."""

Record = dict[str, Any]


@dataclass(frozen=True)
class Reader:
    """Reads an aspect's answer as soon as the last of its components has seen a Doc, before others write there.

    `aspect` has the labels that the pipeline gives, with their namespace; `spans` is the key of its span group.
    """

    name: str
    aspect: Aspect
    components: tuple[str, ...]
    namespace: str
    spans: str | None
    calibration: Calibration

    @classmethod
    def of(cls, fact: Mapping[str, Any]) -> Reader:
        """The reader of an aspect, from what the pipeline's meta data say about it."""
        namespace = fact["prefix"]
        aspect = Aspect(
            name=fact["aspect"],
            to_name="",
            kind=Kind(fact["kind"]),
            labels=tuple(Label(namespace + label) for label in fact["labels"]),
            text_field="",
            span_labels=tuple(Label(namespace + label) for label in fact.get("span_labels", ())),
        )
        calibration = calibration_from_json(fact.get("calibration") or {})
        return cls(aspect.name, aspect, tuple(fact["components"]), namespace, fact["spans"], calibration)

    def read(self, trace: Trace) -> Answer:
        """What a Doc says about the aspect."""
        spans = trace.doc.spans
        renamed = self.aspect.kind in (Kind.SPANS, Kind.RELATIONS) and self.spans not in (None, SPANS_KEY)
        if renamed:
            spans[SPANS_KEY] = spans[self.spans]  # where students have them
        raw = read_trace(trace, self.aspect)
        if renamed:
            del spans[SPANS_KEY]
        return self.calibration.answer(raw, self.aspect.kind)


class Predictor:
    """Answers for texts; not thread-safe. The names of the fields that it fills start with `prefix`."""

    def __init__(self, folder: Path, *, prefix: str = "", max_new_words: int = MAX_NEW_WORDS) -> None:
        self.prefix = prefix
        self._folder = folder
        self._max_new_words = max_new_words
        self._load()
        facts = aspects_of(self.nlp.meta, folder)
        self.has_catalog = has_catalog(self.nlp.meta)
        self.columns = columns_of(facts, prefix=prefix, has_catalog=self.has_catalog)
        self.readers = [Reader.of(fact) for fact in facts]

    def _load(self) -> None:
        self.nlp = load_student(self._folder)
        self._known = len(self.nlp.vocab)

    def answer(self, rows: Sequence[Mapping[str, Any]], text_field: str) -> list[Record]:
        """One answer a record, in their order: of one without a usable text an error and nothing else."""
        texts = [text_of(row, text_field) for row in rows]
        problems = [_problem(text, text_field, self.nlp.max_length) for text in texts]
        good = [i for i, problem in enumerate(problems) if not problem]
        answers: list[Record] = [{self.prefix + ERROR: problem} for problem in problems]
        for start in range(0, len(good), BATCH):
            batch = good[start : start + BATCH]
            for i, record in zip(batch, self._answer([texts[i] for i in batch]), strict=True):
                answers[i] = record
            # spaCy keeps every new word. In a memory zone it would not, but its tokenizer is slow there.
            if len(self.nlp.vocab) > self._known + self._max_new_words:
                self._load()
        return answers

    def _answer(self, texts: Sequence[str]) -> list[Record]:
        docs = [self.nlp.make_doc(text) for text in texts]
        records: list[Record] = [{} for _ in texts]
        readers = {name: reader for reader in self.readers for name in reader.components}
        traces: dict[str, list[Trace]] = {}
        for name, pipe in self.nlp.pipeline:
            reader = readers.get(name)
            key = reader.name if reader else ""
            steps = traces.setdefault(key, [Trace(doc, np.ones(len(doc), dtype=np.float32)) for doc in docs])
            watch(self.nlp.get_pipe_meta(name).factory, pipe, steps)
            if reader is not None and name == reader.components[-1]:
                for record, trace in zip(records, steps, strict=True):
                    record.update(self._fields(reader, trace))
        return [self._finish(record, doc) for record, doc in zip(records, docs, strict=True)]

    def _fields(self, reader: Reader, trace: Trace) -> Record:
        answer = reader.read(trace)
        found = fields_of(answer, reader.aspect.kind.value, trace.doc.text, namespace=reader.namespace)
        return {self.prefix + reader.name + suffix: value for suffix, value in found}

    def _finish(self, record: Record, doc: Doc) -> Record:
        catalog = {self.prefix + CATALOG: doc._.catalog} if self.has_catalog else {}
        return record | catalog | {self.prefix + ERROR: None}


def text_of(row: Mapping[str, Any], text_field: str) -> Any:
    """The value of a field; `a.b` is field b of field a unless there is a field of that name."""
    if text_field in row:
        return row[text_field]
    value: Any = row
    for key in text_field.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _problem(text: Any, text_field: str, longest: int) -> str:
    if not isinstance(text, str):
        return f"field {text_field!r} holds no text"
    if not text.strip():
        return f"the text in field {text_field!r} is empty"
    if len(text) > longest:
        return f"the text has {len(text)} characters, the longest may have {longest}"
    if any("\ud800" <= char <= "\udfff" for char in text):
        return "the text holds half a surrogate pair"
    return ""
