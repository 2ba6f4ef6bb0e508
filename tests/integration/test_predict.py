"""`handover predict` on whole files: killed, gone on with, in processes, and on workers with a real Redis."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.training import Example

from handover.bulk.run import done_shards, load_run
from handover.student.export import export_students
from handover.student.merge import Part
from scripts.passes import SAMPLES
from scripts.stack import Server, clean_env, handover

NUMBER = 4000
SHARD = "100"


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two choices with next to no training: the work is real, the answers are not."""
    folder = tmp_path_factory.mktemp("pipeline")
    parts = []
    for name in ("first", "second"):
        nlp = spacy.blank("en")
        pipe: Any = nlp.add_pipe("textcat")
        for label in ("yes", "no"):
            pipe.add_label(label)
        optimizer = nlp.initialize()
        taught = {"my phone": {"yes": 1.0, "no": 0.0}, "a refund": {"yes": 0.0, "no": 1.0}}
        made = [Example.from_dict(nlp.make_doc(text), {"cats": cats}) for text, cats in taught.items()]
        for _ in range(20):
            nlp.update(made, sgd=optimizer)
        nlp.to_disk(folder / name)
        facts = {"aspect": name, "kind": "choice", "labels": ["yes", "no"], "text_field": "text", "version": name}
        parts.append(Part(folder / name, facts))
    return export_students(parts, folder / "out")


@pytest.fixture(scope="module")
def tickets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's tickets, again and again, with a bad record now and then."""
    lines = (SAMPLES / "tickets" / "tickets.jsonl").read_text(encoding="utf-8").splitlines()
    path = tmp_path_factory.mktemp("input") / "tickets.jsonl"
    records = [{**json.loads(lines[i % len(lines)]), "id": i} for i in range(NUMBER)]
    for i in range(0, NUMBER, 500):
        records[i]["text"] = None
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return clean_env(HANDOVER_DATA_DIR=str(tmp_path / "data"))


def command(pipeline: Path, tickets: Path, output: Path, *more: str) -> list[str]:
    return handover("predict", str(pipeline), str(tickets), str(output), "--shard-rows", SHARD, *more)


def run(arguments: list[str], env: dict[str, str], cwd: Path) -> str:
    done = subprocess.run(arguments, capture_output=True, text=True, env=env, cwd=cwd, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def until(condition: Callable[[], Any], *, timeout: float = 120.0) -> Any:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    pytest.fail(f"not true within {timeout:.0f} s")


def done(output: Path) -> int:
    state = load_run(f"{output}.parts")
    return len(done_shards(state)) if state is not None else 0


@contextlib.contextmanager
def running(arguments: list[str], env: dict[str, str], cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """A command in the background, killed at the end if it still runs."""
    process = subprocess.Popen(arguments, env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def expected(pipeline: Path, tickets: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The output of a run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("expected")
    env = clean_env(HANDOVER_DATA_DIR=str(folder / "data"))
    said = run(command(pipeline, tickets, folder / "out.jsonl"), env, folder)
    assert f"Wrote {NUMBER} records to" in said
    assert "8 of them have no usable text; predicted_error says why." in " ".join(said.split())
    return (folder / "out.jsonl").read_bytes()


def test_predict_keeps_every_record_in_its_place(expected: bytes, tickets: Path) -> None:
    found = [json.loads(line) for line in expected.splitlines()]
    before = [json.loads(line) for line in tickets.read_text(encoding="utf-8").splitlines()]
    assert [{key: row[key] for key in old} for row, old in zip(found, before, strict=True)] == before
    assert all(("predicted_first" in row) != bool(row["predicted_error"]) for row in found)
    assert {row.get("predicted_first") for row in found} == {"yes", "no", None}


def children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def test_predict_that_was_killed_goes_on_and_loses_nothing(
    pipeline: Path, tickets: Path, expected: bytes, env: dict[str, str], tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    arguments = command(pipeline, tickets, output, "--processes", "2")
    for _ in range(2):
        before = done(output)
        with running(arguments, env, tmp_path) as process:
            until(lambda before=before: done(output) > before)
            started = children(process.pid)
        assert started
        until(lambda started=started: not any(map(is_alive, started)))
        assert before < done(output) < NUMBER // int(SHARD)
        assert not output.exists()
    kept = done(output)
    assert f"Wrote {NUMBER} records" in run(arguments, env, tmp_path)
    assert kept > 0
    assert output.read_bytes() == expected
    assert [path.name for path in tmp_path.iterdir() if path.name != "data"] == ["out.jsonl"]


def test_predict_whose_process_is_killed_says_so(
    pipeline: Path, tickets: Path, expected: bytes, env: dict[str, str], tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    arguments = command(pipeline, tickets, output, "--processes", "2")
    with running(arguments, env, tmp_path) as process:
        until(lambda: done(output))
        os.kill(children(process.pid)[-1], signal.SIGKILL)
        said = " ".join(process.communicate()[0].split())
    assert process.returncode == 1
    assert "A process ended unexpectedly" in said
    assert "Traceback" not in said
    run(arguments, env, tmp_path)
    assert output.read_bytes() == expected


@contextlib.contextmanager
def workers(number: int, env: dict[str, str], folder: Path) -> Iterator[list[Server]]:
    servers = [Server(f"worker {i}", handover("worker"), env, folder / f"worker{i}.log") for i in range(number)]
    try:
        yield [server.start() for server in servers]
    finally:
        for server in servers:
            server.stop()


def test_predict_on_two_workers_gives_the_same(
    pipeline: Path, tickets: Path, expected: bytes, env: dict[str, str], tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    arguments = command(pipeline, tickets, output, "--queue")
    with workers(2, env, tmp_path) as servers:
        with running(arguments, env, tmp_path):  # which is killed, too
            until(lambda: done(output) >= 2)
            pids = [server.process.pid for server in servers if server.process is not None]
            # What does a shard is killed, as when memory runs out.
            os.kill(until(lambda: next((horse for pid in pids for horse in children(pid)), 0)), signal.SIGKILL)
        assert not output.exists()
        assert f"Wrote {NUMBER} records" in run(arguments, env, tmp_path)
        took = [
            path.read_text(errors="replace").count("handover.jobs.predict.predict") for path in tmp_path.glob("*.log")
        ]
    assert output.read_bytes() == expected
    assert all(number > 0 for number in took), "both took part"


def test_predict_on_workers_that_cannot_do_it_gives_up(
    pipeline: Path, tickets: Path, env: dict[str, str], tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    copied = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(pipeline), str(copied)], check=True)
    arguments = handover("predict", str(copied), str(tickets), str(output), "--shard-rows", "4000", "--queue")
    with running(arguments, env, tmp_path) as process:
        until(lambda: load_run(f"{output}.parts"))
        (copied / "README.md").write_text("another pipeline")
        with workers(1, env, tmp_path):
            said = " ".join(process.communicate(timeout=200)[0].split())
    assert process.returncode == 1
    assert "Shard 0 failed" in said
    assert "the workers' log says why" in said
    assert "is not the one that the run was started with" in (tmp_path / "worker0.log").read_text()
