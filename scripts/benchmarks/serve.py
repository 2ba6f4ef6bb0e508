"""How long /webhook takes while a training runs, and what /predict costs beside `nlp.pipe`.

A real backend with a worker, real HTTP on 127.0.0.1, sample data of the pass `stage`. Label Studio itself is not
needed: its requests are sent as it sends them.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import httpx
import spacy

from handover.domain import Annotation
from handover.labelstudio.label_config import parse_label_config
from handover.runtime import Runtime
from handover.settings import Settings
from handover.store.models import StudentRow
from handover.store.projects import aspects_of, project_by_ls_id
from handover.student.training import LabelledText, TrainingSet, TrainOptions, train_student
from scripts.passes import PASSES, SAMPLES
from scripts.simulate import regions
from scripts.stack import Backend, stopping

PROJECT = 1
TASKS = 100


def main() -> int:
    """Measure and print."""
    stage = next(p for p in PASSES if p.name == "stage")
    gold = stage.gold()
    config = stage.config.read_text()
    with tempfile.TemporaryDirectory() as folder:
        backend = Backend(
            Path(folder), "http://127.0.0.1:9", teacher="recorded", teacher_recorded=str(SAMPLES), retrain_after="20"
        )
        with stopping(backend):
            backend.start()
            http = httpx.Client(base_url=backend.url, timeout=60)
            http.post("/setup", json={"project": f"{PROJECT}.1", "schema": config}).raise_for_status()
            texts = list(gold)
            tasks = [{"id": i, "data": {"text": text}} for i, text in enumerate(texts, start=1)]
            body = {"tasks": tasks, "project": f"{PROJECT}.1", "label_config": config}
            http.post("/predict", json=body).raise_for_status()
            _webhooks(http, tasks[:300], gold, config)
            backend.workers.pop().stop()  # its own handover must not come in between
            _predict(backend, http, tasks, gold, config)
    return 0


def _webhooks(http: httpx.Client, tasks: list[dict[str, Any]], gold: dict[str, Any], config: str) -> None:
    seconds = []
    for task in tasks:
        event = _event(task, gold[task["data"]["text"]], config)
        seconds.append(_timed(lambda event=event: http.post("/webhook", json=event).raise_for_status()))  # type: ignore[misc]
    ordered = sorted(seconds)
    print(f"/webhook, {len(seconds)} annotations in a row while the worker trains on them:")
    print(
        f"  median {1000 * statistics.median(seconds):.1f} ms, p95 {1000 * ordered[int(0.95 * len(ordered))]:.1f} ms, "
        f"max {1000 * ordered[-1]:.1f} ms"
    )


def _event(task: dict[str, Any], label: Any, config: str) -> dict[str, Any]:
    annotation = {
        "id": task["id"],
        "task": task["id"],
        "result": regions("stage", label, task["data"]["text"]),
        "updated_at": datetime.now(timezone.utc).isoformat(),
    }
    project = {"id": PROJECT, "title": "Stage", "label_config": config}
    return {"action": "ANNOTATION_CREATED", "annotation": annotation, "task": task, "project": project}


def _predict(
    backend: Backend, http: httpx.Client, tasks: list[dict[str, Any]], gold: dict[str, Any], config: str
) -> None:
    version, path = _install_student(backend, gold, config)
    nlp = spacy.load(path)
    held_out = _gold_ids(backend)
    usable = [task for task in tasks if task["id"] not in held_out]
    batches = [usable[start : start + TASKS] for start in range(0, len(usable) - TASKS + 1, TASKS)]
    # Each text comes once, as in life: a second time spaCy's tokenizer would answer from its cache.
    ratios, served, piped = [], [], []
    first, *batches = batches  # loads the student
    http.post("/predict", json={"tasks": first, "project": f"{PROJECT}.1", "label_config": config}).raise_for_status()
    for batch in batches:
        texts = [task["data"]["text"] for task in batch]
        body = {"tasks": batch, "project": f"{PROJECT}.1", "label_config": config}
        piped.append(_timed(lambda texts=texts: list(nlp.pipe(texts))))  # type: ignore[misc]
        started = time.perf_counter()
        answer = http.post("/predict", json=body).raise_for_status().json()
        served.append(time.perf_counter() - started)
        ratios.append(served[-1] / piped[-1])
        assert all(version in entry["model_version"] for entry in answer["results"]), "the student does not answer"
    print(f"/predict on {TASKS} tasks with a student, {len(batches)} pairs in turn:")
    medians = [1000 * statistics.median(values) for values in (served, piped)]
    print(f"  /predict median {medians[0]:.1f} ms, nlp.pipe {medians[1]:.1f} ms")
    print(f"  ratio median {statistics.median(ratios):.2f} (min {min(ratios):.2f}, max {max(ratios):.2f})")


def _install_student(backend: Backend, gold: dict[str, Any], config: str) -> tuple[str, Path]:
    """Train on the sample and make it the one that serves, as a handover does."""
    runtime = Runtime(Settings(data_dir=Path(backend.env["HANDOVER_DATA_DIR"])))
    (aspect,) = parse_label_config(config).aspects
    rows = [LabelledText(text, Annotation(cats=(label,))) for text, label in list(gold.items())[:400]]
    with tempfile.TemporaryDirectory() as folder:
        options = TrainOptions(max_steps=200)
        trained = train_student(
            aspect, TrainingSet(tuple(rows[80:]), tuple(rows[:80]), ()), options=options, workdir=Path(folder)
        )
        uri = runtime.artifacts.save(trained.path, "benchmark001", {})
    with runtime.database.write() as session:
        project = project_by_ls_id(session, PROJECT)
        assert project is not None
        (row,) = aspects_of(session, project.id)
        student = StudentRow(
            aspect_id=row.id, version="benchmark001", recipe=trained.recipe, uri=uri, n_train=320, n_dev=80, n_silver=0,
            used_silver=False, dev_score=trained.dev_score, report={}, seconds=0.0,
        )  # fmt: skip
        session.add(student)
        session.flush()
        row.live_student_id, row.live_version = student.id, "stage-student-benchmark001"
        project.live_version = row.live_version
    path = runtime.artifacts.fetch("benchmark001")
    runtime.database.close()
    return "benchmark001", path


def _gold_ids(backend: Backend) -> set[int]:
    from sqlalchemy import select  # noqa: PLC0415

    from handover.store.models import TaskRow  # noqa: PLC0415

    runtime = Runtime(Settings(data_dir=Path(backend.env["HANDOVER_DATA_DIR"])))
    with runtime.database.read() as session:
        ids = set(session.scalars(select(TaskRow.ls_id).where(TaskRow.split == "gold")))
    runtime.database.close()
    return ids


def _timed(function: Callable[[], Any]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
