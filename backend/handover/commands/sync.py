"""Reconcile in the foreground."""

from __future__ import annotations

from collections.abc import Iterator

from handover.errors import NotFoundError
from handover.jobs import reconcile
from handover.runtime import Runtime
from handover.store.projects import all_projects


def sync_now(runtime: Runtime, *, ls_project_id: int | None = None) -> Iterator[str]:
    """Reconcile all projects, or one, and say what was found. Raises NotFoundError and LabelStudioError."""
    with runtime.database.read() as session:
        projects = [p for p in all_projects(session) if ls_project_id in (None, p.ls_id)]
    if not projects:
        raise NotFoundError("No such project is connected. Run `handover connect` first; `handover status` lists all.")
    for project in projects:
        found = reconcile.run(runtime, project.id, lambda _progress: None, full=True)
        numbers = ", ".join(f"{value} {key}" for key, value in found.items())
        yield f"Project {project.ls_id} “{project.title}”: {numbers}."
