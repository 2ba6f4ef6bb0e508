"""Find the words a teacher names in the text they are taken from.

A mention becomes a span only where the text really has it, as whole words. It is looked for exactly; only if
that finds nothing with other blanks, quotes and dashes; only if that finds nothing in other case. The looser
readings compare folded copies that remember for each of their characters the one it came from, so that no
fold that changes the length (`İ`, `ß`, runs of blanks) can shift an offset.

The teacher lists mentions in order of appearance. So the longest series of them that can stand one after the
other is placed first, each as early as possible: the k-th mention of the same words gets their k-th place,
and one mention in the wrong order does not lead the others astray. Those that are left take the first place
that is still free.

Entities do not overlap: a place is free when none of its characters is taken. Other spans may: then mentions
stand in order when they begin in order, and a place is free when no mention with the same label has it.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from handover.domain import Span
from handover.teacher.answers import Mention

UNSPACED = re.compile(
    "[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u9fff\ua960-\ua97f"
    "\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc\U00020000-\U0003ffff]"
)
"""Scripts that do not part words with blanks, or glue particles to them (Thai to Burmese, Chinese, Japanese,
Korean): there a mention may begin or end between any two characters."""

TYPOGRAPHIC = str.maketrans("‘’‚‛′“”„‟″‐‑‒–—―−", "'''''\"\"\"\"\"-------")

Fold = Callable[[str], str]
Place = tuple[int, int]


@dataclass(frozen=True)
class Grounding:
    """The place of each mention as a span, None where it has none, and one sentence for each of those."""

    by_mention: tuple[Span | None, ...]
    problems: tuple[str, ...]

    @property
    def spans(self) -> tuple[Span, ...]:
        """The spans, sorted by position."""
        return tuple(sorted(span for span in self.by_mention if span is not None))


def ground(text: str, mentions: Sequence[Mention], *, overlapping: bool = False) -> Grounding:
    """Turn mentions into exact spans of a text (offsets in Python code points)."""
    finder = _Finder(text)
    options = [finder.places(mention.text) if mention.label is not None else [] for mention in mentions]
    placed = _in_order(options, mentions, overlapping=overlapping)
    taken = _Taken(len(text), overlapping=overlapping)
    for index, place in placed.items():
        taken.add(place, mentions[index])
    spans: list[Span | None] = []
    problems: list[str] = []
    for index, mention in enumerate(mentions):
        found = placed.get(index) or _first_free(finder, taken, mention)
        spans.append(None if found is None or mention.label is None else Span(*found, mention.label))
        if spans[-1] is None:
            noun = "span" if overlapping else "entity"
            problems.append(f"{noun} {index + 1} of {len(mentions)}: {_problem(mention, options[index], noun)}")
    return Grounding(tuple(spans), tuple(problems))


def cuts_word(text: str, position: int) -> bool:
    """True when the boundary before `text[position]` lies inside a word."""
    if not 0 < position < len(text):
        return False
    before, behind = text[position - 1], text[position]
    if not (_is_wordlike(before) and _is_wordlike(behind)):
        return False
    if unicodedata.category(behind).startswith("M"):
        return True  # an accent or vowel sign belongs to the letter before it, in every script
    return not (UNSPACED.match(before) or UNSPACED.match(behind))


def _problem(mention: Mention, options: Sequence[Place], noun: str) -> str:
    if mention.label is None:
        return "its label is not one of the aspect's"
    return f"its place is taken by another {noun}" if options else "its words are not in the text"


def _first_free(finder: _Finder, taken: _Taken, mention: Mention) -> Place | None:
    """Take the first free place in the strictest reading that has one."""
    if mention.label is None:
        return None
    for place in finder.all_places(mention.text):
        if taken.is_free(place, mention):
            taken.add(place, mention)
            return place
    return None


class _Taken:
    """Which places are taken: characters where spans must not overlap, else places by label."""

    def __init__(self, length: int, *, overlapping: bool) -> None:
        self._characters = bytearray(length)
        self._places: set[tuple[Place, str | None]] = set()
        self._overlapping = overlapping

    def add(self, place: Place, mention: Mention) -> None:
        """This place is the mention's from now on."""
        self._places.add((place, mention.label))
        self._characters[slice(*place)] = b"\x01" * (place[1] - place[0])

    def is_free(self, place: Place, mention: Mention) -> bool:
        """Whether the mention can have this place."""
        if self._overlapping:
            return (place, mention.label) not in self._places
        return not any(self._characters[slice(*place)])


