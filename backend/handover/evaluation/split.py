"""Which task is gold, dev or train: decided by a stable hash of the text, near-identical texts together.

A text is fingerprinted once. Near-identical texts are found by MinHash (Broder 1997) with banding (Leskovec,
Rajaraman and Ullman, Mining of Massive Datasets, chapter 3): look up the group heads that share a band, and
let `find_head` choose. A group's key is the key of its first text; `assign_split` turns it into a split, so a
whole group is always in one split.
"""

from __future__ import annotations

import hashlib
import unicodedata
import zlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from handover.domain import Split

NEAR_DUPLICATE = 0.9
"""Texts at least this similar are one group. One changed character in 100 gives 0.94, one changed word of six
letters 0.85. Messages made from one pattern with other names and prices reach 0.85 although their answers
differ, so a lower value would tie different tasks together; at 0.9 only retyped texts are joined."""

_SHINGLE = 3
_PERMUTATIONS = 128
# A pair with similarity s shares a band with probability 1 - (1 - s^8)^8: 0.99 at 0.9, 0.03 at 0.5.
_BANDS = 8
_ROWS = 8
_BATCH = 8192
_SIGNATURE_TYPE = np.dtype("<u4")
_HEX_DIGITS = 13  # 52 bits: as many as a float holds without rounding up to 1.0.


@dataclass(frozen=True)
class Fingerprint:
    """What is stored about a text to find near-identical ones.

    `key` is the SHA-256 hex digest of the normalised text, `signature` 128 little-endian 32-bit MinHash
    values, `bands` eight strings to index: two texts that share none of them are not near-identical (99 %
    sure at `NEAR_DUPLICATE`, more above it).
    """

    key: str
    signature: bytes
    bands: tuple[str, ...]


class _CharacterTable(dict[int, str | None]):
    """`str.translate` table that fills itself: marks become spaces, invisible characters vanish."""

    def __missing__(self, code: int) -> str | None:
        char = chr(code)
        category = unicodedata.category(char)
        value: str | None = char
        if category[0] in "PSZ" or char.isspace():
            value = " "
        elif category in {"Cc", "Cf", "Cn"} or 0xFE00 <= code <= 0xFE0F:
            value = None  # Control, format and unassigned characters, and variation selectors.
        self[code] = value
        return value


_CHARACTERS = _CharacterTable()


def normalise(text: str) -> str:
    """Bring a text into the form in which near-identical texts are equal.

    NFKC, case folding, punctuation and symbols to spaces, white space collapsed; letters, combining marks and
    digits stay. A text of punctuation alone keeps it, so that `?` and `!` remain different texts.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    words = " ".join(folded.translate(_CHARACTERS).split())
    return words or " ".join(folded.split())


def key_of(text: str) -> str:
    """The key of a text alone; much faster than its fingerprint."""
    return _key(normalise(text))


def fingerprint(text: str) -> Fingerprint:
    """The fingerprint of one text; the same on every machine and in every process."""
    return fingerprints([text])[0]


def fingerprints(texts: Iterable[str]) -> list[Fingerprint]:
    """The fingerprints of many texts, in their order (about 0.1 ms for a text of 100 characters)."""
    return [_fingerprint(normalise(text)) for text in texts]


def _fingerprint(normalised: str) -> Fingerprint:
    signature = _signature(normalised)
    return Fingerprint(
        key=_key(normalised),
        signature=signature,
        bands=bands_of(signature),
    )


def _key(normalised: str) -> str:
    return hashlib.sha256(normalised.encode("utf-8", "surrogatepass")).hexdigest()


def _signature(normalised: str) -> bytes:
    last = max(1, len(normalised) - _SHINGLE + 1)
    shingles = sorted({normalised[i : i + _SHINGLE] for i in range(last)})
    minhash = _empty_minhash().copy()
    for start in range(0, len(shingles), _BATCH):  # In batches: all at once takes 0.5 KB for each shingle.
        minhash.update_batch([s.encode("utf-8", "surrogatepass") for s in shingles[start : start + _BATCH]])
    return bytes(minhash.hashvalues.astype(_SIGNATURE_TYPE).tobytes())


@lru_cache(maxsize=1)
def _empty_minhash() -> Any:
    """The MinHash all others are copied from. CRC-32 is stable and fast; the scheme mixes its bits."""
    from datasketch import MinHash  # noqa: PLC0415 - takes seconds to import

    return MinHash(num_perm=_PERMUTATIONS, seed=1, hashfunc=zlib.crc32, scheme="affine32")


def bands_of(signature: bytes) -> tuple[str, ...]:
    """The bands of a signature."""
    width = _ROWS * _SIGNATURE_TYPE.itemsize
    parts = (signature[i * width : (i + 1) * width] for i in range(_BANDS))
    return tuple(f"{i}:{hashlib.blake2b(part, digest_size=8).hexdigest()}" for i, part in enumerate(parts))


def similarity(a: bytes, b: bytes) -> float:
    """Estimated Jaccard similarity of two texts' character trigrams, from their signatures.

    The standard error is 0.027 at 0.9. Raises ValueError when the signatures have different lengths.
    """
    if len(a) != len(b):
        raise ValueError(f"Signatures have {len(a)} and {len(b)} bytes; make both with the same version.")
    return float(np.mean(np.frombuffer(a, _SIGNATURE_TYPE) == np.frombuffer(b, _SIGNATURE_TYPE)))


def find_head(signature: bytes, heads: Iterable[tuple[str, bytes]]) -> str | None:
    """The group a text joins: the oldest head (first text of a group) that is near, None for a new group.

    `heads` are (key, signature), oldest first; those that share a band with the text are enough. Only heads
    count, so groups do not chain. The oldest and not the nearest, because heads are only ever added: an equal
    text that comes later finds the same group, whatever heads have come in between.
    """
    return next((key for key, other in heads if similarity(signature, other) >= NEAR_DUPLICATE), None)


def group_near_duplicates(texts: Iterable[str]) -> list[str]:
    """The group key of each text, in memory; a group is named after the first of its texts in this order."""
    heads: list[tuple[str, bytes]] = []
    buckets: defaultdict[str, list[int]] = defaultdict(list)
    groups = []
    for text in fingerprints(texts):
        candidates = sorted({i for band in text.bands for i in buckets[band]})
        group = find_head(text.signature, (heads[i] for i in candidates))
        if group is None:
            group = text.key
            for band in text.bands:
                buckets[band].append(len(heads))
            heads.append((text.key, text.signature))
        groups.append(group)
    return groups


def share_of(key: str, *, part: int = 0) -> float:
    """A number in [0, 1), uniform over keys. Parts 0 to 3 of one key are independent of each other.

    Raises ValueError when the key is not a SHA-256 hex digest or has no such part.
    """
    digits = key[part * _HEX_DIGITS : (part + 1) * _HEX_DIGITS]
    if len(key) != 64 or len(digits) != _HEX_DIGITS:
        raise ValueError(f"Expected 64 hex digits and a part from 0 to 3, got {len(key)} digits, part {part}.")
    return float(int(digits, 16) / 16**_HEX_DIGITS)


def assign_split(key: str, *, gold_share: float, dev_share: float) -> Split:
    """The split of a text or of a group, from its key.

    `gold_share` is a share of all texts, `dev_share` a share of those that are not gold. Gold sets are
    nested: raising `gold_share` adds gold and removes none.
    """
    if share_of(key) < gold_share:
        return Split.GOLD
    return Split.DEV if share_of(key, part=1) < dev_share else Split.TRAIN
