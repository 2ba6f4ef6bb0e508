"""The settings, and that the documents describe exactly these."""

from __future__ import annotations

import socket

import pytest
from pydantic import ValidationError

from handover.api.security import NO_WEBHOOKS
from handover.commands.serve import check_exposure, check_port, exposure_notes
from handover.errors import ConfigError
from handover.settings import Settings
from scripts.settings_docs import main


def test_settings_documents_are_up_to_date() -> None:
    assert main(["--check"]) == 0


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_settings_are_described_and_bounded(name: str) -> None:
    field = Settings.model_fields[name]
    assert field.description
    if field.annotation in (int, float):
        assert field.metadata, "a number needs a bound"


def test_settings_hide_secrets() -> None:
    settings = Settings(
        secret_key="s3cret", basic_auth_password="s3cret", webhook_secret="s3cret", anthropic_api_key="s3cret",
        label_studio_api_key="s3cret", database_url="postgresql://u:s3cret@host/db", redis_url="redis://:s3cret@host",
    )  # fmt: skip
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize(("name", "value"), [("port", 0), ("gold_share", 0.9), ("alpha", 0.0), ("teacher", "gpt")])
def test_settings_refuse_values_out_of_bounds(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        Settings.model_validate({name: value})


@pytest.mark.parametrize(
    ("host", "secrets", "allowed"),
    [
        ("127.0.0.1", False, True),
        ("localhost", False, True),
        ("::1", False, True),
        ("0.0.0.0", False, False),
        ("example.org", False, False),
        ("0.0.0.0", True, True),
    ],
)
def test_settings_without_secrets_keep_the_server_on_this_machine(host: str, secrets: bool, allowed: bool) -> None:
    given = {"basic_auth_user": "u", "basic_auth_password": "p", "webhook_secret": "s"} if secrets else {}
    settings = Settings.model_validate({"host": host, **given})
    if allowed:
        check_exposure(settings)
    else:
        with pytest.raises(ConfigError, match="HANDOVER_WEBHOOK_SECRET"):
            check_exposure(settings)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_settings_with_a_port_in_use_are_told_at_once(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"Cannot listen on {host}:{port} .* HANDOVER_PORT"):
            check_port(Settings(host=host, port=port))
    check_port(Settings(host=host, port=port))


@pytest.mark.parametrize(
    ("given", "notes"),
    [
        ({"basic_auth_user": "u", "basic_auth_password": "p", "webhook_secret": "s"}, []),
        ({"basic_auth_user": "u", "basic_auth_password": "p"}, [NO_WEBHOOKS]),
        ({"webhook_secret": "s"}, ["Not all secrets are set"]),
        ({}, ["Not all secrets are set"]),
    ],
)
def test_settings_under_which_webhooks_are_refused_are_warned_about(given: dict[str, str], notes: list[str]) -> None:
    said = exposure_notes(Settings.model_validate(given))
    assert [text.split(" (HANDOVER")[0] if text != NO_WEBHOOKS else text for text in said] == notes
