"""Write students as one spaCy pipeline that does not need Handover, and holds nobody's texts."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handover.errors import ArtifactError
from handover.student.calibrate import load_calibration
from handover.student.files import appearing
from handover.student.merge import Part, merge_students
from handover.student.model_card import model_card
from handover.student.own_code import OURS, OwnModule, own_modules
from handover.student.pipeline import load_student

if TYPE_CHECKING:
    from spacy.language import Language

Facts = dict[str, Any]

FORMAT = 1
"""Of what `meta.json` says under `handover`."""


@dataclass(frozen=True)
class Logic:
    """Business logic: `add` puts it at the end of a pipeline whose aspects it is told, `facts` describe it."""

    add: Callable[[Language, Sequence[Facts]], None]
    facts: Mapping[str, Any]


def export_students(
    parts: Sequence[Part], target: Path, *, name: str = "", logic: Logic | None = None, force: bool = False
) -> Path:
    """Write one pipeline that answers for the aspects of all `parts` to the folder `target`; returns `target`.

    It predicts what the students predict. `spacy.load(target)` works where only spaCy is installed, unless the
    pipeline has business logic, several aspects that mark entities, or a component of ours: then the code is in
    the folder, and the wheel imports it by itself. `name` is that of the package; else the aspects name it. The
    facts of a part hold JSON values: aspect, kind, labels, version, dev_score, gold scores, teacher … What is not
    known may be missing.

    Raises ArtifactError when `target` is there already (with `force`: when it is not a spaCy pipeline) or cannot
    be written, when a student cannot be loaded or merged, or when a config needs the rest of Handover.
    """
    _check_target(target, force=force)
    nlp, facts = _alone(parts[0]) if len(parts) == 1 else merge_students(parts)
    if logic is not None:
        logic.add(nlp, facts)
    for part, fact in zip(parts, facts, strict=True):
        fact["calibration"] = load_calibration(part.path).to_json()
    _clean_config(nlp)
    modules = own_modules(nlp)
    _set_meta(nlp, facts, modules, name=name, logic=logic)
    try:
        with appearing(target.resolve()) as scratch:
            _write(nlp, scratch, modules)
    except OSError as error:
        raise ArtifactError(f"The pipeline cannot be written to {target}: {error}.") from error
    return target


def _alone(part: Part) -> tuple[Language, list[Facts]]:
    """A single student stays as it is, with its labels as they are."""
    nlp = load_student(part.path)
    spans = nlp.get_pipe_config(nlp.pipe_names[-1]).get("spans_key")
    return nlp, [{**part.facts, "components": nlp.pipe_names, "prefix": "", "spans": spans}]


def _write(nlp: Language, folder: Path, modules: Sequence[OwnModule]) -> None:
    nlp.to_disk(folder)
    _prune_strings(nlp, folder)
    for module in modules:
        shutil.copyfile(module.path, folder / module.path.name)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    (folder / "README.md").write_text(model_card(nlp.meta, nlp.pipe_names, size=size), encoding="utf-8")
    load_student(folder)


def _check_target(target: Path, *, force: bool) -> None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not force:
        raise ArtifactError(f"{target} is there already. Choose another folder, or overwrite it with --force.")
    if not ((target / "meta.json").is_file() and (target / "config.cfg").is_file()):
        raise ArtifactError(f"{target} is not a spaCy pipeline, so it is not overwritten. Choose another folder.")


def _clean_config(nlp: Language) -> None:
    """Take local paths, and what only serves training and only Handover knows, out of the config."""
    import spacy  # noqa: PLC0415 - heavy

    config = nlp.config.copy()
    config["paths"] = dict.fromkeys(config["paths"])
    config["training"]["logger"] = {"@loggers": "spacy.ConsoleLogger.v1"}
    for section in ("training", "initialize", "corpora"):
        if f'"{OURS}' in json.dumps(config.get(section, {}), default=str):
            config[section] = spacy.blank(nlp.lang).config[section]
    nlp.config = config


def _set_meta(
    nlp: Language, facts: Sequence[Facts], modules: Sequence[OwnModule], *, name: str, logic: Logic | None
) -> None:
    aspects = [str(fact.get("aspect", "student")) for fact in facts]
    version = _version([str(fact.get("version", "")) for fact in facts], logic)
    scores = ("dev_score", "gold_score")
    nlp.meta.update(
        {
            # A package name; what follows the + is a local version in the sense of PEP 440.
            "name": _slug(name, nlp.lang) or _slug("_".join(aspects), nlp.lang)[:40].strip("_") or "student",
            "version": f"0.1.0+{version}" if version else "0.1.0",
            "description": f"Answers {', '.join(map(repr, aspects))}. Distilled with Handover.",
            "requirements": sorted({need for module in modules for need in module.requirements}),
            "performance": {
                fact["prefix"] + key: fact[key] for fact in facts for key in scores if fact.get(key) is not None
            },
            "handover": {
                "format": FORMAT,
                "aspects": [*facts],
                "logic": dict(logic.facts) if logic is not None else None,
                "code": {module.name: [list(pair) for pair in module.provides] for module in modules},
            },
        }
    )


def _version(versions: Sequence[str], logic: Logic | None) -> str:
    """The student's version, or a hash of all that is in the pipeline."""
    if len(versions) == 1 and logic is None:
        return re.sub(r"[^a-z0-9]+", ".", versions[0].lower()).strip(".")
    content = [sorted(versions), dict(logic.facts) if logic is not None else None]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _slug(name: str, lang: str) -> str:
    # spaCy puts the language in front.
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_").removeprefix(f"{lang}_")


def _prune_strings(nlp: Language, folder: Path) -> None:
    """Keep only the strings that spaCy brings itself, and the labels.

    spaCy saves every string it has seen, so the words of all training texts. The models work on hashes; they
    need no string but the labels (`StringStore`, https://spacy.io/api/stringstore).
    """
    import spacy  # noqa: PLC0415 - heavy

    own = set(spacy.blank(nlp.lang).vocab.strings)
    labels = {label for name in nlp.pipe_names for label in getattr(nlp.get_pipe(name), "labels", ())}
    text = json.dumps(sorted(own | labels), ensure_ascii=False)
    (folder / "vocab" / "strings.json").write_text(text, encoding="utf-8")
