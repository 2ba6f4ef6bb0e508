"""Build an installable package from an exported pipeline, offline, with the setuptools that spaCy brings.

The layout is that of `spacy package` (https://spacy.io/api/cli#package). That command builds in an isolated
environment, which needs the network, and imports the code of a pipeline even where something else has registered
the same names already, which spaCy refuses.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from handover.errors import ArtifactError

_INIT = '''"""{description}"""

from pathlib import Path

import spacy
from spacy.language import Language
from spacy.util import get_model_meta, load_model_from_init_py


def _is_known(registry, name):
    return Language.has_factory(name) if registry == "factories" else spacy.registry.has(registry, name)

{imports}
__version__ = get_model_meta(Path(__file__).parent)["version"]


def load(**overrides):
    return load_model_from_init_py(__file__, **overrides)
'''

_IMPORT = """
if not all(_is_known(registry, name) for registry, name in {provides!r}):
    from . import {module}
"""

_PYPROJECT = """[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = {name}
version = {version}
description = {description}
readme = "README.md"
dependencies = {dependencies}

[project.entry-points.spacy_models]
{name} = {name}

[tool.setuptools]
packages = [{name}]
include-package-data = false

[tool.setuptools.package-data]
{name} = ["meta.json", "{folder}/**"]
"""

_BUILD = "import sys; from setuptools.build_meta import build_wheel; print(build_wheel(sys.argv[1]))"

# Loads the package as an environment without Handover would.
_TRY = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "handover":
            raise ImportError("there is no handover here")
sys.meta_path.insert(0, Refuse())
sys.path.insert(0, sys.argv[1])
from importlib.metadata import EntryPoint
load = EntryPoint.load
EntryPoint.load = lambda self: None if self.value.startswith("handover.") else load(self)
module = __import__(sys.argv[2])
module.load()("A text.")
"""


def build_wheel(pipeline: Path, target: Path, *, force: bool = False) -> Path:
    """Build a wheel from the exported `pipeline` into the folder `target`; returns its path.

    The package depends on this minor version of spaCy and on what the pipeline's components need, brings the
    code of components of ours, and is loaded once without Handover before it is handed out.

    Raises ArtifactError when a file is in the way or the package cannot be built or loaded.
    """
    meta = json.loads((pipeline / "meta.json").read_text(encoding="utf-8"))
    path = target / f"{package_name(meta)}-{meta['version']}-py3-none-any.whl"
    _check_free(path, force=force)
    with tempfile.TemporaryDirectory(prefix="handover-wheel-") as folder:
        source, built, unpacked = (Path(folder) / name for name in ("source", "built", "unpacked"))
        meta["requirements"] = requirements(pipeline, meta)
        _lay_out(pipeline, source, meta)
        built.mkdir()
        _run(_BUILD, str(built), cwd=source, what="The wheel cannot be built")
        (wheel,) = built.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(unpacked)
        _run(_TRY, str(unpacked), package_name(meta), cwd=source, what="The wheel cannot be loaded without Handover")
        _deliver(wheel, path)
    return path


def package_name(meta: Mapping[str, Any]) -> str:
    """The name under which `spacy.load` finds an installed pipeline."""
    return f"{meta['lang']}_{meta['name']}"


def requirements(pipeline: Path, meta: Mapping[str, Any]) -> list[str]:
    """What the package depends on: this minor version of spaCy, and the packages of all components that are not
    spaCy's own or ours, whose code goes along."""
    from spacy.cli.package import get_third_party_dependencies  # noqa: PLC0415 - heavy
    from spacy.util import get_minor_version_range, load_config  # noqa: PLC0415 - heavy

    own = ["label-studio-handover"]
    found = get_third_party_dependencies(load_config(pipeline / "config.cfg", interpolate=True), exclude=own)
    spacy = "spacy" + get_minor_version_range(installed_version("spacy"))
    return sorted({spacy, *found, *meta.get("requirements", ())})


def _lay_out(pipeline: Path, source: Path, meta: Mapping[str, Any]) -> None:
    """The source tree of the package."""
    name = package_name(meta)
    package, folder = source / name, f"{name}-{meta['version']}"
    code: Mapping[str, Sequence[Sequence[str]]] = meta.get("handover", {}).get("code") or {}
    shutil.copytree(pipeline, package / folder, ignore=shutil.ignore_patterns(*(f"{module}.py" for module in code)))
    text = json.dumps(meta, indent=2, ensure_ascii=False)
    for path in (package / "meta.json", package / folder / "meta.json"):
        path.write_text(text, encoding="utf-8")
    for module in code:
        shutil.copyfile(pipeline / f"{module}.py", package / f"{module}.py")
    imports = "".join(
        _IMPORT.format(provides=[tuple(pair) for pair in provides], module=module) for module, provides in code.items()
    )
    description = json.dumps(meta["description"])[1:-1]
    (package / "__init__.py").write_text(_INIT.format(description=description, imports=imports), encoding="utf-8")
    shutil.copyfile(pipeline / "README.md", source / "README.md")
    values = {"name": name, "version": meta["version"], "description": meta["description"]}
    shown = {key: json.dumps(value) for key, value in values.items()}
    dependencies = json.dumps(meta["requirements"])
    project = _PYPROJECT.format(**shown, dependencies=dependencies, folder=folder)
    (source / "pyproject.toml").write_text(project, encoding="utf-8")


def _run(code: str, *arguments: str, cwd: Path, what: str) -> None:
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=env)
    if done.returncode != 0:
        raise ArtifactError(f"{what}: {(done.stderr or done.stdout).strip()[-800:]}")


def _check_free(path: Path, *, force: bool) -> None:
    if path.parent.exists() and not path.parent.is_dir():
        raise ArtifactError(f"{path.parent} is a file; --wheel takes a folder to put the wheel into.")
    if path.exists() and not force:
        raise ArtifactError(f"{path} is there already. Choose another folder, or overwrite it with --force.")


def _deliver(wheel: Path, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.part")
        shutil.copyfile(wheel, scratch)
        scratch.replace(path)
    except OSError as error:
        raise ArtifactError(f"The wheel cannot be written to {path.parent}: {error}.") from error
