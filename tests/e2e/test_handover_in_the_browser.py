"""A person at work in the real Label Studio: sees the LLM's suggestion, corrects it, and later the student's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from scripts.simulate import Annotator, annotate
from scripts.stack import LabelStudio
from tests.integration.market import Market, market
from tests.waiting import wait_until

SUBMIT = 'button[aria-label="Submit current annotation"]'


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory, label_studio: LabelStudio, token: str) -> Iterator[Market]:
    with market(tmp_path_factory.mktemp("sides"), label_studio, token) as sides:
        yield sides


def test_browser_person_corrects_the_llm_and_then_sees_the_student(
    page: Page, sides: Market, label_studio: LabelStudio, token: str
) -> None:
    annotator = Annotator(label_studio.url, token)
    wait_until(lambda: sides.stub.requests, backend=sides.backend)

    done = correct_tasks_in_the_browser(page, sides, wanted=2)
    wait_until(lambda: sides.status()["finished"] >= done, backend=sides.backend)

    tally = annotate(annotator, sides.ls_id, "side", sides.gold, limit=110)
    assert tally.blind >= 12
    assert all(version.startswith(("side-teacher-claude", "side-student-")) for version in tally.versions)
    wait_until(lambda: "-student-" in sides.status()["live_version"], timeout=180, backend=sides.backend)

    text, checked = open_a_task_with_suggestion(page, sides)
    assert checked == sides.gold[text] == "Bid", "the LLM would have said Offer"
    # A later student may take the first one's place meanwhile: what is shown and what is live move together.
    wait_until(lambda: shown_versions(annotator, sides) <= {sides.status()["live_version"]}, backend=sides.backend)
    assert all(version.startswith("side-student-") for version in shown_versions(annotator, sides))
    assert set(sides.stub.texts()) <= set(sides.gold), "nothing but the text field leaves"
    annotator.close()


def shown_versions(annotator: Annotator, sides: Market) -> set[str]:
    """The versions of the suggestions that the next task comes with."""
    task = annotator.next_task(sides.ls_id)
    assert task is not None
    return {p["model_version"] for p in task["predictions"] if p["result"]}


def correct_tasks_in_the_browser(page: Page, sides: Market, *, wanted: int) -> int:
    """Work through the label stream until so many wrong suggestions were corrected; returns all tasks done."""
    done = corrected = 0
    page.goto(f"/projects/{sides.ls_id}/data?labeling=1")
    while corrected < wanted:
        text, checked = read_task(page)
        if checked != sides.gold[text]:
            page.locator(f'input[name="{sides.gold[text]}"]').check()
            corrected += checked is not None
        submit(page, text)
        done += 1
        assert done < 40
    return done


def open_a_task_with_suggestion(page: Page, sides: Market) -> tuple[str, str | None]:
    """Skip through the stream by submitting until an open task shows a suggestion Bid."""
    page.goto(f"/projects/{sides.ls_id}/data?labeling=1")
    for _ in range(40):
        text, checked = read_task(page)
        if checked is not None and sides.gold[text] == "Bid":
            return text, checked
        page.locator(f'input[name="{sides.gold[text]}"]').check()
        submit(page, text)
    pytest.fail("no task with a suggestion was left")


def read_task(page: Page) -> tuple[str, str | None]:
    """The text on the screen and the choice that is ticked."""
    expect(page.locator(SUBMIT)).to_be_enabled(timeout=60_000)
    text = page.locator("[class*=richtext__container]").first.inner_text().strip()
    ticked = [name for name in ("Bid", "Offer") if page.locator(f'input[name="{name}"]').is_checked()]
    return text, ticked[0] if ticked else None


def submit(page: Page, text: str) -> None:
    """Submit and wait for the next task."""
    page.locator(SUBMIT).click()
    expect(page.get_by_text(text)).to_have_count(0, timeout=30_000)
