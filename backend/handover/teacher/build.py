"""From settings and an aspect to a teacher: the one place where the spacy-llm pipeline is put together."""

from __future__ import annotations

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
from handover.teacher.config import ModelSection, load_config, model_in, read_config_file
from handover.teacher.foreign import check_section
from handover.teacher.given import NO_KEY, Given, giving
from handover.teacher.prompt import Example
from handover.teacher.recorded import Recorded, completions_in
from handover.teacher.teacher import Teacher

if TYPE_CHECKING:  # spaCy takes seconds to import, and `handover status` can do without it
    from spacy.language import Language

    from handover.teacher.samples import SampledTask
    from handover.teacher.tasks import HandoverTask


@dataclass(frozen=True)
class TeacherSpec:
    """All that says which teacher to build, apart from the aspect.

    `config` is a spacy-llm config file, `config_text` the text of one, which counts in its place; a model in it
    is used instead of `choice` and `model`. `examples` are shown in every prompt, in this order.
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
    examples: tuple[Example, ...] = ()
    config: Path | None = None
    config_text: str = ""


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
        config=settings.teacher_config,
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
        task = with_samples(task_for(aspect, guidelines=spec.guidelines, examples=spec.examples), spec.samples)
        config = load_config(_config_text(spec))
        own = model_in(config, concurrency=spec.concurrency)
        model = own or _model(aspect, spec)
        nlp = _assemble(config, model, task, api_key=spec.api_key, language=language)
    except ConfigError as error:
        raise TeacherError(str(error)) from error
    return Teacher(
        nlp,
        model_id=model.id,
        # Another limit in a config of one's own is another model id: only a limit that it states is compared.
        max_tokens=own.max_tokens if own else spec.max_tokens,
        samples=spec.samples,
        ledger=ledger,
        is_free=model.is_free,
    )


def check_config(text: str, *, name: str) -> None:
    """Find out whether a config can be used, without building its model. Raises ConfigError and TeacherError."""
    from handover.teacher.registered import register  # noqa: PLC0415

    register()
    model = model_in(load_config(text, name=name), concurrency=1)
    if model is not None:
        check_section(model.foreign or model.section)


def _config_text(spec: TeacherSpec) -> str:
    if spec.config_text or spec.config is None:
        return spec.config_text
    return read_config_file(spec.config)


def _model(aspect: Aspect, spec: TeacherSpec) -> ModelSection:
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
    return ModelSection(spec.model, section)


def _recorded_model(aspect: Aspect, spec: TeacherSpec) -> ModelSection:
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
    return ModelSection(model.model_id, section, is_free=True)


def _assemble(
    config: Any, model: ModelSection, task: HandoverTask | SampledTask, *, api_key: SecretStr, language: str
) -> Language:
    from spacy_llm.util import assemble_from_config  # noqa: PLC0415

    from handover.teacher.registered import register  # noqa: PLC0415

    register()
    if model.foreign is not None:
        check_section(model.foreign)
    config["nlp"]["lang"] = language
    config["components"]["llm"]["model"] = model.section
    try:
        with giving(Given(task=task, api_key=api_key, model=model.foreign)):
            return assemble_from_config(config)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"The teacher's pipeline cannot be built: {error}") from error
