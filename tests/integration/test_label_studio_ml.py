"""`HandoverModel` in the released label-studio-ml, started the way its users start it, in an environment of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from scripts.stack import ROOT, Backend, LabelStudio, Server, clean_env, free_port, stopping
from tests.anthropic_stub import anthropic_stub
from tests.waiting import wait_until

CONFIG = """
<View>
  <Text name="text" value="$text"/>
  <Choices name="side" toName="text" choice="single"><Choice value="Bid"/><Choice value="Offer"/></Choices>
</View>
"""
DECLARATION = '<?xml version="1.0" encoding="utf-8"?>'
AUTH = ("studio", "open-sesame")
SECRETS = {
    "HANDOVER_BASIC_AUTH_USER": AUTH[0],
    "HANDOVER_BASIC_AUTH_PASSWORD": AUTH[1],
    "HANDOVER_WEBHOOK_SECRET": "hush",
}
REMARK = "a very private remark"
MODEL = 'from handover.label_studio_ml import HandoverModel\n\n__all__ = ["HandoverModel"]\n'


class Host:
    """A backend of label-studio-ml: `init` with a one-line model.py, then `start`."""

    def __init__(self, environment: Path, folder: Path, *, port: int = 0, **variables: str) -> None:
        self.port = free_port(port)
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = folder / "host"
        self.env = clean_env(**variables, PATH=f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}")
        command = ["label-studio-ml", "start", "my_backend", "--host", "127.0.0.1", "--port", str(self.port)]
        self.server = Server("label-studio-ml", command, self.env, folder / "host.log", cwd=self.folder)

    @contextmanager
    def running(self) -> Iterator[Host]:
        """Start it, and stop it at the end."""
        self.folder.mkdir(parents=True)
        (self.folder / "model.py").write_text(MODEL)
        run("label-studio-ml", "init", "my_backend", "--script", "model.py", cwd=self.folder, env=self.env)
        try:
            self.server.start().wait_for(f"{self.url}/health", timeout=60)
            yield self
        finally:
            self.server.stop()

    def log(self) -> str:
        """What it wrote so far."""
        return self.server.log.read_text()

    def outcomes(self) -> dict[str, dict[str, Any]]:
        """What Handover answered to the events, by label-studio-ml's id."""
        done = (self.folder / "my_backend").glob("*/job_result.json")
        return {path.parent.name: json.loads(path.read_text() or "{}") for path in done}


def run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a command to its end, return what it printed; fails with its output."""
    path = env["PATH"] if env else None
    program = shutil.which(command[0], path=path) or str(command[0])
    done = subprocess.run(
        [program, *map(str, command[1:])], cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """label-studio-ml from the index, and Handover without its dependencies."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    tool = ROOT / ".venv-tools" / "bin" / "uv"
    uv = str(tool) if tool.exists() else shutil.which("uv")
    python = folder / "bin" / "python"
    if uv:
        run(uv, "venv", "--quiet", "--python", sys.executable, folder)
        install = [uv, "pip", "install", "--quiet", "--python", python]
    else:
        run(sys.executable, "-m", "venv", folder)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(*install, "-r", ROOT / "requirements" / "label-studio-ml.lock")
    run(*install, "--no-deps", _source(folder.parent / "source"))
    return folder


def _source(target: Path) -> Path:
    """A copy of what is packaged, because building leaves files behind."""
    target.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, target)
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "backend" / "handover", target / "backend" / "handover", ignore=ignore)
    return target


@contextmanager
def served(folder: Path, label_studio_url: str = "http://127.0.0.1:9", **settings: str) -> Iterator[Backend]:
    """`handover serve` with all its secrets, and an LLM that answers Bid."""
    with anthropic_stub(lambda _text, _request: '{"label": "Bid"}') as stub:
        backend = Backend(
            folder,
            label_studio_url,
            basic_auth_user=AUTH[0],
            basic_auth_password=AUTH[1],
            webhook_secret=SECRETS["HANDOVER_WEBHOOK_SECRET"],
            anthropic_api_key="sk-secret-key",
            anthropic_base_url=stub.url,
            gold_share="0.05",
            **settings,
        )
        with stopping(backend):
            yield backend.start(workers=0)


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with served(tmp_path_factory.mktemp("served")) as backend:
        yield backend


