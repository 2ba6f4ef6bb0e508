"""The ledger's rows and sums, and what processes that share a budget do at the same time. On every database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from handover.domain import AnswerStatus
from handover.ledger import StoreLedger
from handover.prices import Price
from handover.settings import Settings
from handover.store import ledger as store
from handover.store.columns import utcnow
from handover.store.database import Database
from handover.store.models import ProjectRow, TeacherBatchRow, TeacherCallRow
from handover.store.projects import aspects_of
from handover.teacher.calls import Call, CallStatus, Outcome
from handover.teacher.completion import Completion
from handover.totals import read_totals

PRICES = {"m": Price(input=1, output=1, batch_discount=0.5)}
FAILURE = Outcome(AnswerStatus.FAILED, Completion(status=AnswerStatus.FAILED), ("away",))


def books(database: Database, settings: Settings, project: ProjectRow, **options: float) -> StoreLedger:
    """The ledger of the project's aspect, with prices and these options of the project."""
    with database.write() as session:
        session.merge(project).options = options
    with database.read() as session:
        (aspect_row,) = aspects_of(session, project.id)
    priced = settings.model_copy(update={"teacher_prices": PRICES})
    return StoreLedger(database, priced, project_id=project.id, aspect_id=aspect_row.id)


def call(number: int, *, purpose: str = "predict") -> Call:
    """A question that can cost 1 and no more."""
    return Call(f"key{number}", "m", purpose, 400, max_input_tokens=500_000, max_output_tokens=500_000)


def answered(tokens: int = 100_000) -> Outcome:
    return Outcome(AnswerStatus.OK, Completion("x", input_tokens=tokens, output_tokens=tokens, attempts=2))


def test_ledger_budget_is_not_exceeded_by_many_at_once(
    database: Database, settings: Settings, project: ProjectRow
) -> None:
    ledger = books(database, settings, project, budget=10.0)
    with ThreadPoolExecutor(8) as pool:
        admissions = list(pool.map(lambda i: ledger.open([call(4 * i + k) for k in range(4)]), range(8)))
    assert sum(len(admission.tickets) for admission in admissions) == 10
    assert any(admission.problem for admission in admissions)
    with database.read() as session:
        assert store.spent(session, project_id=project.id) == 10.0


def test_ledger_tickets_are_closed_with_what_came_of_them(
    database: Database, settings: Settings, project: ProjectRow
) -> None:
    ledger = books(database, settings, project)
    tickets = ledger.open([call(1), call(2), call(3)]).tickets
    ledger.close({tickets[0]: answered(), tickets[1]: FAILURE}, model_id="m", is_free=False)
    with database.read() as session:
        rows = session.scalars(select(TeacherCallRow).order_by(TeacherCallRow.id)).all()
        assert store.spent(session) == pytest.approx(0.2 + 0.0 + 1.0)
    assert [(row.status, row.cost, row.attempts) for row in rows] == [
        ("ok", pytest.approx(0.2), 2),
        ("failed", 0.0, 1),
        ("asked", None, 0),
    ]
    assert [row.problem for row in rows] == ["", "away", ""]


def test_ledger_sums_are_kept_apart_by_purpose_and_batch(
    database: Database, settings: Settings, project: ProjectRow
) -> None:
    ledger = books(database, settings, project)
    single = ledger.open([call(1), call(2, purpose="gold")]).tickets
    ledger.close(dict.fromkeys(single, answered()), model_id="m", is_free=False)
    batch_id, _ = ledger.open_batch([call(3, purpose="gold"), call(4, purpose="gold")])
    ledger.close_batch(batch_id, {"key3": answered()}, model_id="m")
    ledger.note(CallStatus.CACHED, purpose="gold", model_id="m", number=40)
    with database.read() as session:
        totals = {(t.purpose, t.is_batch): t for t in read_totals(session, PRICES)}
        batch = session.get(TeacherBatchRow, batch_id)
    assert batch is not None and batch.status == "ended"
    assert {key: (t.calls, t.failed, t.cached) for key, t in totals.items()} == {
        ("predict", False): (1, 0, 0),
        ("gold", False): (1, 0, 40),
        ("gold", True): (2, 1, 0),
    }
    assert totals["gold", True].cost == pytest.approx(0.1)
    assert totals["gold", False].cost == pytest.approx(0.2)


def test_ledger_knows_what_is_under_way(database: Database, settings: Settings, project: ProjectRow) -> None:
    ledger = books(database, settings, project)
    first, _ = ledger.open_batch([call(1), call(2)])
    ledger.open([call(9)])
    with database.read() as session:
        aspect_id = session.scalars(select(TeacherBatchRow.aspect_id)).one()
        assert store.keys_under_way(session, aspect_id) == {"key1", "key2"}
        assert [batch.id for batch in store.open_batches(session, [aspect_id])] == [first]
    ledger.give_up_batch(first, "gone")
    with database.read() as session:
        assert store.keys_under_way(session, aspect_id) == set()
        assert store.open_batches(session, [aspect_id]) == []
        assert store.keys_failed_in_a_batch(session, aspect_id) == {"key1", "key2"}


def test_ledger_spending_of_a_day_begins_at_midnight(
    database: Database, settings: Settings, project: ProjectRow
) -> None:
    ledger = books(database, settings, project, budget_day=2.0)
    assert len(ledger.open([call(1), call(2), call(3)]).tickets) == 2
    with database.write() as session:
        session.execute(update(TeacherCallRow).values(created_at=utcnow() - timedelta(days=1)))
    assert len(ledger.open([call(1), call(2), call(3)]).tickets) == 2
