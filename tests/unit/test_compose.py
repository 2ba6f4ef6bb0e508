"""Static checks of docker-compose.yml; none of them needs a Docker engine."""

from __future__ import annotations

import ipaddress
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
import yaml

from handover.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("backend", "worker")
SETTINGS = {f"HANDOVER_{name.upper()}" for name in Settings.model_fields}
REQUIRED = {
    "HANDOVER_BASIC_AUTH_PASSWORD",
    "HANDOVER_SECRET_KEY",
    "HANDOVER_WEBHOOK_SECRET",
    "LABEL_STUDIO_PASSWORD",
    "LABEL_STUDIO_USERNAME",
    "POSTGRES_HANDOVER_PASSWORD",
    "POSTGRES_LABEL_STUDIO_PASSWORD",
    "POSTGRES_PASSWORD",
}

every_service = pytest.mark.parametrize("name", SERVICES)
our_services = pytest.mark.parametrize("name", OURS)


def networks_of(name: str) -> set[str]:
    return set(SERVICES[name]["networks"])


def published_ports(name: str) -> list[str]:
    return SERVICES[name].get("ports", [])


def test_compose_follows_the_official_schema() -> None:
    schema = json.loads((ROOT / "tests/unit/data/compose-spec.json").read_text(encoding="utf-8"))
    errors = jsonschema.Draft202012Validator(schema).iter_errors(COMPOSE)
    assert [f"{list(error.path)}: {error.message}" for error in errors] == []


