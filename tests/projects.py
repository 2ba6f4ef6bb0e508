"""A project that tests are about: labeling configs, tasks, annotations."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from handover.labelstudio.protocol import AnnotationIn, TaskIn

CHOICE_CONFIG = """
<View>
  <Header value="Which stage?"/>
  <Text name="text" value="$text"/>
  <Choices name="stage" toName="text" choice="single">
    <Choice value="Bid"/><Choice value="Offer"/><Choice value="Trade"/>
  </Choices>
</View>
"""

ENTITY_CONFIG = """
<View>
  <Labels name="terms" toName="text"><Label value="PRICE"/><Label value="PLACE"/></Labels>
  <Text name="text" value="$text"/>
</View>
"""

MAX_TEXT_CHARS = 50_000
START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def tasks(number: int, *, start: int = 1) -> list[TaskIn]:
    """Tasks with texts that are no near-duplicates."""
    words = "copper zinc diesel wheat sugar methanol urea cotton coffee nickel naphtha corn".split()
    return [
        TaskIn(id=i, data={"text": f"{words[i % 12]} {words[i * 7 % 12]} offered {i * 7919} at {i * 104729}"})
        for i in range(start, start + number)
    ]


def chosen(label: str, *, id: int, seconds: int = 0, **more: Any) -> AnnotationIn:
    """An annotation of the aspect `stage`."""
    result = [{"from_name": "stage", "to_name": "text", "type": "choices", "value": {"choices": [label]}}]
    return AnnotationIn.model_validate(
        {"id": id, "result": result, "updated_at": START + timedelta(seconds=seconds), **more}
    )
