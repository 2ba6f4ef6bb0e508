"""The shipped labeling configs and the sample data next to them fit together."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from label_studio_sdk.label_interface import LabelInterface

CONFIGS = Path(__file__).parents[2] / "labeling_configs"
DATA = {
    "market": ("messages.jsonl", 900),
    "tickets": ("tickets.jsonl", 1440),
    "reviews": ("reviews.jsonl", 600),
}
ASPECTS = {
    "market/stage": "Choices",
    "market/terms": "Labels",
    "tickets/desk": "Choices",
    "reviews/battery": "Choices",
    "reviews/camera": "Choices",
    "reviews/screen": "Choices",
    "reviews/price": "Choices",
}

Row = dict[str, Any]


def read_text(aspect: str) -> str:
    return (CONFIGS / f"{aspect}.xml").read_text(encoding="utf-8")


def read_config(aspect: str) -> LabelInterface:
    return LabelInterface(read_text(aspect))


def read_rows(folder: str) -> list[Row]:
    lines = (CONFIGS / folder / DATA[folder][0]).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def find_labels(answer: str | list[Row]) -> set[str]:
    return {answer} if isinstance(answer, str) else {span["label"] for span in answer}


def find_bad_spans(row: Row, answer: list[Row]) -> list[Row]:
    """Spans that leave the text, start or end with a space, or overlap the one before."""
    ends = [0] + [span["end"] for span in answer]
    return [
        span
        for span, previous_end in zip(answer, ends, strict=False)
        if not previous_end <= span["start"] < span["end"] <= len(row["text"])
        or row["text"][span["start"] : span["end"]] != row["text"][span["start"] : span["end"]].strip()
    ]


def test_labeling_configs_are_the_ones_listed() -> None:
    shipped = {str(path.relative_to(CONFIGS).with_suffix("")) for path in CONFIGS.glob("*/*.xml")}
    assert shipped == set(ASPECTS)


@pytest.mark.parametrize(("aspect", "tag"), ASPECTS.items())
def test_labeling_configs_ask_one_question_about_the_text(aspect: str, tag: str) -> None:
    config = read_config(aspect)
    name = aspect.split("/")[1]
    assert {control.name: control.tag for control in config.controls} == {name: tag}
    assert {obj.name: (obj.tag, obj.value) for obj in config.objects} == {"text": ("Text", "$text")}
    assert config.get_control(name).attr.get("choice", "single") == "single"
    config.validate()  # raises when a name or a toName is wrong


@pytest.mark.parametrize("aspect", ASPECTS)
def test_labeling_configs_start_with_a_question(aspect: str) -> None:
    question, *instructions = re.findall(r'<Header value="([^"]*)"', read_text(aspect))
    assert question.endswith("?")
    assert len(question) < 60
    assert len(instructions) == 1


@pytest.mark.parametrize("who", ["gold", "teacher"])
@pytest.mark.parametrize("aspect", ASPECTS)
def test_labeling_configs_have_exactly_the_labels_of_the_data(aspect: str, who: str) -> None:
    folder, name = aspect.split("/")
    answered = set().union(*(find_labels(row[who][name]) for row in read_rows(folder)))
    assert set(read_config(aspect).get_control(name).labels) == answered


@pytest.mark.parametrize("aspect", ASPECTS)
def test_labeling_configs_give_every_label_a_hotkey_and_a_hint(aspect: str) -> None:
    control = read_config(aspect).get_control(aspect.split("/")[1])
    attributes = [label.attr for label in control.labels_attrs.values()]
    hotkeys = [attribute.get("hotkey") for attribute in attributes]
    assert hotkeys == [str(number) for number in range(1, len(attributes) + 1)]
    hints = [attribute.get("hint", "") for attribute in attributes]
    assert len(set(hints)) == len(hints)
    assert all(hint.endswith(".") and len(hint) < 60 for hint in hints)


@pytest.mark.parametrize(("folder", "count"), [(folder, count) for folder, (_, count) in DATA.items()])
def test_labeling_configs_data_is_complete_and_without_duplicates(folder: str, count: int) -> None:
    rows = read_rows(folder)
    aspects = {aspect.split("/")[1] for aspect in ASPECTS if aspect.startswith(f"{folder}/")}
    assert len(rows) == count
    assert len({row["id"] for row in rows}) == count
    assert len({row["text"] for row in rows}) == count
    assert all(row["text"].strip() for row in rows)
    assert all(row["gold"].keys() == row["teacher"].keys() == aspects for row in rows)


@pytest.mark.parametrize("who", ["gold", "teacher"])
def test_labeling_configs_spans_lie_inside_the_text(who: str) -> None:
    bad = {row["id"]: find_bad_spans(row, row[who]["terms"]) for row in read_rows("market")}
    assert {number: spans for number, spans in bad.items() if spans} == {}


@pytest.mark.parametrize("folder", DATA)
def test_labeling_configs_ship_guidelines_that_name_every_label(folder: str) -> None:
    guidelines = (CONFIGS / folder / "GUIDELINES.md").read_text(encoding="utf-8")
    names = [aspect for aspect in ASPECTS if aspect.startswith(f"{folder}/")]
    labels = {label for name in names for label in read_config(name).get_control(name.split("/")[1]).labels}
    assert [label for label in labels if label not in guidelines] == []
