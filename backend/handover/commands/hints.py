"""The hints as text, with links into Label Studio."""

from __future__ import annotations

from collections.abc import Iterator

from handover.hints import Reason
from handover.jobs import hints as hints_job
from handover.runtime import Runtime
from handover.store.hints import hints_of
from handover.store.models import HintRow
from handover.store.projects import find_aspect, get_project

TITLES = {
    Reason.DOUBTED: "Doubted by students that have not seen the annotation, the most doubtful first",
    Reason.SAME_TEXT: "The same text, annotated in different ways",
    Reason.QUICK: "Accepted without a change in under two seconds",
}


def refresh(runtime: Runtime, *, ls_project_id: int, aspect: str) -> None:
    """Look for hints now. Raises NotFoundError."""
    with runtime.database.read() as session:
        row = find_aspect(session, ls_project_id=ls_project_id, name=aspect)
    hints_job.run(runtime, row.id, lambda progress: None)


def list_hints(runtime: Runtime, *, ls_project_id: int, aspect: str, limit: int) -> list[str]:
    """The stored hints by reason, at most `limit` of each. Raises NotFoundError."""
    with runtime.database.read() as session:
        row = find_aspect(session, ls_project_id=ls_project_id, name=aspect)
        project = get_project(session, row.project_id)
        found = hints_of(session, row.id)
    data = f"{runtime.settings.label_studio_url.rstrip('/')}/projects/{project.ls_id}/data?task="
    lines: list[str] = []
    for reason in Reason:
        linked = [(hint, f"{data}{task.ls_id}") for hint, task in found if hint.reason == reason.value]
        if linked:
            lines += [f"{TITLES[reason]} ({len(linked)}):", *_lines(linked[:limit])]
    return lines


def _lines(linked: list[tuple[HintRow, str]]) -> Iterator[str]:
    for hint, url in linked:
        given = ", ".join(hint.given) or "nothing"
        suggested = f" -> {', '.join(hint.suggested) or 'nothing'}" if hint.reason != Reason.QUICK.value else ""
        yield f"  {url}  {given}{suggested}  ({hint.score:.2f})"
