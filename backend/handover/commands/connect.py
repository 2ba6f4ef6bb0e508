"""Connect a Label Studio project: create or adopt it, import tasks, webhook first, then the ML backend."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from handover.api.security import NO_WEBHOOKS
from handover.commands.files import read_text
from handover.commands.guidelines import Guidelines, read_guidelines
from handover.commands.instructions import instructions_html
from handover.domain import Aspect
from handover.errors import ConfigError, HandoverError
from handover.jobs.queue import JobKind
from handover.labelstudio.client import LabelStudioClient, ProjectInfo
from handover.labelstudio.label_config import parse_label_config, without_declaration
from handover.runtime import TOKEN, Runtime
from handover.serving import go_live, register, version_of, wanted
from handover.store.projects import aspects_of, get_project
from handover.teacher.build import check_config
from handover.teaching import CONFIG, EXAMPLES

Say = Callable[[str], None]

DEFAULT_SAMPLING = "Sequential sampling"


@dataclass(frozen=True)
class ConnectRequest:
    """What to connect: an existing project by its id, or a new one from a labeling config."""

    project: int | None = None
    config: Path | None = None
    title: str = ""
    data: Path | None = None
    guidelines: Path | None = None
    aspect_guidelines: Mapping[str, Path] = field(default_factory=dict)
    fields: tuple[str, ...] = ()
    gold_share: float | None = None
    margin: float | None = None
    routing: bool | None = None
    per_label: bool | None = None
    teacher_config: Path | None = None
    teacher_examples: int | None = None
    budget: float | None = None
    budget_day: float | None = None
    uncertainty_sampling: bool = False


@dataclass(frozen=True)
class Connected:
    """The connected project."""

    project_id: int
    ls_project_id: int
    url: str
    version: str


def connect(runtime: Runtime, request: ConnectRequest, *, token: str, say: Say) -> Connected:
    """Connect a project; every step can be repeated. Raises ConfigError and LabelStudioError.

    The backend has to be running, because Label Studio asks it at once.
    """
    settings = runtime.settings
    if not token.strip():
        raise ConfigError("The token is empty. Copy it from Account & Settings in Label Studio.")
    if not token.isascii() or not token.isprintable():
        raise ConfigError("The token holds characters that no token has. Copy it again from Account & Settings.")
    if request.project is not None and request.config is not None:
        raise ConfigError(
            "Give --project or --config, not both: a project that exists has a labeling config, which stays as it is."
        )
    if request.project is None and request.config is None:
        raise ConfigError("Nothing to connect: give --project ID, or --config FILE.xml to create a project.")
    client = LabelStudioClient(settings.label_studio_url, token, timeout=settings.label_studio_timeout)
    with contextlib.closing(client):
        return _connect(runtime, client, request, token=token, say=say)


def _connect(
    runtime: Runtime, client: LabelStudioClient, request: ConnectRequest, *, token: str, say: Say
) -> Connected:
    say(f"Label Studio at {client.url}: signed in as {client.whoami()}.")
    with runtime.database.write() as session:
        runtime.secrets.put(session, TOKEN, token)
    # Everything is read before anything is created, so that a bad file leaves no empty project behind.
    teacher_config = _teacher_config(request)
    known = client.project(request.project) if request.project is not None else None
    config = known.label_config if known is not None else _config_of(request)
    aspects = _check_config(config, say)
    tasks = _tasks_of(request, aspects)
    names = [aspect.name for aspect in aspects]
    guidelines = read_guidelines(request.guidelines, request.aspect_guidelines, names)
    info = known or _create(client, request, config, guidelines)
    say(f"{'Adopting' if known else 'Created'} project {info.id} “{info.title}” ({info.sampling.lower()}).")
    if tasks:
        say(f"Imported {client.import_tasks(info.id, tasks)} tasks.")
    project_id, version = _register(runtime, info, request, guidelines, teacher_config)
    _connect_backend(runtime, client, project_id, info, version, say)
    for kind in (JobKind.RECONCILE, JobKind.PREFETCH):
        runtime.queue.enqueue(kind, project_id)
    return Connected(project_id, info.id, f"{client.url}/projects/{info.id}", version)


def read_tasks(path: Path, fields: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The tasks of a .jsonl, .json, .csv, .tsv or .txt file, cut down to the fields that are asked for.

    Other fields of the file (labels, notes) stay out of Label Studio. Raises ConfigError.
    """
    wanted_fields = list(dict.fromkeys(fields))
    for number, record in enumerate(_records(path, wanted_fields), start=1):
        if not isinstance(record, dict):
            raise ConfigError(f"Record {number} of {path} is {type(record).__name__}, expected an object.")
        data = record["data"] if isinstance(record.get("data"), dict) else record
        yield {field: data[field] for field in wanted_fields if field in data}


def _records(path: Path, fields: list[str]) -> Iterable[Any]:
    suffix = path.suffix.lower()
    if suffix == ".jsonl":
        return _json_lines(path)
    if suffix == ".json":
        return _json_list(path)
    if suffix in (".csv", ".tsv"):
        return csv.DictReader(io.StringIO(read_text(path)), delimiter="\t" if suffix == ".tsv" else ",")
    if suffix == ".txt":
        return [{fields[0]: line} for line in read_text(path).splitlines() if line.strip()]
    raise ConfigError(f"{path} has the ending {suffix!r}; expected .jsonl, .json, .csv, .tsv or .txt.")


