"""Read the files that commands are given."""

from __future__ import annotations

from pathlib import Path

from handover.errors import ConfigError


def read_text(path: Path) -> str:
    """A file's text. Raises ConfigError when it cannot be read or is not UTF-8."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as UTF-8 text: {error}.") from error
