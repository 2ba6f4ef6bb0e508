"""A labeling config (XML) read as the aspects Handover works on and the tags it has to set aside.

The XML is parsed by Label Studio's own `LabelInterface`; what is checked beyond that is in `config_problems`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from handover.domain import Aspect, Kind, Label
from handover.errors import ConfigError
from handover.labelstudio.config_elements import Element, element_of
from handover.labelstudio.config_problems import (
    KINDS,
    PLAIN_VARIABLE,
    TASK_VARIABLE,
    problem_of_control,
    problem_of_relations,
    relation_labels,
    supported,
)

MAX_CONFIG_CHARS = 1_000_000
"""Longer labeling configs are refused; a label takes about 50 characters."""

RELATIONS_NAME = "relations"
"""The name of the aspect of a <Relations> tag, which Label Studio needs no name for."""

_FINE_PRINT = {"5", "6"}  # sizes below a <Header>'s usual 4: how to answer rather than what
_DECLARATION = re.compile(r"^\s*<\?xml\s[^>]*\?>")


@dataclass(frozen=True)
class SetAside:
    """A control tag that cannot be used, and the sentence that says why."""

    name: str
    tag: str
    reason: str


@dataclass(frozen=True)
class ParsedConfig:
    """What a labeling config asks: the aspects in document order, and the control tags set aside."""

    aspects: tuple[Aspect, ...]
    set_aside: tuple[SetAside, ...]


@dataclass(frozen=True)
class _Control:
    """A control tag, its question, and why it cannot be used (empty if it can)."""

    element: Element
    question: str
    problem: str = ""


def parse_label_config(xml: str) -> ParsedConfig:
    """Read the aspects of a labeling config.

    One bad tag does not spoil the others: it is set aside with a reason. A label's name is what Label Studio
    stores, its alias where it has one; its hint is what the annotator reads: the hint, else the value behind
    an alias. An aspect's question is the nearest <Header> before its tag that no other control tag has claimed
    already (a wrong question misleads the teacher more than none); one in small print (size 5 or 6) only if
    there is no other.

    A <Relations> tag becomes an aspect with its name or, as it usually has none, "relations"; it connects the
    regions of the config's only <Labels> tag on a <Text>.

    Raises ConfigError if the XML is broken, too long, holds a DOCTYPE, or has no control tag at all.
    """
    interface, elements = _read(without_declaration(xml))
    counts = Counter(element.name for element in elements if element.name)
    controls = _checked(list(_controls(elements, interface)), interface, counts)
    if not controls:
        raise ConfigError(
            f"The labeling config has no control tag, so there is nothing to predict. Add one of these: {supported()}."
        )
    spans = next((_aspect(c, interface) for c in controls if c.element.tag == "labels" and not c.problem), None)
    return ParsedConfig(
        tuple(_relations(c, spans) or _aspect(c, interface) for c in controls if not c.problem),
        tuple(_set_aside(c) for c in controls if c.problem),
    )


def without_declaration(xml: str) -> str:
    """The config without byte order mark and `<?xml …?>`, at which Label Studio 1.23 fails (error 500)."""
    return _DECLARATION.sub("", xml.removeprefix("\ufeff")).strip()


def _read(xml: str) -> tuple[Any, list[Element]]:
    if len(xml) > MAX_CONFIG_CHARS:
        raise ConfigError(
            f"The labeling config has {len(xml)} characters, the limit is {MAX_CONFIG_CHARS}. Shorten it."
        )
    if "<!DOCTYPE" in xml or "<!ENTITY" in xml:
        raise ConfigError(
            "The labeling config holds a DOCTYPE or an entity, which Label Studio refuses too. Remove it."
        )
    from label_studio_sdk.label_interface import LabelInterface  # noqa: PLC0415 - takes a second to import

    try:
        interface = LabelInterface(xml)
        *_, root = interface.parse(xml)
    except Exception as error:  # the SDK's own error class is private, and it lets some of lxml's through
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConfigError(f"The labeling config is not valid XML ({reason}). Correct it and try again.") from error
    return interface, [element_of(node) for node in root.iter() if isinstance(node.tag, str)]


def _controls(elements: list[Element], interface: Any) -> Iterator[_Control]:
    """The control tags in document order, each with its question."""
    question = fine_print = ""
    names = {control.name for control in interface.controls}
    for element in elements:
        if element.tag == "header" and element.attrs.get("size", "") in _FINE_PRINT:
            fine_print = _header_text(element, names) or fine_print
        elif element.tag == "header":
            question = _header_text(element, names) or question
        elif _is_control(element, names):
            yield _Control(element, question or fine_print)
            question = fine_print = ""


def _is_control(element: Element, names: set[str]) -> bool:
    if element.tag == "filter":
        return False
    nameless = element.tag in {"choices", "labels", "relations"}
    return nameless or (element.name in names and bool(element.attrs.get("toname")))


def _header_text(element: Element, names: set[str]) -> str:
    """A header's words; empty if they come from the task or only group the labels of a control tag."""
    if any(_is_control(ancestor, names) for ancestor in element.ancestors()):
        return ""
    text = (element.own_text or element.attrs.get("value", "")).strip()
    return "" if TASK_VARIABLE.search(text) else text


def _checked(found: Sequence[_Control], interface: Any, counts: Mapping[str, int]) -> list[_Control]:
    """The controls with their problems; that of <Relations> depends on which <Labels> can be used."""
    others = [c for c in found if c.element.tag != "relations"]
    problems = {c.element.node: problem_of_control(c.element, interface, counts) for c in others}
    usable = [c.element for c in others if c.element.tag == "labels" and not problems[c.element.node]]
    relations = [c.element for c in found if c.element.tag == "relations"]
    for element in relations:
        problems[element.node] = problem_of_relations(
            element, _name(element), tags=len(relations), usable=usable, counts=counts
        )
    return [replace(c, problem=problems[c.element.node]) for c in found]


def _set_aside(control: _Control) -> SetAside:
    element = control.element
    return SetAside(element.name, str(element.node.tag), f"Tag {element.shown} {control.problem}")


def _aspect(control: _Control, interface: Any) -> Aspect:
    element, tag = control.element, interface.get_control(control.element.name)
    variable = PLAIN_VARIABLE.fullmatch(tag.objects[0].value)
    kind = KINDS[element.tag, element.attrs.get("choice", "single")]
    return Aspect(
        name=element.name,
        to_name=tag.to_name[0],
        kind=kind,
        labels=tuple(_label(name, label.attr) for name, label in tag.labels_attrs.items()),
        text_field=variable.group(1) if variable else "",
        question=control.question,
        required=kind is Kind.CHOICES and element.attrs.get("required") == "true",
    )


def _relations(control: _Control, spans: Aspect | None) -> Aspect | None:
    """The aspect of a <Relations> tag between the regions of `spans`; None for other tags."""
    if control.element.tag != "relations" or spans is None:
        return None
    return Aspect(
        name=_name(control.element),
        to_name=spans.to_name,
        kind=Kind.RELATIONS,
        labels=tuple(_label(e.attrs["value"], e.attrs) for e in relation_labels(control.element)),
        text_field=spans.text_field,
        question=control.question,
        span_labels=spans.labels,
        spans_from=spans.name,
    )


def _name(relations: Element) -> str:
    return relations.name or RELATIONS_NAME


def _label(name: str, attrs: Mapping[str, str]) -> Label:
    shown = attrs.get("value", name)
    return Label(name, attrs.get("hint", "").strip() or (shown.strip() if shown != name else ""))
