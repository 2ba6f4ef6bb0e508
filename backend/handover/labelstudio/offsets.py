"""Where a region of a text really is, when its offsets were counted or its text was written in another way.

Label Studio 1.23 counts code points like Python, but its editor does not return `text[start:end]` as the
text of a region: a line break becomes a backslash and an `n`, blanks that HTML does not show are left out,
a tab turns into a blank (seen in the browser; `tags/object/RichText/domManager.ts`). Older versions, imported
annotations and other tools count UTF-16 code units, or read "\\r\\n" as one character or "\\n" as two.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from functools import cached_property
from itertools import accumulate, product

_INVISIBLE = re.compile(r"\\n|\s+")
_FIRST_ASTRAL = 0x10000


class RegionFinder:
    """Finds regions in one text. Make one per text: its tables are built once, and only on demand."""

    def __init__(self, text: str) -> None:
        self.text = text

    def find(self, start: int, end: int, expected: str | None) -> tuple[int, int] | None:
        """The code point offsets of the region that `start`, `end` and its text mean, None if none fits.

        Exactly the expected text goes before the text as the editor writes it; then the offsets as they are go
        before repaired ones, the nearest of these first, then the leftmost. Without an expected text (Label
        Studio leaves it out with saveTextResult="no") the offsets are believed if they are in range.
        """
        if expected is None:
            return (start, end) if self._in_range(start, end) else None
        if self._in_range(start, end) and self.text[start:end] == expected:
            return start, end  # nearly always, and without building the tables
        candidates = [(start, end), *self._candidates(start, end)]
        fitting = [found for found in candidates if self._fits(*found, expected)]
        return min(fitting, key=lambda found: self._rank(found, start, end, expected), default=None)

    def trim(self, start: int, end: int) -> tuple[int, int]:
        """The region without the white space at its two ends; empty if there is nothing else in it."""
        region = self.text[start:end]
        return end - len(region.lstrip()), start + len(region.rstrip())

    def _rank(self, found: tuple[int, int], start: int, end: int, expected: str) -> tuple[bool, int, int]:
        exact = self.text[slice(*found)] == expected
        return not exact, abs(found[0] - start) + abs(found[1] - end), found[0]

    def _in_range(self, start: int, end: int) -> bool:
        return 0 <= start < end <= len(self.text)

    def _fits(self, start: int, end: int, expected: str) -> bool:
        if not self._in_range(start, end):
            return False
        region = self.text[start:end]
        return region == expected or _visible(region) == _visible(expected)

    def _candidates(self, start: int, end: int) -> list[tuple[int, int]]:
        both = ((_index(table, start), _index(table, end)) for table in self._tables)
        return [(first, last) for first, last in both if first is not None and last is not None]

    @cached_property
    def _tables(self) -> list[list[int]]:
        """For each other way of counting: the offset that it gives to each boundary between code points."""
        ways = [way for way in product((1, 2), (0, 1, 2)) if way != (1, 1)]
        return [_boundaries(self.text, astral, newline) for astral, newline in ways]


def _boundaries(text: str, astral: int, newline: int) -> list[int]:
    """Offsets of all boundaries in `text` if characters outside the BMP count `astral`.

    `newline` is 1 if line breaks count as they are, 0 if "\\r\\n" counts one, 2 if a lone "\\n" counts two.
    """
    widths = [astral if ord(char) >= _FIRST_ASTRAL else 1 for char in text]
    if newline != 1:
        for match in re.finditer(r"\r\n" if newline == 0 else r"(?<!\r)\n", text):
            widths[match.start()] = newline
    return list(accumulate(widths, initial=0))


def _index(boundaries: list[int], offset: int) -> int | None:
    found = bisect_left(boundaries, offset)
    return found if found < len(boundaries) and boundaries[found] == offset else None


def _visible(text: str) -> str:
    """The text without everything that the editor may write differently."""
    return _INVISIBLE.sub("", text)
