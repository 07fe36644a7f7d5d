"""The values the stored queries name, by column, and where they stand in another question."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["KnownValues", "Spotted"]


class Spotted(NamedTuple):
    """A known value in a row of words."""

    text: str
    first: int
    last: int


class KnownValues:
    """Values seen in stored queries, counted, so that forgetting an entry takes its values along."""

    def __init__(self) -> None:
        self._columns: defaultdict[str, dict[str, dict[str, int]]] = defaultdict(dict)
        self._by_column: dict[str, set[str]] = {}
        self._longest: dict[str, int] = {}

    def saw(self, column: str, text: str, spelling: str) -> None:
        """Count one literal: its column, its compared form, and how the query spells it."""
        spellings = self._columns[text].setdefault(column, {})
        spellings[spelling] = spellings.get(spelling, 0) + 1
        self._by_column.setdefault(column, set()).add(text)
        first = text.partition(" ")[0]
        self._longest[first] = max(self._longest.get(first, 0), text.count(" ") + 1)

    def forgot(self, column: str, text: str, spelling: str) -> None:
        """Take back one `saw`."""
        spellings = self._columns.get(text, {}).get(column, {})
        if spelling in spellings:
            spellings[spelling] -= 1
            if not spellings[spelling]:
                del spellings[spelling]
            if not spellings:
                self._by_column[column].discard(text)
                del self._columns[text][column]
            if not self._columns[text]:
                del self._columns[text]

    def spelling(self, column: str, text: str) -> str | None:
        """How queries spell a value of this column most often, or None where it was never seen."""
        spellings = self._columns.get(text, {}).get(column)
        return max(spellings, key=lambda s: (spellings[s], s)) if spellings else None

    def fitting(self, column: str, text: str) -> str | None:
        """The spelling of a value in a column, or in one of the same name that shares a value with it."""
        if spelling := self.spelling(column, text):
            return spelling
        tail = column.rpartition(".")[2]
        for other in self._columns.get(text, ()):
            if other.rpartition(".")[2] == tail and self._share_a_value(column, other):
                return self.spelling(other, text)
        return None

    def _share_a_value(self, column: str, other: str) -> bool:
        return not self._by_column.get(column, set()).isdisjoint(self._by_column.get(other, ()))

    def columns(self, text: str) -> frozenset[str]:
        """The columns in which a value was seen."""
        return frozenset(self._columns.get(text, ()))

    def spot(self, words: Sequence[str]) -> list[Spotted]:
        """The known values in a row of words, the longest at each place; a word may hold a whole value."""
        found, i = [], 0
        while i < len(words):
            length = self._length_at(words, i)
            if length:
                found.append(Spotted(" ".join(words[i : i + length]), i, i + length))
            i += max(length, 1)
        return found

    def _length_at(self, words: Sequence[str], i: int) -> int:
        one = 1 if words[i] in self._columns else 0
        for length in range(min(self._longest.get(words[i], 0), len(words) - i), 1, -1):
            if " ".join(words[i : i + length]) in self._columns:
                return length
        return one
