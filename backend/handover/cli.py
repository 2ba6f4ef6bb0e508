"""The `handover` command. Each command says what it did and what to do next."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from handover import __version__
from handover.cli_decisions import app as decisions_app
from handover.cli_export import app as export_app
from handover.cli_support import AspectOption, ProjectOption, console, sentences
from handover.cli_support import say as _say
from handover.cli_teacher import app as teacher_app

app = typer.Typer(
    help="Human-in-the-loop distillation for Label Studio.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(decisions_app)
app.add_typer(export_app)
app.add_typer(teacher_app, name="teacher")


@app.callback(invoke_without_command=True)
def main(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    """Human-in-the-loop distillation for Label Studio."""
    if version:
        _say(__version__)
        raise typer.Exit


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Overrides HANDOVER_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Overrides HANDOVER_PORT.")] = None,
) -> None:
    """Run the backend that Label Studio talks to."""
    from handover.commands.serve import exposure_notes
    from handover.commands.serve import serve as run

    with sentences() as given:
        changes = {key: value for key, value in (("host", host), ("port", port)) if value is not None}
        settings = given.model_copy(update=changes)
        for note in exposure_notes(settings):
            _say(note)
        where = f"http://{settings.host}:{settings.port}"
        _say(f"Handover {__version__} on {where}. Next: `handover worker`, `handover connect`.")
        run(settings)


@app.command()
def worker(
    processes: Annotated[int, typer.Option("--processes", "-n", min=1, help="How many workers.")] = 1,
    burst: Annotated[bool, typer.Option(help="Stop when the queue is empty.")] = False,
) -> None:
    """Run the jobs: teacher answers, training, switching."""
    from handover.commands.serve import work

    with sentences() as settings:
        _say(f"Working on the jobs of {settings.data_dir} with {processes} process(es). Stop with Ctrl-C.")
        work(settings, processes=processes, burst=burst)


@app.command()
def connect(
    config: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Labeling config of a new project.")
    ] = None,
    project: Annotated[int | None, typer.Option("--project", "-p", help="Adopt this Label Studio project.")] = None,
    data: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Tasks: .jsonl, .json, .csv, .tsv, .txt.")
    ] = None,
    title: Annotated[str, typer.Option(help="Title of a new project.")] = "",
    guidelines: Annotated[
        list[str] | None,
        typer.Option(help="FILE: guidelines for annotators and teacher; ASPECT=FILE: more for one aspect. Repeatable."),
    ] = None,
    field: Annotated[list[str] | None, typer.Option(help="Import this field of the data too.")] = None,
    gold_share: Annotated[
        float | None, typer.Option(min=0.05, max=0.5, help="Share held out for this project.")
    ] = None,
    margin: Annotated[
        float | None, typer.Option(min=0.0, max=0.2, help="Non-inferiority margin of this project.")
    ] = None,
    routing: Annotated[bool | None, typer.Option(help="The student where it is sure, the teacher the rest.")] = None,
    per_label: Annotated[bool | None, typer.Option(help="Hand over label by label.")] = None,
    teacher_config: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="spacy-llm config of the teacher's model for this project."),
    ] = None,
    teacher_examples: Annotated[
        int | None, typer.Option(min=0, max=32, help="Corrected tasks shown in the prompt of this project.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(min=0.0, help="Most that this project's teacher may cost in all; 0: no limit.")
    ] = None,
    budget_day: Annotated[
        float | None, typer.Option(min=0.0, help="Most that this project's teacher may cost per day; 0: no limit.")
    ] = None,
    uncertainty_sampling: Annotated[bool, typer.Option(help="New project: least certain tasks first.")] = False,
    token_stdin: Annotated[bool, typer.Option(help="Read Label Studio's token from standard input.")] = False,
) -> None:
    """Connect a Label Studio project, new or existing. The backend has to be running."""
    from handover.commands.connect import ConnectRequest
    from handover.commands.connect import connect as run
    from handover.commands.guidelines import split_guidelines
    from handover.runtime import Runtime

    with sentences() as settings:
        shared, own = split_guidelines(guidelines or ())
        request = ConnectRequest(
            project=project,
            config=config,
            title=title,
            data=data,
            guidelines=shared,
            aspect_guidelines=own,
            fields=tuple(field or ()),
            gold_share=gold_share,
            margin=margin,
            routing=routing,
            per_label=per_label,
            teacher_config=teacher_config,
            teacher_examples=teacher_examples,
            budget=budget,
            budget_day=budget_day,
            uncertainty_sampling=uncertainty_sampling,
        )
        runtime = Runtime(settings).open()
        try:
            connected = run(runtime, request, token=_token(runtime.api_key(), from_stdin=token_stdin), say=_say)
        finally:
            runtime.close()
        _say(f"Done. Annotate at {connected.url} - and see `handover status`.")


def _token(known: str, *, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().strip()
    # Never an option of the command: the process list would show it.
    return known or str(typer.prompt("Label Studio token (Account & Settings)", hide_input=True)).strip()


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show where every project and aspect stands."""
    from handover.commands.show import show_status
    from handover.runtime import Runtime
    from handover.status import read_status

    with sentences() as settings:
        runtime = Runtime(settings).open(needs_redis=False)
        try:
            with runtime.database.read() as session:
                current = read_status(session, settings)
        finally:
            runtime.close()
        if as_json:
            typer.echo(json.dumps(current.to_json(), indent=2, ensure_ascii=False))
        else:
            show_status(console, current)


