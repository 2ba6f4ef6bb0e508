"""What a training may use beside spaCy and the annotations: an encoder, word vectors, a transformer."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handover.errors import ConfigError
from handover.student.encoder import Remembering, encoder_id, find_encoder, remembering_encoder
from handover.student.word_vectors import distilled_vectors


@dataclass(frozen=True)
class Resources:
    """What there is. `vectors` is a spaCy package or folder; without one they are distilled from the encoder.
    `transformer` is a Hugging Face name or a folder. `cache_dir` keeps distilled vectors; without it they are
    not made."""

    encoder: Path | None = None
    vectors: str = ""
    transformer: str = ""
    cache_dir: Path | None = None

    @property
    def available(self) -> frozenset[str]:
        """Which needs of recipes can be met: keys of `recipes.NEEDS`."""
        has_encoder = self.encoder is not None
        distilled = has_encoder and self.cache_dir is not None
        there = {
            "vectors": bool(self.vectors) or distilled,
            "head": has_encoder,
            "transformer": bool(self.transformer),
        }
        return frozenset(name for name, is_there in there.items() if is_there)

    @property
    def identity(self) -> list[str]:
        """What a student's version depends on."""
        encoder = encoder_id(self.encoder) if self.encoder is not None else ""
        return [encoder, self.vectors, self.transformer]

    def load_encoder(self) -> Remembering | None:
        """The encoder in memory, None when there is none."""
        return remembering_encoder(self.encoder) if self.encoder is not None else None

    def overrides(self, need: str, language: str) -> dict[str, Any]:
        """The settings of a recipe's config that name what it needs (a key of `recipes.NEEDS`, or anything else
        for nothing)."""
        if need == "transformer":
            return {"components.transformer.model.name": self.transformer}
        if need == "head":
            return {"paths.encoder": str(self.encoder)}
        if need != "vectors":
            return {}
        if not self.vectors and self.encoder is not None and self.cache_dir is not None:
            return {"paths.vectors": str(distilled_vectors(self.encoder, language=language, cache_dir=self.cache_dir))}
        return {"paths.vectors": self.vectors}


def find_resources(*, encoder: str, vectors: str, transformer: str, cache_dir: Path) -> Resources:
    """Resources from their names in the settings. Raises ConfigError for what is named and not there."""
    if transformer and importlib.util.find_spec("spacy_transformers") is None:
        raise ConfigError(
            f"Transformer {transformer!r} needs the package spacy-transformers. Install "
            "label-studio-handover[transformers], or empty HANDOVER_TRANSFORMER."
        )
    if vectors and not _is_pipeline(vectors):
        raise ConfigError(
            f"There are no vectors {vectors!r}: expected an installed spaCy package, such as en_core_web_md, or a "
            "folder. Check HANDOVER_VECTORS."
        )
    if transformer and _package_with_encoder(transformer):
        transformer = str(_package_with_encoder(transformer))
    return Resources(find_encoder(encoder), vectors, transformer, cache_dir)


def _is_pipeline(name: str) -> bool:
    if Path(name).is_dir():
        return (Path(name) / "meta.json").is_file()
    return name.isidentifier() and importlib.util.find_spec(name) is not None


def _package_with_encoder(name: str) -> Path | None:
    try:
        return find_encoder(name)
    except ConfigError:
        return None
