"""Handover as a model class of `label-studio-ml` 1.0.9, for teams that host all their backends with it.

That release pins Flask 1.1.2, Jinja2 3.0.3 and others that cannot be installed beside Handover's dependencies. So
`HandoverModel` lives in label-studio-ml's environment, where Handover is installed with `--no-deps`, and hands on what
Label Studio asks to a running `handover serve`: the same answers, the same jobs. It imports only what label-studio-ml
brings along, and `handover.errors`. Environment variables, named like the settings of `handover serve`:

- HANDOVER_URL: the address of `handover serve`, e.g. http://127.0.0.1:9091
- HANDOVER_BASIC_AUTH_USER, HANDOVER_BASIC_AUTH_PASSWORD, HANDOVER_WEBHOOK_SECRET: where `handover serve` asks for them
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
from flask import Response, after_this_request, has_request_context, request
from label_studio_ml.model import LabelStudioMLBase

from handover.errors import ConfigError, HandoverError, ProtocolError, UnavailableError

logger = logging.getLogger(__name__)

WEBHOOK_HEADER = "X-Handover-Secret"
"""The same as in `handover.labelstudio.client`, which cannot be imported here."""

# Seconds, as long as Label Studio itself waits for an answer to each.
HEALTH_TIMEOUT = 1.0
SETUP_TIMEOUT = 3.0
PREDICT_TIMEOUT = 100.0
WEBHOOK_TIMEOUT = 30.0


@dataclass(frozen=True)
class Connection:
    """The running `handover serve`, and what it asks its callers for."""

    url: str
    user: str = ""
    password: str = field(default="", repr=False)
    webhook_secret: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls) -> Connection:
        """Read the `HANDOVER_*` variables. Raises ConfigError without a usable HANDOVER_URL."""
        url = os.environ.get("HANDOVER_URL", "").rstrip("/")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise ConfigError(
                f"HANDOVER_URL is {'not usable' if url else 'not set'}. Set it to the address of `handover serve`, "
                "such as http://127.0.0.1:9091, without user name and password."
            )
        return cls(
            url=url,
            user=os.environ.get("HANDOVER_BASIC_AUTH_USER", ""),
            password=os.environ.get("HANDOVER_BASIC_AUTH_PASSWORD", ""),
            webhook_secret=os.environ.get("HANDOVER_WEBHOOK_SECRET", ""),
        )

    def check(self) -> None:
        """Raises ConfigError when something else answers, such as label-studio-ml itself, which would go on forever."""
        answer = self._ask("GET", "/health", timeout=HEALTH_TIMEOUT)
        if answer.get("model_class") != "Handover":
            raise ConfigError(
                f"HANDOVER_URL is {self.url}, where something else than Handover answers. `handover serve` and "
                "label-studio-ml both listen on port 9090 by default: give one of them another port."
            )

    def version(self, project: str, label_config: str) -> str:
        """The version that Label Studio should show now. Raises UnavailableError, ProtocolError."""
        answer = self._ask("POST", "/setup", {"project": project, "schema": label_config}, timeout=SETUP_TIMEOUT)
        return str(answer["model_version"])

    def predict(self, tasks: Sequence[dict[str, Any]], project: str, label_config: str) -> list[Any]:
        """One entry per task, as `handover serve` answers. Raises UnavailableError, ProtocolError."""
        body = {"tasks": list(tasks), "project": project, "label_config": label_config}
        results = self._ask("POST", "/predict", body, timeout=PREDICT_TIMEOUT).get("results")
        if not isinstance(results, list) or len(results) != len(tasks):
            raise ProtocolError(f"Handover at {self.url} did not answer with one result for each task ({len(tasks)}).")
        return results

    def webhook(self, event: dict[str, Any]) -> dict[str, Any]:
        """Hand on an event; what was done about it, and the jobs. Raises UnavailableError, ProtocolError."""
        return self._ask("POST", "/webhook", event, timeout=WEBHOOK_TIMEOUT)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None, *, timeout: float) -> dict[str, Any]:
        try:
            response = requests.request(
                method,
                self.url + path,
                json=body,
                auth=(self.user, self.password) if self.user else None,
                headers={WEBHOOK_HEADER: self.webhook_secret} if path == "/webhook" and self.webhook_secret else {},
                timeout=timeout,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            # Without its cause, which label-studio-ml would send to the caller as a traceback.
            raise UnavailableError(
                f"Handover at {self.url} does not answer {path} ({type(error).__name__}). Check HANDOVER_URL and that "
                "`handover serve` is running."
            ) from None
        return self._answer(path, response)

    def _answer(self, path: str, response: requests.Response) -> dict[str, Any]:
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if response.status_code == requests.codes.ok and isinstance(answer, dict):
            return answer
        says = str(answer.get("error", ""))[:300] if isinstance(answer, dict) else "no JSON object"
        hint = ""
        if response.status_code == requests.codes.unauthorized:
            hint = " Set HANDOVER_BASIC_AUTH_USER, HANDOVER_BASIC_AUTH_PASSWORD and HANDOVER_WEBHOOK_SECRET as there."
        raise ProtocolError(f"Handover at {self.url} answered {response.status_code} to {path}: {says}{hint}")


class HandoverModel(LabelStudioMLBase):
    """Delegates to `handover serve`. label-studio-ml makes one for each /setup and for each event."""

    def __init__(self, label_config: str | None = None, train_output: Any = None, **kwargs: Any) -> None:
        """Raises HandoverError when label-studio-ml answers /setup and Handover cannot be asked: Label Studio then
        shows the sentence at the ML backend and asks for no predictions."""
        # The base class would parse the config, and refuse those with an XML declaration; Handover reads it itself.
        super().__init__(label_config=None, train_output=train_output, **kwargs)
        self.label_config = label_config
        self.handover = Connection.from_environment()
        if has_request_context() and request.path == "/setup":
            self.handover.check()
            body = request.get_json()
            _answer_with(self.handover.version(str(body.get("project")), body.get("schema") or ""))

    def predict(self, tasks: Sequence[dict[str, Any]], **kwargs: Any) -> list[Any]:
        """One entry per task: a prediction, or `[]` where there is nothing to show.

        When Handover is away all entries are `[]`, which Label Studio does not store: it asks again when the task is
        opened the next time. An entry with an empty result would count as answered.
        """
        body = _request_body()
        # One model serves all projects, so the request says more than `self.label_config`.
        label_config = body.get("label_config") or self.label_config or ""
        try:
            return self.handover.predict(tasks, _project_of(body, tasks), label_config)
        except HandoverError as error:
            logger.error("No predictions for %d tasks. %s", len(tasks), error)  # noqa: TRY400 - the sentence says it
            return [[] for _ in tasks]

    def process_event(self, event: str, data: dict[str, Any], job_id: str, additional_params: dict[str, Any]) -> Any:
        """Every event goes to `fit`: label-studio-ml's TRAIN_EVENTS knows neither deletions nor the button."""
        return self.fit((), event=event, data=data, job_id=job_id, **additional_params)

    def fit(self, tasks: Iterable[dict[str, Any]] = (), workdir: str | None = None, **kwargs: Any) -> dict[str, Any]:
        """Hand on the webhook `event` with its `data`; without one, ask for a training as the button does.

        Handover enqueues the training; nothing is trained here. Returns what it did, or `{"error": ...}`: what was
        lost it fetches by itself later (`reconcile`).
        """
        event = kwargs.get("event") or "START_TRAINING"
        try:
            data = kwargs.get("data") or {"project": {"id": _project_of(_request_body(), list(tasks)).split(".", 1)[0]}}
            self.handover.check()
            return self.handover.webhook({**data, "action": event})
        except HandoverError as error:
            logger.error("The event %s did not reach Handover. %s", event, error)  # noqa: TRY400
            return {"error": str(error)}


def _answer_with(version: str) -> None:
    """Make this /setup answer with the version. label-studio-ml only knows its own: "INITIAL" or the time of the last
    event. Label Studio shows the predictions of the version that /setup names, and no others."""

    @after_this_request
    def name_version(response: Response) -> Response:
        if response.status_code == requests.codes.ok:
            response.set_data(json.dumps({"model_version": version}))
        return response


def _request_body() -> dict[str, Any]:
    body = request.get_json(silent=True) if has_request_context() else None
    return body if isinstance(body, dict) else {}


def _project_of(body: dict[str, Any], tasks: Sequence[dict[str, Any]]) -> str:
    """The project reference of the request, else of the tasks: label-studio-ml tells its models neither."""
    for source in (body, *tasks[:1]):
        if isinstance(source.get("project"), (str, int)):
            return str(source["project"])
    raise ProtocolError("Neither the request nor its tasks say to which project they belong.")
