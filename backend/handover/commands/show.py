"""The status as text."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from handover.commands.ledger import money
from handover.domain import Outcome, Server
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


def _served(server: str) -> str:
    return f"served by the {server}" if server in {known.value for known in Server} else server


def _lines(aspect: AspectStatus) -> list[str]:
    lines = [
        f"{aspect.name} ({aspect.kind}), {_served(aspect.server)}: "
        f"{aspect.train} train, {aspect.dev} dev, {aspect.gold} gold tasks annotated"
    ]
    missing = {
        "gold not blind": aspect.voided,
        "without majority": aspect.ties,
        "unusable": aspect.unusable,
        "nearly the same as gold": aspect.like_gold,
    }
    if any(missing.values()):
        lines.append("  not counted: " + ", ".join(f"{number} {why}" for why, number in missing.items() if number))
    unshown = {status: number for status, number in aspect.answers.items() if status != "ok"}
    if unshown:
        lines.append("  answers not shown: " + ", ".join(f"{number} {why}" for why, number in unshown.items()))
        if aspect.problem:
            lines.append(f"    most often because of: {aspect.problem}")
    lines += _score_lines(aspect)
    lines.append(f"  {aspect.reason}")
    if aspect.switch_reason not in ("", aspect.reason):
        verb = "handed over" if aspect.switch == Outcome.PROMOTE.value else "rolled back"
        lines.append(f"  {verb}: {aspect.switch_reason}")
    if aspect.void:
        lines.append(f"  {aspect.void}")
    for finding in aspect.findings:
        lines.append(f"  {'warning: ' if finding['is_warning'] else ''}{finding['kind']}: {finding['text']}")
    if aspect.threshold is not None:
        lines.append(f"  the student answers from confidence {aspect.threshold:.3f} on, the teacher the rest")
    if aspect.held:
        lines.append(f"  the student answers for {', '.join(aspect.held)}, the teacher for the other labels")
    if aspect.pinned:
        lines.append("  pinned: only a person changes who serves; `handover unpin` ends it")
    return lines


def _score_lines(aspect: AspectStatus) -> list[str]:
    """The scores with their number of gold tasks and intervals, and how well people agree."""
    if aspect.teacher_score is None or aspect.student_score is None:
        return []
    details = aspect.evaluation or {}
    teacher = f"teacher {aspect.teacher_score:.3f}{_interval(details.get('teacher_interval'))}"
    student = f"student {aspect.student_score:.3f}{_interval(details.get('student_interval'))}"
    lines = [f"  {aspect.metric} on {aspect.scored_on} gold tasks: {teacher}, {student} ({aspect.student})"]
    if aspect.interval is not None:
        difference = aspect.student_score - aspect.teacher_score
        lines.append(f"  difference {difference:+.3f}, between {aspect.interval[0]:+.3f} and {aspect.interval[1]:+.3f}")
    people = details.get("agreement")
    if people and people["ceiling"] is not None:
        interval = _interval((people["low"], people["high"]))
        lines.append(f"  people agree to {people['ceiling']:.3f}{interval} on {people['n']} gold tasks of several")
    if details.get("disagreements"):
        lines.append("  tasks on which they differ, confusions and scores per label: `handover status --json`")
    return lines


def _interval(interval: Sequence[float] | None) -> str:
    return f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval is not None else ""


def _spent(spent: Totals, currency: str) -> list[str]:
    if not spent.calls + spent.cached:
        return []
    tokens = f"{spent.input_tokens:,} tokens in ({spent.cached_tokens:,} cached), {spent.output_tokens:,} out"
    questions = f"{spent.calls:,} questions to the teacher, {spent.cached:,} answered from our own cache"
    return [f"  {questions}: {tokens}, {money(spent.cost, currency)}"]
