"""A random encoder in Hugging Face's format, of a few kilobytes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

WORDS = ("bid", "offer", "seeks", "sells", "cargo", "oslo", "pays", "##s")
WIDTH, INNER, LAYERS = 16, 32, 2


def write_encoder(folder: Path, *, first_token: bool = False) -> Path:
    """Write config, tokenizer and weights; returns the folder. Needs the extra `encoder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(_config()), encoding="utf-8")
    _tokenizer().save(str(folder / "tokenizer.json"))
    from safetensors.numpy import save_file

    save_file(_weights(), folder / "model.safetensors")
    if first_token:
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    return folder


def _config() -> dict[str, object]:
    return {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "hidden_act": "gelu",
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "num_attention_heads": 4,
        "num_hidden_layers": LAYERS,
        "max_position_embeddings": 64,
        "type_vocab_size": 2,
        "vocab_size": len(WORDS) + 4,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
    }


def _tokenizer() -> object:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    vocabulary = {token: i for i, token in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_padding(length=32)  # as many published tokenizers have it; ours must not mind
    return tokenizer


def _weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {
        "embeddings.word_embeddings.weight": (len(WORDS) + 4, WIDTH),
        "embeddings.position_embeddings.weight": (64, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
    }
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}"
        parts = {
            "attention.self.query": (WIDTH, WIDTH),
            "attention.self.key": (WIDTH, WIDTH),
            "attention.self.value": (WIDTH, WIDTH),
            "attention.output.dense": (WIDTH, WIDTH),
            "intermediate.dense": (INNER, WIDTH),
            "output.dense": (WIDTH, INNER),
        }
        shapes |= {f"{layer}.{part}.weight": shape for part, shape in parts.items()}
        shapes |= {f"{layer}.{part}.bias": shape[:1] for part, shape in parts.items()}
    weights = {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    norms = ["embeddings.LayerNorm"]
    for number in range(LAYERS):
        norms += [f"encoder.layer.{number}.{part}.LayerNorm" for part in ("attention.output", "output")]
    for norm in norms:
        weights[f"{norm}.weight"] = np.full(WIDTH, 1.5, dtype=np.float32)
        weights[f"{norm}.bias"] = np.full(WIDTH, 0.1, dtype=np.float32)
    return weights
