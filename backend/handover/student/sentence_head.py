"""A spaCy component that classifies texts by their words and by what a frozen sentence encoder makes of them.

A softmax regression on tf-idf of words and pairs of words, beside the sentence embedding of a BERT-like encoder that
runs in numpy: no torch. `initialize` fits it, so there is nothing to update. The encoder's weights are kept with the
component (16 bits each), the words as hashes.

The module imports nothing but spaCy, numpy and tokenizers, so that it can be packed with a pipeline that uses it:
`spacy package PIPELINE OUTPUT --code sentence_head.py`.
"""

# No postponed annotations here: spaCy reads the types of `initialize` to check a config.
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.scorer import Scorer
from spacy.strings import get_string_id
from spacy.tokens import Doc
from spacy.training import Example

FACTORY = "sentence_head"
MAX_TOKENS = 256
BATCH_TOKENS = 4096

SILVER = "silver"
"""Key in `doc.user_data` of texts that no person has labelled."""

Fit = Callable[[Any, np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From (values, columns, row starts) of a sparse matrix, embeddings, one-hot answers, and whether they are people's,
to the weights, shape (terms + width, labels), and the bias."""


@dataclass(frozen=True)
class Encoder:
    """A BERT-like sentence encoder. `weights` are named as in Hugging Face's files."""

    config: Mapping[str, Any]
    weights: Mapping[str, np.ndarray]
    tokenizer: Any
    first_token: bool = False

    @property
    def width(self) -> int:
        """Numbers in an embedding."""
        return int(self.config["hidden_size"])

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """One embedding of length 1 per text, shape (texts, width); what is beyond 256 tokens is not read."""
        tokens = [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))]
        vectors = np.zeros((len(texts), self.width), dtype=np.float32)
        for rows in _batches([len(ids) for ids in tokens]):
            vectors[rows] = self._pooled([tokens[row] for row in rows])
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

    def _pooled(self, tokens: Sequence[Sequence[int]]) -> np.ndarray:
        longest = max(map(len, tokens))
        mask = np.array([[position < len(ids) for position in range(longest)] for ids in tokens])
        padded = np.array([[*ids, *[0] * (longest - len(ids))] for ids in tokens], dtype=np.int64)
        hidden = _forward(self.weights, self.config, padded, mask)
        if self.first_token:
            return hidden[:, 0]
        summed: np.ndarray = (hidden * mask[..., None]).sum(axis=1)
        return summed / np.maximum(mask.sum(axis=1), 1)[:, None]


def make_encoder(
    config: Mapping[str, Any], weights: Mapping[str, np.ndarray], tokenizer_json: str, *, first_token: bool
) -> Encoder:
    """An encoder from the contents of its files; the weights are rounded to 16 bits, as they are kept."""
    from tokenizers import Tokenizer  # noqa: PLC0415 - heavy, and other components of ours do without

    tokenizer = Tokenizer.from_str(tokenizer_json)
    tokenizer.no_padding()
    tokenizer.enable_truncation(min(MAX_TOKENS, int(config["max_position_embeddings"])))
    rounded = {name: np.asarray(array, np.float16).astype(np.float32) for name, array in weights.items()}
    return Encoder(config, rounded, tokenizer, first_token)


@Language.factory(FACTORY, assigns=["doc.cats"], default_score_weights={"cats_micro_f": 1.0})
def make_sentence_head(nlp: Language, name: str) -> "SentenceHead":
    """The component, which knows nothing yet."""
    return SentenceHead(name)


