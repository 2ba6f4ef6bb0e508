"""Ask a model many prompts at once, so that what goes wrong with one of them stays with that one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from handover.domain import AnswerStatus
from handover.teacher.completion import Completion

logger = logging.getLogger(__name__)


def ask_all(ask: Callable[[str], str], prompts: Iterable[Iterable[str]], *, concurrency: int) -> list[list[str]]:
    """The completions of nested prompts, in the same shape and order as spacy-llm expects them.

    `ask` is called in up to `concurrency` threads. An exception in one call becomes a FAILED completion.
    """
    nested = [list(group) for group in prompts]
    flat = [prompt for group in nested for prompt in group]
    answers = iter(_in_threads(lambda prompt: _guarded(ask, prompt), flat, concurrency=concurrency))
    return [[next(answers) for _ in group] for group in nested]


def _in_threads(ask: Callable[[str], str], prompts: list[str], *, concurrency: int) -> list[str]:
    if not prompts:
        return []
    pool = ThreadPoolExecutor(max_workers=min(concurrency, len(prompts)), thread_name_prefix="teacher")
    try:
        return list(pool.map(ask, prompts))
    finally:
        # Reached early when a job runs out of time: what has not been asked by then is not asked any more.
        pool.shutdown(wait=False, cancel_futures=True)


def failed_with(error: Exception) -> Completion:
    """The completion of a prompt whose model raised this; the message may quote the text, so it is left out."""
    logger.debug("The model raised an exception", exc_info=error)
    return Completion(status=AnswerStatus.FAILED, problem=f"The model raised {type(error).__name__}.")


def _guarded(ask: Callable[[str], str], prompt: str) -> str:
    try:
        return ask(prompt)
    except Exception as error:  # a model can raise anything, and other texts' answers are waiting
        return failed_with(error)
