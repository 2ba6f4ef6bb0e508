"""The commands about who serves: by hand, the log of all decisions, and the figures beside accuracy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from handover.cli_support import AspectOption, ProjectOption, console, say, sentences

if TYPE_CHECKING:
    from handover.runtime import Runtime

ReasonOption = Annotated[str, typer.Option("--reason", "-r", help="Why; it is kept in the decision log.")]
AuthorOption = Annotated[str, typer.Option("--as", help="Who decides; without it the name of the user.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


app = typer.Typer()


@contextmanager
def _runtime(*, needs_redis: bool = True) -> Iterator[Runtime]:
    from handover.runtime import Runtime

    with sentences() as settings:
        runtime = Runtime(settings).open(needs_redis=needs_redis)
        try:
            yield runtime
        finally:
            runtime.close()


@app.command()
def promote(
    project: ProjectOption,
    reason: ReasonOption,
    aspect: AspectOption = "",
    version: Annotated[str, typer.Option("--version", help="A student's version; else the newest.")] = "",
    author: AuthorOption = "",
) -> None:
    """Hand over to a student by hand, whatever the gate says."""
    from handover.commands import decide

    with _runtime() as runtime:
        person = decide.Person(author, reason)
        say(decide.promote(runtime, person, ls_project_id=project, aspect=aspect, version=version))


@app.command()
def rollback(
    project: ProjectOption,
    reason: ReasonOption,
    aspect: AspectOption = "",
    to: Annotated[str, typer.Option("--to", help="An earlier student's version, or teacher.")] = "teacher",
    author: AuthorOption = "",
) -> None:
    """Go back to the teacher, or to an earlier student, by hand."""
    from handover.commands import decide

    with _runtime() as runtime:
        person = decide.Person(author, reason)
        say(decide.rollback(runtime, person, ls_project_id=project, aspect=aspect, to=to))


@app.command()
def pin(
    project: ProjectOption,
    reason: ReasonOption,
    target: Annotated[str, typer.Argument(help="A student's version, or teacher; else whoever serves now.")] = "",
    aspect: AspectOption = "",
    author: AuthorOption = "",
) -> None:
    """Keep who serves until `unpin`: students are still trained and looked at, but nothing switches by itself."""
    from handover.commands import decide

    with _runtime() as runtime:
        person = decide.Person(author, reason)
        say(decide.pin(runtime, person, ls_project_id=project, aspect=aspect, target=target))


@app.command()
def unpin(project: ProjectOption, reason: ReasonOption, aspect: AspectOption = "", author: AuthorOption = "") -> None:
    """Let gate and watch decide again."""
    from handover.commands import decide

    with _runtime() as runtime:
        say(decide.unpin(runtime, decide.Person(author, reason), ls_project_id=project, aspect=aspect))


@app.command()
def decisions(project: ProjectOption, aspect: AspectOption = "", as_json: JsonOption = False) -> None:
    """Show all decisions about who serves, newest first: who, when, on how much gold, and why."""
    from handover.commands.decisions import lines_of, read_decisions

    with _runtime(needs_redis=False) as runtime:
        with runtime.database.read() as session:
            rows = read_decisions(session, ls_project_id=project, aspect=aspect)
        if as_json:
            typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
            return
        for line in lines_of(rows):
            console.print(line, markup=False)


@app.command()
def utility(project: ProjectOption, aspect: AspectOption = "", as_json: JsonOption = False) -> None:
    """Show what the suggestions are worth: accepted untouched, time per task, and how far they pull people along."""
    from handover.commands.utility import lines_of
    from handover.utility import read_utility

    with _runtime(needs_redis=False) as runtime:
        with runtime.database.read() as session:
            found = read_utility(session, runtime.settings, ls_project_id=project, aspect=aspect)
        if as_json:
            typer.echo(json.dumps([row.to_json() for row in found], indent=2, ensure_ascii=False))
            return
        for line in lines_of(found):
            console.print(line, markup=False)


@app.command()
def forecast(project: ProjectOption, aspect: AspectOption = "") -> None:
    """Enqueue a forecast: how many more tasks until the student beats the teacher, and which labels are flat."""
    from handover.jobs.queue import JobKind
    from handover.store.projects import find_aspect

    with _runtime() as runtime:
        with runtime.database.read() as session:
            row = find_aspect(session, ls_project_id=project, name=aspect)
        job_id = runtime.queue.enqueue(JobKind.FORECAST, row.id)
        done = f"Enqueued {job_id}." if job_id else "A forecast waits already."
        say(f"{done} A running `handover worker` takes it; `handover status` shows the result.")
