"""Fingerprints are stable, near-identical texts stay together, shares are uniform and nested."""

from __future__ import annotations

import hashlib
import math
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import handover
from handover.domain import Split
from handover.evaluation.split import (
    NEAR_DUPLICATE,
    assign_split,
    find_head,
    fingerprint,
    fingerprints,
    group_near_duplicates,
    normalise,
    share_of,
    similarity,
)

TEXT = "Please send a courier for the cracked screen, I bought the phone on 3 May and it never worked well."
KEYS = [hashlib.sha256(f"task {i}".encode()).hexdigest() for i in range(4000)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Hello,\t\nWORLD!! ", "hello world"),
        ("Straße", "strasse"),
        ("ｆｕｌｌ ｗｉｄｔｈ ①", "full width 1"),
        ("don’t", "don t"),
        ("don't", "don t"),
        ("3.5 mt at $369.2", "3 5 mt at 369 2"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("great phone ❤️", "great phone"),
        ("हिन्दी में", "हिन्दी में"),
        ("?!", "?!"),
        ("👍", "👍"),
        ("   ", ""),
        ("", ""),
    ],
)
def test_split_normalise_keeps_words_and_digits(text: str, expected: str) -> None:
    assert normalise(text) == expected


@given(st.text())
def test_split_normalise_is_idempotent_and_keeps_something(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert bool(once) == bool(text.strip())


@given(st.text(min_size=1))
def test_split_every_text_has_a_fingerprint(text: str) -> None:
    found = fingerprint(text)
    assert len(found.key) == 64
    assert len(found.signature) == 512
    assert len(set(found.bands)) == 8
    assert fingerprint(text + "  ") == found


def test_split_fingerprint_accepts_lone_surrogates() -> None:
    assert fingerprint("broken \ud83d emoji").key != fingerprint("broken emoji").key


def test_split_fingerprint_is_pinned() -> None:
    """Stored fingerprints are compared with new ones: if this changes, stored ones have to be made again."""
    found = fingerprint(TEXT)
    assert found.key == hashlib.sha256(normalise(TEXT).encode()).hexdigest()
    assert hashlib.sha256(found.signature).hexdigest()[:16] == "a7a3fda13b0de230"
    assert found.bands[0] == "0:68ba87378b1ef6d8"


def test_split_fingerprint_does_not_depend_on_the_process() -> None:
    code = "import sys; from handover.evaluation.split import fingerprint as f; print(f(sys.argv[1]))"
    package = str(Path(handover.__file__).parents[1])
    env = {**os.environ, "PYTHONPATH": package, "PYTHONHASHSEED": "12345"}
    shown = subprocess.run([sys.executable, "-c", code, TEXT], env=env, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == str(fingerprint(TEXT))


def test_split_fingerprints_keep_the_order_of_the_texts() -> None:
    assert fingerprints([TEXT, "b", "c"]) == [fingerprint(TEXT), fingerprint("b"), fingerprint("c")]


def test_split_long_text_is_fingerprinted_like_the_union_of_its_parts() -> None:
    rng = random.Random(0)
    long = "".join(rng.choice("abcdefghijklmnopqrstuvwxyz ") for _ in range(60_000))
    near = long[:30_000] + "x" + long[30_000:]
    assert similarity(fingerprint(long).signature, fingerprint(near).signature) > 0.99


@pytest.mark.parametrize("changed", ["other", TEXT[:20], TEXT.replace("courier", "technician today")])
def test_split_similarity_estimates_the_jaccard_index_of_trigrams(changed: str) -> None:
    a, b = (normalise(t) for t in (TEXT, changed))
    sets = [{t[i : i + 3] for i in range(len(t) - 2)} for t in (a, b)]
    exact = len(sets[0] & sets[1]) / len(sets[0] | sets[1])
    estimate = similarity(fingerprint(TEXT).signature, fingerprint(changed).signature)
    assert estimate == pytest.approx(exact, abs=4 * math.sqrt(0.25 / 128))


def test_split_similarity_refuses_signatures_of_other_lengths() -> None:
    with pytest.raises(ValueError, match="512 and 4 bytes"):
        similarity(fingerprint(TEXT).signature, b"1234")


def test_split_retyped_texts_are_one_group_and_others_are_not() -> None:
    texts = [
        TEXT,
        TEXT.upper() + "!!!",
        TEXT.replace("courier", "curier"),
        TEXT.replace("3 May", "4 May"),
        TEXT.replace("cracked screen", "broken battery"),
        "Something else entirely, about the price of the phone.",
    ]
    groups = group_near_duplicates(texts)
    assert groups[:4] == [fingerprint(TEXT).key] * 4
    assert len(set(groups)) == 3


def test_split_texts_with_other_numbers_in_one_pattern_are_different_groups() -> None:
    first = "Tamarind Agri offered an LR2 at 91-05 b, an Indian steel mill countered 210 cents/gal, no deal"
    second = "Tamarind Agri offered an LR2 at 210.9 cents/gal, an Indian steel mill countered 52.83, no deal"
    assert len(set(group_near_duplicates([first, second]))) == 2


def test_split_equal_texts_share_a_group_whatever_came_between() -> None:
    """The oldest near head wins; with the nearest one, a later copy could follow a head that came later."""
    rng = random.Random(3)
    base = "".join(rng.choice("abcdefghij klmnopqrst") for _ in range(120))
    variants = [base]
    for _ in range(60):
        text = list(rng.choice(variants))
        text[rng.randrange(len(text))] = rng.choice("uvwxyz")
        variants.append("".join(text))
    groups = group_near_duplicates(variants + variants[::-1])
    by_text = dict(zip(variants, groups[: len(variants)], strict=True))
    assert len(set(groups)) > 1
    assert [by_text[text] for text in variants[::-1]] == groups[len(variants) :]


def test_split_groups_do_not_chain() -> None:
    first, second, third = (fingerprint(t) for t in (TEXT, TEXT.replace("courier", "curier"), "other text"))
    heads = [(third.key, third.signature), (first.key, first.signature)]
    assert find_head(second.signature, heads) == first.key
    assert find_head(second.signature, heads[:1]) is None
    assert similarity(first.signature, second.signature) >= NEAR_DUPLICATE


def test_split_shares_are_uniform_and_parts_independent() -> None:
    parts = np.array([[share_of(key, part=part) for part in range(4)] for key in KEYS])
    assert parts.min() >= 0
    assert parts.max() < 1
    # Kolmogorov-Smirnov at about 0.1 %, and correlations within four standard errors.
    ranks = np.arange(1, len(KEYS) + 1)[:, None] / len(KEYS)
    assert np.abs(np.sort(parts, axis=0) - ranks).max() < 1.95 / math.sqrt(len(KEYS))
    assert np.abs(np.corrcoef(parts.T) - np.eye(4)).max() < 4 / math.sqrt(len(KEYS))


@pytest.mark.parametrize(("key", "part"), [("abc", 0), ("f" * 64, 4)])
def test_split_share_of_refuses_what_is_no_digest(key: str, part: int) -> None:
    with pytest.raises(ValueError, match="64 hex digits"):
        share_of(key, part=part)


@pytest.mark.parametrize(("gold", "dev"), [(0.05, 0.5), (0.2, 0.15), (0.5, 0.05)])
def test_split_shares_of_the_splits_are_as_asked(gold: float, dev: float) -> None:
    splits = [assign_split(key, gold_share=gold, dev_share=dev) for key in KEYS]
    rest = len(KEYS) - splits.count(Split.GOLD)
    assert splits.count(Split.GOLD) / len(KEYS) == pytest.approx(gold, abs=0.03)
    assert splits.count(Split.DEV) / rest == pytest.approx(dev, abs=0.03)


def test_split_more_gold_keeps_the_old_gold_and_the_other_splits() -> None:
    small = [assign_split(key, gold_share=0.2, dev_share=0.15) for key in KEYS]
    large = [assign_split(key, gold_share=0.4, dev_share=0.15) for key in KEYS]
    changes = {(a, b) for a, b in zip(small, large, strict=True) if a is not b}
    assert changes == {(Split.DEV, Split.GOLD), (Split.TRAIN, Split.GOLD)}


def test_split_fingerprints_are_fast_enough_to_import_ten_thousand_tasks() -> None:
    fingerprint(TEXT)
    texts = [f"{i} {TEXT}"[:100] for i in range(500)]
    started = time.process_time()
    fingerprints(texts)
    assert (time.process_time() - started) / len(texts) < 0.001  # 0.0001 on an idle machine
