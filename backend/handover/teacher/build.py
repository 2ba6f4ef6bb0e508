"""From settings and an aspect to a teacher: the one place where the spacy-llm pipeline is put together."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from handover.domain import Aspect
from handover.errors import ConfigError, TeacherError
from handover.settings import Settings, TeacherChoice
from handover.teacher.calls import Ledger
from handover.teacher.claude import require_key
from handover.teacher.given import NO_KEY, Given, giving
from handover.teacher.recorded import Recorded, completions_in
from handover.teacher.teacher import Teacher

if TYPE_CHECKING:  # spaCy takes seconds to import, and `handover status` can do without it
    from spacy.language import Language

    from handover.teacher.samples import SampledTask
    from handover.teacher.tasks import HandoverTask

DEFAULT_CONFIG = Path(__file__).with_name("default.cfg")
OURS = ("handover.Claude.v1", "handover.Recorded.v1", "handover.Guarded.v1")
"""Models that never raise for a prompt; all others are wrapped."""


@dataclass(frozen=True)
class TeacherSpec:
    """All that says which teacher to build, apart from the aspect.

    `config` is a spacy-llm config file in place of `default.cfg`; a model in it is used instead of `choice`
    and `model`.
    """

    choice: TeacherChoice
    model: str = ""
    max_tokens: int = 2048
    timeout: float = 60.0
    retries: int = 3
    concurrency: int = 8
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    samples: int = 1
    base_url: str = ""
    api_key: SecretStr = NO_KEY
    recorded: Path | None = None
    guidelines: str = ""
    config: Path | None = None


@dataclass(frozen=True)
class _Model:
    """A model's section of the config, and the id under which its answers are kept."""

    id: str
    section: dict[str, Any]
    is_free: bool = False


def spec_from_settings(settings: Settings, guidelines: str = "") -> TeacherSpec:
    """The teacher that the settings ask for. Without HANDOVER_ANTHROPIC_API_KEY, ANTHROPIC_API_KEY counts."""
    key = settings.anthropic_api_key.get_secret_value() or os.environ.get("ANTHROPIC_API_KEY", "")
    return TeacherSpec(
        choice=settings.teacher,
        model=settings.teacher_model,
        max_tokens=settings.teacher_max_tokens,
        timeout=settings.teacher_timeout,
        retries=settings.teacher_retries,
        concurrency=settings.teacher_concurrency,
        requests_per_minute=settings.teacher_requests_per_minute,
        tokens_per_minute=settings.teacher_tokens_per_minute,
        samples=settings.teacher_samples,
        base_url=settings.anthropic_base_url,
        api_key=SecretStr(key),
        recorded=settings.teacher_recorded,
        guidelines=guidelines,
    )


def build_teacher(
    aspect: Aspect, spec: TeacherSpec, *, language: str = "en", ledger: Ledger | None = None
) -> Teacher | None:
    """The teacher of an aspect; None when there is to be none. Sends nothing to anyone.

    What the teacher asks later is entered into the ledger.

    Raises TeacherError when something it needs is missing, or the aspect cannot be asked by a teacher.
    """
    if spec.choice is TeacherChoice.NONE:
        return None
    from handover.teacher.samples import with_samples  # noqa: PLC0415
    from handover.teacher.tasks import task_for  # noqa: PLC0415

    try:
        task = with_samples(task_for(aspect, guidelines=spec.guidelines), spec.samples)
        config = _load_config(spec.config or DEFAULT_CONFIG)
        model = _own_model(config, spec) or _model(aspect, spec)
        nlp = _assemble(config, model, task, api_key=spec.api_key, language=language)
    except ConfigError as error:
        raise TeacherError(str(error)) from error
    return Teacher(
        nlp,
        model_id=model.id,
        max_tokens=spec.max_tokens,
        samples=spec.samples,
        ledger=ledger,
        is_free=model.is_free,
    )


def _model(aspect: Aspect, spec: TeacherSpec) -> _Model:
    if spec.choice is TeacherChoice.RECORDED:
        return _recorded_model(aspect, spec)
    require_key(spec.api_key)
    section = {
        "@llm_models": "handover.Claude.v1",
        "name": spec.model,
        "max_tokens": spec.max_tokens,
        "timeout": spec.timeout,
        "retries": spec.retries,
        "concurrency": spec.concurrency,
        "requests_per_minute": spec.requests_per_minute,
        "tokens_per_minute": spec.tokens_per_minute,
        "base_url": spec.base_url or None,
    }
    return _Model(spec.model, section)


def _recorded_model(aspect: Aspect, spec: TeacherSpec) -> _Model:
    if spec.recorded is None:
        raise TeacherError(
            "HANDOVER_TEACHER_RECORDED is not set; HANDOVER_TEACHER=recorded needs it. "
            "Set it to a JSONL file with recorded answers, or to a folder of them."
        )
    model = Recorded(completions_in(spec.recorded, aspect.name, aspect.kind))
    section = {
        "@llm_models": "handover.Recorded.v1",
        "path": str(spec.recorded),
        "aspect": aspect.name,
        "kind": aspect.kind.value,
    }
    return _Model(model.model_id, section, is_free=True)


def _load_config(path: Path) -> Any:
    from spacy.util import load_config  # noqa: PLC0415

    try:
        return load_config(path, interpolate=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"The teacher's config '{path}' cannot be read: {error}") from error


def _own_model(config: Any, spec: TeacherSpec) -> _Model | None:
    """The model that a config brings along, wrapped unless it is one of ours."""
    section = config.get("components", {}).get("llm", {}).get("model")
    if section is None:
        return None
    registered = section.get("@llm_models", "")
    digest = hashlib.sha256(json.dumps(section, sort_keys=True).encode()).hexdigest()[:6]
    guarded = {"@llm_models": "handover.Guarded.v1", "model": section, "concurrency": spec.concurrency}
    wrapped = section if registered in OURS else guarded
    return _Model(f"{section.get('name') or registered}-{digest}", wrapped)


def _assemble(
    config: Any, model: _Model, task: HandoverTask | SampledTask, *, api_key: SecretStr, language: str
) -> Language:
    from spacy_llm.util import assemble_from_config  # noqa: PLC0415

    from handover.teacher.registered import register  # noqa: PLC0415

    register()
    config["nlp"]["lang"] = language
    config["components"]["llm"]["model"] = model.section
    try:
        with giving(Given(task=task, api_key=api_key)):
            return assemble_from_config(config)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"The teacher's pipeline cannot be built: {error}") from error
