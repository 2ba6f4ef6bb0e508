"""Merge the students of several aspects into one pipeline: one tokenisation, one component an aspect.

spaCy's components share what they write to: all classifiers `doc.cats`, all recognizers `doc.ents`. So labels get
the aspect as a namespace (`battery/Positive`), and where there are several recognizers each one's entities are
kept apart in `doc.spans`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handover.errors import ArtifactError
from handover.student.pipeline import load_student

if TYPE_CHECKING:
    from spacy.language import Language

SEPARATOR = "/"
"""Between aspect and label."""

COMBINED = "entities"
"""The component that fills `doc.ents` where several aspects mark entities."""

RESERVED = frozenset({COMBINED, "catalog", "business_logic"})
"""Names of components and span groups that are not aspects."""


@dataclass(frozen=True)
class Part:
    """The student of one aspect: its folder, and what is known about it (JSON values)."""

    path: Path
    facts: Mapping[str, Any]

    @property
    def aspect(self) -> str:
        """The name of the aspect, unique in the pipeline."""
        return str(self.facts.get("aspect", "student"))


@dataclass(frozen=True)
class _Source:
    """A loaded student and its components, of which the last gives the aspect's answer."""

    part: Part
    nlp: Language
    pipes: tuple[str, ...]

    def factory(self, pipe: str) -> str:
        """The factory of a component."""
        return str(self.nlp.get_pipe_meta(pipe).factory)

    @property
    def recognizes(self) -> bool:
        """Whether it writes to `doc.ents`."""
        return any(self.factory(pipe) in RECOGNIZERS for pipe in self.pipes)


def merge_students(parts: Sequence[Part]) -> tuple[Language, list[dict[str, Any]]]:
    """One pipeline that answers for all aspects, and the facts about each with where its answer is found:
    `components` (the last one gives the answer), `prefix` of its labels, and `spans`, the key of its span group
    (None: `doc.ents`). The pipeline has to be saved and loaded: components still have the vocabulary of their source.

    Raises ArtifactError when a student cannot be loaded, or when they do not go together: other languages, other
    tokenizers, other vectors, or a component that cannot be given a namespace.
    """
    import spacy  # noqa: PLC0415 - heavy

    names = _component_names(parts)
    sources = [_source(part) for part in parts]
    base = _check_together(sources)
    nlp = spacy.blank(base.lang, config={"nlp": {"tokenizer": base.config.interpolate()["nlp"]["tokenizer"]}})
    nlp.tokenizer.from_bytes(base.tokenizer.to_bytes(exclude=["vocab"]), exclude=["vocab"])
    nlp.vocab.vectors, nlp.vocab.lookups = base.vocab.vectors, base.vocab.lookups
    nlp.batch_size = min(source.nlp.batch_size for source in sources)
    recognizers = [names[source.part.aspect] for source in sources if source.recognizes]
    _check_relations(sources)
    facts = [_add(nlp, source, names[source.part.aspect], alone=len(recognizers) < 2) for source in sources]
    if len(recognizers) > 1:
        nlp.add_pipe("handover_combine_entities_v1", name=COMBINED, config={"keys": recognizers})
    return nlp, facts


def _component_names(parts: Sequence[Part]) -> dict[str, str]:
    """A component's name by aspect; config sections allow no dots."""
    names = {part.aspect: re.sub(r"[^\w-]+", "_", part.aspect).strip("_") or "aspect" for part in parts}
    aspects, components = Counter(part.aspect for part in parts), Counter(names.values())
    counted = (*aspects.items(), *components.items())
    double = [name for name, number in counted if number > 1 or name in RESERVED]
    if double:
        raise ArtifactError(
            f"Aspect {double[0]!r} cannot be told from another component of the pipeline. Each aspect needs a name of "
            f"its own, other than {', '.join(sorted(RESERVED))}."
        )
    return names


def _source(part: Part) -> _Source:
    nlp = load_student(part.path)
    shared = [name for name, pipe in nlp.pipeline if hasattr(pipe, "listener_map")]
    for tok2vec in shared:
        _replace_listeners(nlp, tok2vec)
    pipes = tuple(name for name in nlp.pipe_names if name not in shared)
    unknown = [name for name in pipes if nlp.get_pipe_meta(name).factory not in RENAME]
    if unknown or not pipes:
        raise ArtifactError(
            f"The student of aspect {part.aspect!r} has the component {', '.join(unknown) or 'none'}, and cannot be "
            f"merged: {', '.join(sorted(RENAME))} are expected. Export it on its own."
        )
    return _Source(part, nlp, pipes)


def _check_relations(sources: Sequence[_Source]) -> None:
    related = [s.part.aspect for s in sources if any(s.factory(pipe) == RELATIONS for pipe in s.pipes)]
    if len(related) > 1:
        raise ArtifactError(
            f"Aspects {', '.join(map(repr, related))} all write `doc._.relations`, which holds those of one. "
            "Export the others apart."
        )


def _replace_listeners(nlp: Language, tok2vec: str) -> None:
    """Give each component that listens to a shared `tok2vec` or transformer a copy of its own."""
    for name in list(nlp.get_pipe(tok2vec).listener_map):
        paths = _listener_paths(nlp.get_pipe_config(name).get("model", {}), "model")
        nlp.replace_listeners(tok2vec, name, paths)


def _listener_paths(config: Mapping[str, Any], path: str) -> list[str]:
    if "Listener" in str(config.get("@architectures", "")):
        return [path]
    nested = ((key, value) for key, value in config.items() if isinstance(value, Mapping))
    return [found for key, value in nested for found in _listener_paths(value, f"{path}.{key}")]


