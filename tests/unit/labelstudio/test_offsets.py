"""Regions found again whatever way their offsets were counted and their text was written."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from handover.labelstudio.offsets import RegionFinder

# Drawn in the editor of Label Studio 1.23.2 with Chromium: text; start, end and text of the stored region.
FROM_THE_EDITOR = [
    ("one  two   three Acme Corp here", 17, 26, "Acme Corp"),
    ("tab\there Acme\tCorp end", 9, 18, "Acme Corp"),
    ("first line Acme\r\nCorp second line", 11, 21, "Acme\\n\\nCorp"),
    ("first line Acme\nCorp second line", 11, 20, "Acme\\nCorp"),
    ("lead 👩‍👩‍👧 e\u0301 İ \u200b Acme  Corp tail", 18, 28, "Acme Corp"),
    ("a <b>Acme</b> &amp; Corp & co", 5, 24, "Acme</b> &amp; Corp"),
    ("  leading Acme \n\n  Corp x", 10, 23, "Acme\\n\\nCorp"),
    ("nbsp Acme\u00a0Corp and \u2028 sep Acme", 5, 14, "Acme\u00a0Corp"),
    ("back\\nslash Acme\\nCorp z", 12, 22, "Acme\\nCorp"),
    ("عربي Acme مرحبا Corp نص", 5, 20, "Acme مرحبا Corp"),
    ("old\rmac Acme\rCorp q", 8, 17, "Acme\\nCorp"),
]

NASTY = st.sampled_from([
    *"abcİßﬁ٣א ", "ab", "  ", "\n", "\r\n", "\r", "\t", "\u200b", "\u200d", "\ufeff", "\u00a0", "\u2028",
    "e\u0301", "मि", "😀", "👩\u200d👩\u200d👧", "🏴\u200d☠️", "𝒳", "𠀋", "שלום", "\u202eabc\u202c", "\ud83d",
])  # fmt: skip
TEXTS = st.lists(NASTY, max_size=25).map("".join)


def utf16(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def collapsed(text: str) -> str:
    return text.replace("\r\n", "\n")


def expanded(text: str) -> str:
    return re.sub(r"(?<!\r)\n", "\r\n", text)


COUNTINGS: dict[str, Callable[[str], int]] = {
    "code points": len,
    "UTF-16": utf16,
    "line break as one": lambda text: len(collapsed(text)),
    "line break as two": lambda text: len(expanded(text)),
    "UTF-16, line break as one": lambda text: utf16(collapsed(text)),
    "UTF-16, line break as two": lambda text: utf16(expanded(text)),
}


def visible(text: str) -> str:
    return "".join(text.split())


@st.composite
def regions(draw: st.DrawFn) -> tuple[str, int, int]:
    """A text and a region in it that neither begins nor ends with white space."""
    text = draw(TEXTS)
    solid = [i for i, char in enumerate(text) if not char.isspace()]
    assume(solid)
    start = draw(st.sampled_from(solid))
    end = draw(st.sampled_from([i for i in solid if i >= start])) + 1
    return text, start, end


@pytest.mark.parametrize(("text", "start", "end", "stored"), FROM_THE_EDITOR)
def test_offsets_regions_from_the_real_editor_stay_where_they_are(text: str, start: int, end: int, stored: str) -> None:
    assert RegionFinder(text).find(start, end, stored) == (start, end)


@pytest.mark.parametrize(
    ("text", "start", "end", "expected", "found"),
    [
        ("😀 Acme", 3, 7, "Acme", (2, 6)),
        ("👩‍👩‍👧 buys 𠀋", 14, 16, "𠀋", (11, 12)),
        ("a\r\nb Acme", 4, 8, "Acme", (5, 9)),
        ("a\nb Acme", 5, 9, "Acme", (4, 8)),
        ("😀\r\nAcme", 3, 7, "Acme", (3, 7)),
        ("😀😀\r\nAcme", 5, 9, "Acme", (4, 8)),
        ("😀\nAcme", 4, 8, "Acme", (2, 6)),
        ("a\r\nb\r\nAcme\r\nCorp", 4, 13, "Acme\nCorp", (6, 16)),
        ("x Acme\r\nCorp", 2, 11, "Acme\nCorp", (2, 12)),
    ],
)
def test_offsets_shifts_are_repaired(text: str, start: int, end: int, expected: str, found: tuple[int, int]) -> None:
    assert RegionFinder(text).find(start, end, expected) == found


@pytest.mark.parametrize(
    ("text", "start", "end", "expected"),
    [
        ("plain Acme", 0, 4, "Acme"),  # a shift that no counting explains
        ("Acme", 0, 9, "Acme"),  # Python would cut the slice short
        ("Acme", -4, 4, "Acme"),
        ("Acme", 4, 0, "Acme"),
        ("Acme", 2, 2, ""),
        ("😀Acme", 1, 6, "Acme"),  # begins inside a surrogate pair
        ("acme", 0, 4, "Acme"),
        ("", 0, 1, "A"),
    ],
)
def test_offsets_that_nothing_explains_are_not_found(text: str, start: int, end: int, expected: str) -> None:
    assert RegionFinder(text).find(start, end, expected) is None


@pytest.mark.parametrize(
    ("start", "end", "found"), [(0, 4, (0, 4)), (0, 5, None), (-1, 3, None), (3, 3, None), (3, 1, None)]
)
def test_offsets_without_a_text_are_believed_if_in_range(start: int, end: int, found: tuple[int, int] | None) -> None:
    assert RegionFinder("Acme").find(start, end, None) == found


@pytest.mark.parametrize(
    ("text", "start", "found"),
    [
        ("\r\n😀abab", 4, (3, 5)),  # one to the left or to the right: leftmost
        ("\r\n\r\n😀abxab", 6, (5, 7)),  # one to the left or two to the right: nearest
        ("\r\n😀😀abxab", 6, (7, 9)),  # two to the left or one to the right: nearest
    ],
)
def test_offsets_ambiguous_repairs_take_the_nearest_then_the_leftmost(
    text: str, start: int, found: tuple[int, int]
) -> None:
    assert RegionFinder(text).find(start, start + 2, "ab") == found


def test_offsets_exact_text_goes_before_the_nearer_text_with_other_blanks() -> None:
    # UTF-16 leads one to the left, to "a\tb", and line breaks as one lead two to the right, to "a b".
    assert RegionFinder("\r\n\r\n😀a\tba b").find(6, 9, "a b") == (8, 11)
    assert RegionFinder("\r\n\r\n😀a\tba c").find(6, 9, "a b") == (5, 8)


@pytest.mark.parametrize(
    ("text", "trimmed"),
    [("  Acme \r\n", (2, 6)), ("Acme", (0, 4)), ("\u00a0\u2028A\x85", (2, 3)), ("\u200bA", (0, 2))],
)
def test_offsets_trim_cuts_white_space(text: str, trimmed: tuple[int, int]) -> None:
    assert RegionFinder(text).trim(0, len(text)) == trimmed


def test_offsets_trim_of_white_space_is_empty() -> None:
    start, end = RegionFinder("a \n b").trim(1, 4)
    assert start >= end


@given(regions())
def test_offsets_code_points_are_never_moved(region: tuple[str, int, int]) -> None:
    text, start, end = region
    assert RegionFinder(text).find(start, end, text[start:end]) == (start, end)


@pytest.mark.parametrize("counting", COUNTINGS)
@given(region=regions())
def test_offsets_in_any_counting_lead_back_to_the_region(counting: str, region: tuple[str, int, int]) -> None:
    text, start, end = region
    count = COUNTINGS[counting]
    found = RegionFinder(text).find(count(text[:start]), count(text[:end]), text[start:end])
    assert found is not None
    assert visible(text[slice(*found)]) == visible(text[start:end])
    if len(re.findall(f"(?={re.escape(visible(text[start:end]))})", visible(text))) == 1:
        assert RegionFinder(text).trim(*found) == (start, end)


def test_offsets_many_shifted_regions_in_a_long_text_are_found_quickly() -> None:
    text = "😀\r\n" + "word " * 10_000
    finder = RegionFinder(text)
    for i in range(1000):
        assert finder.find(4 + 5 * i, 8 + 5 * i, "word") == (3 + 5 * i, 7 + 5 * i)


def test_offsets_prefer_exactly_the_text_to_the_text_as_the_editor_writes_it() -> None:
    text = "aab😀😀\u202eabc\u202c\\n"
    assert RegionFinder(text).find(0, 12, text[:10]) == (0, 10), "counted in UTF-16, not a line break at the end"
    assert RegionFinder("a\nb").find(0, 3, "a\\nb") == (0, 3)
