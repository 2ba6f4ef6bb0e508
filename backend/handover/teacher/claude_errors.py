"""What went wrong between us and the Anthropic API, in one sentence that gives nothing away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from time import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import anthropic

MAX_MESSAGE = 200
QUOTE = 24
"""So many characters in a row that are also in the text make a message a quotation of the text."""

ADVICE = {
    401: "Check ANTHROPIC_API_KEY.",
    403: "Check what the API key may do.",
    404: "Check HANDOVER_TEACHER_MODEL and HANDOVER_ANTHROPIC_BASE_URL.",
    413: "The text is too long for the API.",
    429: "Wait, or lower HANDOVER_TEACHER_CONCURRENCY or HANDOVER_TEACHER_REQUESTS_PER_MINUTE.",
}


def describe(error: anthropic.AnthropicError, *, retries: int, timeout: float, hidden: Sequence[str]) -> str:
    """The error in one sentence. A message of the API that quotes one of the `hidden` strings is left out."""
    import anthropic  # noqa: PLC0415

    attempts = f"after {retries + 1} attempts" if retries else "in one attempt"
    if isinstance(error, anthropic.APITimeoutError):
        return f"The API gave no answer within {timeout:g} s, {attempts}."
    if isinstance(error, anthropic.APIStatusError):
        kind = f" {error.type}" if error.type else ""
        message = harmless(str(error.api_message or ""), hidden)
        advice = ADVICE.get(error.status_code, "")
        return " ".join(filter(None, [f"The API answered HTTP {error.status_code}{kind}.", message, advice]))
    if isinstance(error, anthropic.APIConnectionError):
        return f"The API could not be reached {attempts}."
    return f"The request failed with {type(error).__name__}."


def refuses_schema(error: anthropic.BadRequestError) -> bool:
    """True when the API says that this model does not take structured outputs."""
    message = str(error.api_message or "").lower()
    return any(name in message for name in ("output_config", "output_format", "json_schema", "structured output"))


def asked_to_wait(headers: Mapping[str, str]) -> float:
    """Seconds that `Retry-After` asks for: a number of seconds or a date (RFC 9110, 10.2.3), or the API's own
    header in milliseconds, which the SDK reads first."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after", "0")
    seconds = _number(value)
    if seconds is not None:
        return seconds
    try:
        return parsedate_to_datetime(value).timestamp() - time()
    except ValueError:
        return 0.0


def _number(value: str | None) -> float | None:
    try:
        return float(value) if value is not None else None
    except ValueError:
        return None


def hidden_in(prompt: str) -> tuple[str, ...]:
    """What of a prompt must not be quoted: its text, however short, and any part, for examples are texts too."""
    return str(getattr(prompt, "text", prompt)), str(prompt)


def harmless(message: str, hidden: Sequence[str]) -> str:
    """The API's own message, cut short; empty if it contains a secret or quotes the text."""
    short = " ".join(message.split())[:MAX_MESSAGE]
    if any(_quotes(message, secret) or _quotes(short, secret) for secret in hidden):
        return ""
    return short if short.endswith((".", "!", "?")) or not short else f"{short}."


def _quotes(message: str, text: str) -> bool:
    if len(text) <= QUOTE:
        return bool(text.strip()) and text in message
    return any(message[i : i + QUOTE] in text for i in range(len(message) - QUOTE + 1))
