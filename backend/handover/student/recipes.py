"""The recipes: complete spaCy training configs, one file each in `recipes/`."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from handover.domain import Kind
from handover.errors import ConfigError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_DEFAULTS = {
    Kind.CHOICE: ("choice-cnn", "choice-bow"),
    Kind.CHOICES: ("choices-cnn", "choices-bow"),
    Kind.ENTITIES: ("entities-cnn",),
    Kind.SPANS: ("spans-ngram", "spans-finder"),
    Kind.RELATIONS: ("relations-ents", "relations-spans"),
}


def recipe_names(kind: Kind, chosen: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The recipes to try for a kind, best guess first. Raises ConfigError for a recipe of another kind."""
    known = [name for name in available_recipes() if name.startswith(f"{kind.value}-")]
    for name in chosen:
        if name not in known:
            raise ConfigError(f"{name!r} is not a recipe for kind {kind.value!r} (has: {', '.join(known)}).")
    return chosen or _DEFAULTS[kind]


def recipe_text(name: str) -> str:
    """The config of a recipe. Raises ConfigError when there is none of that name."""
    if name not in available_recipes():
        raise ConfigError(f"There is no recipe {name!r} (has: {', '.join(available_recipes())}).")
    return (_folder() / f"{name}.cfg").read_text(encoding="utf-8")


def available_recipes() -> tuple[str, ...]:
    """The names of all recipes."""
    names = (entry.name for entry in _folder().iterdir())
    return tuple(sorted(name.removesuffix(".cfg") for name in names if name.endswith(".cfg")))


def _folder() -> Traversable:
    return resources.files("handover.student") / "recipes"
