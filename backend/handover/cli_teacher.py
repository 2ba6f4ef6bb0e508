"""`handover teacher …`: try the teacher, what it costs, compare ways to ask it, and adopt one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from handover.cli_support import AspectOption, ProjectOption, console, say, sentences

app = typer.Typer(
    help="Try the teacher, see what it costs, compare ways to ask it, adopt the best.", no_args_is_help=True
)


@app.command()
def check(
    project: ProjectOption,
    aspect: AspectOption = "",
    number: Annotated[int, typer.Option("--number", "-n", min=1, max=100, help="How many open train tasks.")] = 5,
    text: Annotated[list[str] | None, typer.Option(help="Ask about this text instead. Repeatable.")] = None,
) -> None:
    """Ask the teacher about a few tasks and show prompt, answer, what was understood, tokens and latency."""
    from handover.commands.teacher_check import check as run
    from handover.runtime import Runtime

    with sentences() as settings:
        runtime = Runtime(settings).open(needs_redis=False)
        try:
            run(runtime, ls_project_id=project, aspect=aspect, number=number, texts=tuple(text or ()), say=say)
        finally:
            runtime.close()


@app.command()
def estimate(
    project: ProjectOption,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Estimate what asking about all open tasks and the gold would cost. Nothing is asked, nothing is spent."""
    from handover.commands.estimate import estimate as run
    from handover.commands.estimate import show_estimates
    from handover.runtime import Runtime

    with sentences() as settings:
        runtime = Runtime(settings).open(needs_redis=False)
        try:
            estimates = run(runtime, ls_project_id=project)
        finally:
            runtime.close()
        if as_json:
            rows = [row.to_json() for row in estimates]
            typer.echo(json.dumps({"currency": settings.teacher_currency, "aspects": rows}, indent=2))
        else:
            show_estimates(console, estimates, currency=settings.teacher_currency)


@app.command()
def compare(
    project: ProjectOption,
    aspect: AspectOption = "",
    limit: Annotated[int, typer.Option(min=10, max=10_000, help="Dev tasks to compare on, at most.")] = 100,
    examples: Annotated[
        list[int] | None, typer.Option(min=0, max=32, help="Numbers of examples to try. Default: 0, 4, 8. Repeatable.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before calls are made.")] = False,
) -> None:
    """Score ways to ask the teacher on the same dev tasks: examples, guidelines; with cost and latency."""
    from handover.commands.teacher_compare import compare as run
    from handover.runtime import Runtime

    with sentences() as settings:
        runtime = Runtime(settings).open(needs_redis=False)
        try:
            run(
                runtime,
                ls_project_id=project,
                aspect=aspect,
                limit=limit,
                numbers=tuple(examples or (0, 4, 8)),
                say=say,
                confirm=(lambda question: True) if yes else typer.confirm,
            )
        finally:
            runtime.close()


@app.command()
def use(
    project: ProjectOption,
    aspect: Annotated[str, typer.Option("--aspect", "-a", help="Only this control tag; else all of them.")] = "",
    examples: Annotated[
        int | None, typer.Option(min=0, max=32, help="Corrected tasks to show in the prompt. 0: none.")
    ] = None,
    guidelines: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Guidelines in place of those there are.")
    ] = None,
    with_guidelines: Annotated[
        bool | None, typer.Option("--with-guidelines/--without-guidelines", help="Put guidelines into the prompt.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="spacy-llm config of the project's model.")
    ] = None,
    without_config: Annotated[bool, typer.Option("--without-config", help="The model of the settings again.")] = False,
) -> None:
    """Change how the teacher is asked. That is a new teacher: open tasks are asked again, the gate starts anew."""
    from handover.commands.teacher_use import UseRequest
    from handover.commands.teacher_use import use as run
    from handover.runtime import Runtime

    with sentences() as settings:
        request = UseRequest(
            project=project,
            aspect=aspect,
            examples=examples,
            guidelines=guidelines,
            with_guidelines=with_guidelines,
            config=config,
            without_config=without_config,
        )
        runtime = Runtime(settings).open()
        try:
            run(runtime, request, say=say)
        finally:
            runtime.close()