@app.command()
def ledger(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show what was asked of teachers and what it cost, by project, aspect, model and purpose."""
    from handover.commands.ledger import show_totals
    from handover.runtime import Runtime
    from handover.totals import read_totals

    with sentences() as settings:
        runtime = Runtime(settings).open(needs_redis=False)
        try:
            with runtime.database.read() as session:
                totals = read_totals(session, settings.teacher_prices)
        finally:
            runtime.close()
        if as_json:
            rows = [total.to_json() for total in totals]
            typer.echo(json.dumps({"currency": settings.teacher_currency, "totals": rows}, indent=2))
        else:
            show_totals(console, totals, currency=settings.teacher_currency)


@app.command()
def retrain(project: ProjectOption, aspect: AspectOption = "") -> None:
    """Enqueue a training now, whatever has changed since the last one."""
    from handover.jobs.queue import JobKind
    from handover.runtime import Runtime
    from handover.store.projects import find_aspect

    with sentences() as settings:
        runtime = Runtime(settings).open()
        try:
            with runtime.database.read() as session:
                row = find_aspect(session, ls_project_id=project, name=aspect)
            job_id = runtime.queue.enqueue(JobKind.RETRAIN, row.id)
        finally:
            runtime.close()
        done = f"Enqueued {job_id}." if job_id else "A training waits already."
        _say(f"{done} A running `handover worker` takes it; `handover status` shows the result.")


@app.command()
def jobs() -> None:
    """List the jobs that wait, run or ended lately, and how far they are."""
    from handover.commands.jobs import list_jobs
    from handover.runtime import Runtime

    with sentences() as settings:
        runtime = Runtime(settings).open(needs_redis=False)
        try:
            lines = list_jobs(runtime)
        finally:
            runtime.close()
        for line in lines or ["There are no jobs yet."]:
            _say(line)


@app.command()
def cancel(job: Annotated[str, typer.Argument(help="The id of a job, as `handover jobs` shows it.")]) -> None:
    """Stop a job that waits or runs. Whoever serves an aspect stays; later changes may start the job again."""
    from handover.commands.jobs import cancel as run
    from handover.runtime import Runtime

    with sentences() as settings:
        runtime = Runtime(settings).open()
        try:
            done = run(runtime, job)
        finally:
            runtime.close()
        _say(done)


@app.command()
def hints(
    project: ProjectOption,
    aspect: AspectOption = "",
    refresh: Annotated[bool, typer.Option(help="Look now; trains five small students, which takes a while.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many to show for each reason.")] = 20,
) -> None:
    """List annotations that may be wrong, with links into Label Studio. None is ever changed."""
    from handover.commands import hints as command
    from handover.runtime import Runtime

    with sentences() as settings:
        runtime = Runtime(settings).open(needs_redis=False)
        try:
            if refresh:
                command.refresh(runtime, ls_project_id=project, aspect=aspect)
            lines = command.list_hints(runtime, ls_project_id=project, aspect=aspect, limit=limit)
        finally:
            runtime.close()
        for line in lines or ["There are no hints. They are made after a training, or now with --refresh."]:
            _say(line)


@app.command()
def sync(
    project: Annotated[int | None, typer.Option("--project", "-p", help="Only this project.")] = None,
) -> None:
    """Fetch everything that webhooks may have lost from Label Studio, now."""
    from handover.commands.sync import sync_now
    from handover.runtime import Runtime

    with sentences() as settings:
        runtime = Runtime(settings).open()
        try:
            for line in sync_now(runtime, ls_project_id=project):
                _say(line)
        finally:
            runtime.close()
