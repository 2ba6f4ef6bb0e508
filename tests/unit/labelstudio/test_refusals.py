"""What Label Studio refuses, as a sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from label_studio_sdk.core.api_error import ApiError

from handover.errors import LabelStudioError
from handover.labelstudio.client import _call


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (
            401,
            {"id": "x", "status_code": 401, "detail": "Invalid token.", "exc_info": None},
            "Label Studio answered 401 while asking: Invalid token. Check the token: Account & Settings in Label "
            "Studio shows it.",
        ),
        (
            400,
            json.dumps({"detail": "Validation error", "validation_errors": {"url": ["Enter a valid URL."]}}),
            "Label Studio answered 400 while asking: Validation error {'url': ['Enter a valid URL.']}",
        ),
        (500, "<html>", "Label Studio answered 500 while asking: <html>"),
        (502, None, "Label Studio answered 502 while asking: None"),
    ],
)
def test_client_says_what_label_studio_said(status: int, body: Any, said: str) -> None:
    def refuse() -> None:
        raise ApiError(status_code=status, body=body)

    with pytest.raises(LabelStudioError) as caught:
        _call("asking", refuse)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("status", "advice"), [(403, "SSRF_PROTECTION_ENABLED=false"), (404, "Check the id"), (401, "Check the token")]
)
def test_client_says_what_to_do(status: int, advice: str) -> None:
    def refuse() -> None:
        raise ApiError(status_code=status, body={"detail": "No."})

    with pytest.raises(LabelStudioError, match=advice):
        _call("asking", refuse)
