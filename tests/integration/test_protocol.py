"""The ML backend protocol over real HTTP, with credentials, and with everything that can be wrong in a request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from scripts.stack import Backend, stopping
from tests.anthropic_stub import AnthropicStub, anthropic_stub

CONFIG = """
<View>
  <Header value="Which stage?"/>
  <Text name="text" value="$text"/>
  <Choices name="stage" toName="text"><Choice value="Bid"/><Choice value="Offer"/></Choices>
  <Rating name="stars" toName="text"/>
</View>
"""
AUTH = ("studio", "open-sesame")
SECRET = {"X-Handover-Secret": "hush"}


@pytest.fixture(scope="module")
def stub() -> Iterator[AnthropicStub]:
    with anthropic_stub(lambda text, _request: '{"label": "Bid"}' if "bid" in text else "no idea") as stub:
        yield stub


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory, stub: AnthropicStub) -> Iterator[Backend]:
    backend = Backend(
        tmp_path_factory.mktemp("protocol"),
        "http://127.0.0.1:9",
        basic_auth_user=AUTH[0],
        basic_auth_password=AUTH[1],
        webhook_secret=SECRET["X-Handover-Secret"],
        anthropic_api_key="sk-secret-key",
        anthropic_base_url=stub.url,
        teacher_retries="0",
        max_body_mb="1",
        gold_share="0.05",
    )
    with stopping(backend):
        yield backend.start(workers=0)


@pytest.fixture
def http(backend: Backend) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=backend.url, auth=AUTH, timeout=30) as client:
        yield client


def predict_body(*texts: Any, project: str = "5.1700000000") -> dict[str, Any]:
    data = [value if isinstance(value, dict) else {"text": value} for value in texts]
    tasks = [{"id": number, "data": value} for number, value in enumerate(data, start=100)]
    return {"tasks": tasks, "project": project, "label_config": CONFIG, "params": {"context": None}}


def train_texts(http: httpx.Client, *, word: str, number: int) -> list[str]:
    """Texts that are not gold."""
    candidates = [f"{word} wanted {i * 7919} units of good {i * 104729}" for i in range(number * 3)]
    results = http.post("/predict", json=predict_body(*candidates, project="99.1")).json()["results"]
    assert len(results) == len(candidates)
    return [text for text, result in zip(candidates, results, strict=True) if result][:number]


@pytest.mark.parametrize("path", ["/", "/health"])
def test_health_answers_without_credentials(backend: Backend, path: str) -> None:
    answer = httpx.get(backend.url + path)
    assert answer.status_code == 200
    assert answer.json()["status"] == "UP"


@pytest.mark.parametrize("auth", [None, ("studio", "wrong"), ("wrong", "open-sesame"), ("", "")])
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/setup"), ("POST", "/predict"), ("POST", "/webhook"), ("GET", "/versions"), ("POST", "/job_status")],
)
def test_protocol_reveals_nothing_without_credentials(backend: Backend, method: str, path: str, auth: Any) -> None:
    answer = httpx.request(method, backend.url + path, auth=auth, content=b"{not json")
    assert answer.status_code == 401
    assert answer.json() == {"error": "Wrong or missing credentials."}


@pytest.mark.parametrize("header", ["", "hus", "hushh", "Hush"])
def test_webhook_refuses_a_wrong_secret(backend: Backend, header: str) -> None:
    answer = httpx.post(f"{backend.url}/webhook", headers={"X-Handover-Secret": header}, json={"action": "X"})
    assert answer.status_code == 401


def test_setup_adopts_a_project_and_names_the_version(http: httpx.Client) -> None:
    body = {"project": "5.1700000000", "schema": CONFIG, "hostname": "x", "access_token": "y", "extra_params": None}
    first = http.post("/setup", json=body)
    assert first.status_code == 200
    version = first.json()["model_version"]
    assert version.startswith("stage-teacher-claude-sonnet-5-5-")
    assert http.post("/setup", json=body).json()["model_version"] == version
    assert version in http.get("/versions", params={"project": 5}).json()["versions"]


def test_predict_shows_answers_and_one_entry_per_task(http: httpx.Client, stub: AnthropicStub) -> None:
    good = train_texts(http, word="bid", number=3)
    body = predict_body(good[0], good[1], {"text": ""}, {"other": "x"}, {"text": 7}, good[2])
    results = http.post("/predict", json=body).json()["results"]
    assert len(results) == 6
    assert [bool(result) for result in results] == [True, True, False, False, False, True]
    (region,) = results[0]["result"]
    assert region["from_name"] == "stage"
    assert region["value"]["choices"] == ["Bid"]
    assert results[0]["model_version"].startswith("stage-teacher-")
    asked = len(stub.requests)
    assert http.post("/predict", json=body).json()["results"] == results
    assert len(stub.requests) == asked, "the second time costs nothing"


def test_predict_never_shows_what_was_not_understood(http: httpx.Client) -> None:
    candidates = [f"offer number {i * 7919}" for i in range(5)]
    assert http.post("/predict", json=predict_body(*candidates, project="6.1")).json()["results"] == [[]] * 5


def test_predict_shows_nothing_when_the_teacher_fails(http: httpx.Client, stub: AnthropicStub) -> None:
    stub.status = 500
    try:
        answer = http.post("/predict", json=predict_body("bid for failing tin", project="7.1"))
    finally:
        stub.status = 200
    assert answer.status_code == 200
    assert answer.json() == {"results": [[]]}


@pytest.mark.parametrize(
    ("path", "content", "status", "says"),
    [
        ("/predict", b"{not json", 400, "not valid JSON"),
        ("/predict", b"[]", 422, "body"),
        ("/predict", b'{"tasks": 1, "project": "5.1"}', 422, "tasks"),
        ("/predict", b'{"tasks": [{"id": "x", "data": {}}], "project": "5.1"}', 422, "tasks.0.id"),
        ("/predict", b'{"tasks": [], "project": "abc"}', 422, "project"),
        ("/setup", b'{"schema": ""}', 422, "project"),
        ("/webhook", b"\xff\xfe", 400, "JSON"),
        ("/webhook", b'{"action": 3}', 422, "action"),
        ("/webhook", b'{"action": "ANNOTATION_CREATED", "annotation": {"id": "a"}}', 422, "annotation"),
        ("/job_status", b'{"job": ""}', 422, "job"),
        ("/job_status", b'{"job": "nope"}', 404, "nope"),
        ("/predict", b'{"x": "' + b"y" * 1_100_000 + b'"}', 413, "larger than 1000000"),
    ],
)
def test_protocol_answers_bad_input_with_one_sentence(http, path, content, status, says) -> None:
    answer = http.post(path, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert says in answer.json()["error"]
    assert "Traceback" not in answer.text


ANNOTATION = {"id": 1, "task": 1, "updated_at": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize("bad", [10**30, 2**63, 0, -1, True, 1.5, "x", None])
@pytest.mark.parametrize("place", ["task", "project", "annotation", "webhook project", "deleted"])
def test_protocol_refuses_impossible_ids(http: httpx.Client, place: str, bad: Any) -> None:
    bodies: dict[str, tuple[str, dict[str, Any]]] = {
        "task": ("/predict", {"tasks": [{"id": bad, "data": {}}], "project": "5.1"}),
        "project": ("/setup", {"project": bad, "schema": ""}),
        "annotation": ("/webhook", {"action": "ANNOTATION_CREATED", "annotation": {**ANNOTATION, "id": bad}}),
        "webhook project": ("/webhook", {"action": "PROJECT_UPDATED", "project": {"id": bad}}),
        "deleted": ("/webhook", {"action": "ANNOTATIONS_DELETED", "annotations": [{"id": bad}]}),
    }
    path, body = bodies[place]
    if place == "project" and bad == 1.5:
        return  # "1.5" is how Label Studio writes project 1
    answer = http.post(path, json=body)
    assert answer.status_code == 422, answer.text
    assert list(answer.json()) == ["error"]


@pytest.mark.parametrize("project", ["-5", "1e5", "٣.1", "", "1" * 30])
def test_protocol_refuses_impossible_projects(http: httpx.Client, project: str) -> None:
    assert http.post("/setup", json={"project": project, "schema": CONFIG}).status_code == 422


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "yesterday", "9999-12-31T23:59:59-14:00"])
def test_protocol_refuses_impossible_times(http: httpx.Client, time: str) -> None:
    annotation = {**ANNOTATION, "updated_at": time}
    answer = http.post("/webhook", json={"action": "ANNOTATION_CREATED", "annotation": annotation})
    assert answer.status_code == 422


def test_protocol_refuses_what_json_does_not_have(http: httpx.Client) -> None:
    content = b'{"tasks": [{"id": 1, "data": {"text": NaN}}], "project": "5.1"}'
    answer = http.post("/predict", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422


def test_protocol_refuses_a_task_that_comes_twice(http: httpx.Client) -> None:
    tasks = [{"id": 1, "data": {"text": "one"}}, {"id": 1, "data": {"text": "two"}}]
    assert http.post("/predict", json={"tasks": tasks, "project": "5.1"}).status_code == 422


@pytest.mark.parametrize("action", ["A\nB", "\x1b[31m", "a b", "x" * 101])
def test_protocol_refuses_odd_actions(http: httpx.Client, action: str) -> None:
    assert http.post("/webhook", json={"action": action}).status_code == 422


def test_protocol_limits_bodies_of_unknown_length(http: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        yield b'{"x": "'
        for _ in range(30):
            yield b"y" * 100_000

    for _ in range(5):  # the caller must never see a reset connection in place of the answer
        answer = http.post("/predict", content=endless(), headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
        assert "larger than 1000000 bytes" in answer.json()["error"]


@pytest.mark.parametrize(("method", "path"), [("GET", "/train"), ("POST", "/validate"), ("DELETE", "/predict")])
def test_protocol_says_what_it_does_not_do(http: httpx.Client, method: str, path: str) -> None:
    answer = http.request(method, path)
    assert answer.status_code in (404, 405)
    assert list(answer.json()) == ["error"]


def test_webhook_records_an_unknown_action(backend: Backend) -> None:
    answer = httpx.post(f"{backend.url}/webhook", headers=SECRET, json={"action": "PIGS_FLY", "project": {"id": 5}})
    assert answer.status_code == 200
    assert answer.json()["outcome"] == "ignored: nothing to do for this action"


def test_webhook_leaves_projects_alone_that_are_not_connected(backend: Backend) -> None:
    body = {"action": "PROJECT_UPDATED", "project": {"id": 4711, "label_config": CONFIG}}
    answer = httpx.post(f"{backend.url}/webhook", headers=SECRET, json=body)
    assert answer.json()["outcome"] == "ignored: the project is not connected"
    assert "4711" not in backend.run("status").stdout


def test_status_counts_what_was_set_aside(backend: Backend, http: httpx.Client) -> None:
    shown = backend.run("status").stdout
    assert "Rating" in shown
    assert "<Choices" in shown or "Choices" in shown
    assert "Field 'text' is empty." in shown
    assert "holds no value" in shown


def test_protocol_logs_neither_secrets_nor_texts(backend: Backend, http: httpx.Client) -> None:
    http.post("/predict", json=predict_body("bid with a very private remark", project="8.1"))
    log = backend.server.log.read_text()
    for secret in ("open-sesame", "hush", "sk-secret-key", "private remark"):
        assert secret not in log


def test_connect_says_that_label_studio_is_away_and_keeps_the_token_to_itself(backend: Backend) -> None:
    done = backend.run("connect", "--project", "1", "--token-stdin", stdin="a-token\n")
    assert done.returncode == 1
    assert "Label Studio could not be reached while asking who I am" in done.stderr
    assert "a-token" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
