"""Where the values of a query stand in the question it answers."""

from collections.abc import Sequence
from typing import NamedTuple

from medha_core.reading.lexicon import english
from medha_core.reading.literals import Literal
from medha_core.reading.words import Word, words

__all__ = ["Mention", "find", "find_mentions", "spoken"]


class Mention(NamedTuple):
    """A value of the query that the question names."""

    text: str
    """The value in compared form: `new york`."""
    first: int
    """Place among the words of the question."""
    last: int
    """One behind its last word."""
    literals: tuple[int, ...]
    """Which literals of the query it is."""
    column: str = ""
    """The column they are compared with."""


def spoken(value: str) -> tuple[str, ...]:
    """A value as the words a question would name it with; LIKE wildcards are no part of it."""
    return tuple(word.text for word in words(value.strip("%").replace('"', " "), english()))


def find(found: Sequence[Word], value: tuple[str, ...], start: int = 0) -> int:
    """Where a value begins among words (a quoted string counts as one word or many), or -1."""
    if not value:
        return -1
    whole, length = " ".join(value), len(value)
    for i in range(start, len(found)):
        word = found[i]
        if word.text == whole or (word.kind == "q" and _unspaced(word.text) == _unspaced(whole)):
            return i
        if length > 1 and word.text == value[0] and tuple(w.text for w in found[i : i + length]) == value:
            return i
    return -1


def _unspaced(text: str) -> str:
    return "".join(c for c in text if c.isalnum())


def find_mentions(found: Sequence[Word], literals: Sequence[Literal]) -> tuple[Mention, ...]:
    """The mentions of a question, in its order. Longer values come first, so that none hides in another."""
    by_text: dict[tuple[str, ...], list[int]] = {}
    for which, literal in enumerate(literals):
        if value := spoken(literal.value):
            by_text.setdefault(value, []).append(which)
    taken: set[int] = set()
    mentions = []
    for value in sorted(by_text, key=len, reverse=True):
        start = find(found, value)
        while start >= 0:
            last = start + (1 if found[start].text != value[0] or len(value) == 1 else len(value))
            if taken.isdisjoint(range(start, last)):
                taken.update(range(start, last))
                which = tuple(by_text[value])
                mentions.append(Mention(" ".join(value), start, last, which, literals[which[0]].column))
            start = find(found, value, start + 1)
    return tuple(sorted(mentions, key=lambda mention: mention.first))