def _check_together(sources: Sequence[_Source]) -> Language:
    """The pipeline whose tokenizer, vectors and tables serve all. Raises ArtifactError when there is none."""
    base = next((source for source in sources if _has_vectors(source.nlp)), sources[0])
    for source in sources:
        problem = _difference(base.nlp, source.nlp)
        if problem:
            raise ArtifactError(
                f"The students of aspects {base.part.aspect!r} and {source.part.aspect!r} do not go into one pipeline: "
                f"{problem}. Train both with the same language and recipe settings, or export them apart."
            )
    return base.nlp


def _has_vectors(nlp: Language) -> bool:
    return bool(nlp.vocab.vectors.shape[0])


def _difference(base: Language, other: Language) -> str:
    if base.lang != other.lang:
        return f"their languages are {base.lang!r} and {other.lang!r}"
    if base.tokenizer.to_bytes(exclude=["vocab"]) != other.tokenizer.to_bytes(exclude=["vocab"]):
        return "their tokenizers differ"
    if base.vocab.lookups.to_bytes() != other.vocab.lookups.to_bytes():
        return "their lookup tables differ"
    if _has_vectors(other) and base.vocab.vectors != other.vocab.vectors:
        # A vocabulary holds one table, and the layer that reads it takes the one of the text's vocabulary.
        return "their word vectors differ"
    return ""


def _add(nlp: Language, source: _Source, name: str, *, alone: bool) -> dict[str, Any]:
    """Add the components of an aspect under its name; `alone`: no other one recognizes entities."""
    prefix = source.part.aspect + SEPARATOR
    answers = source.pipes[-1]
    keys = _span_keys(source, name)
    spans = keys.get(str(source.nlp.get_pipe_config(answers).get("spans_key")))
    # `add_pipe(source=…)` warns of vectors that differ, which were compared above; a student that has none does not
    # mind the table of another.
    source.nlp.vocab.vectors = nlp.vocab.vectors
    added = []
    for pipe in source.pipes:
        RENAME[source.factory(pipe)](source.nlp.get_pipe(pipe), prefix)
        _rename_spans_keys(source, pipe, keys)
        added.append(name if pipe == answers else f"{name}_{pipe}")
        nlp.add_pipe(pipe, name=added[-1], source=source.nlp)
    if source.recognizes and not alone:
        nlp.add_pipe("handover_set_aside_v1", name=f"{name}_set_aside", config={"key": name})
        spans = name
    return {**source.part.facts, "components": added, "prefix": prefix, "spans": spans}


def _span_keys(source: _Source, name: str) -> dict[str, str]:
    """The new names of an aspect's span groups: its own for that of the answer."""
    answer = source.nlp.get_pipe_config(source.pipes[-1]).get("spans_key")
    old = {str(config["spans_key"]) for pipe in source.pipes for config in _with_spans_key(source, pipe)}
    return {key: name if key == answer else f"{name}_{key}" for key in sorted(old)}


def _rename_spans_keys(source: _Source, pipe: str, keys: Mapping[str, str]) -> None:
    for config in _with_spans_key(source, pipe):
        config["spans_key"] = keys[config["spans_key"]]
    cfg = getattr(source.nlp.get_pipe(pipe), "cfg", {})
    if "spans_key" in cfg:
        cfg["spans_key"] = keys[cfg["spans_key"]]


def _with_spans_key(source: _Source, pipe: str) -> list[dict[str, Any]]:
    """The sections of a component's config that name a span group: its own, and that of a suggester."""
    config = source.nlp.get_pipe_config(pipe)
    return [section for section in (config, config.get("suggester", {})) if "spans_key" in section]


def _rename_cats(pipe: Any, prefix: str) -> None:
    _rename_labels(pipe, prefix)
    if pipe.cfg.get("positive_label"):
        pipe.cfg["positive_label"] = prefix + pipe.cfg["positive_label"]


def _rename_labels(pipe: Any, prefix: str) -> None:
    pipe.cfg["labels"] = [prefix + label for label in pipe.labels]


def _rename_relations(pipe: Any, prefix: str) -> None:
    _rename_labels(pipe, prefix)
    pipe.cfg["span_labels"] = [prefix + label for label in pipe.cfg["span_labels"]]


def _rename_entities(pipe: Any, prefix: str) -> None:
    # The rows of the model belong to actions ordered by frequency and label; a common prefix keeps that order.
    # The empty label is that of tokens outside of entities.
    pipe.moves.initialize_actions(
        {
            action: {prefix + label if label else label: number for label, number in labels.items()}
            for action, labels in pipe.moves.labels.items()
        }
    )


def _rename_nothing(pipe: Any, prefix: str) -> None:
    """A component without labels."""


RELATIONS = "relation_extractor"
SENTENCE_HEAD = "sentence_head"

RENAME: Mapping[str, Callable[[Any, str], None]] = {
    "textcat": _rename_cats,
    "textcat_multilabel": _rename_cats,
    "ner": _rename_entities,
    "span_finder": _rename_nothing,
    "spancat": _rename_labels,
    "spancat_singlelabel": _rename_labels,
    RELATIONS: _rename_relations,
    SENTENCE_HEAD: _rename_labels,
}
"""How the labels of a factory's component get a prefix."""

RECOGNIZERS = ("ner",)
"""Factories whose components write to `doc.ents`."""
