"""How a spaCy training reports to the one who started it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import IO, TYPE_CHECKING, Any

from spacy.training.loggers import console_logger_v3
from spacy.util import registry

if TYPE_CHECKING:
    from spacy.language import Language

Listener = Callable[[dict[str, Any]], None]
LogStep = Callable[[dict[str, Any] | None], None]

# The config names the logger, so it cannot be handed a callback. A context variable belongs to the thread
# that set it and is gone with the `with` block: runs do not see each other's.
_listener: ContextVar[Listener | None] = ContextVar("handover_training_listener", default=None)


@contextmanager
def report_to(listener: Listener) -> Iterator[None]:
    """Trainings in this block tell `listener` about each evaluation: epoch, step, score, loss."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@registry.loggers("handover.Progress.v1")
def make_progress_logger() -> Callable[..., tuple[LogStep, Callable[[], None]]]:
    """The logger of the recipes; without a listener it prints spaCy's table, as `spacy train` does."""

    def set_up(
        nlp: Language, stdout: IO[str] = sys.stdout, stderr: IO[str] = sys.stderr
    ) -> tuple[LogStep, Callable[[], None]]:
        listener = _listener.get()
        if listener is None:
            return console_logger_v3()(nlp, stdout, stderr)

        def log_step(info: dict[str, Any] | None) -> None:
            if info is not None:
                listener(_told(info))

        return log_step, lambda: None

    return set_up


def _told(info: dict[str, Any]) -> dict[str, Any]:
    return {
        "epoch": int(info["epoch"]),
        "step": int(info["step"]),
        "score": round(float(info["score"]), 4),
        "loss": round(float(sum(info["losses"].values())), 4),
    }
