"""Do the shards of a run on this machine, in this process or in several."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait

from handover.bulk.predictor import Predictor
from handover.bulk.run import Run, done_shards, open_predictor, parse_run, predict_shard
from handover.errors import HandoverError

Done = Callable[[int], None]

_opened: list[tuple[Run, Predictor]] = []
"""What a spawned process works with: it is told once, and shares nothing with others."""


def predict_here(run: Run, *, processes: int, on_done: Done) -> None:
    """Do the shards that are not done yet; `on_done` gets the number of records of each.

    Raises HandoverError when a process was killed; what it had done is kept.
    """
    missing = sorted(set(range(len(run.shards))) - done_shards(run))
    if processes > 1 and len(missing) > 1:
        _predict_in_processes(run, missing, processes=min(processes, len(missing)), on_done=on_done)
    elif missing:
        predictor = open_predictor(run)
        for number in missing:
            on_done(predict_shard(run, number, predictor))


def _predict_in_processes(run: Run, numbers: Iterable[int], *, processes: int, on_done: Done) -> None:
    # Not forked: this process has threads (the progress bar), and a fork copies their locks.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_open, initargs=(run.to_json(),))
    try:
        for future in as_completed([pool.submit(_predict, number) for number in numbers]):
            on_done(future.result())
    except BrokenProcessPool as error:
        raise HandoverError(
            "A process ended unexpectedly; mostly that means that memory ran out. What is done is kept: run the same "
            "command again to go on, with fewer --processes."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _open(content: bytes) -> None:
    """Load the pipeline in a new process. Ctrl-C is for the parent; without it there is nothing to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    run = parse_run(content)
    _opened.append((run, open_predictor(run)))


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _predict(number: int) -> int:
    run, predictor = _opened[0]
    return predict_shard(run, number, predictor)
