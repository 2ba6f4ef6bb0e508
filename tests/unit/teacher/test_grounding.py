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
