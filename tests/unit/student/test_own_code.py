"""Which code of ours leaves with a pipeline."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from spacy.util import registry
from thinc.api import Config

import handover.shipped.entity_sets
from handover.errors import ArtifactError
from handover.student.own_code import own_modules


def modules(**config: Any) -> Any:
    return own_modules(SimpleNamespace(config=Config(config)))  # type: ignore[arg-type]


def test_own_modules_of_spacys_own_parts_are_none() -> None:
    model = {"@architectures": "spacy.TextCatBOW.v3"}
    assert modules(components={"a": {"factory": "textcat", "model": model}}) == ()


def test_own_modules_are_named_once_with_what_they_provide() -> None:
    factories = ("handover_combine_entities_v1", "handover_set_aside_v1")
    (module,) = modules(components={factory: {"factory": factory} for factory in factories})
    assert (module.name, str(module.path)) == ("entity_sets", handover.shipped.entity_sets.__file__)
    assert module.provides == tuple(("factories", factory) for factory in factories)
    assert module.requirements == ()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "handover.Entangled.v1",
            r"uses handover\.Entangled\.v1, which needs the rest of Handover",
        ),
        ("handover.Never.v1", r"uses handover\.Never\.v1, which is not registered here"),
    ],
)
def test_own_modules_that_cannot_leave(name: str, says: str) -> None:
    registry.misc.register("handover.Entangled.v1", func=own_modules)
    with pytest.raises(ArtifactError, match=says):
        modules(components={"a": {"factory": "textcat", "extra": {"@misc": name}}})
