"""The status as text."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from handover.status import AspectStatus, ProjectStatus, Status


def show_status(console: Console, status: Status) -> None:
    """Print the status for people."""
    if not status.projects:
        console.print("No project is connected yet. Next: `handover connect --config FILE.xml --data FILE.jsonl`.")
    for project in status.projects:
        _show_project(console, project)
    failed = [job for job in status.jobs if job["status"] in ("failed", "lost")]
    running = [job for job in status.jobs if job["status"] in ("queued", "started")]
    if running:
        console.print("Jobs: " + ", ".join(f"{job['kind']} {job['status']}" for job in running))
    for job in failed[:5]:
        console.print(f"Job {job['id']} {job['status']}: {job['error']}", markup=False, style="yellow")


def _show_project(console: Console, project: ProjectStatus) -> None:
    total = sum(project.tasks.values())
    console.print(f"[bold]Project {project.ls_id} “{project.title}”[/bold]: {project.finished} of {total} tasks done")
    console.print(f"  Label Studio shows {project.live_version}", markup=False)
    table = Table(box=None, padding=(0, 2), show_edge=False)
    for column in ("aspect", "served by", "train", "dev", "gold", "teacher", "student", "on"):
        table.add_column(column)
    for aspect in project.aspects:
        table.add_row(*_cells(aspect))
    console.print(table)
    for aspect in project.aspects:
        console.print(f"  {aspect.name}: {aspect.reason}", markup=False)
    for aside in project.set_aside:
        verb = "repaired" if aside["repaired"] else "set aside"
        console.print(
            f"  {verb}: {aside['count']} x {aside['subject']} {aside['name']}: {aside['reason']}",
            markup=False,
        )


def _cells(aspect: AspectStatus) -> tuple[str, ...]:
    gold = f"{aspect.gold}" + (f" ({aspect.voided} voided)" if aspect.voided else "")
    return (
        f"{aspect.name} ({aspect.kind})",
        aspect.server,
        str(aspect.train),
        str(aspect.dev),
        gold,
        _number(aspect.teacher_score),
        _number(aspect.student_score),
        f"{aspect.scored_on} gold, {aspect.metric}" if aspect.metric else "-",
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
