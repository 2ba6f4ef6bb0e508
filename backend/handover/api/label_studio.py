"""The ML backend protocol of Label Studio, and its webhooks."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Depends, Request, Response
from starlette.types import Receive, Scope, Send

from handover import __version__
from handover.api.webhooks import handle
from handover.errors import NotFoundError, UnavailableError
from handover.labelstudio.client import NewPrediction
from handover.labelstudio.protocol import (
    JobStatusRequest,
    PredictionOut,
    PredictRequest,
    PredictResponse,
    SetupRequest,
    WebhookRequest,
)
from handover.runtime import Runtime
from handover.serving import Note, register
from handover.serving import predict as serve
from handover.store.jobs import get_job
from handover.store.projects import project_by_ls_id, versions_of

logger = logging.getLogger(__name__)

router = APIRouter()


async def _runtime(request: Request) -> Runtime:  # else FastAPI would take a thread for it
    runtime: Runtime = request.app.state.runtime
    return runtime


InRuntime = Annotated[Runtime, Depends(_runtime)]


@router.api_route("/", methods=["GET", "HEAD"])
@router.api_route("/health", methods=["GET", "HEAD"])
def health() -> dict[str, str]:
    """Label Studio asks this before every prediction, with a time-out of one second."""
    return {"status": "UP", "model_class": "Handover", "version": __version__}


@router.post("/setup")
def setup(body: SetupRequest, runtime: InRuntime) -> dict[str, str]:
    """The version that Label Studio should show. A project that is not known yet is adopted."""
    with runtime.database.read() as session:
        project = project_by_ls_id(session, body.ls_project_id)
    if project is None or (body.label_config and body.label_config != project.label_config):
        project = register(runtime, body.ls_project_id, body.label_config)
    return {"model_version": project.live_version}


class Heard(Response):
    """A response whose background tasks run only when the caller still listens when it is ready."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it. Asked before: afterwards every caller counts as gone."""
        if await Request(scope, receive).is_disconnected():
            self.background = None
        await super().__call__(scope, receive, send)


@router.post("/predict", response_model=PredictResponse)
def predict(body: PredictRequest, runtime: InRuntime) -> Response:
    """One entry per task: a prediction, or an empty list where nothing is to be shown.

    Label Studio hangs up after a while and then stores none of them, so they are not noted either.
    """
    background = BackgroundTasks()
    entries: list[PredictionOut | list[PredictionOut]] = [
        PredictionOut(result=p.result, score=p.score, model_version=p.model_version) if p is not None else []
        for p in _predictions(runtime, body, background)
    ]
    answer = PredictResponse(results=entries).model_dump_json()
    return Heard(answer, media_type="application/json", background=background)


def _predictions(runtime: Runtime, body: PredictRequest, background: BackgroundTasks) -> Sequence[NewPrediction | None]:
    def afterwards(note: Note) -> None:
        background.add_task(_note, note)

    try:
        return serve(runtime, body.ls_project_id, body.tasks, afterwards=afterwards)
    except NotFoundError:
        register(runtime, body.ls_project_id, body.label_config)
    return serve(runtime, body.ls_project_id, body.tasks, afterwards=afterwards)


def _note(note: Note) -> None:
    """The answer is out: what cannot be noted now is pushed once more by `refresh`."""
    try:
        note()
    except UnavailableError as error:
        logger.warning("Not noted what Label Studio was sent: %s", error)


@router.post("/webhook")
def webhook(body: WebhookRequest, runtime: InRuntime) -> dict[str, Any]:
    """Store the event, enqueue what follows from it, answer at once."""
    return handle(runtime, body)


@router.get("/versions")
def versions(runtime: InRuntime, project: int | None = None) -> dict[str, list[str]]:
    """The versions this backend has served, newest first."""
    with runtime.database.read() as session:
        return {"versions": versions_of(session, ls_project_id=project)}


@router.post("/job_status")
def job_status(body: JobStatusRequest, runtime: InRuntime) -> dict[str, Any]:
    """How far a job is."""
    with runtime.database.read() as session:
        row = get_job(session, body.job)
    if row is None:
        raise NotFoundError(f"Job {body.job!r} is not known.")
    return {
        "job_status": row.status,
        "error": row.error or None,
        "created_at": row.enqueued_at.isoformat(),
        "finished_at": row.ended_at.isoformat() if row.ended_at else None,
        "progress": row.progress,
    }
