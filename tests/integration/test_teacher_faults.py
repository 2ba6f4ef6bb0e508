"""Everything that can go wrong between the teacher and its API: on the wire, for Label Studio, in the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from handover.store.database import Database
from handover.store.models import PredictionRow, TaskRow, TeacherAnswerRow, TeacherCallRow
from scripts.stack import Backend, stopping
from tests.anthropic_stub import AnthropicStub, Fault, anthropic_stub

CONFIG = """
<View>
  <Header value="Which side?"/>
  <Text name="text" value="$text"/>
  <Choices name="side" toName="text"><Choice value="Bid"/><Choice value="Offer"/></Choices>
</View>
"""
PRICES = '{"claude-sonnet-5-5": {"input": 3, "output": 15}}'
TIMEOUT = 1.0


@dataclass(frozen=True)
class Case:
    """A fault, for how many attempts, and what is to come of it after how many requests."""

    name: str
    fault: Fault
    attempts: int = 99
    status: str = "failed"
    sent: int = 2
    problem: str = ""


CASES = [
    Case("429 with Retry-After", Fault(429, {"retry-after": "0.2"}), attempts=1, status="ok"),
    Case("429 without Retry-After", Fault(429), attempts=1, status="ok"),
    Case("429 that stays", Fault(429), problem="HTTP 429"),
    Case("429 for an hour", Fault(429, {"retry-after": "3600"}), sent=1, problem="HTTP 429"),
    Case("529", Fault(529), attempts=1, status="ok"),
    Case("529 that stays", Fault(529), problem="HTTP 529"),
    Case("500", Fault(500), attempts=1, status="ok"),
    Case("500 that stays", Fault(500), problem="HTTP 500"),
    Case("400", Fault(400), sent=1, problem="HTTP 400"),
    Case("413", Fault(413), sent=1, problem="too long"),
    Case("slow drip", Fault(drip=0.1), attempts=1, status="ok"),
    Case("slow drip that stays", Fault(drip=0.1), problem="no answer within 1 s, after 2 attempts"),
    Case("cut connection", Fault(cut_at=30), attempts=1, status="ok"),
    Case("cut connection that stays", Fault(cut_at=30), problem="could not be reached after 2 attempts"),
    Case("no answer at all", Fault(cut_at=0), attempts=1, status="ok"),
    Case("truncated JSON around the answer", Fault(body=b'{"id": "msg_1", "content": [{"type": "te'), sent=1),
    Case("a page of a proxy", Fault(body=b"<html>Bad gateway</html>"), sent=1, problem="raised JSONDecodeError"),
    Case(
        "refusal",
        Fault(message={"content": [], "stop_reason": "refusal"}),
        status="refused",
        sent=1,
        problem="refused to answer",
    ),
    Case(
        "truncated answer",
        Fault(message={"content": [{"type": "text", "text": '{"label": "B'}], "stop_reason": "max_tokens"}),
        status="unparsed",
        sent=1,
        problem="cut off",
    ),
    Case(
        "half an answer that claims to be whole",
        Fault(message={"content": [{"type": "text", "text": '{"label": "B'}]}),
        status="unparsed",
        sent=1,
        problem="cannot be read",
    ),
    Case(
        "a label that is none",
        Fault(message={"content": [{"type": "text", "text": '{"label": "Hold"}'}]}),
        status="unparsed",
        sent=1,
        problem="not one of the 2 labels",
    ),
    Case("no content", Fault(message={"content": []}), status="unparsed", sent=1),
    Case("no usage", Fault(message={"usage": None}), status="ok", sent=1),
]


@pytest.fixture(scope="module")
def stub() -> Iterator[AnthropicStub]:
    with anthropic_stub(lambda _text, _request: '{"label": "Bid"}') as stub:
        yield stub


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory, stub: AnthropicStub) -> Iterator[Backend]:
    backend = Backend(
        tmp_path_factory.mktemp("faults"),
        "http://127.0.0.1:9",
        anthropic_api_key="sk-secret-key",
        anthropic_base_url=stub.url,
        teacher_retries="1",
        teacher_timeout=str(TIMEOUT),
        teacher_prices=PRICES,
        max_text_chars="300000",
        gold_share="0.05",
    )
    with stopping(backend):
        yield backend.start(workers=0)


@pytest.fixture(scope="module")
def database(backend: Backend) -> Iterator[Database]:
    database = Database(f"sqlite:///{Path(backend.env['HANDOVER_DATA_DIR']) / 'handover.db'}")
    yield database
    database.close()


class Counter:
    """Task ids and texts that are used once."""

    number = 0

    @classmethod
    def task(cls, text: str | None = None) -> dict[str, Any]:
        cls.number += 1
        own = f"wanted {cls.number * 7919} units of good {cls.number * 104729}"
        return {"id": cls.number, "data": {"text": own if text is None else text}}


def predict(backend: Backend, *tasks: dict[str, Any]) -> list[Any]:
    body = {"tasks": list(tasks), "project": "5.1", "label_config": CONFIG}
    answer = httpx.post(f"{backend.url}/predict", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    assert len(results) == len(tasks)
    return list(results)


def split_of(database: Database, task: dict[str, Any]) -> str:
    with database.read() as session:
        return str(session.scalar(select(TaskRow.split).where(TaskRow.ls_id == task["id"])))


def calls_of(database: Database, task: dict[str, Any]) -> list[TeacherCallRow]:
    """The ledger's rows about a task, by the key of its answer."""
    with database.read() as session:
        prediction = session.scalar(
            select(PredictionRow).join(TaskRow, TaskRow.id == PredictionRow.task_id).where(TaskRow.ls_id == task["id"])
        )
        assert prediction is not None
        query = select(TeacherCallRow).where(TeacherCallRow.answer_key == prediction.answer_key)
        return list(session.scalars(query))


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_fault_is_shown_to_nobody_but_in_the_ledger(
    backend: Backend, database: Database, stub: AnthropicStub, case: Case
) -> None:
    stub.fault = lambda _text, before: case.fault if before < case.attempts else Fault()
    task = Counter.task()
    (entry,) = predict(backend, task)
    while split_of(database, task) == "gold":
        task = Counter.task()
        (entry,) = predict(backend, task)
    (call,) = calls_of(database, task)
    assert (call.status, call.purpose, call.attempts) == (case.status, "predict", case.sent)
    assert case.problem in call.problem
    assert bool(call.problem) == (case.status != "ok")
    assert task["data"]["text"] not in call.problem
    shown = [region["value"]["choices"] for region in entry["result"]] if entry else []
    assert shown == ([["Bid"]] if case.status == "ok" else []), "neither lost nor invented"
    with database.read() as session:
        kept = session.get(TeacherAnswerRow, call.answer_key)
    assert (kept is not None) == (case.status != "failed"), "what failed is asked again, what was answered is not"
    if case.status == "failed":
        assert (call.cost, call.input_tokens) == (0.0, None)
    elif case.fault.message.get("usage", "") is None:
        assert (call.cost, call.input_tokens) == (None, None), "unknown is not nothing"
    else:
        assert call.cost == pytest.approx((100 * 3 + 10 * 15) / 1e6)
        assert call.latency_ms and call.latency_ms > 0


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_empty_text_is_not_asked_about_and_noted_once(
    backend: Backend, database: Database, stub: AnthropicStub, text: str
) -> None:
    stub.fault = lambda _text, _before: Fault()
    asked = len(stub.requests)
    task = Counter.task(text)
    before = skipped(database)
    assert predict(backend, task) == predict(backend, task) == [[]]
    assert len(stub.requests) == asked
    assert skipped(database) - before == 1 or split_of(database, task) == "gold"


