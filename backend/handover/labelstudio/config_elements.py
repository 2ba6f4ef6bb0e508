"""The elements of a labeling config as Label Studio's frontend sees them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Element:
    """One XML element with lower-case tag and attribute names."""

    node: Any
    tag: str
    attrs: Mapping[str, str]

    @property
    def name(self) -> str:
        """Its name, empty if it has none."""
        return self.attrs.get("name", "")

    @property
    def shown(self) -> str:
        """The element in a message."""
        name = f" name={quoted(self.name)}" if self.name else ""
        return f"<{shortened(str(self.node.tag))}{name}>"

    @property
    def own_text(self) -> str:
        """What is written between its tags."""
        return (self.node.text or "").strip()

    def ancestors(self) -> Iterator[Element]:
        """The elements around it, the nearest first."""
        return (element_of(node) for node in self.node.iterancestors())

    def descendants(self, tag: str) -> list[Element]:
        """The elements with a tag inside of it, at any depth."""
        found = (element_of(node) for node in self.node.iterdescendants() if isinstance(node.tag, str))
        return [element for element in found if element.tag == tag]


def element_of(node: Any) -> Element:
    """The element of an lxml node."""
    return Element(node, node.tag.lower(), {key.lower(): value for key, value in node.attrib.items()})


def quoted(value: str) -> str:
    """A value from a config in a message."""
    return f"'{shortened(value)}'"


def shortened(value: str) -> str:
    """At most 60 characters."""
    return value if len(value) <= 60 else f"{value[:57]}..."
