"""A spacy-llm config of the user's: read, checked, and put on top of `default.cfg`.

It need not hold more than `[components.llm.model]`; all the rest is ours. Models are put behind wrappers that
build them late and never raise for a prompt.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handover.errors import ConfigError

DEFAULT_CONFIG = Path(__file__).with_name("default.cfg")

OURS = ("handover.Claude.v1", "handover.OpenAI.v1", "handover.Recorded.v1")
"""Models that never raise for a prompt and send nothing while they are built."""

GUARDED = "handover.Guarded.v1"
FOREIGN = "handover.Foreign.v1"

SECRET_NAME = re.compile(
    r"(^|_)(api_?key|secret(_key)?|password|passwd|authorization|credentials|bearer)$"
    r"|^(hf_|auth_|access_|api_|use_auth_)?token$",
    re.IGNORECASE,
)
SECRET_VALUE = re.compile(r"^(sk-|hf_|gsk_|AIza|Bearer\s)\S{8,}|://[^/\s:@]+:[^/\s@]+@")


@dataclass(frozen=True)
class ModelSection:
    """A model's section of the config, and the id under which its answers are kept."""

    id: str
    section: dict[str, Any]
    foreign: dict[str, Any] | None = None
    is_free: bool = False

    @property
    def max_tokens(self) -> int | None:
        """The most tokens of an answer, where the section states it."""
        section = self.foreign or self.section
        stated = {**(section.get("config") or {}), **section}.get("max_tokens")
        return stated if isinstance(stated, int) else None


def load_config(text: str = "", *, name: str = "The teacher's config") -> Any:
    """Our config with a user's on top. Raises ConfigError when it cannot be used, or has a secret in it."""
    from spacy.util import load_config as load  # noqa: PLC0415
    from thinc.api import Config  # noqa: PLC0415

    ours = load(DEFAULT_CONFIG, interpolate=False)
    if not text.strip():
        return ours
    try:
        theirs = Config().from_str(text, interpolate=False)
    except ValueError as error:
        raise ConfigError(f"{name} is not a spaCy config: {' '.join(str(error).split())}") from error
    _refuse_secrets(theirs, name)
    _check_component(theirs.get("components", {}).get("llm", {}), name)
    return ours.merge(theirs)


def read_config_file(path: Path) -> str:
    """The text of a config file. Raises ConfigError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The teacher's config '{path}' cannot be read: {error}") from error


def model_in(config: Any, *, concurrency: int) -> ModelSection | None:
    """The model that a config brings along, behind wrappers unless it is one of ours; None without one.

    Raises ConfigError when there is no such model, or its arguments do not fit.
    """
    section = config.get("components", {}).get("llm", {}).get("model")
    if section is None:
        return None
    digest = hashlib.sha256(json.dumps(section, sort_keys=True).encode()).hexdigest()[:6]
    guard: dict[str, Any] = {"@llm_models": GUARDED, "concurrency": concurrency}
    if section.get("@llm_models") == GUARDED:
        guard |= {key: value for key, value in section.items() if key != "model"}
        section = section.get("model") or {}
    registered = section.get("@llm_models", "")
    model_id = f"{section.get('name') or registered}-{digest}"
    if registered in OURS:
        return ModelSection(model_id, section)
    return ModelSection(model_id, {**guard, "model": {"@llm_models": FOREIGN}}, foreign=dict(section))


def _check_component(component: Mapping[str, Any], name: str) -> None:
    task = component.get("task", {}).get("@llm_tasks", "handover.Given.v1")
    if component.get("factory", "llm") != "llm" or task != "handover.Given.v1":
        raise ConfigError(
            f"{name} brings a task of its own ({task}, factory {component.get('factory', 'llm')}). Handover asks the "
            'questions of the labeling config itself: leave [components.llm.task] out, and keep factory = "llm".'
        )


def _refuse_secrets(config: Mapping[str, Any], name: str) -> None:
    for path, value in _strings(config, ()):
        if value and (SECRET_NAME.search(path[-1]) or SECRET_VALUE.search(value)):
            raise ConfigError(
                f"{name} holds what looks like a secret in [{'.'.join(path[:-1])}] {path[-1]}. Take it out: keys come "
                "from the environment (OPENAI_API_KEY, or the variable that `api_key_env` names)."
            )


def _strings(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _strings(inner, (*path, str(key)))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _strings(inner, path)
    elif isinstance(value, str) and path:
        yield path, value
