"""The image's install and start steps in a plain virtual environment, in place of a Docker engine.

Then the pipeline that `handover export` writes is loaded where only spaCy is installed.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from scripts.simulate import Annotator, annotate
from scripts.stack import ROOT, LabelStudio, Server, clean_env, free_port
from tests.integration.market import Market, market
from tests.integration.postgres import postgres_server
from tests.waiting import wait_until


def uv() -> str:
    """The installer that scripts/setup brings; it does what pip does, in seconds."""
    found = shutil.which("uv") or str(ROOT / ".venv-tools" / "bin" / "uv")
    assert Path(found).exists(), "run scripts/setup first"
    return found


def run(command: list[str], *, cwd: Path, **env: str) -> str:
    done = subprocess.run(command, cwd=cwd, env=clean_env(**env), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment made by the Dockerfile's COPY and RUN pip lines; returns its bin folder."""
    folder = tmp_path_factory.mktemp("image")
    source, venv = folder / "src", folder / "venv"
    source.mkdir()
    run([uv(), "venv", "--quiet", str(venv)], cwd=folder)
    text = (ROOT / "backend" / "Dockerfile").read_text()
    first_stage = text.split("\nFROM ")[1]
    for line in first_stage.splitlines():
        words = line.split()
        if words[:1] == ["COPY"]:
            copy(words[1:-1], source / words[-1])
        elif line.startswith("RUN pip install"):
            arguments = [word for word in words[3:] if word != "--no-cache-dir"]
            run([uv(), "pip", "install", "--quiet", "--python", str(venv / "bin" / "python"), *arguments], cwd=source)
    return venv / "bin"


def copy(sources: list[str], target: Path) -> None:
    for name in sources:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            into = target / path.name if str(target).endswith("/") or len(sources) > 1 or target.is_dir() else target
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, into)


@pytest.fixture(scope="module")
def database_url() -> Iterator[str]:
    with postgres_server() as url:
        yield url


def test_image_starts_serves_and_works_with_postgres(image: Path, database_url: str, tmp_path: Path) -> None:
    port = free_port()
    secrets = {"HANDOVER_BASIC_AUTH_USER": "u", "HANDOVER_BASIC_AUTH_PASSWORD": "p", "HANDOVER_WEBHOOK_SECRET": "s"}
    env = clean_env(
        **secrets,
        HANDOVER_DATA_DIR=str(tmp_path),
        HANDOVER_DATABASE_URL=database_url,
        HANDOVER_PORT=str(port),
        HANDOVER_TEACHER="none",
    )
    entry = json.loads(re.findall(r"^ENTRYPOINT (.*)$", (ROOT / "backend/Dockerfile").read_text(), re.M)[0])
    serve = Server("serve", [str(image / entry[0]), "serve"], env, tmp_path / "serve.log", cwd=tmp_path)
    worker = Server("worker", [str(image / entry[0]), "worker"], env, tmp_path / "worker.log", cwd=tmp_path)
    check = [str(image / "python"), str(ROOT / "backend" / "docker" / "healthcheck.py")]
    try:
        serve.start().wait_for(f"http://127.0.0.1:{port}/health", timeout=60)
        worker.start()
        assert subprocess.run([*check, "serve"], env=env, check=False).returncode == 0
        socket_url = f"unix://{tmp_path / 'redis' / 'redis.sock'}"
        redis_env = {**env, "HANDOVER_REDIS_URL": socket_url}
        wait_until(
            lambda: subprocess.run([*check, "worker"], env=redis_env, capture_output=True, check=False).returncode == 0,
            timeout=30,
        )
        config = '<View><Text name="t" value="$t"/><Labels name="l" toName="t"><Label value="X"/></Labels></View>'
        answer = httpx.post(
            f"http://127.0.0.1:{port}/setup", auth=("u", "p"), json={"project": "3.1", "schema": config}
        )
        assert answer.json() == {"model_version": "l-teacher-none"}
    finally:
        worker.stop()
        serve.stop()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, label_studio: LabelStudio, token: str) -> Iterator[Market]:
    with market(tmp_path_factory.mktemp("trained"), label_studio, token, number=120) as sides:
        annotator = Annotator(label_studio.url, token)
        annotate(annotator, sides.ls_id, "side", sides.gold, limit=100)
        annotator.close()
        wait_until(lambda: "-student-" in sides.status()["live_version"], timeout=240, backend=sides.backend)
        wait_until(sides.is_idle, timeout=120, backend=sides.backend)
        yield sides


def test_exported_pipeline_needs_only_spacy_and_predicts_the_same(
    trained: Market, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    target = tmp_path / "side"
    done = trained.backend.run("export", "--project", str(trained.ls_id), "-o", str(target))
    assert done.returncode == 0, done.stdout + done.stderr
    tasks = [{"id": 10_000 + i, "data": {"text": text}} for i, text in enumerate(fresh_texts())]
    body = {"tasks": tasks, "project": f"{trained.ls_id}.1", "label_config": ""}
    entries = httpx.post(f"{trained.backend.url}/predict", json=body, timeout=60).json()["results"]
    served = {
        task["data"]["text"]: (entry["result"][0]["value"]["choices"][0], entry["score"])
        for task, entry in zip(tasks, entries, strict=True)
        if entry
    }
    assert len(served) > 10

    folder = tmp_path_factory.mktemp("plain")
    run([uv(), "venv", "--quiet", str(folder / "venv")], cwd=folder)
    python = str(folder / "venv" / "bin" / "python")
    lock = (ROOT / "requirements" / "handover.lock").read_text()
    spacy = next(line for line in lock.splitlines() if line.startswith("spacy=="))
    run([uv(), "pip", "install", "--quiet", "--python", python, spacy], cwd=folder)
    code = (
        "import sys, json, spacy\n"
        "nlp = spacy.load(sys.argv[1])\n"
        "docs = nlp.pipe(json.load(sys.stdin))\n"
        "best = [max(doc.cats, key=doc.cats.get) for doc in docs]\n"
        "print(json.dumps(best))\n"
    )
    loaded = subprocess.run(
        [python, "-W", "error", "-c", code, str(target)],
        input=json.dumps(list(served)), env=clean_env(), cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert loaded.returncode == 0, loaded.stderr
    assert json.loads(loaded.stdout) == [choice for choice, _ in served.values()]
    words = {word for text in trained.gold for word in text.split() if len(word) > 6}
    files = b"".join(file.read_bytes() for file in target.rglob("*") if file.is_file())
    assert not [word for word in words if word.encode() in files], "no text of the customer inside"


def fresh_texts() -> list[str]:
    """Texts that were in no training."""
    sides = ("is bid for", "is sought at", "is offered at", "is for sale at")
    return [f"tin Hamburg {sides[i % 4]} {i * 31337} cargo {i * 7_777_777}" for i in range(1, 31)]


def test_export_refuses_to_overwrite(trained: Market, tmp_path: Path) -> None:
    arguments = ("export", "--project", str(trained.ls_id), "-o", str(tmp_path / "side"))
    assert trained.backend.run(*arguments).returncode == 0
    again = trained.backend.run(*arguments)
    assert again.returncode == 1
    assert "--force" in again.stderr
    assert trained.backend.run(*arguments, "--force").returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["side"]
