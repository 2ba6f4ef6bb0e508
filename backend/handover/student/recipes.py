"""The recipes: complete spaCy training configs, one file each in `recipes/`, named `<kind>-<recipe>.cfg`."""

from __future__ import annotations

from collections.abc import Collection
from importlib import resources
from typing import TYPE_CHECKING

from handover.domain import Kind
from handover.errors import ConfigError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_DEFAULTS = {
    Kind.CHOICE: ("choice-cnn", "choice-bow", "choice-vectors", "choice-head", "choice-transformer"),
    Kind.CHOICES: ("choices-cnn", "choices-bow"),
    Kind.ENTITIES: ("entities-cnn", "entities-vectors", "entities-transformer"),
    Kind.SPANS: ("spans-ngram", "spans-finder"),
    Kind.RELATIONS: ("relations-ents", "relations-spans"),
}

NEEDS = {
    "vectors": "word vectors: set HANDOVER_VECTORS or HANDOVER_ENCODER",
    "head": "a sentence encoder: install label-studio-handover[encoder] and set HANDOVER_ENCODER",
    "transformer": "a transformer: install label-studio-handover[transformers] and set HANDOVER_TRANSFORMER",
}
"""Recipes that need more than spaCy, by the end of their name, and what that is."""

OWN_STEPS = frozenset({"head", "transformer"})
"""Recipes whose own limit of steps is kept when the setting allows more: theirs are dear, or do nothing."""

GO_ON = frozenset({"choice-cnn", "choice-bow", "entities-cnn"})
"""Recipes that may go on from the weights of an earlier student; measured in docs/recipes.md."""

_STRONGEST = ("transformer", "head", "vectors")

AUTO = "auto"


def recipe_names(kind: Kind, chosen: tuple[str, ...] = (), *, have: Collection[str] = ()) -> tuple[str, ...]:
    """The recipes to try for a kind, best guess first: the chosen ones, else the defaults for which all is there.

    `have` lists what there is of the keys of `NEEDS`. Raises ConfigError for a recipe of another kind, or a chosen
    one that lacks what it needs.
    """
    known = [name for name in available_recipes() if name.startswith(f"{kind.value}-")]
    for name in chosen:
        if name not in known:
            raise ConfigError(f"{name!r} is not a recipe for kind {kind.value!r} (has: {', '.join(known)}).")
        if not _is_ready(name, have):
            raise ConfigError(f"Recipe {name!r} needs {NEEDS[short_name(name)]}.")
    return chosen or tuple(name for name in _DEFAULTS[kind] if _is_ready(name, have))


def chosen_recipes(kind: Kind, setting: str) -> tuple[str, ...]:
    """The recipes of a kind that a setting like `cnn, vectors` names; empty, the defaults, for `auto` and for a
    kind that has none of them. Raises ConfigError for a name that no kind has."""
    wanted = [name for name in setting.replace(",", " ").split() if name != AUTO]
    every = {short_name(name) for name in available_recipes()}
    for name in wanted:
        if name not in every:
            raise ConfigError(f"HANDOVER_RECIPES names {name!r}; there are: {AUTO}, {', '.join(sorted(every))}.")
    names = (f"{kind.value}-{name}" for name in wanted)
    return tuple(name for name in names if name in available_recipes())


def short_name(name: str) -> str:
    """A recipe's name without its kind."""
    return name.partition("-")[2]


def strength(name: str) -> int:
    """How a recipe ranks in our benchmark, 0 the strongest; those that are now better and now worse share a rank."""
    short = short_name(name)
    return _STRONGEST.index(short) if short in _STRONGEST else len(_STRONGEST)


def recipe_text(name: str) -> str:
    """The config of a recipe. Raises ConfigError when there is none of that name."""
    if name not in available_recipes():
        raise ConfigError(f"There is no recipe {name!r} (has: {', '.join(available_recipes())}).")
    return (_folder() / f"{name}.cfg").read_text(encoding="utf-8")


def available_recipes() -> tuple[str, ...]:
    """The names of all recipes."""
    names = (entry.name for entry in _folder().iterdir())
    return tuple(sorted(name.removesuffix(".cfg") for name in names if name.endswith(".cfg")))


def _is_ready(name: str, have: Collection[str]) -> bool:
    return short_name(name) not in NEEDS or short_name(name) in have


def _folder() -> Traversable:
    return resources.files("handover.student") / "recipes"
