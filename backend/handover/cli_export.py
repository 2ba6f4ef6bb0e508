"""`handover export` and `handover predict`: take the students away, and use what was taken."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from handover.cli_support import errors, say, sentences

app = typer.Typer()


@app.command()
def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write; with --wheel the folder for it.")],
    project: Annotated[
        list[int] | None, typer.Option("--project", "-p", help="Label Studio's id; several are merged into one.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every connected project.")] = False,
    aspect: Annotated[
        list[str] | None, typer.Option("--aspect", "-a", help="Only this aspect; may be given several times.")
    ] = None,
    version: Annotated[list[str] | None, typer.Option(help="A student's version; else the champion.")] = None,
    name: Annotated[str, typer.Option(help="Name of the package, without the language.")] = "",
    business_logic: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A catalogue to look names up in.")
    ] = None,
    wheel: Annotated[bool, typer.Option("--wheel", help="Build an installable package.")] = False,
    force: Annotated[bool, typer.Option(help="Replace what is there.")] = False,
) -> None:
    """Write students as one spaCy pipeline that does not need Handover, or as a wheel of it."""
    from handover.commands.export import ExportRequest
    from handover.commands.export import export as run
    from handover.runtime import Runtime

    if bool(project) == every:
        raise typer.BadParameter("give --project, once or several times, or --all")
    request = ExportRequest(
        target=output,
        projects=tuple(project or ()),
        aspects=tuple(aspect or ()),
        versions=tuple(version or ()),
        name=name,
        logic=business_logic,
        wheel=wheel,
        force=force,
    )
    with sentences() as settings:
        runtime = Runtime(settings).open(needs_redis=False)
        try:
            done = run(runtime, request)
        finally:
            runtime.close()
        for left in done.left_out:
            say(f"Left out {left}: it has no student yet.")
        students = ", ".join(f"{known} {student}" for known, student in done.students.items())
        say(f"Exported {students} to {done.path}. {_use(done.path, wheel=wheel)}")


def _use(path: Path, *, wheel: bool) -> str:
    if wheel:
        return f"Use it: pip install {path}, then nlp = spacy.load({path.name.split('-')[0]!r})"
    return f"Use it: nlp = spacy.load({os.fspath(path)!r})"


@app.command()
def predict(
    pipeline: Annotated[str, typer.Argument(help="Folder of an exported pipeline, or name of an installed one.")],
    input_file: Annotated[str, typer.Argument(metavar="INPUT", help="File or URL: .jsonl, .csv, .tsv, .parquet.")],
    output: Annotated[str, typer.Argument(help="File or URL to write, of any of these formats.")],
    text_field: Annotated[str, typer.Option(help="Field with the text; else that of the labeling config.")] = "",
    prefix: Annotated[str, typer.Option(help="What the names of the new fields start with.")] = "predicted_",
    processes: Annotated[int, typer.Option("--processes", "-n", min=1, help="How many processes.")] = 1,
    queue: Annotated[bool, typer.Option("--queue", help="Let the running workers do it.")] = False,
    shard_rows: Annotated[int, typer.Option(min=1, help="Records that are done and kept together.")] = 1000,
    restart: Annotated[bool, typer.Option(help="Throw away what an earlier run left.")] = False,
    force: Annotated[bool, typer.Option(help="Replace the output if it exists.")] = False,
) -> None:
    """Run an exported pipeline over a file. A run that was stopped goes on when it is called again."""
    from handover.bulk.run import PredictRequest
    from handover.commands.predict import predict as run
    from handover.commands.predict import predict_queued

    request = PredictRequest(
        pipeline=pipeline,
        input=input_file,
        output=output,
        text_field=text_field,
        prefix=prefix,
        shard_rows=shard_rows,
        force=force,
        restart=restart,
    )
    with sentences() as settings:
        if queue:
            done = predict_queued(request, settings, console=errors)
        else:
            done = run(request, processes=processes, console=errors)
        bad = f" {done.errors} of them have no usable text; {prefix}error says why." if done.errors else ""
        say(f"Wrote {done.rows} records to {done.output}.{bad}")