def skipped(database: Database) -> int:
    with database.read() as session:
        rows = session.scalars(select(TeacherCallRow).where(TeacherCallRow.status == "skipped")).all()
    assert all("is empty" in row.problem or "characters" in row.problem for row in rows)
    return sum(row.number for row in rows)


def test_long_text_is_asked_about_whole(backend: Backend, database: Database, stub: AnthropicStub) -> None:
    stub.fault = lambda _text, _before: Fault()
    for number in range(20):
        text = f"cargo {number} " + "all of it is wanted, or so they say. " * 5400
        task = Counter.task(text)
        (entry,) = predict(backend, task)
        if split_of(database, task) != "gold":
            break
    assert len(text) > 199_000
    assert entry["result"][0]["value"]["choices"] == ["Bid"]
    assert stub.texts()[-1] == text
    (call,) = calls_of(database, task)
    assert (call.status, call.prompt_chars > 199_000) == ("ok", True)


def test_text_beyond_the_limit_is_noted_and_not_asked_about(
    backend: Backend, database: Database, stub: AnthropicStub
) -> None:
    asked, before = len(stub.requests), skipped(database)
    task = Counter.task("x" * 300_001)
    assert predict(backend, task) == [[]]
    assert len(stub.requests) == asked
    assert skipped(database) - before == 1 or split_of(database, task) == "gold"


def test_the_same_project_twice_costs_nothing_the_second_time(
    backend: Backend, database: Database, stub: AnthropicStub
) -> None:
    """Words in another order are another text with an answer of its own; the same text is never asked twice."""
    stub.fault = lambda _text, _before: Fault()
    words = "alpha bravo charlie delta echo foxtrot golf hotel india juliett".split()
    texts = [" ".join(words[i:] + words[:i]) for i in range(len(words))]
    start = len(stub.requests)
    first = predict(backend, *(Counter.task(text) for text in texts))
    asked = stub.texts()[start:]
    assert sorted(asked) == sorted(text for text, entry in zip(texts, first, strict=True) if entry)
    body = {"tasks": [Counter.task(text) for text in texts], "project": "6.1", "label_config": CONFIG}
    again = httpx.post(f"{backend.url}/predict", json=body, timeout=60).json()["results"]
    assert [bool(entry) for entry in again] == [bool(entry) for entry in first]
    assert stub.texts()[start:] == asked, "the second project is answered from the cache"
    with database.read() as session:
        hits = session.scalars(select(TeacherCallRow).where(TeacherCallRow.status == "cached")).all()
    assert hits[-1].number == len(asked)
    assert hits[-1].cost == 0.0