@pytest.fixture(scope="module")
def host(environment: Path, backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("host")
    with Host(environment, folder, HANDOVER_URL=backend.url, **SECRETS).running() as host:
        yield host


@pytest.fixture
def direct(backend: Backend) -> Iterator[httpx.Client]:
    """`handover serve` without label-studio-ml in between."""
    with httpx.Client(base_url=backend.url, auth=AUTH, timeout=30) as client:
        yield client


def setup_body(*, project: int = 5, config: str = CONFIG) -> dict[str, Any]:
    return {"project": f"{project}.1700000000", "schema": config, "hostname": "x", "access_token": "y"}


def predict_body(*texts: str, project: int = 5) -> dict[str, Any]:
    tasks = [{"id": 100 * project + i, "data": {"text": text}, "project": project} for i, text in enumerate(texts)]
    params = {"login": "l", "password": "p", "context": None}
    return {"tasks": tasks, "project": f"{project}.1700000000", "label_config": CONFIG, "params": params}


def event_body(action: str, *, project: int = 5, **more: Any) -> dict[str, Any]:
    # Label Studio sends the project's model_version along, which label-studio-ml takes for the id of a job.
    return {"action": action, "project": {"id": project, "label_config": CONFIG, "model_version": "side-1"}, **more}


def test_environment_holds_the_release_and_none_of_our_dependencies(environment: Path) -> None:
    code = """if True:
        import importlib.metadata as m, importlib.util as u, json
        import handover.label_studio_ml
        versions = {n: m.version(n) for n in ("label-studio-ml", "flask", "jinja2")}
        found = [n for n in ("pydantic", "fastapi", "sqlalchemy", "spacy", "httpx") if u.find_spec(n)]
        print(json.dumps([versions, found]))"""
    versions, found = json.loads(run(environment / "bin" / "python", "-c", code, env=clean_env()))
    assert versions == {"label-studio-ml": "1.0.9", "flask": "1.1.2", "jinja2": "3.0.3"}
    assert found == []


@pytest.mark.parametrize("declaration", ["", DECLARATION])
def test_setup_names_the_version_that_handover_names(host: Host, direct: httpx.Client, declaration: str) -> None:
    answer = httpx.post(f"{host.url}/setup", json=setup_body(config=declaration + CONFIG), timeout=10)
    assert answer.status_code == 200, answer.text
    assert answer.json() == direct.post("/setup", json=setup_body()).json()
    assert answer.json()["model_version"].startswith("side-teacher-claude-sonnet-5-5-")


def test_predict_answers_what_handover_answers(host: Host, direct: httpx.Client) -> None:
    httpx.post(f"{host.url}/setup", json=setup_body(), timeout=10)
    body = predict_body("copper is bid for", "", "zinc is sought", f"wheat with {REMARK}")
    results = httpx.post(f"{host.url}/predict", json=body, timeout=30).json()["results"]
    assert results == direct.post("/predict", json=body).json()["results"]
    assert len(results) == 4
    assert results[1] == []
    assert results[0]["result"][0]["value"] == {"choices": ["Bid"]}


def test_predict_serves_each_project_whichever_was_set_up_last(host: Host) -> None:
    for project in (6, 7):
        httpx.post(f"{host.url}/setup", json=setup_body(project=project), timeout=10)
    httpx.post(f"{host.url}/predict", json=predict_body("corn is bid for", project=6), timeout=30)
    assert host.log().count("Traceback") == 0


def test_events_reach_handover_also_those_label_studio_ml_does_not_know(host: Host) -> None:
    httpx.post(f"{host.url}/setup", json=setup_body(project=8), timeout=10)
    task = {"id": 801, "data": {"text": "cotton is bid for"}}
    region = {"from_name": "side", "to_name": "text", "type": "choices", "value": {"choices": ["Bid"]}}
    annotation = {"id": 1, "result": [region], "task": 801, "updated_at": "2026-01-01T00:00:00Z", "completed_by": 1}

    def send(action: str, **more: Any) -> dict[str, Any]:
        answer = httpx.post(f"{host.url}/webhook", json=event_body(action, project=8, **more))
        assert answer.status_code == 201, answer.text
        outcome = wait_until(lambda: host.outcomes().get(answer.json()["job_id"]))
        time.sleep(1.1)  # label-studio-ml names events by the second
        return outcome

    assert send("ANNOTATION_CREATED", annotation=annotation, task=task)["outcome"] == "1 changed"
    assert send("ANNOTATIONS_DELETED", annotations=[{"id": 1}])["outcome"] == "1 deleted"
    trained = send("START_TRAINING")
    assert trained["outcome"] == "training was asked for"
    assert [job.split("-")[0] for job in trained["jobs"]] == ["retrain"]


OUTSIDE = """
import json
from handover.label_studio_ml import HandoverModel
model = HandoverModel(label_config="")
tasks = [{"id": 901, "project": 9, "data": {"text": "sugar is bid for"}}]
print(json.dumps([model.predict(tasks), model.fit(tasks), model.fit([{"id": 1}])]))
"""


def test_model_works_without_a_request_around_it(environment: Path, host: Host, direct: httpx.Client) -> None:
    direct.post("/setup", json=setup_body(project=9))
    predicted, trained, lost = json.loads(run(environment / "bin" / "python", "-c", OUTSIDE, env=host.env))
    assert predicted[0]["result"][0]["value"] == {"choices": ["Bid"]}
    assert trained["outcome"] == "training was asked for"
    assert lost == {"error": "Neither the request nor its tasks say to which project they belong."}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda _: {"HANDOVER_URL": ""}, "HANDOVER_URL is not set."),
        (lambda b: {"HANDOVER_URL": b.url.replace("//", "//studio:open-sesame@")}, "HANDOVER_URL is not usable."),
        (lambda _: {"HANDOVER_URL": "http://127.0.0.1:9"}, "does not answer /health (ConnectionError)"),
        (lambda _: {"HANDOVER_BASIC_AUTH_PASSWORD": "open-simsim"}, "answered 401 to /setup: Wrong or missing"),
    ],
    ids=["no url", "credentials in the url", "nobody there", "wrong password"],
)
def test_setup_says_what_is_wrong(
    environment: Path, backend: Backend, tmp_path: Path, change: Callable[[Backend], dict[str, str]], says: str
) -> None:
    variables = {"HANDOVER_URL": backend.url, **SECRETS, **change(backend)}
    with Host(environment, tmp_path, **variables).running() as host:
        answer = httpx.post(f"{host.url}/setup", json=setup_body(), timeout=10)
    assert answer.status_code == 500
    assert says in answer.json()["detail"]
    for secret in ("open-se", "open-si", "hush"):
        assert secret not in answer.text + host.log()