@dataclass(frozen=True)
class _Series:
    """Mentions placed one after the other; the next one cannot begin before `limit`."""

    limit: int = 0
    index: int = -1
    place: Place = (0, 0)
    before: _Series | None = None

    def parts(self) -> Iterator[_Series]:
        """The series itself and those it was made from, back to the first mention."""
        series: _Series | None = self
        while series is not None and series.before is not None:
            yield series
            series = series.before


def _in_order(
    options: Sequence[Sequence[Place]], mentions: Sequence[Mention], *, overlapping: bool
) -> dict[int, Place]:
    """Places for as many mentions as can stand in the given order, by index.

    `options` are each mention's possible places, by position. `best[n]` is, of all series of n mentions so far,
    the one with the lowest limit (the usual way to find a longest increasing subsequence).
    """
    best = [_Series()]
    for index, places in enumerate(options):
        for length in range(len(best) - 1, -1, -1):
            place = _next_place(places, best[length], mentions, index)
            if place is None:
                continue
            longer = _Series(place[0] if overlapping else place[1], index, place, best[length])
            if length + 1 == len(best):
                best.append(longer)
            elif longer.limit < best[length + 1].limit:
                best[length + 1] = longer
    return {part.index: part.place for part in best[-1].parts()}


def _next_place(places: Sequence[Place], series: _Series, mentions: Sequence[Mention], index: int) -> Place | None:
    """The first place from the series' limit on that no mention of it with the same label has."""
    for number in range(bisect_left(places, (series.limit, 0)), len(places)):
        place = places[number]
        # Only mentions that begin at the same character can have the same place, and these come last.
        level = takewhile(lambda part: part.place[0] == place[0], series.parts())  # noqa: B023 - used up at once
        if not any(part.place == place and mentions[part.index].label == mentions[index].label for part in level):
            return place
    return None


class _Finder:
    """Finds the places of words in a text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._folded: dict[Fold, _Folded] = {}

    def places(self, mention: str) -> list[Place]:
        """All places of a mention in the strictest reading that finds one, by position."""
        return next(filter(None, (self._places(mention.strip(), fold) for fold in FOLDS)), [])

    def all_places(self, mention: str) -> Iterator[Place]:
        """All places of a mention, those of stricter readings first."""
        for fold in FOLDS:
            yield from self._places(mention.strip(), fold)

    def _places(self, words: str, fold: Fold | None) -> list[Place]:
        return [
            (start, end)
            for start, end in self._occurrences(words, fold)
            if not cuts_word(self._text, start) and not cuts_word(self._text, end)
        ]

    def _occurrences(self, words: str, fold: Fold | None) -> Iterator[Place]:
        if not words:
            return iter(())
        if fold is None:
            return _occurrences(self._text, words)
        if fold not in self._folded:
            self._folded[fold] = _Folded(self._text, fold)
        return self._folded[fold].occurrences(_Folded(words, fold).text)


class _Folded:
    """A folded copy of a text; `origin[i]` is the index in the text of its i-th character."""

    def __init__(self, text: str, fold: Fold) -> None:
        characters: list[str] = []
        self.origin: list[int] = []
        for index, character in enumerate(text):
            for piece in " " if character.isspace() else fold(character):
                if piece == " " and characters and characters[-1] == " ":
                    continue
                characters.append(piece)
                self.origin.append(index)
        self.origin.append(len(text))
        self.text = "".join(characters)

    def occurrences(self, words: str) -> Iterator[Place]:
        """Where folded words are, as places in the text; none that would split one of its characters."""
        for start, end in _occurrences(self.text, words):
            splits_first = start > 0 and self.origin[start - 1] == self.origin[start]
            splits_last = self.origin[end - 1] == self.origin[end]
            if not (splits_first or splits_last):
                yield self.origin[start], self.origin[end - 1] + 1


def _occurrences(text: str, words: str) -> Iterator[Place]:
    position = text.find(words)
    while position >= 0:
        yield position, position + len(words)
        position = text.find(words, position + 1)


def _spelling(character: str) -> str:
    """One character with canonical accents and plain quotes and dashes."""
    return unicodedata.normalize("NFD", character).translate(TYPOGRAPHIC)


def _letters(character: str) -> str:
    """The same without regard to case."""
    if character == "İ":
        return "i"  # Turkish; Unicode folds it to an i with a dot on top, which nobody writes
    return unicodedata.normalize("NFD", _spelling(character).casefold())


FOLDS: tuple[Fold | None, ...] = (None, _spelling, _letters)
"""The readings of a mention, the strictest first."""


def _is_wordlike(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character).startswith("M")
