"""Every question is a row, before it leaves; budgets stop the teacher before they are exceeded."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text, update
from typer.testing import CliRunner

from handover.cli import app
from handover.commands.estimate import estimate
from handover.domain import Annotation, AnswerStatus
from handover.errors import NotFoundError, TeacherError
from handover.examples import LabelledTask
from handover.jobs.compare import teacher_answers
from handover.jobs.situation import read_situation
from handover.labelstudio.protocol import TaskIn
from handover.preannotation import ask
from handover.prices import Price, Tokens, cost, most, price_of
from handover.runtime import Runtime
from handover.serving import live, predict, register
from handover.settings import Settings
from handover.status import read_status
from handover.store.answers import silver_of
from handover.store.columns import utcnow
from handover.store.database import Database
from handover.store.migrate import upgrade
from handover.store.models import ProjectRow, TaskRow, TeacherAnswerRow, TeacherCallRow
from handover.store.projects import aspect_of, aspects_of
from handover.task_texts import text_of
from handover.teacher.calls import Purpose
from handover.totals import read_totals, total_of
from tests.anthropic_stub import AnthropicStub, Fault, anthropic_stub
from tests.component.asking import COST, PRICES, add_project, asking, calls, predictions
from tests.projects import CHOICE_CONFIG, tasks

PRICE = Price(input=3, output=15, cache_read=0.3, cache_write=3.75, batch_discount=0.5)


@pytest.fixture
def stub() -> Iterator[AnthropicStub]:
    with anthropic_stub(lambda _text, _request: '{"label": "Bid"}') as stub:
        yield stub


@pytest.fixture
def make(database: Database, stub: AnthropicStub) -> Iterator[Any]:
    """Makes runtimes on one store."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(asking(stub, **settings))


def ask_all(runtime: Runtime, project: ProjectRow, rows: list[TaskRow], purpose: Purpose = Purpose.PREDICT) -> Any:
    with runtime.database.read() as session:
        (aspect_row,) = aspects_of(session, project.id)
    return ask(runtime, project, aspect_row, rows, purpose=purpose)


# Prices


@pytest.mark.parametrize(
    ("tokens", "is_batch", "expected"),
    [
        (Tokens(1_000_000, 0), False, 3.0),
        (Tokens(1_000_000, 1_000_000), False, 18.0),
        (Tokens(1_000_000, 0, cached=900_000, cache_write=50_000), False, 0.05 * 3 + 0.9 * 0.3 + 0.05 * 3.75),
        (Tokens(1_000_000, 1_000_000), True, 9.0),
    ],
)
def test_prices_count_cached_tokens_apart(tokens: Tokens, is_batch: bool, expected: float) -> None:
    assert cost(PRICE, tokens, is_batch=is_batch) == pytest.approx(expected)
    assert most(PRICE, tokens, is_batch=is_batch) >= cost(PRICE, tokens, is_batch=is_batch)


def test_prices_of_a_cache_that_are_not_given_are_those_of_the_input() -> None:
    assert cost(Price(input=3, output=0), Tokens(1_000_000, 0, cached=400_000, cache_write=300_000)) == 3.0


def test_prices_are_found_by_the_name_of_a_config_of_ones_own() -> None:
    prices = {"gpt-x": PRICE}
    assert price_of(prices, "gpt-x") is price_of(prices, "gpt-x-1a2b3c") is PRICE
    assert price_of(prices, "gpt-y") is None


def test_prices_that_cannot_be_read_are_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDOVER_TEACHER_PRICES", "{3, 15}")
    with pytest.raises(ValueError, match="it is not JSON"):
        Settings()
    monkeypatch.setenv("HANDOVER_TEACHER_PRICES", PRICES)
    assert Settings().teacher_prices["claude-sonnet-5-5"].output == 15


# Rows


