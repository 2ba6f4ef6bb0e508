"""A run of a pipeline over a file, a job per shard, on all workers.

Jobs carry the place of the run's state and a number. A shard is done when its answers are there, so what a killed
worker, a lost Redis or a stopped command left open is simply put on the queue again.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from functools import lru_cache

import redis
from rq import Queue, Retry, get_current_job
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer

from handover.bulk.predictor import Predictor
from handover.bulk.run import Run, done_shards, load_run, open_predictor, parse_run, predict_shard
from handover.errors import HandoverError, NotFoundError, UnavailableError
from handover.jobs.queue import FAILURE_TTL, PREDICT_QUEUE, RESULT_TTL

TIMEOUT = 3600
"""Seconds that one shard may take."""

RETRIES = 2
"""How often a shard that failed is tried again by the workers, and then by the command."""

POLL = 0.5
"""Seconds between two looks at what is done."""

Done = Callable[[int], None]


def predict(folder: str, number: int) -> dict[str, object]:
    """The job: do one shard of the run whose state is in `folder`."""
    run = load_run(folder)
    if run is None:
        raise NotFoundError(f"There is no run in {folder} any more. It was finished or thrown away.")
    job = get_current_job()
    if job is not None:
        job.meta["progress"] = {"shard": number, "of": len(run.shards), "rows": run.shards[number].rows}
        job.save_meta()
    rows = 0 if number in done_shards(run) else predict_shard(run, number, _predictor(run.to_json()))
    return {"shard": number, "rows": rows}


@lru_cache(maxsize=1)
def _predictor(content: bytes) -> Predictor:
    """The pipeline of a run. A worker forks for each job, so the cache is for those that do not."""
    return open_predictor(parse_run(content))


def predict_on_workers(run: Run, connection: redis.Redis, *, on_done: Done, poll: float = POLL) -> None:
    """Put what is not done on the queue and wait until everything is; `on_done` gets the records of each shard.

    Stopping and calling it again is fine: shards that wait or run are not enqueued twice. Raises HandoverError
    when a shard fails again and again, and UnavailableError when Redis is away.
    """
    queue = Queue(PREDICT_QUEUE, connection=connection, serializer=JSONSerializer)
    told = done_shards(run)
    failures: dict[int, int] = {}
    try:
        while True:
            done = done_shards(run)
            for number in sorted(done - told):
                on_done(run.shards[number].rows)
            told |= done
            missing = sorted(set(range(len(run.shards))) - done)
            if not missing:
                return
            _enqueue(queue, run, missing, failures)
            time.sleep(poll)
    except redis.RedisError as error:
        raise UnavailableError(
            f"Redis is not available: {type(error).__name__}. What is done is kept; run the command again to go on."
        ) from error


def _enqueue(queue: Queue, run: Run, numbers: Iterable[int], failures: dict[int, int]) -> None:
    # Notices jobs whose worker was killed: their entries expire when the heartbeats stop.
    StartedJobRegistry(queue=queue).cleanup()
    for number in numbers:
        job = _fetch(queue, job_id(run, number))
        if job is not None and (job.is_queued or job.is_started or job.is_scheduled or job.is_deferred):
            continue
        if job is not None and job.is_failed:
            failures[number] = failures.get(number, 0) + 1
            if failures[number] > RETRIES:
                raise HandoverError(
                    f"Shard {number} failed {failures[number] * (RETRIES + 1)} times; the workers' log says why. What "
                    "is done is kept; run the same command again to go on."
                )
        queue.enqueue_call(
            "handover.jobs.predict.predict",
            args=[run.folder, number],
            job_id=job_id(run, number),
            timeout=TIMEOUT,
            result_ttl=RESULT_TTL,
            failure_ttl=FAILURE_TTL,
            retry=Retry(max=RETRIES),
        )


def job_id(run: Run, number: int) -> str:
    """The same for the same shard of the same run, so that it waits only once."""
    key = hashlib.sha256("\n".join(run.identity).encode()).hexdigest()[:16]
    return f"predict-{key}-{number}"


def _fetch(queue: Queue, identifier: str) -> Job | None:
    try:
        return Job.fetch(identifier, connection=queue.connection, serializer=JSONSerializer)
    except NoSuchJobError:
        return None
