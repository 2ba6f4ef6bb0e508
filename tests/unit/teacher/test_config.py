"""A user's spacy-llm config on top of ours, and the shipped ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import handover.teacher
from handover.domain import AnswerStatus, Aspect
from handover.errors import ConfigError, TeacherError
from handover.settings import TeacherChoice
from handover.teacher import MemoryCache, Teacher, TeacherSpec, build_teacher
from handover.teacher.build import check_config
from handover.teacher.config import load_config, model_in
from tests.openai_stub import openai_stub

CONFIGS = Path(handover.teacher.__file__).parent / "configs"
MODEL = '[components]\n[components.llm]\n[components.llm.model]\n@llm_models = "handover.OpenAI.v1"\nname = "m"\n'
LAN = 'endpoint = "http://10.0.0.5:8000/v1/chat/completions"\n'


def build(aspect: Aspect, text: str) -> Teacher:
    teacher = build_teacher(aspect, TeacherSpec(TeacherChoice.CLAUDE, config_text=text), language="xx")
    assert teacher is not None
    return teacher


def shipped(name: str, **changes: str) -> str:
    """A shipped config, with values of keys replaced."""
    text = (CONFIGS / f"{name}.cfg").read_text(encoding="utf-8")
    for key, value in changes.items():
        assert re.search(rf"^{key} = ", text, re.MULTILINE), key
        text = re.sub(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE)
    return text


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.cfg")), ids=lambda path: path.stem)
def test_config_shipped_ones_make_a_teacher_and_send_nothing(
    monkeypatch: pytest.MonkeyPatch, stage: Aspect, path: Path
) -> None:
    import httpx
    import requests

    monkeypatch.setattr(requests.Session, "request", lambda *_args, **_more: pytest.fail("a request"))
    monkeypatch.setattr(httpx.Client, "send", lambda *_args, **_more: pytest.fail("a request"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
    text = path.read_text(encoding="utf-8")
    check_config(text, name=path.name)
    name = re.search(r'^name = "(.*)"$', text, re.MULTILINE)
    assert name is not None
    teacher = build(stage, text)
    assert re.fullmatch(rf"{re.escape(name[1])}-[0-9a-f]{{6}}", teacher.model_id)


@pytest.mark.parametrize("name", ["openai", "openai_compatible"])
def test_config_shipped_ones_answer_over_the_wire(monkeypatch: pytest.MonkeyPatch, stage: Aspect, name: str) -> None:
    monkeypatch.setattr("handover.teacher.openai_chat.ENDPOINT", "http://nobody")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
    with openai_stub(lambda _request: 'Sure! Here it is:\n```json\n{"label": "offer"}\n```') as stub:
        endpoint = f'endpoint = "{stub.url}"\napi_key_env = "OPENAI_API_KEY"\n'
        teacher = build(stage, re.sub(r"^(endpoint = .*\n)?timeout", endpoint + "timeout", shipped(name), flags=re.M))
        (answer,) = teacher.annotate(["we sell copper"], MemoryCache())
    assert (answer.status, answer.annotation and answer.annotation.cats) == (AnswerStatus.OK, ("Offer",))
    assert (answer.input_tokens, answer.output_tokens) == (120, 9)
    assert stub.requests[0]["temperature"] == 0.0
    assert stub.headers[0]["Authorization"] == "Bearer sk-env"


def test_config_another_model_or_argument_is_another_teacher(stage: Aspect) -> None:
    ids = [build(stage, MODEL + LAN + more).model_id for more in ("", "", "timeout = 5\n")]
    assert ids[0] == ids[1] != ids[2]


def test_config_without_a_model_keeps_that_of_the_settings() -> None:
    assert model_in(load_config("[nlp]\nbatch_size = 3\n"), concurrency=1) is None
    assert load_config("[nlp]\nbatch_size = 3\n")["nlp"]["pipeline"] == ["llm"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (MODEL + 'api_key = "0123456789"\n', r"looks like a secret in \[components.llm.model\] api_key"),
        (MODEL + "[components.llm.model.config]\nAuthorization = 'x'\n", "config] Authorization"),
        (MODEL + '[components.llm.model.config]\nuser = "sk-abcdefghijkl"\n', "config] user"),
        (MODEL + 'endpoint = "https://me:pass@host/v1"\n', "looks like a secret"),
        (MODEL + '[components.llm.task]\n@llm_tasks = "spacy.NER.v3"\n', "brings a task of its own"),
        ('[components]\n[components.llm]\nfactory = "llm_ner"\n', "brings a task of its own"),
        ("[components.llm", "is not a spaCy config"),
    ],
)
def test_config_refuses_secrets_and_tasks(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        load_config(text)
    assert not re.search("0123456789|sk-abc|me:pass", str(caught.value))


def test_config_takes_words_that_only_look_like_secrets() -> None:
    more = 'api_key_env = "LAN_KEY"\n[components.llm.model.config]\nmax_tokens = 9\npad_token = "<pad>"\n'
    load_config(MODEL + more)


@pytest.mark.parametrize(
    ("model", "error", "says"),
    [
        ('@llm_models = "spacy.Nope.v1"', ConfigError, "no model 'spacy.Nope.v1'"),
        ('name = "x"', ConfigError, "no model ''"),
        ('@llm_models = "spacy.GPT-4.v3"\nnme = "x"', ConfigError, "'spacy.GPT-4.v3' do not fit: .*'nme'"),
        ('@llm_models = "spacy.Mistral.v1"\nname = "x"', ConfigError, "'spacy.Mistral.v1' do not fit: .*'x'"),
        ('@llm_models = "spacy.GPT-4.v3"', TeacherError, "OPENAI_API_KEY is not set; the model 'spacy.GPT-4.v3'"),
        ('@llm_models = "handover.OpenAI.v1"\nname = "x"\nend = "x"', ConfigError, "do not fit: .*'end'"),
    ],
)
def test_config_check_finds_what_cannot_be_built(
    monkeypatch: pytest.MonkeyPatch, stage: Aspect, model: str, error: Any, says: str
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    text = f"[components]\n[components.llm]\n[components.llm.model]\n{model}\n"
    with pytest.raises(error, match=says):
        check_config(text, name="x.cfg")
    with pytest.raises(TeacherError):
        build(stage, text)
