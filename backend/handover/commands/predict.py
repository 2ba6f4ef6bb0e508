"""Run an exported pipeline over a file, with a progress bar."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from handover.bulk.local import predict_here
from handover.bulk.run import PredictRequest, Run, Summary, assemble, done_shards, start_run
from handover.jobs.predict import predict_on_workers
from handover.jobs.queue import connect_redis
from handover.runtime import Runtime
from handover.settings import Settings


def predict(request: PredictRequest, *, processes: int, console: Console) -> Summary:
    """Do the run on this machine. Raises HandoverError; what is done is kept, and the next call goes on."""
    run = start_run(request)
    with _progress(run, console) as on_done:
        predict_here(run, processes=processes, on_done=on_done)
    return assemble(run)


def predict_queued(request: PredictRequest, settings: Settings, *, console: Console) -> Summary:
    """Do the run on the workers of this installation, which need the same files at the same places.

    Raises HandoverError; what is done is kept, and the next call goes on.
    """
    run = start_run(request)
    runtime = Runtime(settings).open()
    try:
        with _progress(run, console) as on_done:
            predict_on_workers(run, connect_redis(runtime.redis_url, patience=None), on_done=on_done)
    finally:
        runtime.close()
    return assemble(run)


@contextlib.contextmanager
def _progress(run: Run, console: Console) -> Iterator[Callable[[int], None]]:
    """A bar that counts records, those of earlier runs included."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
        known = sum(run.shards[number].rows for number in done_shards(run))
        task = bar.add_task("Predicting", total=run.rows, completed=known)
        yield lambda rows: bar.advance(task, rows)
