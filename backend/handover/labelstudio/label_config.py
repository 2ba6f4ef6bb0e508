"""A labeling config (XML) read as the aspects Handover works on and the tags it has to set aside.

The XML is parsed by Label Studio's own `LabelInterface`. What is checked here is what its frontend does with
a tag beyond that: labels taken from the task, controls that are shown only sometimes, values that are no
plain task variable (seen in the sources of Label Studio 1.23.2: `tags/control/*.jsx`, `utils/data.js`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from handover.domain import Aspect, Kind, Label
from handover.errors import ConfigError

SUPPORTED = frozenset({Kind.CHOICE, Kind.ENTITIES})
"""The kinds that have a teacher task, a student recipe and a conversion."""

MAX_CONFIG_CHARS = 1_000_000
"""Longer labeling configs are refused; a label takes about 50 characters."""

_KINDS = {
    ("choices", "single"): Kind.CHOICE,
    ("choices", "single-radio"): Kind.CHOICE,
    ("choices", "multiple"): Kind.CHOICES,
    ("labels", "single"): Kind.ENTITIES,
    # A region with two labels is two spans that overlap.
    ("labels", "multiple"): Kind.SPANS,
}
_SPELLINGS = {
    Kind.CHOICE: "<Choices choice='single'>",
    Kind.ENTITIES: "<Labels>",
}
_FINE_PRINT = {"5", "6"}  # sizes below a <Header>'s usual 4: how to answer rather than what
_CONDITIONS = ("visiblewhen", "whentagname", "whenlabelvalue", "whenchoicevalue", "whenrole")
_PLAIN_VARIABLE = re.compile(r"\$([A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*)")
# What the frontend replaces by a field of the task (`parseValue`), anywhere in a value.
_TASK_VARIABLE = re.compile(r"\$[A-Za-z0-9_\[\].{}]+")
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
class _Element:
    """One XML element as the frontend sees it: lower-case tag and attribute names."""

    node: Any
    tag: str
    attrs: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.attrs.get("name", "")

    @property
    def shown(self) -> str:
        name = f" name={_quoted(self.name)}" if self.name else ""
        return f"<{_short(str(self.node.tag))}{name}>"

    @property
    def own_text(self) -> str:
        return (self.node.text or "").strip()

    def ancestors(self) -> Iterator[_Element]:
        return (_element(node) for node in self.node.iterancestors())

    def descendants(self, tag: str) -> list[_Element]:
        found = (_element(node) for node in self.node.iterdescendants() if isinstance(node.tag, str))
        return [element for element in found if element.tag == tag]


def parse_label_config(xml: str) -> ParsedConfig:
    """Read the aspects of a labeling config.

    One bad tag does not spoil the others: it is set aside with a reason. A label's name is what Label Studio
    stores, its alias where it has one. An aspect's question is the nearest <Header> before its tag that no
    other control tag has claimed already (a wrong question misleads the teacher more than none); one in small
    print (size 5 or 6) only if there is no other.

    Raises ConfigError if the XML is broken, too long, holds a DOCTYPE, or has no control tag at all.
    """
    interface, elements = _read(without_declaration(xml))
    counts = Counter(element.name for element in elements if element.name)
    aspects: list[Aspect] = []
    aside: list[SetAside] = []
    for element, question in _controls(elements, interface):
        problem = _problem(element, interface, counts)
        if problem:
            aside.append(SetAside(element.name, str(element.node.tag), f"Tag {element.shown} {problem}"))
        else:
            aspects.append(_aspect(element, interface, question))
    if not aspects and not aside:
        raise ConfigError(
            f"The labeling config has no control tag, so there is nothing to predict. Add one of these: {_supported()}."
        )
    return ParsedConfig(tuple(aspects), tuple(aside))


def without_declaration(xml: str) -> str:
    """The config without byte order mark and `<?xml …?>`, at which Label Studio 1.23 fails (error 500)."""
    return _DECLARATION.sub("", xml.removeprefix("\ufeff")).strip()


def _read(xml: str) -> tuple[Any, list[_Element]]:
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
    return interface, [_element(node) for node in root.iter() if isinstance(node.tag, str)]


def _element(node: Any) -> _Element:
    return _Element(node, node.tag.lower(), {key.lower(): value for key, value in node.attrib.items()})


def _controls(elements: list[_Element], interface: Any) -> Iterator[tuple[_Element, str]]:
    """The control tags in document order, each with its question."""
    question = fine_print = ""
    names = {control.name for control in interface.controls}
    for element in elements:
        if element.tag == "header" and element.attrs.get("size", "") in _FINE_PRINT:
            fine_print = _header_text(element, names) or fine_print
        elif element.tag == "header":
            question = _header_text(element, names) or question
        elif _is_control(element, names):
            yield element, question or fine_print
            question = fine_print = ""


def _is_control(element: _Element, names: set[str]) -> bool:
    if element.tag == "filter":
        return False
    nameless = element.tag in {"choices", "labels", "relations"}
    return nameless or (element.name in names and bool(element.attrs.get("toname")))


def _header_text(element: _Element, names: set[str]) -> str:
    """A header's words; empty if they come from the task or only group the labels of a control tag."""
    if any(_is_control(ancestor, names) for ancestor in element.ancestors()):
        return ""
    text = (element.own_text or element.attrs.get("value", "")).strip()
    return "" if _TASK_VARIABLE.search(text) else text