def test_ledger_has_a_row_for_every_question(make: Any, database: Database, stub: AnthropicStub) -> None:
    runtime = make(teacher_prices=PRICES)
    project, rows = add_project(runtime, 10)
    ask_all(runtime, project, rows[:3], Purpose.PREFETCH)
    found = calls(database)
    assert [row.answer_key for row in found] == [predictions(database)[row.id].answer_key for row in rows[:3]]
    assert {(r.status, r.purpose, r.model_id, r.project_id) for r in found} == {
        ("ok", "prefetch", "claude-sonnet-5-5", project.id)
    }
    assert {(r.input_tokens, r.output_tokens, r.attempts, r.is_batch) for r in found} == {(100, 10, 1, False)}
    assert [row.cost for row in found] == pytest.approx([COST] * 3)
    assert all(row.latency_ms and row.ended_at and row.prompt_chars > 300 for row in found)


def test_ledger_counts_cache_hits_apart(make: Any, database: Database, stub: AnthropicStub) -> None:
    runtime = make(teacher_prices=PRICES)
    project, rows = add_project(runtime, 10)
    ask_all(runtime, project, rows[:3])
    ask_all(runtime, project, rows[:4], Purpose.PREFETCH)
    hit = calls(database, "cached")
    assert [(row.number, row.purpose, row.cost) for row in hit] == [(3, "prefetch", 0.0)]
    with database.read() as session:
        totals = read_totals(session, runtime.settings.teacher_prices)
    assert [(t.purpose, t.calls, t.cached) for t in totals] == [("predict", 3, 0), ("prefetch", 1, 3)]
    assert total_of(totals).cost == pytest.approx(4 * COST)
    assert len(stub.requests) == 4


def test_ledger_row_is_there_before_the_question_leaves(make: Any, database: Database, stub: AnthropicStub) -> None:
    runtime = make(teacher_prices=PRICES)
    project, rows = add_project(runtime, 10)
    seen: list[tuple[str, float]] = []
    stub.fault = lambda _text, _before: seen.extend((r.status, r.ceiling) for r in calls(database)) or Fault()
    ask_all(runtime, project, rows[:1])
    ((status, ceiling),) = seen
    assert status == "asked"
    assert ceiling > 2048 * 15 / 1e6, "the most that it can cost, so that a killed process cannot hide it"


def test_ledger_without_a_price_has_tokens_and_no_cost(make: Any, database: Database) -> None:
    runtime = make()
    project, rows = add_project(runtime, 10)
    ask_all(runtime, project, rows[:2])
    assert [(row.input_tokens, row.cost) for row in calls(database)] == [(100, None)] * 2
    with database.read() as session:
        assert total_of(read_totals(session, {})).cost is None
        later = {"claude-sonnet-5-5": Price(input=3, output=15)}
        assert total_of(read_totals(session, later)).cost == pytest.approx(2 * COST), "a price that is set later counts"
        status = read_status(session, runtime.settings)
    assert status.projects[0].aspects[0].spent.cost is None


def test_ledger_outlives_its_project(make: Any, database: Database) -> None:
    runtime = make(teacher_prices=PRICES)
    project, rows = add_project(runtime, 10)
    ask_all(runtime, project, rows[:2])
    with database.write() as session:
        session.delete(session.get(ProjectRow, project.id))
    with database.read() as session:
        assert total_of(read_totals(session, {})).cost == pytest.approx(2 * COST)


def test_ledger_waits_for_a_locked_database(make: Any, database: Database, stub: AnthropicStub) -> None:
    """An answer that was paid for is not lost because somebody else writes just then."""
    runtime = make(teacher_prices=PRICES)
    runtime.__dict__["database"] = Database(runtime.settings.store_url, patience=0.05)  # as in the server
    project, rows = add_project(runtime, 10)
    path = runtime.settings.data_dir / "handover.db"
    blocker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    def block(_text: str, _before: int) -> Fault:
        blocker.execute("BEGIN IMMEDIATE")
        threading.Timer(0.3, lambda: blocker.execute("ROLLBACK")).start()
        return Fault()

    stub.fault = block
    answers = ask_all(runtime, project, rows[:1])
    blocker.close()
    assert [answer.status for answer in answers] == [AnswerStatus.OK]
    assert [row.status for row in calls(database)] == ["ok"]
    assert predictions(database)[rows[0].id].status == "ok"


# Budgets


