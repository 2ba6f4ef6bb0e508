"""How fast the teacher answers, beside spacy-llm's own way of asking, and how long an annotator waits.

The API is a stub on 127.0.0.1 that takes two seconds per answer and speaks both Anthropic's and OpenAI's language; the
SDK, spacy-llm, the server, the worker, HTTP and the store are real.

    scripts/benchmark teacher            the whole, in about five minutes
    scripts/benchmark teacher --scale 10 the waiting times with all times divided by ten
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr
from sqlalchemy import func, select

from handover.domain import Aspect
from handover.intake import apply_tasks, options_for
from handover.labelstudio.label_config import parse_label_config
from handover.labelstudio.protocol import TaskIn
from handover.preload import preload
from handover.runtime import Runtime
from handover.settings import Settings, TeacherChoice
from handover.store.models import PredictionRow
from handover.store.projects import project_by_ls_id
from handover.store.tasks import open_tasks
from handover.teacher import MemoryCache, TeacherSpec, build_teacher
from handover.teacher.given import Given, giving
from handover.teacher.registered import register
from handover.teacher.tasks import task_for
from scripts.passes import PASSES
from scripts.simulate import regions
from scripts.stack import Backend, stopping
from tests.anthropic_stub import AnthropicStub, anthropic_stub

LATENCY = 2.0
TASKS = 64
CONCURRENCY = 16
OPENED_EVERY = 5.0
OPENED = 40
LOOKAHEAD = 20
PROJECT = 1

SERIAL = """
[nlp]
lang = "en"
pipeline = ["llm"]

[components]

[components.llm]
factory = "llm"

[components.llm.task]
@llm_tasks = "handover.Given.v1"

