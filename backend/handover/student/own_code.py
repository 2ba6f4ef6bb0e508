"""Which modules of ours a pipeline needs, and whether they can leave with it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handover.errors import ArtifactError

if TYPE_CHECKING:
    from spacy.language import Language

OURS = "handover"
WITH_SPACY = frozenset({"spacy", "thinc", "numpy", "srsly", "catalogue", "confection"})
"""What is installed wherever spaCy is."""


@dataclass(frozen=True)
class OwnModule:
    """A module of ours that registers something the pipeline uses.

    `provides` are pairs of a spaCy registry and a name in it; `requirements` what the module imports beyond spaCy.
    """

    path: Path
    provides: tuple[tuple[str, str], ...]
    requirements: tuple[str, ...]

    @property
    def name(self) -> str:
        """The module's name without its package."""
        return self.path.stem


def own_modules(nlp: Language) -> tuple[OwnModule, ...]:
    """The modules of ours that `spacy.load` of this pipeline needs, sorted by name.

    Raises ArtifactError when one cannot leave, because it imports more of Handover or what the config names is
    not known.
    """
    used: dict[Path, list[tuple[str, str]]] = {}
    config = nlp.config.interpolate()
    for registry, name in sorted(set(_registered(config))):
        path = _module_path(registry, name)
        if path is not None:
            used.setdefault(path, []).append((registry, name))
    return tuple(OwnModule(path, tuple(names), _requirements(path)) for path, names in sorted(used.items()))


def _registered(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Registry and name of everything registered that a config refers to."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _registered(value)
        elif isinstance(value, str) and key.startswith("@"):
            yield key[1:], value
        elif isinstance(value, str) and key == "factory":
            yield "factories", value


def _module_path(registry: str, name: str) -> Path | None:
    """The file of ours that registers a name; None when it is spaCy's or another package's."""
    from catalogue import RegistryError  # noqa: PLC0415 - heavy
    from spacy.util import registry as spacy_registry  # noqa: PLC0415 - heavy

    try:
        module = str(spacy_registry.find(registry, name)["module"] or "")
    except (RegistryError, ValueError):
        if not name.startswith(OURS):
            return None  # a language's own variant; `spacy.load` has found it
        raise ArtifactError(_cannot_leave(name, "is not registered here")) from None
    if module.split(".", maxsplit=1)[0] != OURS:
        return None
    path = Path(str(sys.modules[module].__file__))
    if OURS in _imports(path):
        raise ArtifactError(_cannot_leave(name, f"needs the rest of Handover ({module})"))
    return path


def _cannot_leave(name: str, why: str) -> str:
    return (
        f"The recipe uses {name}, which {why}, so an environment without Handover could not load the pipeline. Use a "
        "recipe of spaCy's own parts for a student that is to be exported."
    )


def _requirements(path: Path) -> tuple[str, ...]:
    from spacy.util import get_minor_version_range  # noqa: PLC0415 - heavy

    known = packages_distributions()
    found = _imports(path) - sys.stdlib_module_names - WITH_SPACY
    distributions = sorted({known[package][0] for package in found if package in known})
    return tuple(name + get_minor_version_range(installed_version(name)) for name in distributions)


def _imports(path: Path) -> set[str]:
    """The top-level packages that a file imports, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(OURS if node.level else str(node.module).split(".")[0])
    return names
