"""`handover teacher`: what concerns the teacher alone."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from handover.console import console, sentences

teacher_app = typer.Typer(help="Check the teacher and what it costs.", no_args_is_help=True)


@teacher_app.command()
def estimate(
    project: Annotated[int, typer.Option("--project", "-p", help="Label Studio's id of the project.")],
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