def _aspect(element: _Element, interface: Any, question: str) -> Aspect:
    control = interface.get_control(element.name)
    hints = {name: label.attr.get("hint", "").strip() for name, label in control.labels_attrs.items()}
    variable = _PLAIN_VARIABLE.fullmatch(control.objects[0].value)
    return Aspect(
        name=element.name,
        to_name=control.to_name[0],
        kind=_KINDS[element.tag, element.attrs.get("choice", "single")],
        labels=tuple(Label(name, hint) for name, hint in hints.items()),
        text_field=variable.group(1) if variable else "",
        question=question,
    )


def _problem(element: _Element, interface: Any, counts: Mapping[str, int]) -> str:
    """Why a control tag cannot be used, as the rest of a sentence; empty if it can."""
    return (
        _kind_problem(element)
        or _name_problem(element, counts)
        or _condition_problem(element)
        or _object_problem(element, interface, counts)
        or _label_problem(element, interface)
    )


def _kind_problem(element: _Element) -> str:
    choice = element.attrs.get("choice", "single")
    kind = Kind.RELATIONS if element.tag == "relations" else _KINDS.get((element.tag, choice))
    if kind in SUPPORTED:
        return ""
    detail = f" with choice={_quoted(choice)}" if element.tag in {"choices", "labels"} else ""
    return f"{detail} is not supported. Supported: {_supported()}.".lstrip()


def _name_problem(element: _Element, counts: Mapping[str, int]) -> str:
    for attribute in ("name", "toName"):
        if not element.attrs.get(attribute.lower(), "").strip():
            return f"has no {attribute}. Add one."
    if "toName" not in element.node.attrib or "name" not in element.node.attrib:
        return "spells its attributes in another case; Label Studio's server reads only name and toName."
    if counts[element.name] > 1:
        return f"shares its name with {counts[element.name] - 1} other tag(s). Give each its own."
    return ""


def _condition_problem(element: _Element) -> str:
    for attribute in ("perRegion", "perItem"):
        if element.attrs.get(attribute.lower()) == "true":
            return f"asks about single regions or items ({attribute}), expected one question a text."
    for place in (element, *element.ancestors()):
        if place.tag == "repeater":
            return "is repeated by a <Repeater>, expected one tag for one text."
        condition = next((name for name in _CONDITIONS if place.attrs.get(name, "").strip()), "")
        if condition:
            return f"is shown only sometimes ({condition} on {place.shown}), expected one that always is."
    return ""


def _object_problem(element: _Element, interface: Any, counts: Mapping[str, int]) -> str:
    control = interface.get_control(element.name)
    if len(control.to_name) != 1 or len(control.objects) != 1:
        return f"has toName={_quoted(element.attrs['toname'])}, expected the name of exactly one <Text> tag."
    target = control.objects[0]
    shown = f"<{_short(target.tag)} name={_quoted(target.name)}>"
    if target.tag.lower() != "text":
        return f"labels {shown}, supported is <Text> only."
    if counts[target.name] > 1:
        return f"labels {shown}, but several tags have that name. Give each tag a name of its own."
    problem = _text_problem(target.value, {key.lower(): value for key, value in target.attr.items()})
    return problem and f"labels {shown} {problem}"


def _text_problem(value: str, attrs: Mapping[str, str]) -> str:
    """What would make Label Studio show another text than the one in the task."""
    if attrs.get("valuetype", "text") != "text":
        return "whose text is fetched from a URL (valueType), expected a text in the task itself."
    for attribute in ("encoding", "resolver"):
        if attrs.get(attribute, "none") not in {"", "none"}:
            return f"whose text is decoded by Label Studio ({attribute}), expected plain text."
    if not _PLAIN_VARIABLE.fullmatch(value):
        return f"with value={_quoted(value)}, expected one task field like '$text' (letters, digits and _)."
    return ""


def _label_problem(element: _Element, interface: Any) -> str:
    child = "choice" if element.tag == "choices" else "label"
    source = element.attrs.get("value", "")
    if source.startswith("$") or element.attrs.get("apiurl"):
        return f"takes its labels from elsewhere ({_short(source) or 'apiUrl'}). Write them into the config."
    labels = interface.get_control(element.name).labels
    if not labels:
        return f"has no <{child.title()}> with a value. Add at least {2 if child == 'choice' else 1}."
    if child == "choice" and len(labels) == 1:
        return f"has only the choice {_quoted(labels[0])}, a decision needs two. Add the other one."
    return next(filter(None, (_child_problem(label) for label in element.descendants(child))), "")


def _child_problem(label: _Element) -> str:
    """What would make Label Studio store another name than the one in the config."""
    value = label.attrs.get("value", "")
    if any(place.tag == "choice" or place.attrs.get("allownested") == "true" for place in label.ancestors()):
        return "has nested choices or allowNested='true', expected a flat list of choices."
    if label.attrs.get("alias"):
        return ""
    if label.own_text and label.own_text != value:
        return f"has another text inside label {_quoted(value)}, which is what gets stored. Remove it."
    if label.tag == "choice" and _TASK_VARIABLE.search(value):
        return f"has the choice {_quoted(value)}, read as a task field by Label Studio. Give it an alias."
    return ""


def _supported() -> str:
    return ", ".join(_SPELLINGS[kind] for kind in Kind if kind in SUPPORTED) + " on <Text>"


def _quoted(value: str) -> str:
    return f"'{_short(value)}'"


def _short(value: str) -> str:
    return value if len(value) <= 60 else f"{value[:57]}..."
