"""Fixtures of the teacher's tests: aspects and a scripted model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterable  # noqa: UP035

import pytest

from handover.domain import Aspect, Kind, Label
from handover.settings import TeacherChoice
from handover.teacher import Teacher, TeacherSpec, build_teacher

STAGE = Aspect(
    name="stage",
    to_name="text",
    kind=Kind.CHOICE,
    labels=(Label("Bid", "wants to buy"), Label("Offer"), Label("Trade")),
    text_field="text",
    question="At which stage is the deal?",
)
TERMS = Aspect(
    name="terms",
    to_name="text",
    kind=Kind.ENTITIES,
    labels=(Label("PRICE", "an amount of money"), Label("PLACE")),
    text_field="text",
    question="Which terms are named?",
)
TOPICS = Aspect(
    name="topics",
    to_name="text",
    kind=Kind.CHOICES,
    labels=(Label("Price", "money is named"), Label("Place"), Label("Time")),
    text_field="text",
    question="What is it about?",
)
PHRASES = Aspect(
    name="phrases",
    to_name="text",
    kind=Kind.SPANS,
    labels=(Label("PLACE"), Label("ORG", "a company")),
    text_field="text",
    question="Which phrases are there?",
)
DEALS = Aspect(
    name="relations",
    to_name="text",
    kind=Kind.RELATIONS,
    labels=(Label("in", "head is in child"), Label("owns")),
    text_field="text",
    question="How are they related?",
    span_labels=PHRASES.labels,
    spans_from="phrases",
)


@pytest.fixture
def stage() -> Aspect:
    """An aspect of kind choice."""
    return STAGE


@pytest.fixture
def terms() -> Aspect:
    """An aspect of kind entities."""
    return TERMS


@pytest.fixture
def topics() -> Aspect:
    """An aspect of kind choices."""
    return TOPICS


@pytest.fixture
def phrases() -> Aspect:
    """An aspect of kind spans."""
    return PHRASES


@pytest.fixture
def deals() -> Aspect:
    """An aspect of kind relations, between the regions of the aspect of kind spans."""
    return DEALS


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key, proxy or `.env` file of the machine takes part in a test."""
    for name in (
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "ANTHROPIC_BASE_URL",
        "ANTHROPIC_CUSTOM_HEADERS",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.chdir(tmp_path)


@dataclass
class ScriptedModel:
    """A model that says what the test tells it to. `answer` is a completion, or a function of the prompt."""

    answer: str | Callable[[str], Any] = ""
    prompts: list[str] = field(default_factory=list)

    def __call__(self, prompts: Iterable[Iterable[str]]) -> Iterable[Iterable[str]]:
        return [[self._ask(prompt) for prompt in group] for group in prompts]

    def _ask(self, prompt: str) -> Any:
        self.prompts.append(prompt)
        return self.answer(prompt) if callable(self.answer) else self.answer


SCRIPTED_CONFIG = """
[nlp]
lang = "en"
pipeline = ["llm"]

[components]

[components.llm]
factory = "llm"

[components.llm.task]
@llm_tasks = "handover.Given.v1"

[components.llm.model]
@llm_models = "test.Scripted.v1"
name = "scripted"

[components.llm.cache]
@llm_misc = "handover.NoCache.v1"
"""


@pytest.fixture
def scripted_config(tmp_path: Path) -> Callable[[ScriptedModel], Path]:
    """Writes a spacy-llm config whose model is the scripted one."""
    from spacy_llm.registry import registry

    def write(model: ScriptedModel) -> Path:
        registry.llm_models("test.Scripted.v1", func=lambda name: model)
        path = tmp_path / "scripted.cfg"
        path.write_text(SCRIPTED_CONFIG, encoding="utf-8")
        return path

    return write


@pytest.fixture
def scripted(
    scripted_config: Callable[[ScriptedModel], Path],
) -> Callable[..., tuple[Teacher, ScriptedModel]]:
    """Makes a teacher with a scripted model."""

    def make(aspect: Aspect, answer: Any, **spec: Any) -> tuple[Teacher, ScriptedModel]:
        model = ScriptedModel(answer)
        config = scripted_config(model)
        # Language xx has few tokenizer exceptions and is built four times as fast as en.
        teacher = build_teacher(aspect, TeacherSpec(TeacherChoice.CLAUDE, config=config, **spec), language="xx")
        assert teacher is not None
        return teacher, model

    return make
