"""A small data set with a rule, and an LLM that gets half of it wrong: enough for a quick, real handover."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from handover.settings import Settings
from handover.status import read_status
from handover.store.database import Database
from handover.store.models import AnnotationHistoryRow, AnnotationRow
from scripts.stack import Backend, LabelStudio, stopping
from tests.anthropic_stub import AnthropicStub, anthropic_stub

CONFIG = """
<View>
  <Header value="Which side?"/>
  <Text name="text" value="$text"/>
  <Choices name="side" toName="text" choice="single">
    <Choice value="Bid" hotkey="1"/><Choice value="Offer" hotkey="2"/>
  </Choices>
</View>
"""

QUICK = {
    "gold_share": "0.3",
    "min_gold": "12",
    "min_train": "20",
    "retrain_after": "10",
    "train_max_steps": "200",
    "teacher_retries": "0",
    "reconcile_every": "3600",
    "hints": "false",
}
"""Settings under which some dozens of annotations decide."""


def sides(number: int, *, seed: int = 0) -> dict[str, str]:
    """Texts with their right answer, no two alike."""
    draw = random.Random(seed)
    goods = "copper zinc diesel wheat sugar methanol urea cotton coffee nickel naphtha corn".split()
    places = "Rotterdam Singapore Santos Houston Qingdao Antwerp Durban Mumbai".split()
    verbs = {"Bid": ("is bid for", "is sought at"), "Offer": ("is offered at", "is for sale at")}
    found = {}
    for i in range(number):
        side = ("Bid", "Offer")[i % 2]
        what = f"{draw.choice(goods)} {draw.choice(places)} {draw.choice(verbs[side])} {draw.randrange(10**6)}"
        found[f"{what} cargo {draw.randrange(10**8)}"] = side
    return found


@dataclass
class Market:
    """A connected project with everything around it."""

    backend: Backend
    stub: AnthropicStub
    ls_id: int
    gold: dict[str, str]

    def read(self) -> dict[str, Any]:
        """What `handover status --json` says, without the seconds that starting a command takes."""
        settings = Settings(data_dir=Path(self.backend.env["HANDOVER_DATA_DIR"]))
        database = Database(settings.store_url)
        with database.read() as session:
            status = read_status(session, settings).to_json()
        database.close()
        return status

    def status(self) -> dict[str, Any]:
        """What it says of the project."""
        return dict(next(project for project in self.read()["projects"] if project["ls_id"] == self.ls_id))

    def history(self, ls_annotation_id: int) -> list[str]:
        """What happened to an annotation, oldest first."""
        database = Database(Settings(data_dir=Path(self.backend.env["HANDOVER_DATA_DIR"])).store_url)
        with database.read() as session:
            query = (
                select(AnnotationHistoryRow.action)
                .join(AnnotationRow, AnnotationRow.id == AnnotationHistoryRow.annotation_id)
                .where(AnnotationRow.ls_id == ls_annotation_id)
                .order_by(AnnotationHistoryRow.id)
            )
            actions = list(session.scalars(query))
        database.close()
        return actions

    def aspect(self) -> dict[str, Any]:
        """What it says of the aspect."""
        return dict(self.status()["aspects"][0])

    def jobs(self, kind: str = "") -> list[dict[str, Any]]:
        """The jobs, newest first."""
        jobs = self.read()["jobs"]
        return [job for job in jobs if not kind or job["kind"] == kind]

    def is_idle(self) -> bool:
        """Whether no job waits or runs."""
        return not any(job["status"] in ("queued", "started") for job in self.jobs())


@contextmanager
def market(
    folder: Path,
    label_studio: LabelStudio,
    token: str,
    *,
    number: int = 160,
    connect: tuple[str, ...] = (),
    **settings: str,
) -> Iterator[Market]:
    """Start a backend whose LLM answers Offer to everything, and connect a project with `number` tasks."""
    gold = sides(number)
    (folder / "side.xml").write_text(CONFIG)
    (folder / "tasks.jsonl").write_text("\n".join(json.dumps({"text": text, "gold": "hidden"}) for text in gold))
    with anthropic_stub(lambda _text, _request: '{"label": "Offer"}') as stub:
        options = {**QUICK, "anthropic_api_key": "sk-test", "anthropic_base_url": stub.url, **settings}
        backend = Backend(folder, label_studio.url, **options)
        with stopping(backend):
            backend.start()
            files = ["--config", str(folder / "side.xml"), "--data", str(folder / "tasks.jsonl")]
            done = backend.run("connect", "--token-stdin", "--title", "Sides", *files, *connect, stdin=token + "\n")
            assert done.returncode == 0, done.stdout + done.stderr
            status = json.loads(backend.run("status", "--json").stdout)
            yield Market(backend, stub, max(p["ls_id"] for p in status["projects"]), gold)