def test_host_that_leads_to_itself_says_so_and_does_not_go_on_forever(environment: Path, tmp_path: Path) -> None:
    port = free_port()
    with Host(environment, tmp_path, port=port, HANDOVER_URL=f"http://127.0.0.1:{port}").running() as host:
        answer = httpx.post(f"{host.url}/setup", json=setup_body(), timeout=10)
        assert answer.status_code == 500
        assert "something else than Handover answers" in answer.json()["detail"]
        httpx.post(f"{host.url}/webhook", json=event_body("START_TRAINING"))
        (outcome,) = wait_until(host.outcomes).values()
        assert "something else than Handover answers" in outcome["error"]
        time.sleep(1.5)  # label-studio-ml names events by the second
        assert len(host.outcomes()) == 1


def test_predict_shows_nothing_while_handover_is_away(host: Host, backend: Backend) -> None:
    body = predict_body("methanol is bid for", "urea is sought", project=5)
    assert httpx.post(f"{host.url}/setup", json=setup_body(), timeout=10).status_code == 200
    backend.stop()
    try:
        before = len(host.log())
        answer = httpx.post(f"{host.url}/predict", json=body, timeout=10)
        said = host.log()[before:]
        assert httpx.post(f"{host.url}/setup", json=setup_body(), timeout=10).status_code == 500
    finally:
        backend.start(workers=0)
    assert (answer.status_code, answer.json()["results"]) == (200, [[], []])
    assert said.count("No predictions for 2 tasks. Handover at ") == 1
    assert "Traceback" not in said
    assert httpx.post(f"{host.url}/setup", json=setup_body(), timeout=10).status_code == 200
    assert all(httpx.post(f"{host.url}/predict", json=body, timeout=30).json()["results"])


