"""Guidelines on the command line: FILE for the whole project, ASPECT=FILE for one aspect in addition."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from handover.commands.files import read_text
from handover.errors import ConfigError


@dataclass(frozen=True)
class Guidelines:
    """Texts: `shared` is the project's, `own` the aspects', by name."""

    shared: str = ""
    own: Mapping[str, str] = field(default_factory=dict)

    @property
    def together(self) -> str:
        """All of it, as annotators read it."""
        return "\n\n".join(part for part in (self.shared, *self.own.values()) if part.strip())


def split_guidelines(values: Iterable[str]) -> tuple[Path | None, dict[str, Path]]:
    """The project's file and the aspects' files. Raises ConfigError when one is given twice or does not exist."""
    shared: Path | None = None
    own: dict[str, Path] = {}
    for value in values:
        aspect, _, name = "", "", value
        if "=" in value and not Path(value).is_file():
            aspect, _, name = value.partition("=")
        if not Path(name).is_file():
            raise ConfigError(f"--guidelines {value}: there is no file '{name}'. Expected FILE or ASPECT=FILE.")
        if aspect in own or (not aspect and shared is not None):
            raise ConfigError(f"--guidelines {value}: guidelines for {aspect or 'the project'} were given before.")
        if aspect:
            own[aspect] = Path(name)
        else:
            shared = Path(name)
    return shared, own


def read_guidelines(shared: Path | None, own: Mapping[str, Path], aspects: Collection[str]) -> Guidelines:
    """Read them. Raises ConfigError for an aspect that the project does not have, or a file that is no text."""
    unknown = sorted(set(own) - set(aspects))
    if unknown:
        known = ", ".join(aspects)
        raise ConfigError(f"There is no aspect '{unknown[0]}' for the guidelines in {own[unknown[0]]} (has: {known}).")
    return Guidelines(
        shared=read_text(shared) if shared is not None else "",
        own={name: read_text(path) for name, path in own.items()},
    )
