"""Where the values of a query stand in the question it answers."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from medha_core.reading.lexicon import Lexicon, english
from medha_core.reading.literals import Literal
from medha_core.reading.words import QUOTED, Word, words

__all__ = ["Mention", "find_mentions", "places", "plain_value", "spoken"]


class Mention(NamedTuple):
    """A value of the query that the question names."""

    text: str
    """The value in compared form: `new york`."""
    first: int
    """Place among the words of the question."""
    last: int
    """One behind its last word."""
    literals: tuple[int, ...] = ()
    """Which literals of the query it is."""
    column: str = ""
    """The column the first of them is compared with."""
    spellings: tuple[tuple[str, str], ...] = ()
    """Column and spelling of each of them."""


def spoken(value: str, lexicon: Lexicon | None = None) -> tuple[str, ...]:
    """A value as the words a question would name it with; LIKE wildcards are no part of it."""
    return tuple(word.text for word in words(plain_value(value), lexicon or english()))


def plain_value(value: str) -> str:
    """A value without what a question does not say of it."""
    return value.strip("%").replace('"', " ")


def places(found: Sequence[Word], value: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where a value stands among words, as `(first, last)`; a quoted string holds a whole value."""
    if not value:
        return
    whole, length = " ".join(value), len(value)
    bare = _letters(whole)
    for i, word in enumerate(found):
        if word.text == whole or (word.kind == QUOTED and bare and _letters(word.text) == bare):
            yield i, i + 1
        elif (
            length > 1
            and word.text == value[0]
            and all(w.text == part for w, part in zip(found[i : i + length], value, strict=False))
            and i + length <= len(found)
        ):
            yield i, i + length


def find_mentions(
    found: Sequence[Word],
    literals: Sequence[Literal],
    lexicon: Lexicon,
    speak: Callable[[str, Lexicon], tuple[str, ...]] = spoken,
) -> tuple[Mention, ...]:
    """The mentions of a question, in its order. Longer values come first, so that none hides in another.

    `speak` gives the words of a value, as `spoken` does.
    """
    by_value: dict[tuple[str, ...], list[int]] = {}
    for which, literal in enumerate(literals):
        if value := speak(literal.value, lexicon):
            by_value.setdefault(value, []).append(which)
    taken: set[int] = set()
    mentions = []
    for value, which in sorted(by_value.items(), key=lambda pair: -len(pair[0])):
        spellings = tuple((literals[i].column, literals[i].value) for i in which)
        for first, last in places(found, value):
            if taken.isdisjoint(range(first, last)):
                taken.update(range(first, last))
                mentions.append(
                    Mention(" ".join(value), first, last, tuple(which), spellings[0][0], spellings)
                )
    return tuple(sorted(mentions, key=lambda mention: mention.first))


def _letters(text: str) -> str:
    return "".join(c for c in text if c.isalnum())
