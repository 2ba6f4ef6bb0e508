"""The words of the project as frozen dataclasses. No I/O, and no imports from the rest of the package."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Kind(str, Enum):
    """What an aspect asks."""

    CHOICE = "choice"
    CHOICES = "choices"
    ENTITIES = "entities"
    SPANS = "spans"
    RELATIONS = "relations"


class Split(str, Enum):
    """What a task is used for. Gold is annotated blind and only ever read by the gate."""

    GOLD = "gold"
    DEV = "dev"
    TRAIN = "train"


class Server(str, Enum):
    """Who answers for an aspect."""

    TEACHER = "teacher"
    STUDENT = "student"


class AnswerStatus(str, Enum):
    """What became of one question to the teacher. Only OK answers are ever shown; a task whose text cannot be
    asked about is SKIPPED."""

    OK = "ok"
    UNPARSED = "unparsed"
    REFUSED = "refused"
    FAILED = "failed"
    SKIPPED = "skipped"


class Outcome(str, Enum):
    """What was decided. KEEP: whoever serves goes on; ROLLBACK: the teacher takes over again."""

    PROMOTE = "promote"
    KEEP = "keep"
    NEED_MORE = "need_more"
    ROLLBACK = "rollback"
    PIN = "pin"
    UNPIN = "unpin"


class Actor(str, Enum):
    """What decided: the gate, the watch after a handover, two students' scores on dev, a changed labeling config, or
    a person.
    """

    GATE = "gate"
    WATCH = "watch"
    DEV = "dev"
    CONFIG = "config"
    PERSON = "person"


@dataclass(frozen=True)
class Label:
    """One label of an aspect. `name` is what Label Studio stores (the alias where one is set)."""

    name: str
    hint: str = ""


@dataclass(frozen=True)
class Aspect:
    """One control tag of a labeling config: the unit that is predicted, trained, scored and handed over.

    Relations connect the regions of another control tag: `spans_from` is its name, `span_labels` its labels.
    `required` says that Label Studio takes no annotation without an answer to a question of kind `choices`.
    """

    name: str
    to_name: str
    kind: Kind
    labels: tuple[Label, ...]
    text_field: str
    question: str = ""
    span_labels: tuple[Label, ...] = ()
    spans_from: str = ""
    required: bool = False

    @property
    def label_names(self) -> tuple[str, ...]:
        """The stored names of the labels, in the order of the labeling config."""
        return tuple(label.name for label in self.labels)

    @property
    def span_label_names(self) -> tuple[str, ...]:
        """The stored names of the labels of its spans: its own, or for relations those of their end points."""
        return tuple(label.name for label in self.span_labels) if self.kind is Kind.RELATIONS else self.label_names


@dataclass(frozen=True, order=True)
class Span:
    """A labelled stretch of text; `start` and `end` count Python code points, `end` exclusive."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, order=True)
class Relation:
    """A directed, labelled edge between two spans, given as indices into `Annotation.spans`."""

    head: int
    child: int
    label: str


Edge = tuple[Span, Span, str]
"""A relation as its head, its child and its label."""


@dataclass(frozen=True)
class Annotation:
    """What one annotator, teacher or student says about one text for one aspect.

    `cats` holds the chosen labels (exactly one for kind `choice`); spans are sorted by position. For kind
    `relations` the spans are those that relations connect, and maybe others.
    """

    cats: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()
    relations: tuple[Relation, ...] = ()

    @property
    def is_empty(self) -> bool:
        """True when nothing was chosen and nothing was marked."""
        return not (self.cats or self.spans or self.relations)

    @property
    def edges(self) -> tuple[Edge, ...]:
        """The relations with their spans instead of indices, so that they can be compared between annotations."""
        return tuple((self.spans[r.head], self.spans[r.child], r.label) for r in self.relations)

    @classmethod
    def connecting(cls, spans: Iterable[Span], edges: Iterable[Edge]) -> Annotation:
        """The annotation of kind `relations` with these spans, end points of edges among them: sorted, each once."""
        ordered = tuple(sorted(set(spans)))
        place = {span: index for index, span in enumerate(ordered)}
        relations = {Relation(place[head], place[child], label) for head, child, label in edges}
        return cls(spans=ordered, relations=tuple(sorted(relations)))

    def to_json(self) -> dict[str, Any]:
        """The annotation as plain JSON values; `from_json` reads it back."""
        return {
            "cats": list(self.cats),
            "spans": [[s.start, s.end, s.label] for s in self.spans],
            "relations": [[r.head, r.child, r.label] for r in self.relations],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Annotation:
        """Read what `to_json` wrote."""
        return cls(
            cats=tuple(value.get("cats", ())),
            spans=tuple(Span(*s) for s in value.get("spans", ())),
            relations=tuple(Relation(*r) for r in value.get("relations", ())),
        )


@dataclass(frozen=True)
class Prediction:
    """A teacher's or student's answer for one task.

    `score` is its confidence in [0, 1] that all of it is right, None if unknown; `scores` holds one for each
    region (the chosen labels, or the spans and then the relations, in the order of the annotation), or nothing.
    """

    annotation: Annotation
    version: str
    score: float | None = None
    scores: tuple[float, ...] = ()


@dataclass(frozen=True)
class Decision:
    """The gate's answer for one look at the gold.

    `difference` is student minus teacher in the aspect's metric on the same `n` gold documents, `low` the
    one-sided lower confidence bound at level 1 - `alpha`. `needed` estimates how many more gold documents
    it takes to decide, None when that cannot be said.
    """

    outcome: Outcome
    reason: str
    n: int
    teacher_score: float
    student_score: float
    difference: float
    low: float
    high: float
    alpha: float
    margin: float = 0.0
    needed: int | None = None
    details: dict[str, Any] = field(default_factory=dict)