class SentenceHead(Pipe):
    """One of several labels per text, by words and sentence embedding."""

    def __init__(self, name: str = FACTORY) -> None:
        self.name = name
        self.cfg: dict[str, Any] = {"labels": []}
        self._encoder: Encoder | None = None
        self._columns: dict[int, int] = {}
        self._rarity: np.ndarray = np.zeros(0)
        self._weights: np.ndarray = np.zeros((0, 0))
        self._bias: np.ndarray = np.zeros(0)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels it tells apart."""
        return tuple(self.cfg["labels"])

    def __call__(self, doc: Doc) -> Doc:
        """Set `doc.cats`."""
        return next(self.pipe([doc]))

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Set `doc.cats` of many docs, a batch at a time."""
        batch: list[Doc] = []
        for doc in stream:
            batch.append(doc)
            if len(batch) == batch_size:
                yield from self._annotate(batch)
                batch = []
        yield from self._annotate(batch)

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: list[str] | None = None,
        encoder: Callable[[], Encoder] | None = None,
        embed: Callable[[Sequence[str]], np.ndarray] | None = None,
        fit: Fit | None = None,
    ) -> None:
        """Fit to the examples. `encoder` loads the encoder, `fit` solves the regression; `embed`, if given, looks
        embeddings up that were made before."""
        if encoder is None or fit is None or labels is None:
            raise ValueError("sentence_head needs an encoder, a fit and labels in [initialize.components].")
        docs = [example.reference for example in get_examples()]
        self.cfg["labels"], self._encoder = list(labels), encoder()
        answers = np.array([[doc.cats.get(label, 0.0) for label in labels] for doc in docs])
        self._learn_words(docs)
        embeddings = (embed or self._encoder.encode)([doc.text for doc in docs])
        by_people = np.array([not doc.user_data.get(SILVER) for doc in docs])
        self._weights, self._bias = fit(self._words(docs), embeddings, answers, by_people)

    def score(self, examples: Iterable[Example], **_: Any) -> dict[str, Any]:
        """spaCy's scores of text categories."""
        return Scorer.score_cats(examples, attr="cats", labels=self.labels, multi_label=False)

    def to_bytes(self, *, exclude: Sequence[str] = ()) -> bytes:
        """Not supported: an encoder belongs into files."""
        raise NotImplementedError("sentence_head is saved to disk only.")

    def to_disk(self, path: Any, *, exclude: Sequence[str] = ()) -> None:
        """Save encoder and regression."""
        encoder = self._fitted()
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        settings = {"labels": self.labels, "config": dict(encoder.config), "first_token": encoder.first_token}
        (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
        (folder / "tokenizer.json").write_text(encoder.tokenizer.to_str(), encoding="utf-8")
        weights: dict[str, Any] = {name: array.astype(np.float16) for name, array in encoder.weights.items()}
        np.savez(folder / "encoder.npz", **weights)
        terms = np.array(list(self._columns), dtype=np.uint64)  # hashes: no word can be read from them
        np.savez(
            folder / "regression.npz",
            terms=terms,
            rarity=self._rarity.astype(np.float32),
            weights=self._weights.astype(np.float32),
            bias=self._bias.astype(np.float32),
        )

    def from_disk(self, path: Any, *, exclude: Sequence[str] = ()) -> "SentenceHead":
        """Load what `to_disk` saved."""
        folder = Path(path)
        settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
        tokenizer = (folder / "tokenizer.json").read_text(encoding="utf-8")
        with np.load(folder / "encoder.npz") as weights:
            self._encoder = make_encoder(
                settings["config"], dict(weights), tokenizer, first_token=settings["first_token"]
            )
        with np.load(folder / "regression.npz") as saved:
            self._columns = {int(term): column for column, term in enumerate(saved["terms"])}
            self._rarity, self._weights, self._bias = saved["rarity"], saved["weights"], saved["bias"]
        self.cfg["labels"] = list(settings["labels"])
        return self

    def _annotate(self, docs: Sequence[Doc]) -> Sequence[Doc]:
        if docs:
            embeddings = self._fitted().encode([doc.text for doc in docs])
            for doc, row in zip(docs, self._probabilities(docs, embeddings), strict=True):
                doc.cats.update(zip(self.labels, map(float, row), strict=True))
        return docs

    def _fitted(self) -> Encoder:
        if self._encoder is None:
            raise ValueError(f"Component {self.name!r} is not trained: call nlp.initialize first.")
        return self._encoder

    def _probabilities(self, docs: Sequence[Doc], embeddings: np.ndarray) -> np.ndarray:
        values, columns, starts = self._words(docs)
        terms = len(self._columns)
        scores = embeddings @ self._weights[terms:] + self._bias
        for row, (start, end) in enumerate(pairwise(starts)):
            scores[row] += values[start:end] @ self._weights[columns[start:end]]
        raised = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities: np.ndarray = raised / raised.sum(axis=1, keepdims=True)
        return probabilities

    def _learn_words(self, docs: Sequence[Doc]) -> None:
        texts_with: dict[int, int] = {}
        for doc in docs:
            for term in set(_terms(doc)):
                texts_with[term] = texts_with.get(term, 0) + 1
        self._columns = {term: column for column, term in enumerate(texts_with)}
        counts = np.array(list(texts_with.values()), dtype=np.float64)
        self._rarity = np.log((1 + len(docs)) / (1 + counts)) + 1

    def _words(self, docs: Sequence[Doc]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """tf-idf as the values, columns and row starts of a sparse matrix; each row has length 1."""
        values: list[np.ndarray] = [np.zeros(0)]
        columns: list[np.ndarray] = [np.zeros(0, dtype=np.int64)]
        starts = [0]
        for doc in docs:
            known = [self._columns[term] for term in _terms(doc) if term in self._columns]
            used, counts = np.unique(np.array(known, dtype=np.int64), return_counts=True)
            weighted = (1 + np.log(counts)) * self._rarity[used]
            values.append(weighted / max(float(np.linalg.norm(weighted)), 1e-12))
            columns.append(used)
            starts.append(starts[-1] + len(used))
        return np.concatenate(values), np.concatenate(columns), np.array(starts)


def _terms(doc: Doc) -> list[int]:
    """Hashes of the lower-cased words of a doc and of the pairs of neighbours."""
    words = [token.lower_ for token in doc if not token.is_space]
    return [_hash(word) for word in (*words, *(f"{first} {second}" for first, second in pairwise(words)))]


def _hash(text: str) -> int:
    # spaCy's own hash: the same everywhere, and no string is kept anywhere.
    return int(get_string_id(text)) if text else int(hashlib.sha256(b"").hexdigest()[:12], 16)


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


def _forward(
    weights: Mapping[str, np.ndarray], config: Mapping[str, Any], ids: np.ndarray, mask: np.ndarray
) -> np.ndarray:
    """The hidden states of the last layer, shape (texts, tokens, width) (Devlin et al., BERT, 2019)."""
    epsilon = np.float32(config.get("layer_norm_eps", 1e-12))

    def linear(states: np.ndarray, name: str) -> np.ndarray:
        product: np.ndarray = states @ weights[f"{name}.weight"].T
        return product + weights[f"{name}.bias"]

    def normed(states: np.ndarray, name: str) -> np.ndarray:
        centred = states - states.mean(axis=-1, keepdims=True)
        scale = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + epsilon)
        scaled: np.ndarray = centred / scale * weights[f"{name}.weight"]
        return scaled + weights[f"{name}.bias"]

    hidden = weights["embeddings.word_embeddings.weight"][ids]
    hidden = hidden + weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
    hidden = normed(hidden + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    padding = np.where(mask, 0.0, -1e9).astype(np.float32)[:, None, None, :]
    heads = int(config["num_attention_heads"])
    for number in range(int(config["num_hidden_layers"])):
        layer = f"encoder.layer.{number}"
        parts = (linear(hidden, f"{layer}.attention.self.{part}") for part in ("query", "key", "value"))
        mixed = _attention(*parts, heads=heads, padding=padding)
        attended = linear(mixed, f"{layer}.attention.output.dense") + hidden
        hidden = normed(attended, f"{layer}.attention.output.LayerNorm")
        inner = _gelu(linear(hidden, f"{layer}.intermediate.dense"))
        hidden = normed(linear(inner, f"{layer}.output.dense") + hidden, f"{layer}.output.LayerNorm")
    return hidden


def _attention(query: np.ndarray, key: np.ndarray, value: np.ndarray, *, heads: int, padding: np.ndarray) -> np.ndarray:
    texts, tokens, width = query.shape
    query, key, value = (
        states.reshape(texts, tokens, heads, width // heads).transpose(0, 2, 1, 3) for states in (query, key, value)
    )
    scores = query @ key.transpose(0, 1, 3, 2) / np.float32(np.sqrt(width // heads)) + padding
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    mixed: np.ndarray = (shares / shares.sum(axis=-1, keepdims=True)) @ value
    return mixed.transpose(0, 2, 1, 3).reshape(texts, tokens, width)


def _gelu(states: np.ndarray) -> np.ndarray:
    """x times the normal distribution's integral up to x; its error function to seven digits (Abramowitz & Stegun,
    Handbook of Mathematical Functions, 7.1.26)."""
    scaled = np.abs(states) * np.float32(np.sqrt(0.5))
    share = 1 / (1 + np.float32(0.3275911) * scaled)
    terms = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
    total = np.zeros_like(share)
    for term in terms:
        total = (total + np.float32(term)) * share
    error = 1 - total * np.exp(-scaled * scaled)
    activated: np.ndarray = states * np.float32(0.5) * (1 + np.sign(states) * error)
    return activated
