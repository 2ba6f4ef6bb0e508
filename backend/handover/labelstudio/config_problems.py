"""What keeps a control tag from being an aspect, as the rest of a sentence that begins with the tag.

Beyond what the XML says, that is what Label Studio's frontend does with a tag: labels taken from the task,
controls that are shown only sometimes, values that are no plain task variable (seen in the sources of Label
Studio 1.23.2: `tags/control/*.jsx`, `utils/data.js`, `stores/RelationStore.js`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from handover.domain import Kind
from handover.labelstudio.config_elements import Element, quoted, shortened

KINDS: Mapping[tuple[str, str], Kind] = {
    ("choices", "single"): Kind.CHOICE,
    ("choices", "single-radio"): Kind.CHOICE,
    ("choices", "multiple"): Kind.CHOICES,
    ("labels", "single"): Kind.ENTITIES,
    # A region with two labels is two spans that overlap.
    ("labels", "multiple"): Kind.SPANS,
}
"""The kind of a tag with an attribute `choice`."""

SPELLINGS: Mapping[Kind, str] = {
    Kind.CHOICE: "<Choices>",
    Kind.CHOICES: "<Choices choice='multiple'>",
    Kind.ENTITIES: "<Labels>",
    Kind.SPANS: "<Labels choice='multiple'>",
    Kind.RELATIONS: "<Relations>",
}
"""How each kind is written in a labeling config."""

CONDITIONS = ("visiblewhen", "whentagname", "whenlabelvalue", "whenchoicevalue", "whenrole")
PLAIN_VARIABLE = re.compile(r"\$([A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*)")
TASK_VARIABLE = re.compile(r"\$[A-Za-z0-9_\[\].{}]+")
"""What the frontend replaces by a field of the task (`parseValue`), anywhere in a value."""


def supported() -> str:
    """The tags that can be used, for messages."""
    return ", ".join(SPELLINGS[kind] for kind in Kind) + " on <Text>"


def problem_of_control(element: Element, interface: Any, counts: Mapping[str, int]) -> str:
    """Why a control tag other than <Relations> cannot be used; empty if it can.

    `counts` says how many tags have a name.
    """
    return (
        _kind_problem(element)
        or _name_problem(element, counts)
        or _condition_problem(element)
        or _object_problem(element, interface, counts)
        or _label_problem(element, interface)
    )


def problem_of_relations(
    element: Element, name: str, *, tags: int, usable: Sequence[Element], counts: Mapping[str, int]
) -> str:
    """Why a <Relations> tag, which gives an aspect with this name, cannot be used; empty if it can.

    `tags` counts the <Relations> tags. `usable` are the <Labels> tags that can be used: relations may connect any
    two regions, so the regions of which tag are meant has to be beyond doubt.
    """
    if tags > 1:
        return f"is one of {tags}, and Label Studio uses only one. Put all <Relation> tags into one of them."
    if counts[name] > (name == element.name):
        return f"would be called {quoted(name)}, which is the name of another tag. Give that one another name."
    if not relation_labels(element):
        return "has no <Relation> with a value. Add at least 1."
    if not usable:
        return "has no <Labels> tag on a <Text> that can be used, so there are no regions to connect. Add one."
    if len(usable) > 1:
        names = ", ".join(quoted(labels.name) for labels in usable)
        return f"could connect the regions of {len(usable)} <Labels> tags ({names}), expected one. Make them one tag."
    return ""


def relation_labels(element: Element) -> list[Element]:
    """The <Relation> tags with a value, each value once. Label Studio stores the value; there is no alias."""
    children = [child for child in element.descendants("relation") if child.attrs.get("value")]
    return list({child.attrs["value"]: child for child in reversed(children)}.values())[::-1]


def _kind_problem(element: Element) -> str:
    choice = element.attrs.get("choice", "single")
    if (element.tag, choice) in KINDS:
        return ""
    detail = f" with choice={quoted(choice)}" if element.tag in {"choices", "labels"} else ""
    return f"{detail} is not supported. Supported: {supported()}.".lstrip()


def _name_problem(element: Element, counts: Mapping[str, int]) -> str:
    for attribute in ("name", "toName"):
        if not element.attrs.get(attribute.lower(), "").strip():
            return f"has no {attribute}. Add one."
    if "toName" not in element.node.attrib or "name" not in element.node.attrib:
        return "spells its attributes in another case; Label Studio's server reads only name and toName."
    if counts[element.name] > 1:
        return f"shares its name with {counts[element.name] - 1} other tag(s). Give each its own."
    return ""


def _condition_problem(element: Element) -> str:
    for attribute in ("perRegion", "perItem"):
        if element.attrs.get(attribute.lower()) == "true":
            return f"asks about single regions or items ({attribute}), expected one question a text."
    for place in (element, *element.ancestors()):
        if place.tag == "repeater":
            return "is repeated by a <Repeater>, expected one tag for one text."
        condition = next((name for name in CONDITIONS if place.attrs.get(name, "").strip()), "")
        if condition:
            return f"is shown only sometimes ({condition} on {place.shown}), expected one that always is."
    return ""


def _object_problem(element: Element, interface: Any, counts: Mapping[str, int]) -> str:
    control = interface.get_control(element.name)
    if len(control.to_name) != 1 or len(control.objects) != 1:
        return f"has toName={quoted(element.attrs['toname'])}, expected the name of exactly one <Text> tag."
    target = control.objects[0]
    shown = f"<{shortened(target.tag)} name={quoted(target.name)}>"
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
    if not PLAIN_VARIABLE.fullmatch(value):
        return f"with value={quoted(value)}, expected one task field like '$text' (letters, digits and _)."
    return ""


def _label_problem(element: Element, interface: Any) -> str:
    child = "choice" if element.tag == "choices" else "label"
    source = element.attrs.get("value", "")
    if source.startswith("$") or element.attrs.get("apiurl"):
        return f"takes its labels from elsewhere ({shortened(source) or 'apiUrl'}). Write them into the config."
    labels = interface.get_control(element.name).labels
    is_decision = child == "choice" and element.attrs.get("choice") != "multiple"
    if not labels:
        return f"has no <{child.title()}> with a value. Add at least {2 if is_decision else 1}."
    if is_decision and len(labels) == 1:
        return f"has only the choice {quoted(labels[0])}, a decision needs two. Add the other one."
    return next(filter(None, (_child_problem(label) for label in element.descendants(child))), "")


def _child_problem(label: Element) -> str:
    """What would make Label Studio store another name than the one in the config."""
    value = label.attrs.get("value", "")
    if any(place.tag == "choice" or place.attrs.get("allownested") == "true" for place in label.ancestors()):
        return "has nested choices or allowNested='true', expected a flat list of choices."
    if label.attrs.get("alias"):
        return ""
    if label.own_text and label.own_text != value:
        return f"has another text inside label {quoted(value)}, which is what gets stored. Remove it."
    if label.tag == "choice" and TASK_VARIABLE.search(value):
        return f"has the choice {quoted(value)}, read as a task field by Label Studio. Give it an alias."
    return ""
