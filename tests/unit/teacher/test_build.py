"""From settings to a teacher."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from handover.domain import Aspect, Kind, Label
from handover.errors import ConfigError, TeacherError
from handover.settings import Settings, TeacherChoice
from handover.teacher import MemoryCache, Teacher, TeacherSpec, build_teacher, spec_from_settings

KEY = SecretStr("sk-test-0123456789abcdefghijklmnop")
CLAUDE = TeacherSpec(TeacherChoice.CLAUDE, model="claude-test-1", api_key=KEY)


def test_build_none_builds_nothing(stage: Aspect) -> None:
    assert build_teacher(stage, TeacherSpec(TeacherChoice.NONE)) is None


def test_build_without_a_key_says_what_to_do(stage: Aspect) -> None:
    with pytest.raises(TeacherError) as caught:
        build_teacher(stage, replace(CLAUDE, api_key=SecretStr("")))
    assert str(caught.value) == (
        "ANTHROPIC_API_KEY is not set; pre-annotation needs it. Export it or start with HANDOVER_TEACHER=recorded."
    )


def test_build_recorded_without_a_path_says_what_to_do(stage: Aspect) -> None:
    with pytest.raises(TeacherError, match="HANDOVER_TEACHER_RECORDED is not set"):
        build_teacher(stage, TeacherSpec(TeacherChoice.RECORDED))


def test_build_spec_from_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = Settings(teacher="recorded", teacher_recorded=tmp_path, teacher_timeout=7.0, teacher_concurrency=3)
    spec = spec_from_settings(settings, guidelines="House rule.")
    assert (spec.choice, spec.recorded, spec.guidelines) == (TeacherChoice.RECORDED, tmp_path, "House rule.")
    assert (spec.timeout, spec.concurrency, spec.retries) == (7.0, 3, settings.teacher_retries)
    paced = spec_from_settings(Settings(teacher_requests_per_minute=5, teacher_tokens_per_minute=6, teacher_samples=7))
    assert (paced.requests_per_minute, paced.tokens_per_minute, paced.samples) == (5, 6, 7)
    assert spec.api_key.get_secret_value() == ""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "from-env")
    assert spec_from_settings(Settings()).api_key.get_secret_value() == "from-env"
    own = Settings(anthropic_api_key=SecretStr("own"))
    assert spec_from_settings(own).api_key.get_secret_value() == "own"


def test_build_claude_sends_nothing_and_shows_no_key(stage: Aspect) -> None:
    # A port on which nothing listens: any request would fail.
    teacher = build_teacher(stage, replace(CLAUDE, base_url="http://127.0.0.1:9"))
    assert teacher is not None
    assert teacher.id == f"claude-test-1-{teacher.prompt_hash[:8]}"
    assert KEY.get_secret_value() not in repr(vars(teacher)) + teacher._nlp.config.to_str() + repr(CLAUDE)


@pytest.mark.parametrize(
    "awkward",
    [
        "${nlp.lang} ${missing} ${",
        "{{ jinja }} {% raw %}",
        "@llm_models",
        "*",
        "100 % $5 \\n",
        'a "quoted" one',
        "ö 🙂",
    ],
)
def test_build_free_text_reaches_the_prompt_as_it_is(scripted: Callable[..., Any], stage: Aspect, awkward: str) -> None:
    aspect = replace(stage, question=awkward, labels=(Label(awkward, awkward), Label("Other")))
    teacher, model = scripted(aspect, '{"label": "Other"}', guidelines=awkward)
    teacher.annotate([awkward], MemoryCache())
    (prompt,) = model.prompts
    assert prompt.count(awkward) == 5
    assert f"- {awkward}: {awkward}\n" in prompt


@pytest.mark.parametrize(
    ("change", "spec", "language", "message"),
    [
        ({"kind": Kind.RELATIONS}, {}, "en", "no labels"),
        ({"labels": ()}, {}, "en", "no labels"),
        ({}, {}, "zz", "cannot be built"),
        ({}, {"config": Path("none.cfg")}, "en", r"none\.cfg"),
    ],
)
def test_build_failures_are_teacher_errors(
    stage: Aspect, change: dict[str, Any], spec: dict[str, Any], language: str, message: str
) -> None:
    with pytest.raises(TeacherError, match=message):
        build_teacher(replace(stage, **change), replace(CLAUDE, **spec), language=language)


def test_build_uses_the_language_of_the_texts(stage: Aspect) -> None:
    teacher = build_teacher(stage, CLAUDE, language="de")
    assert teacher is not None
    assert teacher._nlp.lang == "de"


def test_build_own_config_brings_its_model(scripted: Callable[..., tuple[Teacher, Any]], stage: Aspect) -> None:
    teacher, model = scripted(stage, '{"label": "Trade"}')
    (answer,) = teacher.annotate(["sold"], MemoryCache())
    assert answer.annotation is not None
    assert answer.annotation.cats == ("Trade",)
    assert len(model.prompts) == 1
    assert teacher.model_id.startswith("scripted-")


def test_build_given_task_exists_only_while_building() -> None:
    from handover.teacher.given import make_given_task

    with pytest.raises(ConfigError, match=r"handover\.Choice\.v1"):
        make_given_task()


def test_build_config_of_a_user_can_name_our_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from spacy_llm.util import assemble

    from handover.teacher.registered import register

    register()
    register()
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-env")
    path = tmp_path / "own.cfg"
    path.write_text(
        """
[nlp]
lang = "en"
pipeline = ["llm"]

[components]

[components.llm]
factory = "llm"

[components.llm.task]
@llm_tasks = "handover.Entities.v1"
labels = ["PRICE", "PLACE"]
question = "What?"

[components.llm.task.hints]
PRICE = "money"

[components.llm.model]
@llm_models = "handover.Claude.v1"
name = "claude-test-1"
timeout = 5
""",
        encoding="utf-8",
    )
    nlp = assemble(path)
    (prompt,) = nlp.get_pipe("llm").task.generate_prompts([nlp.make_doc("to Rome")])
    assert "- PRICE: money\n- PLACE\n" in prompt.system


def test_build_importing_the_teacher_is_cheap() -> None:
    heavy = "'spacy', 'spacy_llm', 'anthropic'"
    code = f"import sys, handover.teacher; print([name for name in ({heavy}) if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout.strip() == "[]"
