"""Write the settings into .env.example and into the README's table, or check that both are up to date.

python -m scripts.settings_docs           write
python -m scripts.settings_docs --check   exit with 1 when something is out of date
"""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from handover.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- settings: begin (scripts/settings_docs.py writes this table) -->", "<!-- settings: end -->"

HEADER = """\
# Settings of Handover. Copy this file to .env and uncomment what you change; docker compose reads it too.
# Written by scripts/settings_docs.py from backend/handover/settings.py.
"""

COMPOSE = """
# --- docker compose: these have to be filled in --------------------------------------------------
# Make secrets with: openssl rand -hex 32
# The e-mail address and password of Label Studio's first user
#LABEL_STUDIO_USERNAME=
#LABEL_STUDIO_PASSWORD=
# HANDOVER_SECRET_KEY, HANDOVER_BASIC_AUTH_PASSWORD and HANDOVER_WEBHOOK_SECRET from above, and of PostgreSQL:
#POSTGRES_PASSWORD=
#POSTGRES_HANDOVER_PASSWORD=
#POSTGRES_LABEL_STUDIO_PASSWORD=

# --- docker compose: optional --------------------------------------------------------------------
# Key of Anthropic's API, for HANDOVER_TEACHER=claude
#ANTHROPIC_API_KEY=
# Key of OpenAI's API, where a teacher's config asks for it
#OPENAI_API_KEY=
# Where the browser reaches Label Studio, and the ports on this machine
#LABEL_STUDIO_HOST=http://localhost:8080
#LABEL_STUDIO_PORT=8080
#BACKEND_PORT=9090
"""


def env_example() -> str:
    """The text of .env.example."""
    blocks = [
        f"# {field.description}\n#HANDOVER_{name.upper()}={default_of(name, field)}"
        for name, field in Settings.model_fields.items()
    ]
    return HEADER + "\n" + "\n\n".join(blocks) + "\n" + COMPOSE


def table() -> str:
    """The README's table of settings."""
    rows = ["| setting | default | meaning |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = default_of(name, field)
        shown = f"`{default}`" if default else "–"
        description = (field.description or "").replace("|", "\\|")
        rows.append(f"| `HANDOVER_{name.upper()}` | {shown} | {description} |")
    return "\n".join(rows)


def default_of(name: str, field: FieldInfo) -> str:
    """A setting's default as it would be written into a .env file."""
    if name == "data_dir":
        return "~/.local/share/handover"
    return _text(field.default)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value.value if isinstance(value, Enum) else value)


def readme_with(text: str) -> str:
    """The README with today's table between its marks."""
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    return f"{head}{BEGIN}\n{table()}\n{END}{tail}"


def main(arguments: list[str]) -> int:
    """Write the files, or compare them."""
    readme, env = ROOT / "README.md", ROOT / ".env.example"
    wanted = {env: env_example(), readme: readme_with(readme.read_text())}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.name} is out of date: run python -m scripts.settings_docs")
        return 1 if stale else 0
    for path in stale:
        path.write_text(wanted[path])
        print(f"Wrote {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
