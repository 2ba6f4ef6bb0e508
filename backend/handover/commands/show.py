"""The status as text."""

from __future__ import annotations

from rich.console import Console

from handover.commands.ledger import money
from handover.status import AspectStatus, ProjectStatus, Status
from handover.totals import Totals


def show_status(console: Console, status: Status) -> None:
    """Print the status for people."""
    if not status.projects:
        console.print("No project is connected yet. Next: `handover connect --config FILE.xml --data FILE.jsonl`.")
    for project in status.projects:
        _show_project(console, project, status.currency)
    running = [f"{job['kind']} {job['status']}" for job in status.jobs if job["status"] in ("queued", "started")]
    if running:
        console.print("Jobs: " + ", ".join(running))
    for job in [job for job in status.jobs if job["status"] in ("failed", "lost")][:5]:
        console.print(f"Job {job['id']} {job['status']}: {job['error']}", markup=False, style="yellow")


def _show_project(console: Console, project: ProjectStatus, currency: str) -> None:
    total = sum(project.tasks.values())
    console.print(f"[bold]Project {project.ls_id} “{project.title}”[/bold]: {project.finished} of {total} tasks done")
    console.print(f"  Label Studio shows {project.live_version}", markup=False)
    for aspect in project.aspects:
        for line in [*_lines(aspect), *_spent(aspect.spent, currency)]:
            console.print(f"  {line}", markup=False)
    if project.teacher_stopped:
        console.print(f"  The teacher is not asked: {project.teacher_stopped}", markup=False, style="yellow")
    for aside in project.set_aside:
        verb = "repaired" if aside["repaired"] else "set aside"
        subject = f"{aside['subject']} {aside['name']}".strip()
        console.print(f"  {verb}: {aside['count']} x {subject}: {aside['reason']}", markup=False)


def _lines(aspect: AspectStatus) -> list[str]:
    lines = [
        f"{aspect.name} ({aspect.kind}), served by the {aspect.server}: "
        f"{aspect.train} train, {aspect.dev} dev, {aspect.gold} gold tasks annotated"
    ]
    missing = {"gold not blind": aspect.voided, "without majority": aspect.ties, "unusable": aspect.unusable}
    if any(missing.values()):
        lines.append("  not counted: " + ", ".join(f"{number} {why}" for why, number in missing.items() if number))
    unshown = {status: number for status, number in aspect.answers.items() if status != "ok"}
    if unshown:
        lines.append("  answers not shown: " + ", ".join(f"{number} {why}" for why, number in unshown.items()))
    if aspect.teacher_score is not None and aspect.student_score is not None:
        scores = f"teacher {aspect.teacher_score:.3f}, student {aspect.student_score:.3f}"
        lines.append(f"  {aspect.metric} on {aspect.scored_on} gold tasks: {scores} ({aspect.student})")
    lines.append(f"  {aspect.reason}")
    if aspect.promotion not in ("", aspect.reason):
        lines.append(f"  handed over: {aspect.promotion}")
    return lines


def _spent(spent: Totals, currency: str) -> list[str]:
    if not spent.calls + spent.cached:
        return []
    tokens = f"{spent.input_tokens:,} tokens in ({spent.cached_tokens:,} cached), {spent.output_tokens:,} out"
    questions = f"{spent.calls:,} questions to the teacher, {spent.cached:,} answered from our own cache"
    return [f"  {questions}: {tokens}, {money(spent.cost, currency)}"]
