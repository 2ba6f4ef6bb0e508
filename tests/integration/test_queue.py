"""The queue on a real Redis, the embedded one; and what several processes do at the same time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from rq import Queue, SimpleWorker
from rq.serializers import JSONSerializer

from handover.annotation_intake import apply_annotation
from handover.errors import NotFoundError, UnavailableError
from handover.jobs.queue import QUEUE_NAMES, JobKind, JobQueue, connect_redis
from handover.jobs.redis_server import EmbeddedRedis
from handover.labelstudio.protocol import AnnotationIn, TaskIn
from handover.runtime import Runtime
from handover.serving import predict, register
from handover.settings import Settings
from handover.store import jobs as job_store
from handover.store.columns import utcnow
from handover.store.database import Database
from handover.store.migrate import upgrade
from handover.store.models import JobRow, ProjectRow
from handover.store.projects import aspects_of
from handover.store.students import decisions_of, students_of
from handover.store.tasks import tasks_by_ls_id
from scripts.simulate import regions
from tests.integration.market import CONFIG, sides
from tests.waiting import wait_until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(tmp_path)
    server.open()
    yield server
    server.close()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'jobs.db'}")
    upgrade(database)
    yield database
    database.close()


@pytest.fixture
def queue(server: EmbeddedRedis, database: Database) -> JobQueue:
    return JobQueue(connect_redis(server.url, patience=0.4), database, train_timeout=60)


def rows(database: Database) -> dict[str, str]:
    with database.read() as session:
        return {row.id: row.status for row in job_store.recent_jobs(session)}


def test_embedded_redis_is_shared_and_stopped_by_the_last(tmp_path: Path) -> None:
    first, second = EmbeddedRedis(tmp_path), EmbeddedRedis(tmp_path)
    first.open()
    second.open()
    redis.Redis.from_url(first.url).set("kept", "yes")
    first.close()
    assert redis.Redis.from_url(second.url).get("kept") == b"yes"
    second.close()
    with pytest.raises(redis.ConnectionError):
        redis.Redis.from_url(second.url).ping()
    third = EmbeddedRedis(tmp_path)
    third.open()
    assert redis.Redis.from_url(third.url).get("kept") == b"yes", "what was queued survives a restart"
    third.close()


def test_embedded_redis_outlives_a_killed_user_and_ends_with_the_last(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib\n"
        "from handover.jobs.redis_server import EmbeddedRedis\n"
        "EmbeddedRedis(pathlib.Path(sys.argv[1])).open(); print('open', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    server = EmbeddedRedis(tmp_path)
    server.open()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert redis.Redis.from_url(server.url).ping()
    server.close()
    with pytest.raises(redis.ConnectionError):
        redis.Redis.from_url(server.url).ping()


def test_embedded_redis_works_in_a_folder_with_a_long_path(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path / ("deep" * 20) / ("deeper" * 20))
    server.open()
    assert redis.Redis.from_url(server.url).ping()
    server.close()


def test_queue_lets_one_job_of_a_kind_wait_per_subject(queue: JobQueue, database: Database) -> None:
    first = queue.enqueue(JobKind.RETRAIN, 1)
    assert first is not None
    assert queue.enqueue(JobKind.RETRAIN, 1) is None
    assert queue.enqueue(JobKind.RETRAIN, 2) is not None
    assert queue.enqueue(JobKind.REFRESH, 1) is not None
    with database.write() as session:
        job_store.set_started(session, first)
    second = queue.enqueue(JobKind.RETRAIN, 1)
    assert second is not None
    assert queue.enqueue(JobKind.RETRAIN, 1) is None
    job = queue.fetch(second)
    assert job is not None
    assert job.get_status() == "rate_limited", "only one retrain of an aspect runs"


def test_queue_carries_ids_as_json_with_time_outs_and_lifetimes(queue: JobQueue) -> None:
    job_id = queue.enqueue(JobKind.RETRAIN, 7)
    assert job_id is not None
    job = queue.fetch(job_id)
    assert job is not None
    assert (job.func_name, job.args, job.timeout) == ("handover.jobs.work.retrain", [7], 60)
    assert job.result_ttl == 3600
    assert job.failure_ttl == 7 * 24 * 3600
    raw = queue.connection.hget(f"rq:job:{job_id}", "data")
    assert b"pickle" not in raw and b"\x80" not in raw[:2]


def test_queue_that_cannot_reach_redis_says_so_in_time_and_leaves_nothing_waiting(
    queue: JobQueue, database: Database, server: EmbeddedRedis
) -> None:
    server.close()
    started = time.monotonic()
    with pytest.raises(UnavailableError, match="Redis is not available"):
        queue.enqueue(JobKind.RETRAIN, 1)
    assert time.monotonic() - started < 1
    assert rows(database) == {}
    server.open()
    assert queue.enqueue(JobKind.RETRAIN, 1) is not None, "it recovers without a restart"


def test_queue_finds_jobs_that_redis_lost(queue: JobQueue, database: Database) -> None:
    job_id = queue.enqueue(JobKind.RETRAIN, 1)
    assert job_id is not None
    assert queue.mark_lost() == [], "a waiting job is not lost"
    queue.connection.flushdb()
    assert queue.mark_lost() == [], "it may just be on its way"
    with database.write() as session:
        row = session.get(JobRow, job_id)
        assert row is not None
        row.enqueued_at = utcnow() - timedelta(minutes=1)
    assert queue.mark_lost() == [job_id]
    assert rows(database) == {job_id: "lost"}
    assert queue.enqueue(JobKind.RETRAIN, 1) is not None


def test_worker_records_a_failing_job_and_its_reason(
    queue: JobQueue, server: EmbeddedRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANDOVER_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("HANDOVER_DATABASE_URL", queue.database.url)
    monkeypatch.setenv("HANDOVER_REDIS_URL", server.url)
    job_id = queue.enqueue(JobKind.RETRAIN, 4711)
    assert job_id is not None
    connection = connect_redis(server.url, patience=None)
    queues = [Queue(name, connection=connection, serializer=JSONSerializer) for name in QUEUE_NAMES]
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    SimpleWorker(queues, connection=connection, serializer=JSONSerializer).work(burst=True)
    for number, handler in handlers.items():
        signal.signal(number, handler)  # the worker took them, and would swallow a Ctrl-C of the whole run
    with queue.database.read() as session:
        row = job_store.get_job(session, job_id)
    assert row is not None
    assert row.status == "failed"
    assert row.error == "Aspect 4711 is not in the store. `handover status` lists the aspects."
    assert queue.enqueue(JobKind.RETRAIN, 4711) is not None, "the next trigger trains again"


def test_migrations_of_several_processes_wait_for_each_other(tmp_path: Path) -> None:
    code = (
        "import sys; from handover.store.database import Database; from handover.store.migrate import upgrade\n"
        "database = Database(sys.argv[1], patience=30); upgrade(database); database.close()\n"
    )
    url = f"sqlite:///{tmp_path / 'new.db'}"
    command = [sys.executable, "-c", code, url]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    ended = [(process.communicate()[1], process.returncode) for process in started]
    assert [code for _, code in ended] == [0, 0, 0], ended
    database = Database(url)
    with database.write() as session:
        session.add(ProjectRow(ls_id=1, options={}))
    database.close()


def test_cancel_of_a_waiting_job_lets_the_next_one_wait(queue: JobQueue, database: Database) -> None:
    first, second = queue.enqueue(JobKind.RETRAIN, 1), queue.enqueue(JobKind.RECONCILE, 1)
    assert first is not None
    assert queue.cancel(first) == "canceled"
    job = queue.fetch(first)
    assert job is not None
    assert job.is_canceled
    assert rows(database) == {first: "canceled", second: "queued"}
    with pytest.raises(NotFoundError, match=r"neither waits nor runs. It is canceled"):
        queue.cancel(first)
    assert queue.enqueue(JobKind.RETRAIN, 1) is not None


def test_cancel_of_a_job_that_redis_lost(queue: JobQueue, database: Database) -> None:
    job_id = queue.enqueue(JobKind.RETRAIN, 1)
    assert job_id is not None
    queue.connection.flushdb()
    assert queue.cancel(job_id) == "canceled"
    assert rows(database) == {job_id: "canceled"}


def test_cancel_of_a_running_training_stops_it_and_the_worker_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real worker in a process of its own trains without end; cancelling leaves no student and no decision."""
    monkeypatch.setenv("HANDOVER_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("HANDOVER_TEACHER", "none")
    monkeypatch.setenv("HANDOVER_TRAIN_MAX_STEPS", "1000000")
    runtime = Runtime(Settings()).open()
    aspect_id = annotated_project(runtime)
    worker = subprocess.Popen([sys.executable, "-m", "handover", "worker"], stderr=subprocess.DEVNULL)
    try:
        job_id = runtime.queue.enqueue(JobKind.RETRAIN, aspect_id)
        assert job_id is not None
        wait_until(lambda: "seconds_left" in progress_of(runtime, job_id), timeout=120)
        assert runtime.queue.enqueue(JobKind.RETRAIN, aspect_id) is not None, "the next one waits behind it"
        assert runtime.queue.cancel(job_id) == "canceled"
        assert rows(runtime.database)[job_id] == "canceled"
        with runtime.database.read() as session:
            assert students_of(session, aspect_id) == []
            assert decisions_of(session, aspect_id) == []
        (waiting,) = [job for job, status in rows(runtime.database).items() if status != "canceled"]
        wait_until(lambda: "seconds_left" in progress_of(runtime, waiting), timeout=120)
        assert runtime.queue.cancel(waiting) == "canceled"
    finally:
        worker.terminate()
        worker.wait(timeout=30)
        runtime.close()


def progress_of(runtime: Runtime, job_id: str) -> dict[str, Any]:
    with runtime.database.read() as session:
        row = job_store.get_job(session, job_id)
    assert row is not None
    assert row.status in ("queued", "started"), row.error
    return row.progress


def annotated_project(runtime: Runtime) -> int:
    """A project with 80 annotated tasks; returns the id of its aspect."""
    gold = sides(80)
    project = register(runtime, 1, CONFIG)
    predict(runtime, 1, [TaskIn(id=i, data={"text": text}) for i, text in enumerate(gold, start=1)])
    with runtime.database.write() as session:
        for ls_id, task in tasks_by_ls_id(session, project.id, range(1, 81)).items():
            text = task.data["text"]
            result = regions("side", gold[text], text)
            annotation = {"id": ls_id, "updated_at": "2026-01-01T00:00:00Z", "result": result}
            apply_annotation(session, project, task, AnnotationIn.model_validate(annotation))
        (aspect,) = aspects_of(session, project.id)
        return aspect.id
