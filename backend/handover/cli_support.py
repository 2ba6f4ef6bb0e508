"""What the commands of the command line share: the settings, errors as sentences, the options that recur."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from handover.errors import HandoverError, UnavailableError
from handover.settings import Settings

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

ProjectOption = Annotated[int, typer.Option("--project", "-p", help="Label Studio's id of the project.")]
AspectOption = Annotated[
    str, typer.Option("--aspect", "-a", help="Name of the control tag; not needed when there is only one.")
]


def say(text: str) -> None:
    """Print a line for people."""
    console.print(text, markup=False)


@contextmanager
def sentences() -> Iterator[Settings]:
    """Read the settings, and show our own errors as a sentence with exit code 1."""
    try:
        settings = Settings()
        logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        for name in ("httpx", "httpcore", "alembic", "spacy"):
            logging.getLogger(name).setLevel(logging.WARNING)
        yield settings
    except ValidationError as error:
        for problem in error.errors(include_input=False):
            name = "HANDOVER_" + "_".join(str(part) for part in problem["loc"]).upper()
            errors.print(f"{name}: {problem['msg']}", markup=False, style="red")
        raise typer.Exit(1) from None
    except HandoverError as error:
        errors.print(str(error), markup=False, style="red")
        if isinstance(error, UnavailableError):
            errors.print("Check HANDOVER_DATABASE_URL and HANDOVER_REDIS_URL, and that both servers run.", style="red")
        raise typer.Exit(1) from None
