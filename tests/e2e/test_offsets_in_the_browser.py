"""Spans between the real editor and us: drawn behind emoji and line breaks, and suggested ones submitted untouched."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect

from handover.domain import Annotation, Span
from handover.labelstudio.client import LabelStudioClient, NewPrediction
from handover.labelstudio.convert import read_result, write_result
from handover.labelstudio.label_config import parse_label_config
from scripts.stack import LabelStudio

CONFIG = """
<View>
  <Labels name="terms" toName="text"><Label value="PLACE" hotkey="1"/><Label value="GOOD" hotkey="2"/></Labels>
  <Text name="text" value="$text"/>
</View>
"""
(ASPECT,) = parse_label_config(CONFIG).aspects
SUBMIT = 'button[aria-label="Submit current annotation"]'
TEXTS = (
    "plain copper to Rotterdam",
    "👩‍🚀🚢🇧🇷 copper to Rotterdam",
    "first line 😀\r\nsecond line\r\ncopper to Rotterdam",
    "е́ combining מתכת right-to-left copper to Rotterdam",
)


@pytest.fixture
def client(label_studio: LabelStudio, token: str) -> Iterator[LabelStudioClient]:
    client = LabelStudioClient(label_studio.url, token)
    yield client
    client.close()


def place(text: str, word: str, label: str) -> Span:
    start = text.index(word)
    return Span(start, start + len(word), label)


@pytest.mark.parametrize("text", TEXTS)
def test_editor_span_drawn_by_hand_is_read_exactly(page: Page, client: LabelStudioClient, text: str) -> None:
    project = client.create_project("Drawn", CONFIG)
    client.import_tasks(project.id, [{"text": text}])
    open_stream(page, project.id)
    page.keyboard.press("1")
    double_click(page, "Rotterdam")
    expect(page.get_by_text("PLACE").nth(1)).to_be_visible()
    submit(page)
    (annotation,) = annotations_of(client, project.id)
    reading = read_result(annotation, ASPECT, text)
    assert reading.annotation == Annotation(spans=(place(text, "Rotterdam", "PLACE"),))
    assert (reading.repaired, reading.set_aside) == (0, ())


@pytest.mark.parametrize("text", TEXTS)
def test_editor_keeps_a_suggestion_exactly(page: Page, client: LabelStudioClient, text: str) -> None:
    project = client.create_project("Suggested", CONFIG)
    client.import_tasks(project.id, [{"text": text}])
    (ls_id,) = client.task_ids(project.id)
    suggested = Annotation(spans=(place(text, "copper", "GOOD"), place(text, "Rotterdam", "PLACE")))
    result = write_result(suggested, ASPECT, text)
    client.push_predictions(project.id, [NewPrediction(ls_id, result, 0.9, "v1")])
    client._request("PATCH", f"api/projects/{project.id}/", json={"model_version": "v1"})
    open_stream(page, project.id)
    submit(page)
    (annotation,) = annotations_of(client, project.id)
    reading = read_result(annotation, ASPECT, text)
    assert (reading.annotation, reading.repaired, reading.set_aside) == (suggested, 0, ())


def open_stream(page: Page, ls_project_id: int) -> None:
    page.goto(f"/projects/{ls_project_id}/data?labeling=1")
    expect(page.locator(SUBMIT)).to_be_enabled(timeout=60_000)
    expect(page.locator("[class*=richtext__container]").first).to_contain_text("Rotterdam")


def double_click(page: Page, word: str) -> None:
    """Double-click in the middle of a word of the text, which the editor takes as marking it."""
    box = page.evaluate(
        """word => {
          const root = document.querySelector('[class*=richtext__container]');
          const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
          for (let node = walker.nextNode(); node; node = walker.nextNode()) {
            const at = node.data.indexOf(word);
            if (at < 0) continue;
            const range = document.createRange();
            range.setStart(node, at); range.setEnd(node, at + word.length);
            const box = range.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];
          }
        }""",
        word,
    )
    assert box is not None, f"{word} is not on the screen"
    page.mouse.dblclick(*box)


def submit(page: Page) -> None:
    with page.expect_response(lambda answer: "/annotations" in answer.url and answer.request.method == "POST") as made:
        page.locator(SUBMIT).click()
    assert made.value.status == httpx.codes.CREATED


def annotations_of(client: LabelStudioClient, ls_project_id: int) -> list[list[dict]]:
    return [annotation.result for state in client.task_states(ls_project_id) for annotation in state.annotations]
