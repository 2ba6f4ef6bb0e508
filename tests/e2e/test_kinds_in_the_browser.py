"""Choices, overlapping spans and relations in the real editor: suggested ones are drawn, and submitted untouched."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from handover.domain import Annotation, Span
from handover.labelstudio.client import LabelStudioClient, NewPrediction
from handover.labelstudio.convert import read_result, write_result
from handover.labelstudio.label_config import parse_label_config
from handover.serving import each_once
from scripts.stack import LabelStudio
from tests.e2e.test_offsets_in_the_browser import annotations_of, open_stream, place, submit

CONFIG = """
<View>
  <Choices name="topics" toName="text" choice="multiple">
    <Choice value="Price"/><Choice value="Place"/><Choice value="Time"/>
  </Choices>
  <Labels name="phrases" toName="text" choice="multiple"><Label value="GOOD"/><Label value="PLACE"/></Labels>
  <Relations><Relation value="in"/><Relation value="near"/></Relations>
  <Text name="text" value="$text"/>
</View>
"""
TOPICS, PHRASES, RELATIONS = parse_label_config(CONFIG).aspects
TEXT = "👩‍🚀🚢🇧🇷 first 😀\r\nline: copper to Rotterdam"


@pytest.fixture
def client(label_studio: LabelStudio, token: str) -> Iterator[LabelStudioClient]:
    client = LabelStudioClient(label_studio.url, token)
    yield client
    client.close()


def test_editor_keeps_a_suggestion_of_all_kinds_exactly(page: Page, client: LabelStudioClient) -> None:
    copper, rotterdam = place(TEXT, "copper", "GOOD"), place(TEXT, "Rotterdam", "PLACE")
    whole, twin = place(TEXT, "copper to Rotterdam", "GOOD"), Span(rotterdam.start, rotterdam.end, "GOOD")
    spans = (copper, whole, rotterdam, twin)
    edges = [(copper, rotterdam, "in"), (copper, rotterdam, "near"), (whole, twin, "near"), (twin, whole, "near")]
    said = {
        TOPICS: Annotation(cats=("Price", "Time")),
        PHRASES: Annotation(spans=tuple(sorted(spans))),
        RELATIONS: Annotation.connecting(spans, edges),
    }
    project = client.create_project("All kinds", CONFIG)
    client.import_tasks(project.id, [{"text": TEXT}])
    (ls_id,) = client.task_ids(project.id)
    result = each_once([part for aspect in said for part in write_result(said[aspect], aspect, TEXT, score=0.5)])
    assert client.push_predictions(project.id, [NewPrediction(ls_id, result, 0.5, "v1")]) == 1
    client._request("PATCH", f"api/projects/{project.id}/", json={"model_version": "v1"})
    open_stream(page, project.id)
    ticked = [name for name in TOPICS.label_names if page.locator(f'input[name="{name}"]').is_checked()]
    assert ticked == ["Price", "Time"]
    expect(page.locator("[class*=htx-highlight]").first).to_be_visible()
    submit(page)
    (annotation,) = annotations_of(client, project.id)
    for aspect, expected in said.items():
        reading = read_result(annotation, aspect, TEXT)
        assert (reading.annotation, reading.repaired, reading.set_aside) == (expected, 0, ())
