"""From words to exact spans."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handover.domain import Span
from handover.teacher.answers import Mention
from handover.teacher.grounding import cuts_word, ground


def spans_of(text: str, *words: str) -> list[tuple[int, int]]:
    """Where the mentions are placed, sorted by position."""
    return [(span.start, span.end) for span in ground(text, [Mention(word, "L") for word in words]).spans]


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        # exactly
        ("Berlin to Rome", ["Rome"], [(10, 14)]),
        ("🙂 Köln 👩‍👩‍👧 Bonn", ["Köln", "Bonn"], [(2, 6), (13, 17)]),
        # not inside words
        ("salted, then salt", ["salt"], [(13, 17)]),
        ("tin foil", ["oil"], []),
        ("x1 1", ["1"], [(3, 4)]),
        ("snake_case", ["case"], [(6, 10)]),
        ("cafe\u0301 and cafe", ["cafe"], [(10, 14)]),
        # a mention may begin or end with a sign
        ("costs$5each", ["$5"], []),
        ("costs$5 each", ["$5"], [(5, 7)]),
        ("5%of it", ["5%"], [(0, 2)]),
        # repeated mentions
        ("pub, bar, pub", ["pub", "pub"], [(0, 3), (10, 13)]),
        ("pub, bar, pub", ["bar", "pub"], [(5, 8), (10, 13)]),
        ("pub, bar, pub", ["pub", "pub", "pub"], [(0, 3), (10, 13)]),
        # out of order
        ("a b c", ["c", "a", "b"], [(0, 1), (2, 3), (4, 5)]),
        ("rice wine, rice, wine", ["rice wine", "rice", "wine"], [(0, 9), (11, 15), (17, 21)]),
        # one mention that is out of place does not drag the others along
        ("buttered. egg, jam, butter, egg", ["butter", "egg", "jam"], [(10, 13), (15, 18), (20, 26)]),
        # no overlaps
        ("New York", ["New York", "York"], [(0, 8)]),
        ("aa aa aa", ["aa aa", "aa aa"], [(0, 5)]),
        # case, only where nothing fits exactly
        ("BERLIN berlin", ["berlin"], [(7, 13)]),
        ("BERLIN Berlin", ["berlin", "berlin"], [(0, 6), (7, 13)]),
        ("İİİ Berlin BONN", ["bonn"], [(11, 15)]),
        ("in İzmir", ["İZMİR"], [(3, 8)]),
        ("die STRASSE und die Straße", ["Strasse"], [(4, 11)]),
        ("die Straße da", ["STRASSE"], [(4, 10)]),
        ("ﬁne wine", ["FINE"], [(0, 3)]),
        ("Straße", ["Stras"], []),
        # blanks, quotes and dashes
        ("New\n  York now", ["New York"], [(0, 10)]),
        ("New York now", ["New\n\nYork "], [(0, 8)]),
        ("a\u00a0b", ["a b"], [(0, 3)]),
        ("NewYork", ["New York"], []),
        ("Tom’s “bar” – open", ['Tom\'s "bar" - open'], [(0, 18)]),
        ("cafe\u0301 bar", ["caf\u00e9"], [(0, 5)]),
        ("caf\u00e9 bar", ["cafe\u0301"], [(0, 4)]),
        # scripts without blanks, and with particles
        ("我住在東京都。", ["東京"], [(3, 5)]),
        ("서울에서 만나요", ["서울"], [(0, 2)]),
        ("อยู่กรุงเทพฯ", ["กรุงเทพ"], [(4, 11)]),
        # not there at all
        ("Berlin", ["Bonn"], []),
        ("Berlin", ["", "  "], []),
        ("", ["Bonn"], []),
    ],
)
def test_grounding_places_mentions(text: str, words: list[str], expected: list[tuple[int, int]]) -> None:
    assert spans_of(text, *words) == expected


def test_grounding_reports_each_mention_without_a_place() -> None:
    mentions = [Mention("Rome", "A"), Mention("Oslo", "A"), Mention("Rome", "B"), Mention("Rome", None)]
    grounding = ground("Rome", mentions)
    assert grounding.spans == (Span(0, 4, "A"),)
    assert grounding.problems == (
        "entity 2 of 4: its words are not in the text",
        "entity 3 of 4: its place is taken by another entity",
        "entity 4 of 4: its label is not one of the aspect's",
    )


def test_grounding_labels_go_with_their_mentions() -> None:
    grounding = ground("5 for 5", [Mention("5", "COUNT"), Mention("5", "PRICE")])
    assert grounding.spans == (Span(0, 1, "COUNT"), Span(6, 7, "PRICE"))


def overlapping(text: str, *mentions: str) -> list[tuple[int, int, str]]:
    """Where mentions like "A:New York" are placed when spans may overlap, in their order; (0, 0) if nowhere."""
    split = [mention.split(":") for mention in mentions]
    grounding = ground(text, [Mention(words, label) for label, words in split], overlapping=True)
    return [(span.start, span.end, span.label) if span else (0, 0, "") for span in grounding.by_mention]


@pytest.mark.parametrize(
    ("text", "mentions", "expected"),
    [
        # nested, and across one another
        ("New York Times", ["A:New York Times", "B:New York", "B:Times"], [(0, 14, "A"), (0, 8, "B"), (9, 14, "B")]),
        ("one two three", ["A:one two", "A:two three"], [(0, 7, "A"), (4, 13, "A")]),
        # the same words with two labels are one place
        ("to Rome", ["A:Rome", "B:Rome"], [(3, 7, "A"), (3, 7, "B")]),
        ("Rome, Rome", ["A:Rome", "B:Rome", "A:Rome", "B:Rome"],
         [(0, 4, "A"), (0, 4, "B"), (6, 10, "A"), (6, 10, "B")]),
        # repeated mentions with one label are two places, and never one
        ("Rome, Rome", ["A:Rome", "A:Rome", "A:Rome"], [(0, 4, "A"), (6, 10, "A"), (0, 0, "")]),
        ("Rome", ["A:Rome", "A:rome"], [(0, 4, "A"), (0, 0, "")]),
        # listed label by label
        ("Rome, Oslo, Rome", ["A:Rome", "A:Oslo", "A:Rome", "B:Rome", "B:Rome"],
         [(0, 4, "A"), (6, 10, "A"), (12, 16, "A"), (12, 16, "B"), (0, 4, "B")]),
        # the order tells which place is meant: inside of the one before, not before it
        ("York, then New York", ["A:New York", "B:York"], [(11, 19, "A"), (15, 19, "B")]),
        ("York, then New York", ["B:York", "A:New York"], [(0, 4, "B"), (11, 19, "A")]),
        # shifted by nothing before them
        ("İ😀\r\n“New York”", ["A:“New York”", "A:New York", "B:york"], [(4, 14, "A"), (5, 13, "A"), (9, 13, "B")]),
        ("Yorkshire", ["A:York"], [(0, 0, "")]),
    ],
)  # fmt: skip
def test_grounding_overlapping_mentions_share_characters(
    text: str, mentions: list[str], expected: list[tuple[int, int, str]]
) -> None:
    assert overlapping(text, *mentions) == expected


def test_grounding_reports_spans_that_repeat_another() -> None:
    mentions = [Mention("Rome", "A"), Mention("Rome", "A"), Mention("Oslo", "A"), Mention("Rome", None)]
    grounding = ground("Rome", mentions, overlapping=True)
    assert grounding.spans == (Span(0, 4, "A"),)
    assert grounding.problems == (
        "span 2 of 4: its place is taken by another span",
        "span 3 of 4: its words are not in the text",
        "span 4 of 4: its label is not one of the aspect's",
    )


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [
        ("ab", 1, True),
        ("ab", 0, False),
        ("ab", 2, False),
        ("a b", 1, False),
        ("a5", 1, True),
        ("東京", 1, False),
    ],
)
def test_grounding_cuts_word(text: str, position: int, expected: bool) -> None:
    assert cuts_word(text, position) is expected


WORDS = st.lists(st.text(st.sampled_from("aAbßİıéEﬁ5東한"), min_size=1, max_size=4), min_size=1, max_size=12)
GAPS = st.sampled_from([" ", "\n", ", ", " – ", " 👩‍👧 ", "\r\n"])


@given(words=WORDS, gap=GAPS)
def test_grounding_gives_back_all_words_of_a_text(words: list[str], gap: str) -> None:
    text = gap.join(words)
    grounding = ground(text, [Mention(word, "L") for word in words])
    assert [text[span.start : span.end] for span in grounding.spans] == words
    assert grounding.problems == ()


@given(text=st.text(max_size=60), words=st.lists(st.text(max_size=6), max_size=6))
def test_grounding_spans_never_overlap_nor_cut_words(text: str, words: list[str]) -> None:
    grounding = ground(text, [Mention(word, "L") for word in words])
    assert len(grounding.spans) + len(grounding.problems) == len(words)
    end = 0
    for span in grounding.spans:
        assert end <= span.start < span.end <= len(text)
        assert not cuts_word(text, span.start) and not cuts_word(text, span.end)
        end = span.end


@given(
    words=WORDS,
    gap=GAPS,
    cuts=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11), st.sampled_from("AB")), max_size=8),
)
def test_grounding_overlapping_spans_are_where_their_words_are_and_no_two_alike(
    words: list[str], gap: str, cuts: list[tuple[int, int, str]]
) -> None:
    text = gap.join(words)
    wanted = [(gap.join(words[min(a, b) : max(a, b) + 1]), label) for a, b, label in cuts if max(a, b) < len(words)]
    grounding = ground(text, [Mention(*mention) for mention in wanted], overlapping=True)
    found = [
        (text[span.start : span.end], span.label) if span else None
        for span, mention in zip(grounding.by_mention, wanted, strict=True)
    ]
    assert all(place in (None, mention) for place, mention in zip(found, wanted, strict=True))
    assert len(set(grounding.spans)) == len(grounding.spans)
    assert len(grounding.spans) + len(grounding.problems) == len(wanted)
    assert set(filter(None, found)) == set(wanted), "each mention that is there once has a place"
