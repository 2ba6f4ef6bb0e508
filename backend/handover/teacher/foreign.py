"""`handover.Foreign.v1`: any model of spacy-llm or of a plug-in, built when it is first asked.

Building one can take minutes (a local Hugging Face model is loaded into memory) and needs the network
(spacy-llm's OpenAI class asks api.openai.com for its list of models, whatever `endpoint` says). A teacher is
built by every process, also inside of requests with a time-out, and mostly for its id alone.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Iterable  # noqa: UP035 - spacy-llm reads hints with typing.Iterable only

from handover.domain import AnswerStatus
from handover.errors import ConfigError, TeacherError
from handover.teacher.claude_errors import harmless, hidden_in
from handover.teacher.completion import Completion
from handover.teacher.given import given

Model = Callable[[Iterable[Iterable[Any]]], Iterable[Iterable[Any]]]

RETRY_AFTER = 60.0
"""Seconds in which a model that could not be built is not built again."""

KEYS = {
    "spacy.GPT-": "OPENAI_API_KEY",
    "spacy.Text-": "OPENAI_API_KEY",
    "spacy.Azure.": "AZURE_OPENAI_KEY",
    "spacy.Command.": "CO_API_KEY",
    "spacy.PaLM.": "PALM_API_KEY",
}
"""spacy-llm's models behind an API, by the start of their name, and where they look for a key. They keep no
state between calls, so they may be asked in many threads."""


class Foreign:
    """A model known by its section of a config. Never raises for a prompt.

    `takes_many` tells that it may be asked in many threads at once.
    """

    def __init__(self, section: Mapping[str, Any], *, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = str(section.get("name") or section["@llm_models"])
        self.takes_many = bool(key_variable(str(section["@llm_models"])))
        self._section = dict(section)
        self._clock = clock
        self._model: Model | None = None
        self._problem = ""
        self._failed_at = 0.0
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Foreign(name={self.name!r})"

    def __call__(self, prompts: Iterable[Iterable[Any]]) -> Iterable[Iterable[Any]]:
        """One completion per prompt, in the same nesting; FAILED with the reason where the model raised."""
        return [[self._ask(prompt) for prompt in group] for group in prompts]

    def _ask(self, prompt: Any) -> Any:
        model = self._build()
        if model is None:
            return self._failed(self._problem)
        try:
            response = next(iter(model([[prompt]])), ())
        except Exception as error:
            # Models raise what they like; other texts' answers are waiting.
            return self._failed(_sentence(error, hidden=hidden_in(prompt)))
        # spacy-llm's `strict = false` gives what went wrong without the list around it.
        return response if isinstance(response, str) else next(iter(response), "")

    def _build(self) -> Model | None:
        from spacy_llm.registry import registry  # noqa: PLC0415

        with self._lock:
            if self._model is None and not self._has_just_failed():
                try:
                    self._model = registry.resolve({"model": self._section})["model"]
                except Exception as error:
                    # A missing package, no network, too little memory: all mean "not now".
                    self._problem = f"The model '{self.name}' cannot be loaded: {_sentence(error)}"
                    self._failed_at = self._clock()
            return self._model

    def _has_just_failed(self) -> bool:
        return bool(self._problem) and self._clock() - self._failed_at < RETRY_AFTER

    def _failed(self, problem: str) -> Completion:
        return Completion(status=AnswerStatus.FAILED, problem=problem, model=self.name)


def make_foreign() -> Foreign:
    """`handover.Foreign.v1`: the model of the config that a teacher is being built from. Raises ConfigError."""
    section = given().model
    if section is None:
        raise ConfigError("The model 'handover.Foreign.v1' only exists while Handover builds a teacher.")
    return Foreign(section)


def check_section(section: Mapping[str, Any]) -> None:
    """Find out without building it whether a model can be built.

    Raises ConfigError for an unknown name or wrong arguments, TeacherError when its API key is missing.
    """
    from spacy_llm.registry import registry  # noqa: PLC0415

    registered = str(section.get("@llm_models", ""))
    if not registry.has("llm_models", registered):
        raise ConfigError(
            f"There is no model '{registered}' in spacy-llm's registry. Name one in @llm_models, for instance "
            '"handover.OpenAI.v1", and install the package that brings it.'
        )
    try:
        registry.fill({"model": dict(section)}, validate=True)
    except ValueError as error:
        raise ConfigError(f"The arguments of '{registered}' do not fit: {_first_problem(error)}") from error
    variable = key_variable(registered)
    if variable and not os.environ.get(variable):
        raise TeacherError(f"{variable} is not set; the model '{registered}' needs it. Export it.")


def key_variable(registered: str) -> str:
    """The environment variable in which a model of spacy-llm looks for its key; empty when it needs none."""
    return next((variable for start, variable in KEYS.items() if registered.startswith(start)), "")


def _first_problem(error: ValueError) -> str:
    problems = getattr(error, "errors", None) or []
    parts = [f"{'.'.join(str(p) for p in e.get('loc', ()))}: {e.get('msg', '')}" for e in problems]
    return "; ".join(parts) or " ".join(str(error).split())


def _sentence(error: Exception, hidden: Sequence[str] = ()) -> str:
    """What a model raised, without what may quote the text or a key."""
    secrets = [value for name in KEYS.values() if (value := os.environ.get(name, ""))]
    message = harmless(str(error), [*hidden, *secrets])
    return f"{type(error).__name__}: {message}" if message else f"The model raised {type(error).__name__}."
