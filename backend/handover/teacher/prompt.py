"""Prompts: jinja files with a version in their name, rendered to strings that know their parts."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from handover.domain import Annotation, Kind, Label
from handover.teacher.answers import answer_schema, completion_for

TEMPLATES = {kind: f"{kind.value}.v1.jinja" for kind in Kind}
"""The prompt file of each kind. A changed wording gets a new file, so that old answers keep their meaning."""


class Prompt(str):
    """A rendered prompt. The string itself is the whole prompt, for models that know nothing of its parts.

    `system` is the same for all texts of an aspect, `user` holds the text, `text` is the text as it came,
    `schema` the JSON schema of the answer.
    """

    system: str
    user: str
    text: str
    schema: dict[str, Any]

    def __new__(cls, *, system: str, user: str, text: str, schema: dict[str, Any]) -> Prompt:
        """Join the parts; the part that never changes comes first, so that models can cache it."""
        prompt = super().__new__(cls, f"{system}\n\n{user}")
        prompt.system = system
        prompt.user = user
        prompt.text = text
        prompt.schema = schema
        return prompt


@dataclass(frozen=True)
class Example:
    """A text with the right answer, shown to the model."""

    text: str
    annotation: Annotation


@dataclass(frozen=True)
class Question:
    """All that a prompt says besides the text. `span_labels` are those of the spans that relations connect."""

    kind: Kind
    wording: str
    labels: tuple[Label, ...]
    guidelines: str = ""
    examples: tuple[Example, ...] = ()
    span_labels: tuple[Label, ...] = ()

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the labels, in order."""
        return tuple(label.name for label in self.labels)

    @property
    def span_label_names(self) -> tuple[str, ...]:
        """The names of the labels of the spans that relations connect, in order."""
        return tuple(label.name for label in self.span_labels)


class Prompter:
    """Renders the prompts of one question."""

    def __init__(self, question: Question) -> None:
        source = read_template(TEMPLATES[question.kind])
        self.schema = answer_schema(question.kind, question.label_names, question.span_label_names)
        self.hash = _hash(source, question, self.schema)
        self._template = _compile(source)
        self._system = self._render(
            "system",
            question=question.wording,
            labels=question.labels,
            span_labels=question.span_labels,
            guidelines=question.guidelines.strip(),
            examples=[_shown(question.kind, example) for example in question.examples],
        )

    def __call__(self, text: str) -> Prompt:
        """The prompt for one text."""
        user = self._render("user", text=text, tag=tag_for(text))
        return Prompt(system=self._system, user=user, text=text, schema=self.schema)

    def _render(self, block: str, **values: Any) -> str:
        # `Template.blocks` is jinja's documented way to render one block by itself.
        return "".join(self._template.blocks[block](self._template.new_context(values))).strip("\n")


def tag_for(text: str) -> str:
    """The name of the tags around a text: `text`, or a numbered one that the text does not contain itself.

    A text that says `</text>` can so not end its own quotation, and not one of its characters is altered.
    """
    used = {int(number or 1) for number in re.findall(r"<\s*/?\s*text(?:-(\d{1,9}))?\b", text, re.IGNORECASE)}
    number = next(n for n in range(1, len(used) + 2) if n not in used)
    return "text" if number == 1 else f"text-{number}"


def read_template(name: str) -> str:
    """The source of a prompt file of this package."""
    return files("handover.teacher").joinpath("prompts", name).read_text(encoding="utf-8")


@lru_cache(maxsize=16)
def _compile(source: str) -> Template:
    # Prompts are plain text, not HTML: escaping would change the texts.
    env = Environment(trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, autoescape=False)  # noqa: S701
    return env.from_string(source)


def _shown(kind: Kind, example: Example) -> dict[str, str]:
    return {
        "text": example.text,
        "tag": tag_for(example.text),
        "answer": completion_for(kind, example.text, example.annotation),
    }


def _hash(source: str, question: Question, schema: dict[str, Any]) -> str:
    """Hash of everything that makes the prompts of a question what they are, apart from the text."""
    asked = asdict(question)
    if not question.span_labels:
        del asked["span_labels"]  # newer than the answers of the other kinds, which stay known by their hash
    parts = {"template": source, "question": asked, "schema": schema}
    content = json.dumps(parts, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(content.encode("ascii")).hexdigest()
