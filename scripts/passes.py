"""The passes over the sample data: one labeling config, one aspect each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.stack import ROOT

SAMPLES = ROOT / "labeling_configs"


@dataclass(frozen=True)
class Pass:
    """One pass: its files, and how many tasks the simulated annotators do."""

    name: str
    title: str
    config: Path
    data: Path
    guidelines: Path
    simulated: int
    gold_share: float | None = None

    def gold(self) -> dict[str, Any]:
        """The gold label or spans by text."""
        with self.data.open(encoding="utf-8") as file:
            records = [json.loads(line) for line in file]
        return {record["text"]: record["gold"][self.name] for record in records}


def _pass(folder: str, data: str, name: str, title: str, *, simulated: int, gold_share: float | None = None) -> Pass:
    base = SAMPLES / folder
    return Pass(
        name=name,
        title=title,
        config=base / f"{name}.xml",
        data=base / data,
        guidelines=base / "GUIDELINES.md",
        simulated=simulated,
        gold_share=gold_share,
    )


PASSES = (
    _pass("market", "messages.jsonl", "stage", "Market: stage", simulated=260),
    _pass("market", "messages.jsonl", "terms", "Market: terms", simulated=160),
    _pass("tickets", "tickets.jsonl", "desk", "Tickets: desk", simulated=200),
    *(
        _pass("reviews", "reviews.jsonl", name, f"Reviews: {name}", simulated=110, gold_share=0.35)
        for name in ("battery", "camera", "screen", "price")
    ),
)
