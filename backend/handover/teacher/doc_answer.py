"""What a task read out of a completion, kept in the `Doc` it belongs to.

`doc.cats` and `doc.ents` can only hold what spaCy's token-based view allows; the exact annotation, the
problems and the completion stand beside them in `doc.user_data["handover"]`, as plain JSON values so that
the `Doc` can still be serialized.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from handover.domain import Annotation, AnswerStatus
from handover.teacher.completion import Completion

if TYPE_CHECKING:
    from spacy.tokens import Doc

USER_DATA_KEY = "handover"


@dataclass(frozen=True)
class DocAnswer:
    """A completion and what it means. `annotation` is None unless `status` is OK.

    An OK answer can have `problems`: parts of it that could not be used.
    """

    status: AnswerStatus
    completion: Completion = field(repr=False)
    annotation: Annotation | None = None
    problems: tuple[str, ...] = ()


def write_answer(doc: Doc, answer: DocAnswer) -> None:
    """Keep an answer in its doc."""
    doc.user_data[USER_DATA_KEY] = {
        "status": answer.status.value,
        "annotation": answer.annotation.to_json() if answer.annotation is not None else None,
        "problems": list(answer.problems),
        "completion": answer.completion.to_json(),
    }


def read_answer(doc: Doc) -> DocAnswer:
    """The answer that a doc holds. Raises KeyError when no task of ours has seen the doc."""
    value = doc.user_data[USER_DATA_KEY]
    annotation = value["annotation"]
    return DocAnswer(
        status=AnswerStatus(value["status"]),
        completion=Completion.from_json(value["completion"]),
        annotation=Annotation.from_json(annotation) if annotation is not None else None,
        problems=tuple(value["problems"]),
    )
