"""The queue: RQ on Redis with the JSON serializer, and a row in the store for every job.

Of the same kind, subject and arguments at most one job waits (a unique key in the store), and of `retrain` and `look`
at most one runs per aspect (RQ's rate limit with a concurrency of one).
"""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry as RedisRetry
from rq import Queue, Retry
from rq.command import send_stop_job_command
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job, JobStatus
from rq.rate_limit import RateLimit
from rq.serializers import JSONSerializer

from handover.errors import NotFoundError, UnavailableError
from handover.store import jobs as job_store
from handover.store.columns import utcnow
from handover.store.database import Database

logger = logging.getLogger(__name__)

PREDICT_QUEUE = "handover-predict"
"""The queue of `handover predict --queue`, which bypasses the store: its jobs are many and their state is in files."""

QUEUE_NAMES = ("handover-quick", "handover-train", PREDICT_QUEUE, "handover-idle")
"""Queues in the order in which a worker empties them: short jobs never wait for a whole training to be next, and
what nobody waits for comes last."""

RESULT_TTL = 3600
"""Seconds that Redis keeps a finished job; the store keeps its row for good."""

FAILURE_TTL = 7 * 24 * 3600
"""Seconds that Redis keeps a failed job."""

RETRY_INTERVALS = (10, 60, 300)
"""Seconds before a failed job is tried again: when Label Studio or the teacher is away, it needs a while."""

STOP_PATIENCE = 10.0
"""Seconds that a job has to stop when it is canceled."""

STOP_INTERVAL = 0.1
"""Seconds between two looks whether it has."""

GRACE = timedelta(seconds=30)
"""A row younger than this may belong to a job that is just being pushed or just ended."""


class JobKind(str, Enum):
    """What a job does."""

    PREFETCH = "prefetch"
    RETRAIN = "retrain"
    LOOK = "look"
    FORECAST = "forecast"
    REFRESH = "refresh"
    RECONCILE = "reconcile"
    HINTS = "hints"


@dataclass(frozen=True)
class JobPolicy:
    """How a kind of job runs: its queue, time-out in seconds, and whether it is tried again.

    Of the jobs with the same `turn` about the same subject one runs at a time.
    """

    queue: str
    timeout: int
    retries: bool
    turn: str


def policies(*, train_timeout: int) -> dict[JobKind, JobPolicy]:
    """The policy of each kind of job."""
    quick, train, _, idle = QUEUE_NAMES
    return {
        JobKind.PREFETCH: JobPolicy(quick, timeout=3600, retries=True, turn="prefetch"),
        JobKind.REFRESH: JobPolicy(quick, timeout=1800, retries=True, turn="refresh"),
        JobKind.RECONCILE: JobPolicy(quick, timeout=1800, retries=False, turn="reconcile"),
        # A training ends with a look, and two looks at a time would spend the same error budget twice.
        JobKind.LOOK: JobPolicy(quick, timeout=1800, retries=True, turn="aspect"),
        JobKind.FORECAST: JobPolicy(train, timeout=train_timeout, retries=False, turn="forecast"),
        JobKind.RETRAIN: JobPolicy(train, timeout=train_timeout, retries=False, turn="aspect"),
        JobKind.HINTS: JobPolicy(idle, timeout=train_timeout, retries=False, turn="hints"),
    }


def connect_redis(url: str, *, patience: float | None) -> redis.Redis:
    """A connection to Redis. `patience` bounds every wait in seconds; None waits as long as it takes (workers)."""
    if patience is None:
        return redis.Redis.from_url(url)
    return redis.Redis.from_url(
        url,
        socket_timeout=patience,
        socket_connect_timeout=patience,
        retry=RedisRetry(NoBackoff(), 0),
    )