def test_budget_stops_before_the_question_that_could_exceed_it(
    make: Any, database: Database, stub: AnthropicStub
) -> None:
    # A question can cost at most some 0.035; an answer costs 0.00045.
    runtime = make(teacher_prices=PRICES, budget_project=0.08)
    project, rows = add_project(runtime, 60)
    answers = ask_all(runtime, project, rows[:10])
    assert [answer.status.value for answer in answers] == ["ok"] * 2 + ["failed"] * 8
    assert len(stub.requests) == 2
    assert "0.0000 of 0.0800 USD are spent" in answers[-1].problems[0]
    assert [(row.number, row.cost) for row in calls(database, "over budget")] == [(8, 0.0)]
    ask_all(runtime, project, rows[10:20])
    assert len(stub.requests) == 4, "what was not used up is there for the next"
    with database.read() as session:
        assert sum(row.cost or 0 for row in session.scalars(select(TeacherCallRow))) < 0.08


def test_budget_lets_annotators_go_on_and_says_why(make: Any, database: Database, stub: AnthropicStub) -> None:
    runtime = make(teacher_prices=PRICES, budget_day=0.001)
    project, _ = add_project(runtime, 10)
    assert predict(runtime, project.ls_id, tasks(10)) == [None] * 10
    assert stub.requests == []
    with database.read() as session:
        (shown,) = read_status(session, runtime.settings).projects
    assert "of all projects for a day (HANDOVER_BUDGET_DAY)" in shown.teacher_stopped
    assert shown.aspects[0].spent.held == shown.aspects[0].answers["failed"] > 0
    raised = make(teacher_prices=PRICES, budget_day=10)
    with database.write() as session:
        session.execute(text("UPDATE predictions SET created_at = :t"), {"t": utcnow() - timedelta(minutes=5)})
    assert any(predict(raised, project.ls_id, tasks(10)))
    with database.read() as session:
        assert read_status(session, raised.settings).projects[0].teacher_stopped == ""


def test_budget_of_a_day_begins_anew(make: Any, database: Database, stub: AnthropicStub) -> None:
    runtime = make(teacher_prices=PRICES, budget_day=0.04)
    project, rows = add_project(runtime, 60)
    ask_all(runtime, project, rows[:1])
    with database.write() as session:
        session.execute(update(TeacherCallRow).values(cost=0.039))
    assert ask_all(runtime, project, rows[1:2])[0].status is AnswerStatus.FAILED
    with database.write() as session:
        session.execute(update(TeacherCallRow).values(created_at=utcnow() - timedelta(days=1)))
    assert ask_all(runtime, project, rows[1:2])[0].status is AnswerStatus.OK


def test_budget_of_a_project_is_its_own(make: Any, database: Database, stub: AnthropicStub) -> None:
    runtime = make(teacher_prices=PRICES, budget_project=0.001)
    project, rows = add_project(runtime, 10)
    other, others = add_project(runtime, 10, ls_id=8, start=100)
    with database.write() as session:
        session.merge(other).options = {"budget": 5.0}
    assert {a.status.value for a in ask_all(runtime, project, rows)} == {"failed"}
    assert {a.status.value for a in ask_all(runtime, other, others)} == {"ok"}


def test_budget_counts_what_is_under_way(make: Any, database: Database, stub: AnthropicStub) -> None:
    """Also of a process that was killed: it may have been billed."""
    runtime = make(teacher_prices=PRICES, budget_project=0.05)
    project, rows = add_project(runtime, 10)
    ask_all(runtime, project, rows[:1])
    with database.write() as session:
        session.execute(update(TeacherCallRow).values(status="asked", cost=None, ceiling=0.03))
    assert ask_all(runtime, project, rows[1:2])[0].status is AnswerStatus.FAILED
    with database.read() as session:
        total = total_of(read_totals(session, runtime.settings.teacher_prices))
    assert (total.unanswered, total.held) == (1, 1)


