"""Words that the stored query explains.

What it selects says that two words ask for one thing, or that a word asks for nothing more.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from medha_core.guard.view import HARD, View
from medha_core.reading.lexicon import Lexicon
from medha_core.reading.sense import Sense

__all__ = ["WHO", "asks_for_number", "explained", "same_by_query"]

WHO = "a:who"


def same_by_query(x: str, y: str, sense: Sense, by_number: bool, lexicon: Lexicon) -> bool:
    """Whether a word of the asked question and one of the stored question are one for the stored query.

    Two nouns for the column it selects, where a number is asked for as one (`by_number`); `place` and the
    noun for the venues it selects; the place it selects, asked for by its noun here and by `where` there;
    `high` and `highest` where that is in the name of the column.
    """
    if x in sense.selected and y in sense.selected:
        return by_number or not sense.is_number
    if (_is_generic(x, lexicon) and y in sense.venues) or (_is_generic(y, lexicon) and x in sense.venues):
        return True
    if y == "a:where":
        return x in sense.places
    if x == "a:where":
        # The stored question says which place; only where it says none does `where` ask for the same.
        return y in sense.places and y[2:] in lexicon.anywhere
    extreme, plain = (x, y) if x[0] == "o" else (y, x)
    if extreme not in sense.extremes or plain[0] != "w":
        return False
    return lexicon.stem(extreme[2:]) == lexicon.stem(plain[2:])


def _is_generic(key: str, lexicon: Lexicon) -> bool:
    return key[0] == "w" and key[2:] in lexicon.generic


def asks_for_number(a: View, b: View, sense: Sense, lexicon: Lexicon) -> bool:
    """Whether only one question asks how many, and the query selects a column that holds this number."""
    counting, other = (a, b) if "o:count" in a.keys else (b, a)
    if not sense.is_number or "o:count" not in counting.keys or "o:count" in other.keys:
        return False
    counted = (following for key, following in pairwise(counting.keys) if key == "o:count")
    if sense.selected.isdisjoint(counted):
        return False
    return counting is a or any(key in sense.selected and key[2:] in lexicon.quantities for key in other.keys)


def explained(a: View, b: View, sense: Sense, by_number: bool, lexicon: Lexicon) -> Iterator[str]:
    """Keys that say nothing in these two questions, by what the stored query is.

    `how many` where its column holds the number; `other` before a noun said before, where it tells no two
    things apart; `mean` at the end of `what does X mean`; `written` in `papers written by X`, where the other
    says `papers by X`; the noun for the rows it selects, where the other question has none (`best French`).
    Of the stored question that is only the noun for a venue: without it the asked one may be about anything.
    """
    if by_number:
        yield "o:count"
    if not sense.differs and (_says_again(a.keys) or _says_again(b.keys)):
        yield "o:other"
    for one, other, rows in ((a, b, sense.things), (b, a, sense.venues)):
        if one.asks in rows and other.asks not in other.keys and WHO not in other.keys:
            yield one.asks
        yield from _makers(one.keys, other.keys, lexicon)
        if one.keys[-1:] == ("w:mean",) and one.keys[-2:-1] and one.keys[-2][0] in HARD:
            yield "w:mean"


def _makers(keys: Sequence[str], others: Sequence[str], lexicon: Lexicon) -> Iterator[str]:
    for thing, verb, by in zip(keys, keys[1:], keys[2:], strict=False):
        if by != "p:by" or verb[0] != "w" or verb[2:] not in lexicon.making:
            continue
        if (thing, by) in pairwise(others):
            yield verb


def _says_again(keys: Sequence[str]) -> bool:
    """Whether `other` stands before a noun said before: `teams that beat other teams`."""
    return any(key == "o:other" and keys[i + 1] in keys[:i] for i, key in enumerate(keys[:-1]))
