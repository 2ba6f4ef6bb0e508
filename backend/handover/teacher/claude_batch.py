"""Many questions as one batch: the Message Batches API, at half the price, within a day."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from handover.domain import AnswerStatus
from handover.errors import NotFoundError
from handover.teacher.claude_client import for_batches
from handover.teacher.completion import Completion

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

PROBLEMS = {
    "expired": "The batch expired before this question was asked.",
    "canceled": "The batch was canceled before this question was asked.",
}


async def send(client: AsyncAnthropic, requests: Mapping[str, Any]) -> str:
    """Send the parameters of single questions as one batch; returns its id. Raises the SDK's errors."""
    rows: list[Any] = [{"custom_id": key, "params": params} for key, params in requests.items()]
    batch = await for_batches(client).messages.batches.create(requests=rows)
    return batch.id


async def fetch(
    client: AsyncAnthropic, batch_id: str, read: Callable[[Any], Completion]
) -> dict[str, Completion] | None:
    """The answers of a batch that has ended, None before. Raises NotFoundError and the SDK's errors."""
    import anthropic  # noqa: PLC0415

    batches = for_batches(client).messages.batches
    try:
        batch = await batches.retrieve(batch_id)
        if batch.processing_status != "ended":
            return None
        results = await batches.results(batch_id)
    except anthropic.NotFoundError as error:
        raise NotFoundError(f"The API does not know the batch {batch_id} (any more).") from error
    return {entry.custom_id: _completion(entry.result, read) async for entry in results}


def _completion(result: Any, read: Callable[[Any], Completion]) -> Completion:
    kind = getattr(result, "type", "")
    if kind == "succeeded":
        return read(result.message)
    error = getattr(getattr(result, "error", None), "error", None)
    problem = PROBLEMS.get(kind, f"The API answered {getattr(error, 'type', None) or 'with an error'} in a batch.")
    return Completion(status=AnswerStatus.FAILED, problem=problem)