def test_budget_without_a_price_stops_and_says_what_is_missing(make: Any, stub: AnthropicStub) -> None:
    runtime = make(budget_project=5)
    project, rows = add_project(runtime, 10)
    (answer,) = ask_all(runtime, project, rows[:1])
    assert answer.problems == (
        "There is a budget, but no price of 'claude-sonnet-5-5' to keep it by. "
        "Add the model to HANDOVER_TEACHER_PRICES, or take the budget away.",
    )
    assert stub.requests == []


def test_budget_does_not_make_the_teacher_wrong_on_gold(make: Any, stub: AnthropicStub) -> None:
    runtime = make(teacher_prices=PRICES, budget_project=0.08)
    project, rows = add_project(runtime, 30)
    with runtime.database.read() as session:
        (aspect_row,) = aspects_of(session, project.id)
    aspect = aspect_of(aspect_row)
    gold = [LabelledTask(t.id, t.ls_id, text_of(t.data, aspect), Annotation(cats=("Offer",))) for t in rows[:6]]
    situation = read_situation(runtime, aspect_row.id)
    answers = teacher_answers(runtime, situation, gold, shadow=1.0, row=aspect_row, teacher_id=situation.teacher_id)
    assert answers == {row.id: Annotation(cats=("Bid",)) for row in rows[:2]}, "what was not asked does not count"


# What is not asked about, and what is not trained on


def test_text_that_cannot_be_used_is_skipped_once_and_asked_about_when_it_can(
    make: Any, database: Database, stub: AnthropicStub
) -> None:
    runtime = make(max_text_chars=100)
    project = register(runtime, 7, CHOICE_CONFIG)
    given = [TaskIn(id=i, data={"text": f"copper {i * 7919} " * n}) for i, n in ((1, 1), (2, 40), (3, 40), (4, 1))]
    given.append(TaskIn(id=5, data={"text": "  "}))
    for _ in range(2):
        shown = [p.ls_task_id for p in predict(runtime, project.ls_id, given) if p is not None and p.result]
        assert shown == [1, 4]
    with database.read() as session:
        splits = {row.ls_id: row.split for row in session.scalars(select(TaskRow))}
        answers = read_status(session, runtime.settings).projects[0].aspects[0].answers
    says = {2: "has 520 characters", 3: "has 520 characters", 5: "is empty"}
    expected = [reason for ls_id, reason in says.items() if splits[ls_id] != "gold"]
    noted = calls(database, "skipped")
    assert sum(row.number for row in noted) == len(expected) >= 2
    assert all(any(reason in row.problem for row in noted) for reason in expected)
    assert answers == {"ok": 2, "skipped": len(expected)}
    patient = make(max_text_chars=1000)
    shown = [p.ls_task_id for p in predict(patient, project.ls_id, given) if p is not None and p.result]
    assert shown == [1, *(ls_id for ls_id in (2, 3) if splits[ls_id] != "gold"), 4]


def test_answers_that_samples_do_not_agree_on_are_no_silver(make: Any, database: Database, stub: AnthropicStub) -> None:
    unsure = iter("Bid Offer Trade".split() * 100)
    stub.answer = lambda text, _request: f'{{"label": "{next(unsure) if "zinc" in text else "Bid"}"}}'
    runtime = make(teacher_samples=3, teacher_concurrency=1)
    project, rows = add_project(runtime, 40)
    ask_all(runtime, project, rows)
    with database.read() as session:
        (aspect_row,) = aspects_of(session, project.id)
        served = live(session, project)[0].version
        silver = silver_of(session, aspect_row, served, min_score=runtime.settings.teacher_min_agreement)
        everything = silver_of(session, aspect_row, served)
    assert {prediction.score for _, prediction in silver} == {1.0}
    assert not any("zinc" in task.data["text"] for task, _ in silver)
    kept = {task.ls_id for task, _ in silver}
    assert {p.score for task, p in everything if task.ls_id not in kept} == {1 / 3}
    shown = predict(runtime, project.ls_id, [TaskIn(id=row.ls_id, data=row.data) for row in rows])
    assert {p.score for p in shown if p is not None} == {1.0, 1 / 3}, "the score is what is shown"


# Estimate