class JobQueue:
    """Puts jobs on the queue and tells about them."""

    def __init__(self, connection: redis.Redis, database: Database, *, train_timeout: int) -> None:
        self.connection = connection
        self.database = database
        self._policies = policies(train_timeout=train_timeout)

    def enqueue(
        self, kind: JobKind, subject_id: int | None, *, arguments: dict[str, object] | None = None
    ) -> str | None:
        """Put a job on the queue; returns its id, or None when the same one waits already.

        `arguments` are JSON values; those that are false count as not given. Raises UnavailableError when Redis or
        the database is away; then nothing waits.
        """
        job_id = f"{kind.value}-{subject_id if subject_id is not None else 'all'}-{uuid.uuid4().hex[:12]}"
        with self.database.write() as session:
            if not job_store.add_waiting(
                session, job_id=job_id, kind=kind.value, subject_id=subject_id, arguments=arguments
            ):
                return None
        # The row is committed first: a worker may start the job before this call returns.
        try:
            self._push(job_id, kind, [subject_id], arguments or {})
        except redis.RedisError as error:
            with self.database.write() as session:
                job_store.forget(session, job_id)
            raise UnavailableError(f"Redis is not available: {type(error).__name__}.") from error
        return job_id

    def _push(self, job_id: str, kind: JobKind, args: list[object], kwargs: dict[str, object]) -> None:
        policy = self._policies[kind]
        queue = Queue(policy.queue, connection=self.connection, serializer=JSONSerializer)
        queue.enqueue_call(
            f"handover.jobs.work.{kind.value}",
            args=args,
            kwargs=kwargs,
            job_id=job_id,
            timeout=policy.timeout,
            result_ttl=RESULT_TTL,
            failure_ttl=FAILURE_TTL,
            retry=Retry(max=len(RETRY_INTERVALS), interval=list(RETRY_INTERVALS)) if policy.retries else None,
            rate_limit=RateLimit(f"{policy.turn}-{args[0]}", 1),
        )

    def fetch(self, job_id: str) -> Job | None:
        """RQ's view of a job, None when Redis does not know it (any more). Raises UnavailableError."""
        try:
            return Job.fetch(job_id, connection=self.connection, serializer=JSONSerializer)
        except NoSuchJobError:
            return None
        except redis.RedisError as error:
            raise UnavailableError(f"Redis is not available: {type(error).__name__}.") from error

    def cancel(self, job_id: str) -> str:
        """Stop a job that waits or runs; returns its status afterwards: `canceled`, unless it ended by itself.

        A running one is killed together with what it started; students, decisions and versions are written in
        one step at the end, so nothing is left half done. Raises NotFoundError for a job that does not wait or
        run, UnavailableError when Redis is away or the job does not stop.
        """
        self._check_active(job_id)
        deadline = time.monotonic() + STOP_PATIENCE
        while not self._is_over(job_id):
            if time.monotonic() > deadline:
                raise UnavailableError(f"Job {job_id} did not stop in {STOP_PATIENCE:.0f} s. Is its worker running?")
            self._stop(job_id)
            time.sleep(STOP_INTERVAL)
        job = self.fetch(job_id)
        with self.database.write() as session:
            row = job_store.get_job(session, job_id)
            if row is not None and row.status in job_store.ACTIVE and not (job is not None and job.is_finished):
                job_store.set_ended(session, job_id, status="canceled", error="Canceled.")
            return row.status if row is not None else "canceled"

    def _check_active(self, job_id: str) -> None:
        with self.database.read() as session:
            row = job_store.get_job(session, job_id)
        if row is None or row.status not in job_store.ACTIVE:
            found = "There is no such job" if row is None else f"It is {row.status}"
            raise NotFoundError(f"Job {job_id!r} neither waits nor runs. {found}; see `handover jobs`.")

    def _stop(self, job_id: str) -> None:
        job = self.fetch(job_id)
        # It may end, or start, between two looks at it: the next look tells.
        with contextlib.suppress(InvalidJobOperation, NoSuchJobError):
            if job is not None and job.get_status() is JobStatus.STARTED:
                send_stop_job_command(self.connection, job_id, serializer=JSONSerializer)
            elif job is not None:
                job.cancel()

    def mark_lost(self) -> list[str]:
        """Close the rows of jobs that Redis lost or whose worker was killed; returns their ids.

        Without this a lost job would count as waiting for good and keep others from being enqueued.
        """
        with self.database.read() as session:
            rows = [row for row in job_store.active_jobs(session) if utcnow() - row.enqueued_at > GRACE]
        lost = [row.id for row in rows if self._is_over(row.id)]
        if lost:
            with self.database.write() as session:
                for job_id in lost:
                    job_store.set_ended(session, job_id, status="lost", error="The job was lost or its worker killed.")
        return lost

    def _is_over(self, job_id: str) -> bool:
        job = self.fetch(job_id)
        return job is None or job.is_failed or job.is_finished or job.is_stopped or job.is_canceled

    def ping(self) -> None:
        """Raises UnavailableError when Redis is away."""
        try:
            self.connection.ping()
        except redis.RedisError as error:
            raise UnavailableError(f"Redis is not available: {type(error).__name__}.") from error