def test_compose_is_accepted_by_docker_compose(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker compose is not installed")
    env_file = tmp_path / "env"
    env_file.write_text("".join(f"{name}=x\n" for name in REQUIRED))
    command = [docker, "compose", "--env-file", str(env_file), "--file", str(ROOT / "docker-compose.yml")]
    result = subprocess.run([*command, "config", "--quiet"], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_compose_has_the_five_services() -> None:
    assert set(SERVICES) == {"backend", "worker", "label-studio", "postgres", "redis"}


def test_compose_keeps_label_studio_away_from_redis() -> None:
    assert networks_of("label-studio") & networks_of("redis") == set()
    assert all(networks_of("redis") <= networks_of(name) for name in OURS)
    assert [name for name in SERVICES["label-studio"]["environment"] if "REDIS" in name] == []


@pytest.mark.parametrize("name", ["redis", "postgres"])
def test_compose_stores_have_no_way_out(name: str) -> None:
    assert all(COMPOSE["networks"][network]["internal"] for network in networks_of(name))
    assert published_ports(name) == []


@every_service
def test_compose_services_are_watched_and_come_back(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


@every_service
def test_compose_services_have_few_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["user"].split(":")[0] not in {"", "0", "root"}
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", ["backend", "worker", "postgres", "redis"])
def test_compose_services_write_to_volumes_only(name: str) -> None:
    assert SERVICES[name]["read_only"] is True


@every_service
def test_compose_waits_for_healthy_services(name: str) -> None:
    waits = SERVICES[name].get("depends_on", {})
    assert set(waits) == {
        "backend": {"postgres", "redis"},
        "worker": {"backend", "postgres", "redis"},
        "label-studio": {"postgres"},
    }.get(name, set())
    assert all(wait == {"condition": "service_healthy"} for wait in waits.values())


@every_service
def test_compose_images_are_pinned(name: str) -> None:
    if "build" in SERVICES[name]:
        assert SERVICES[name]["image"] == "label-studio-handover:local"
    else:
        assert re.search(r":\d+\.?[\d.]*(-alpine)?$", SERVICES[name]["image"])


def test_compose_runs_the_label_studio_that_is_tested() -> None:
    pinned = re.search(r"^label-studio==(.+)$", (ROOT / "requirements/label-studio.in").read_text(), re.MULTILINE)
    assert pinned is not None
    assert SERVICES["label-studio"]["image"] == f"heartexlabs/label-studio:{pinned[1]}"


@every_service
def test_compose_has_no_secret_in_clear(name: str) -> None:
    for variable, value in SERVICES[name]["environment"].items() if "environment" in SERVICES[name] else ():
        if re.search("PASSWORD|SECRET|KEY|TOKEN", variable):
            assert value is None or re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), variable
        elif "://" in str(value):
            assert urlsplit(str(value)).password is None, variable


def test_compose_asks_for_every_secret_it_needs() -> None:
    assert set(re.findall(r"\$\{(\w+):\?", COMPOSE_TEXT)) == REQUIRED


def test_compose_finds_everything_it_reads_in_the_example_of_env() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    named = set(re.findall(r"^#?\s?([A-Z_]+)=", example, re.MULTILINE))
    assert set(re.findall(r"\$\{(\w+)", COMPOSE_TEXT)) - named == set()


def test_compose_names_only_settings_that_exist() -> None:
    named = set(re.findall(r"\bHANDOVER_[A-Z_]+\b", COMPOSE_TEXT))
    assert named - SETTINGS == set()


@our_services
def test_compose_passes_every_setting_on(name: str) -> None:
    assert SETTINGS - SERVICES[name]["environment"].keys() == set()


def test_compose_worker_can_be_scaled() -> None:
    worker = SERVICES["worker"]
    assert published_ports("worker") == []
    assert "container_name" not in worker
    assert worker["command"] == ["worker"]


@every_service
def test_compose_publishes_on_this_machine_only(name: str) -> None:
    assert [port for port in published_ports(name) if not port.startswith("127.0.0.1:")] == []


@our_services
def test_compose_shares_students_and_mounts_configs_read_only(name: str) -> None:
    data_dir = SERVICES[name]["environment"]["HANDOVER_DATA_DIR"]
    assert f"handover-data:{data_dir}" in SERVICES[name]["volumes"]
    assert "./labeling_configs:/app/labeling_configs:ro" in SERVICES[name]["volumes"]


@every_service
def test_compose_mounts_exist(name: str) -> None:
    sources = [volume.split(":")[0] for volume in SERVICES[name].get("volumes", [])]
    missing = [source for source in sources if source.startswith("./") and not (ROOT / source).exists()]
    undeclared = [source for source in sources if not source.startswith("./") and source not in COMPOSE["volumes"]]
    assert (missing, undeclared) == ([], [])


def test_compose_backend_has_an_address_that_label_studio_accepts() -> None:
    # Label Studio's webhook form answers "Enter a valid URL" to a host name without a dot.
    url = urlsplit(SERVICES["backend"]["environment"]["HANDOVER_PUBLIC_URL"])
    assert url.hostname is not None
    assert "." in url.hostname
    assert url.hostname in SERVICES["backend"]["networks"]["app"]["aliases"]
    assert "app" in networks_of("label-studio")
    assert str(url.port) == SERVICES["backend"]["environment"]["HANDOVER_PORT"]


@pytest.mark.parametrize(
    ("address", "is_banned"),
    [
        ("169.254.169.254", True),
        ("100.100.100.200", True),
        ("168.63.129.16", True),
        ("fd00:ec2::254", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("172.18.0.5", False),
        ("192.168.16.2", False),
        ("10.0.3.4", False),
    ],
)
def test_compose_label_studio_reaches_the_backend_but_not_the_metadata_service(address: str, is_banned: bool) -> None:
    environment = SERVICES["label-studio"]["environment"]
    banned = [ipaddress.ip_network(net) for net in environment["USER_ADDITIONAL_BANNED_SUBNETS"].split(",")]
    assert environment["USE_DEFAULT_BANNED_SUBNETS"] == "false"
    assert any(ipaddress.ip_address(address) in net for net in banned) is is_banned


def test_compose_databases_are_made_for_the_users_that_ask_for_them() -> None:
    script = (ROOT / "backend/docker/databases.sql").read_text(encoding="utf-8")
    assert set(re.findall(r"^\\getenv \w+ (\w+)$", script, re.MULTILINE)) == {
        name for name in SERVICES["postgres"]["environment"] if name != "POSTGRES_PASSWORD"
    }
    assert re.findall(r"CREATE DATABASE (\w+) OWNER (\w+);", script) == [
        ("label_studio", SERVICES["label-studio"]["environment"]["POSTGRE_USER"]),
        ("handover", urlsplit(SERVICES["backend"]["environment"]["HANDOVER_DATABASE_URL"]).username),
    ]
    assert re.findall("PASSWORD '", script) == []