def test_estimate_says_what_would_be_spent_and_spends_nothing(make: Any, stub: AnthropicStub) -> None:
    runtime = make(teacher_prices=PRICES)
    project, rows = add_project(runtime, 40)
    ask_all(runtime, project, rows[:12])
    asked = len(stub.requests)
    (found,) = estimate(runtime, ls_project_id=project.ls_id)
    assert len(stub.requests) == asked
    assert (found.tasks, found.known, found.questions, found.measured_on) == (40, 12, 28, 12)
    assert found.output_tokens == 280
    assert found.input_tokens == pytest.approx(2800, rel=0.05)
    assert found.plain == pytest.approx(28 * COST, rel=0.05)
    assert found.batch == pytest.approx(found.plain / 2)
    assert found.cacheable_tokens > found.input_tokens / 2
    ask_all(runtime, project, rows)
    (after,) = estimate(runtime, ls_project_id=project.ls_id)
    assert after.questions == 40 - len(rows), "what is left is the gold"


def test_estimate_without_price_answers_or_teacher(make: Any) -> None:
    runtime = make()
    project, _ = add_project(runtime, 40)
    (found,) = estimate(runtime, ls_project_id=project.ls_id)
    assert (found.measured_on, found.plain, found.batch_cached) == (0, None, None)
    assert found.input_tokens > 40 * 100
    with pytest.raises(NotFoundError):
        estimate(runtime, ls_project_id=4711)
    with pytest.raises(TeacherError, match="nothing is spent"):
        estimate(make(teacher="none"), ls_project_id=project.ls_id)


# The command line


def test_cli_shows_what_was_spent_and_what_would_be(
    make: Any, database: Database, stub: AnthropicStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = make(teacher_prices=PRICES)
    project, rows = add_project(runtime, 20)
    ask_all(runtime, project, rows[:11], Purpose.PREFETCH)
    ask_all(runtime, project, rows[:11])
    monkeypatch.setenv("HANDOVER_TEACHER_PRICES", PRICES)
    monkeypatch.setenv("HANDOVER_ANTHROPIC_API_KEY", "sk-test")
    shown = cli("ledger")
    assert "stage claude-sonnet-5-5 prefetch 11 0 0 0 1,100 110 0.0049 USD" in shown
    assert "in all 11 0 11 0 1,100 110 0.0049 USD" in shown
    (prefetch, predict_) = json.loads(cli("ledger", "--json"))["totals"][::-1]
    assert (prefetch["calls"], prefetch["cost"]) == (11, pytest.approx(11 * COST))
    assert (predict_["calls"], predict_["cached"]) == (0, 11)
    assert "11 questions to the teacher, 11 answered from our own cache: 1,100 tokens in (0 cached), 110 out" in cli(
        "status"
    )
    estimated = cli("teacher", "estimate", "-p", "7")
    assert "stage (claude-sonnet-5-5): 20 open or gold tasks, 11 answered already, 9 questions to ask" in estimated
    assert "judged by 11 past answers" in estimated
    assert json.loads(cli("teacher", "estimate", "-p", "7", "--json"))["aspects"][0]["questions"] == 9
    monkeypatch.setenv("HANDOVER_TEACHER_PRICES", "")
    assert "one by one no price; with prompt caching no price" in cli("teacher", "estimate", "-p", "7")


def cli(*arguments: str) -> str:
    result = CliRunner(env={"COLUMNS": "60"}).invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


# Migration


def test_migration_to_the_ledger_keeps_the_rows_that_are_there(settings: Settings) -> None:
    settings.data_dir.mkdir(parents=True)
    database = Database(settings.store_url)
    upgrade(database, revision="0001")
    with database.write() as session:
        session.add(ProjectRow(ls_id=3, options={"margin": 0.1}))
        session.add(TeacherAnswerRow(key="k", model_id="m", completion="c", status="ok", problems=[]))
    upgrade(database)
    with database.read() as session:
        assert session.scalars(select(ProjectRow.options)).all() == [{"margin": 0.1}]
        assert session.scalars(select(TeacherAnswerRow.completion)).all() == ["c"]
        assert session.scalars(select(TeacherCallRow)).all() == []
    database.close()
