"""What a day with Handover looks like, run inside a network namespace by `test_privacy`.

python -m tests.integration.rounds FOLDER STEP... with the settings in HANDOVER_*.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from handover.domain import Annotation
from handover.labelstudio.label_config import parse_label_config
from handover.runtime import Runtime
from handover.settings import Settings
from handover.status import read_status
from handover.store.models import StudentRow
from handover.store.projects import aspects_of, project_by_ls_id
from handover.student.training import LabelledText, TrainingSet, TrainOptions, train_student
from scripts.simulate import regions
from scripts.stack import Backend, stopping
from tests.integration.market import CONFIG, sides

PROJECT = 1
SECRET = "Miller, account 4711"  # in a field that the aspect does not show
GOLD = list(sides(60).items())


def say(text: str) -> None:
    """Tell the test."""
    sys.stdout.write(text + "\n")


def setup(backend: Backend, http: httpx.Client) -> None:
    """Label Studio connects."""
    http.post("/setup", json={"project": f"{PROJECT}.1", "schema": CONFIG}).raise_for_status()


def predict(backend: Backend, http: httpx.Client) -> None:
    """Annotators open all tasks."""
    tasks = [{"id": i, "data": {"text": text, "customer": SECRET}} for i, (text, _) in enumerate(GOLD, start=1)]
    body = {"tasks": tasks, "project": f"{PROJECT}.1", "label_config": CONFIG}
    results = http.post("/predict", json=body).raise_for_status().json()["results"]
    say(f"suggestions: {sum(bool(result) for result in results)}")


def annotate(backend: Backend, http: httpx.Client) -> None:
    """They finish all but the last five, which starts trainings and prefetches; wait for the jobs."""
    for i, (text, label) in enumerate(GOLD[:-5], start=1):
        annotation = {"id": i, "task": i, "result": regions("side", label, text), "updated_at": "2026-01-01T00:00:00Z"}
        task = {"id": i, "data": {"text": text, "customer": SECRET}}
        event = {"action": "ANNOTATION_CREATED", "annotation": annotation, "task": task, "project": {"id": PROJECT}}
        http.post("/webhook", json=event).raise_for_status()
    wait_for_jobs(backend)


def sync(backend: Backend, http: httpx.Client) -> None:
    """Jobs that come by themselves."""
    http.post("/webhook", json={"action": "TASKS_CREATED", "project": {"id": PROJECT}}).raise_for_status()
    wait_for_jobs(backend)


def retrain(backend: Backend, http: httpx.Client) -> None:
    """A training with its look at the gold."""
    http.post("/webhook", json={"action": "START_TRAINING", "project": {"id": PROJECT}}).raise_for_status()
    wait_for_jobs(backend)


def hand_over(backend: Backend, http: httpx.Client) -> None:
    """Make a student the one that serves, as a handover does."""
    runtime = Runtime(Settings(data_dir=Path(backend.env["HANDOVER_DATA_DIR"])))
    (aspect,) = parse_label_config(CONFIG).aspects
    rows = tuple(LabelledText(text, Annotation(cats=(label,))) for text, label in GOLD[:40])
    with tempfile.TemporaryDirectory() as folder:
        options = TrainOptions(max_steps=50)
        trained = train_student(aspect, TrainingSet(rows[10:], rows[:10], ()), options=options, workdir=Path(folder))
        uri = runtime.artifacts.save(trained.path, "privacy001", {})
    with runtime.database.write() as session:
        project = project_by_ls_id(session, PROJECT)
        assert project is not None
        (row,) = aspects_of(session, project.id)
        student = StudentRow(
            aspect_id=row.id, version="privacy001", recipe=trained.recipe, uri=uri, n_train=30, n_dev=10, n_silver=0,
            used_silver=False, dev_score=trained.dev_score, report={}, seconds=0.0,
        )  # fmt: skip
        session.add(student)
        session.flush()
        row.server, row.champion_id, row.live_student_id = "student", student.id, student.id
        row.live_version = project.live_version = "side-student-privacy001"
    runtime.database.close()


STEPS: dict[str, Callable[[Backend, httpx.Client], None]] = {
    step.__name__: step for step in (setup, predict, annotate, sync, retrain, hand_over)
}


def wait_for_jobs(backend: Backend) -> None:
    """Until no job waits or runs; prints how they ended."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        jobs = jobs_of(backend)
        if jobs and not any(job["status"] in ("queued", "started") for job in jobs):
            say("jobs: " + ", ".join(sorted({f"{job['kind']} {job['status']}" for job in jobs})))
            return
        time.sleep(0.5)
    raise TimeoutError(f"jobs are not done: {jobs_of(backend)}")


def jobs_of(backend: Backend) -> tuple[dict[str, Any], ...]:
    """The newest jobs."""
    settings = Settings(data_dir=Path(backend.env["HANDOVER_DATA_DIR"]))
    runtime = Runtime(settings)
    try:
        with runtime.database.read() as session:
            return read_status(session, settings).jobs
    finally:
        runtime.database.close()


def main(folder: str, *steps: str) -> int:
    """Run the steps in order against a real server and worker; their settings are those of this process."""
    import os

    given = {k.removeprefix("HANDOVER_").lower(): v for k, v in os.environ.items() if k.startswith("HANDOVER_")}
    backend = Backend(Path(folder), "http://127.0.0.1:9", **given)
    with stopping(backend):
        backend.start(workers=1)
        with httpx.Client(base_url=backend.url, timeout=120) as http:
            for step in steps:
                STEPS[step](backend, http)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