[components.llm.model]
@llm_models = "benchmark.OpenAI.v1"
endpoint = "{url}/v1/chat/completions"
"""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="scripts/benchmark teacher")
    parser.add_argument("--scale", type=float, default=1.0, help="divide all times of the second part by this")
    scale = parser.parse_args().scale
    stage = next(p for p in PASSES if p.name == "stage")
    gold = {text: str(label) for text, label in stage.gold().items()}
    with anthropic_stub(lambda text, _request: f'{{"label": "{gold[text]}"}}') as stub:
        stub.latency = LATENCY
        (aspect,) = parse_label_config(stage.config.read_text()).aspects
        _side_by_side(stub, aspect, list(gold)[:TASKS], list(gold)[-1:])
        stub.latency = LATENCY / scale
        _waiting(stub, gold, stage.config.read_text(), scale)
    return 0


def _side_by_side(stub: AnthropicStub, aspect: Aspect, texts: list[str], warm: list[str]) -> None:
    """The same texts both ways; `warm` are asked about before, so that imports and connections do not count."""
    ideal = LATENCY * len(texts) / CONCURRENCY
    key = SecretStr("sk-benchmark")
    spec = TeacherSpec(TeacherChoice.CLAUDE, model="m", base_url=stub.url, api_key=key, concurrency=CONCURRENCY)
    teacher = build_teacher(aspect, spec)
    assert teacher is not None
    preload()  # as servers and workers do
    teacher.annotate(warm, MemoryCache())
    started = time.perf_counter()
    answers = teacher.annotate(texts, MemoryCache())
    ours = time.perf_counter() - started
    assert all(answer.annotation for answer in answers)
    nlp = _serial_pipeline(stub, aspect)
    list(nlp.pipe(warm))
    started = time.perf_counter()
    docs = list(nlp.pipe(texts))
    serial = time.perf_counter() - started
    assert all(doc.cats for doc in docs)
    print(f"{len(texts)} tasks, {LATENCY:g} s per answer:")
    print(f"  Handover, {CONCURRENCY} at a time: {ours:.2f} s, {ours / ideal:.2f} x the ideal {ideal:g} s")
    print(f"  spacy-llm, its own OpenAI model: {serial:.2f} s, {serial / ours:.1f} x as long")


def _serial_pipeline(stub: AnthropicStub, aspect: Aspect) -> Any:
    """spacy-llm as it is: its pipeline and its REST model, which posts one prompt after another."""
    from spacy.util import load_config_from_str  # noqa: PLC0415
    from spacy_llm.models.rest.openai.model import OpenAI  # noqa: PLC0415
    from spacy_llm.registry import registry  # noqa: PLC0415
    from spacy_llm.util import assemble_from_config  # noqa: PLC0415

    class WithoutSignIn(OpenAI):
        """Does not ask api.openai.com whether the key is good."""

        def _verify_auth(self) -> None:
            pass

    def make(endpoint: str) -> WithoutSignIn:
        return WithoutSignIn("m", endpoint, {}, True, 1, 1.0, 30, None)

    os.environ.setdefault("OPENAI_API_KEY", "sk-benchmark")
    registry.llm_models("benchmark.OpenAI.v1", func=make)
    register()
    with giving(Given(task=task_for(aspect))):
        return assemble_from_config(load_config_from_str(SERIAL.format(url=stub.url), interpolate=False))


def _waiting(stub: AnthropicStub, gold: dict[str, str], config: str, scale: float) -> None:
    """Open and finish tasks one after another, as an annotator does, while prefetch works ahead."""
    every = OPENED_EVERY / scale
    with tempfile.TemporaryDirectory() as folder:
        backend = Backend(
            Path(folder), "http://127.0.0.1:9", anthropic_api_key="sk-benchmark", anthropic_base_url=stub.url,
            prefetch=str(LOOKAHEAD), teacher_concurrency=str(CONCURRENCY), retrain_after="10000",
        )  # fmt: skip
        with stopping(backend):
            backend.start()
            http = httpx.Client(base_url=backend.url, timeout=100)
            http.post("/setup", json={"project": f"{PROJECT}.1", "schema": config}).raise_for_status()
            tasks = _import(backend, list(gold))
            http.post("/webhook", json={"action": "TASKS_CREATED", "project": {"id": PROJECT}}).raise_for_status()
            cold = _open(http, tasks[-1], config)
            _wait_until_ahead(backend)
            waits = []
            for task in tasks[:OPENED]:
                started = time.perf_counter()
                waits.append(_open(http, task, config))
                _finish(http, task, gold[task["data"]["text"]], config)
                time.sleep(max(0.0, every - (time.perf_counter() - started)))
    ordered = sorted(waits)
    p95 = ordered[int(0.95 * len(ordered))]
    print(f"A task is opened every {every:g} s, {OPENED} times; {LATENCY / scale:g} s per answer, {LOOKAHEAD} ahead:")
    print(f"  waits: median {_ms(statistics.median(waits))}, p95 {_ms(p95)}, max {_ms(ordered[-1])}")
    print(f"  a task that prefetch was not ahead of: {_ms(cold)}")


def _import(backend: Backend, texts: list[str]) -> list[dict[str, Any]]:
    """Put tasks into the store as reconcile does; returns those that are not gold, in order."""
    runtime = Runtime(Settings(data_dir=Path(backend.env["HANDOVER_DATA_DIR"])))
    tasks = [TaskIn(id=i, data={"text": text}) for i, text in enumerate(texts[: 3 * OPENED], start=1)]
    with runtime.database.write() as session:
        project = project_by_ls_id(session, PROJECT)
        assert project is not None
        apply_tasks(session, project, tasks, options_for(project, runtime.settings))
    with runtime.database.read() as session:
        rows = open_tasks(session, project.id)
    runtime.database.close()
    return [{"id": row.ls_id, "data": row.data} for row in rows]


def _wait_until_ahead(backend: Backend) -> None:
    """Until the worker has started and answered the first tasks: it has time to, before the first annotator comes."""
    runtime = Runtime(Settings(data_dir=Path(backend.env["HANDOVER_DATA_DIR"])))
    deadline, found = time.monotonic() + 120, 0
    while found < LOOKAHEAD:
        backend.check()
        assert time.monotonic() < deadline, f"prefetch answered {found} tasks within two minutes"
        time.sleep(0.2)
        with runtime.database.read() as session:
            found = session.scalar(select(func.count()).select_from(PredictionRow)) or 0
    runtime.database.close()


def _open(http: httpx.Client, task: dict[str, Any], config: str) -> float:
    """The three requests of Label Studio when a task is opened; returns how long they take."""
    started = time.perf_counter()
    http.get("/health").raise_for_status()
    http.post("/setup", json={"project": f"{PROJECT}.1", "schema": config}).raise_for_status()
    body = {"tasks": [task], "project": f"{PROJECT}.1", "label_config": config}
    (entry,) = http.post("/predict", json=body).raise_for_status().json()["results"]
    assert entry, "no suggestion"
    return time.perf_counter() - started


def _finish(http: httpx.Client, task: dict[str, Any], label: str, config: str) -> None:
    annotation = {
        "id": task["id"],
        "task": task["id"],
        "result": regions("stage", label, task["data"]["text"]),
        "updated_at": datetime.now(timezone.utc).isoformat(),
    }
    project = {"id": PROJECT, "title": "Stage", "label_config": config}
    event = {"action": "ANNOTATION_CREATED", "annotation": annotation, "task": task, "project": project}
    http.post("/webhook", json=event).raise_for_status()


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms"


if __name__ == "__main__":
    sys.exit(main())