def _json_lines(path: Path) -> Iterator[Any]:
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise ConfigError(f"Line {number} of {path} is not valid JSON: {error.msg}.") from error


def _json_list(path: Path) -> list[Any]:
    try:
        value = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path} is not valid JSON: line {error.lineno}: {error.msg}.") from error
    if not isinstance(value, list):
        raise ConfigError(f"{path} holds {type(value).__name__}, expected a list of tasks.")
    return value


def _config_of(request: ConnectRequest) -> str:
    return without_declaration(read_text(request.config)) if request.config is not None else ""


def _create(client: LabelStudioClient, request: ConnectRequest, config: str, guidelines: Guidelines) -> ProjectInfo:
    title = request.title or (request.config.stem if request.config else "")
    sampling = "Uncertainty sampling" if request.uncertainty_sampling else DEFAULT_SAMPLING
    return client.create_project(title, config, instruction=instructions_html(guidelines.together), sampling=sampling)


def _check_config(config: str, say: Say) -> tuple[Aspect, ...]:
    parsed = parse_label_config(config)
    for aside in parsed.set_aside:
        say(f"Set aside: {aside.reason}")
    if not parsed.aspects:
        raise ConfigError(
            "The labeling config has no control tag that Handover can predict. Add <Choices> or <Labels> on a <Text>."
        )
    for aspect in parsed.aspects:
        labels = ", ".join(aspect.label_names)
        say(f"Aspect {aspect.name!r} ({aspect.kind.value}) on field {aspect.text_field!r}: {labels}.")
    return parsed.aspects


def _tasks_of(request: ConnectRequest, aspects: Sequence[Aspect]) -> list[dict[str, Any]]:
    if request.data is None:
        return []
    tasks = list(read_tasks(request.data, [*(a.text_field for a in aspects), *request.fields]))
    if not any(tasks):
        fields = ", ".join(sorted({a.text_field for a in aspects}))
        raise ConfigError(f"{request.data} has no record with the field {fields}, which the labeling config shows.")
    return tasks


def _teacher_config(request: ConnectRequest) -> str:
    if request.teacher_config is None:
        return ""
    text = read_text(request.teacher_config)
    check_config(text, name=str(request.teacher_config))
    return text


def _register(
    runtime: Runtime, info: ProjectInfo, request: ConnectRequest, guidelines: Guidelines, teacher_config: str
) -> tuple[int, str]:
    project_id = register(runtime, info.id, info.label_config, title=info.title, sampling=info.sampling).id
    with runtime.database.write() as session:
        project = get_project(session, project_id)
        project.guidelines = guidelines.shared or project.guidelines
        for row in aspects_of(session, project_id):
            row.guidelines = guidelines.own.get(row.name, row.guidelines)
        names = ("gold_share", "margin", "routing", "per_label", "budget", "budget_day", EXAMPLES)
        given = {name: getattr(request, name) for name in names} | {CONFIG: teacher_config or None}
        project.options = {**(project.options or {}), **{k: v for k, v in given.items() if v is not None}}
        served = wanted(session, runtime, project)
        if project.ls_ml_backend_id is None:  # nothing is shown yet, so there is nothing to switch
            go_live(project, served)
        return project_id, project.live_version or version_of(served)


def _is_connected(runtime: Runtime, project_id: int) -> bool:
    with runtime.database.read() as session:
        return get_project(session, project_id).ls_ml_backend_id is not None


def _connect_backend(
    runtime: Runtime, client: LabelStudioClient, project_id: int, info: ProjectInfo, version: str, say: Say
) -> None:
    settings = runtime.settings
    url = settings.backend_url
    # Label Studio makes a webhook without headers by itself when it connects a backend, unless one with that
    # URL exists: so the webhook comes first.
    webhook_id = client.ensure_webhook(info.id, f"{url}/webhook", secret=settings.webhook_secret.get_secret_value())
    try:
        backend_id = client.ensure_ml_backend(info.id, url, title=version, auth=runtime.basic_auth)
    except HandoverError as error:
        if not _is_connected(runtime, project_id):
            with contextlib.suppress(HandoverError):
                client.delete_webhook(webhook_id)
        raise ConfigError(
            f"Label Studio could not connect to this backend at {url}. Is `handover serve` running, and is that the "
            f"URL under which Label Studio reaches it (HANDOVER_PUBLIC_URL)? {error}"
        ) from error
    client.show_version(info.id, backend_id, version, auth=runtime.basic_auth)
    with runtime.database.write() as session:
        project = get_project(session, project_id)
        project.ls_webhook_id, project.ls_ml_backend_id = webhook_id, backend_id
    if settings.refuses_webhooks:
        say(NO_WEBHOOKS)
    say(f"Webhook {webhook_id} and ML backend {backend_id} point to {url}; predictions are shown as {version!r}.")
