"""The fields that answers fill in a record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from handover.domain import Span
from handover.student.calibrate import Answer

ERROR = "error"
CATALOG = "catalog"

Field = tuple[str, Any]

FIELDS: Mapping[str, Mapping[str, str]] = {
    "choice": {"": "label", "_score": "score"},
    "choices": {"": "labels", "_scores": "scores", "_score": "score"},
    "entities": {"": "spans", "_score": "score"},
    "spans": {"": "spans", "_score": "score"},
    "relations": {"": "spans", "_relations": "json", "_score": "score"},
}
"""The fields of an aspect by its kind: what follows its name, and what it holds."""


def columns_of(aspects: Sequence[Mapping[str, Any]], *, prefix: str, has_catalog: bool) -> dict[str, str]:
    """The fields that are filled for the aspects, and what they hold: `label`, `labels`, `spans`, `score`, `scores`
    or `json`."""
    columns = {
        prefix + fact["aspect"] + suffix: holds for fact in aspects for suffix, holds in FIELDS[fact["kind"]].items()
    }
    return columns | ({prefix + CATALOG: "json"} if has_catalog else {}) | {prefix + ERROR: "label"}


def fields_of(answer: Answer, kind: str, text: str, *, namespace: str) -> Iterator[Field]:
    """The fields of an answer, without the aspect's name; `namespace` is taken off the labels."""
    yield from _READERS[kind](answer, text, namespace)
    yield "_score", answer.score


def _choice(answer: Answer, text: str, namespace: str) -> Iterator[Field]:
    yield "", next((label.removeprefix(namespace) for label in answer.annotation.cats), None)


def _choices(answer: Answer, text: str, namespace: str) -> Iterator[Field]:
    yield "", [label.removeprefix(namespace) for label in answer.annotation.cats]
    yield "_scores", [*answer.scores]


def _spans(answer: Answer, text: str, namespace: str) -> Iterator[Field]:
    scores = [*answer.scores, *[None] * len(answer.annotation.spans)]
    yield (
        "",
        [_span(span, text, namespace, score) for span, score in zip(answer.annotation.spans, scores, strict=False)],
    )


def _span(span: Span, text: str, namespace: str, score: float | None) -> dict[str, Any]:
    label = span.label.removeprefix(namespace)
    return {"start": span.start, "end": span.end, "label": label, "text": text[span.start : span.end], "score": score}


def _relations(answer: Answer, text: str, namespace: str) -> Iterator[Field]:
    yield from _spans(answer, text, namespace)
    scores = answer.scores[len(answer.annotation.spans) :]
    yield (
        "_relations",
        [
            {"head": r.head, "child": r.child, "label": r.label.removeprefix(namespace), "score": score}
            for r, score in zip(answer.annotation.relations, scores, strict=True)
        ],
    )


_READERS: Mapping[str, Callable[[Answer, str, str], Iterator[Field]]] = {
    "choice": _choice,
    "choices": _choices,
    "entities": _spans,
    "spans": _spans,
    "relations": _relations,
}
