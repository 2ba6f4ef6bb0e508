"""The ML backend protocol of Label Studio, and its webhooks."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from handover import __version__
from handover.api.webhooks import handle
from handover.errors import NotFoundError
from handover.labelstudio.protocol import (
    JobStatusRequest,
    PredictionOut,
    PredictRequest,
    PredictResponse,
    SetupRequest,
    WebhookRequest,
)
from handover.runtime import Runtime
from handover.serving import predict as serve
from handover.serving import register
from handover.store.jobs import get_job
from handover.store.projects import project_by_ls_id, versions_of

router = APIRouter()


def _runtime(request: Request) -> Runtime:
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


@router.post("/predict")
def predict(body: PredictRequest, runtime: InRuntime) -> PredictResponse:
    """One entry per task: a prediction, or an empty list where nothing is to be shown."""
    with runtime.database.read() as session:
        project = project_by_ls_id(session, body.ls_project_id)
    if project is None:
        register(runtime, body.ls_project_id, body.label_config)
    predictions = serve(runtime, body.ls_project_id, body.tasks)
    entries: list[PredictionOut | list[PredictionOut]] = [
        PredictionOut(result=p.result, score=p.score, model_version=p.model_version) if p is not None else []
        for p in predictions
    ]
    return PredictResponse(results=entries)


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