def test_host_logs_neither_secrets_nor_texts(host: Host) -> None:
    httpx.post(f"{host.url}/setup", json=setup_body(), timeout=10)
    httpx.post(f"{host.url}/predict", json=predict_body(f"nickel with {REMARK}"), timeout=30)
    assert "POST /predict" in host.log()
    for secret in (AUTH[1], "hush", "sk-secret-key", REMARK):
        assert secret not in host.log()


def test_label_studio_shows_what_comes_through_label_studio_ml(
    environment: Path, label_studio: LabelStudio, token: str, api: httpx.Client, tmp_path: Path
) -> None:
    """The real Label Studio, connected by `handover connect` to a label-studio-ml in front of Handover."""
    texts = [f"cargo {i * 7919} of diesel is bid for" for i in range(6)]
    (tmp_path / "side.xml").write_text(CONFIG)
    (tmp_path / "tasks.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    port = free_port()
    with served(tmp_path, label_studio.url, public_url=f"http://127.0.0.1:{port}") as backend:
        host = Host(environment, tmp_path, port=port, HANDOVER_URL=backend.url, **SECRETS)
        with host.running():
            files = ["--config", str(tmp_path / "side.xml"), "--data", str(tmp_path / "tasks.jsonl")]
            done = backend.run("connect", "--token-stdin", "--title", "Through ML", *files, stdin=token + "\n")
            assert done.returncode == 0, done.stdout + done.stderr + host.log()
            projects = api.get("/api/projects/").json()["results"]
            (project,) = (p for p in projects if p["title"] == "Through ML")
            ls_id, version = project["id"], project["model_version"]
            assert version.startswith("side-teacher-")

            (connected,) = api.get("/api/ml/", params={"project": ls_id}).json()
            assert (connected["url"], connected["state"]) == (host.url, "CO")
            assert connected["title"] == connected["model_version"] == version

            retrieve = {"id": "retrieve_tasks_predictions", "project": ls_id}
            chosen = {"selectedItems": {"all": True, "excluded": []}, "ordering": []}
            assert api.post("/api/dm/actions", params=retrieve, json=chosen).status_code == 200
            shown = next_with_prediction(api, ls_id)
            assert shown["predictions"][0]["model_version"] == version
            assert shown["predictions"][0]["result"][0]["value"] == {"choices": ["Bid"]}

            time.sleep(1.1)  # label-studio-ml names events by the second
            before = set(host.outcomes())
            result = {"result": shown["predictions"][0]["result"]}
            made = api.post(f"/api/tasks/{shown['id']}/annotations/", json=result)
            assert made.status_code == 201, made.text
            outcome = wait_until(lambda: [o for job, o in host.outcomes().items() if job not in before])
            assert outcome[0]["outcome"] == "1 changed"


def next_with_prediction(api: httpx.Client, ls_id: int) -> dict[str, Any]:
    """The first task of the label stream that shows something; gold tasks, which show nothing, are skipped."""
    for _ in range(6):
        task = dict(api.get(f"/api/projects/{ls_id}/next").json())
        if task["predictions"]:
            return task
        api.post(f"/api/tasks/{task['id']}/annotations/", json={"result": [], "was_cancelled": True})
    pytest.fail("Label Studio shows no prediction on any task.")
