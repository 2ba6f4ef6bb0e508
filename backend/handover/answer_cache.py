"""The teachers' answers in the store: what was asked once is not paid for again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from handover.domain import AnswerStatus
from handover.patience import patiently
from handover.store.answers import answers_by_key, put_answers
from handover.store.database import Database
from handover.store.models import TeacherAnswerRow
from handover.teacher.cache import CachedAnswer
from handover.teacher.completion import Completion


class StoreCache:
    """The `AnswerCache` of the teacher on our store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, keys: Sequence[str]) -> Mapping[str, Completion]:
        """The known answers among these keys."""
        with self._database.read() as session:
            rows = answers_by_key(session, keys)
        return {key: _from_row(row).to_completion() for key, row in rows.items()}

    def put(self, entries: Sequence[CachedAnswer]) -> None:
        """Keep answers; one with the same key is replaced."""
        rows = [_as_row(entry) for entry in entries]
        patiently(self._database, lambda session: put_answers(session, rows))


def _from_row(row: TeacherAnswerRow) -> CachedAnswer:
    return CachedAnswer(
        key=row.key,
        model_id=row.model_id,
        completion=row.completion,
        status=AnswerStatus(row.status),
        problems=tuple(row.problems),
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cached_tokens=row.cached_tokens,
        latency_ms=row.latency_ms,
        stop_reason=row.stop_reason,
    )


def _as_row(entry: CachedAnswer) -> dict[str, object]:
    return {**asdict(entry), "status": entry.status.value, "problems": list(entry.problems)}
