"""Words that the stored query explains.

What it selects says that two words ask for one thing, or that a word asks for nothing more.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from medha_core.guard.view import HARD, View
from medha_core.reading.lexicon import Lexicon
from medha_core.reading.sense import Sense

__all__ = ["WHO", "Agreed", "agreed", "explained", "same_by_query"]

WHO, WHEN, MUCH = "a:who", "a:when", "a:much"
TOTAL, BY = "o:total", "p:by"
GROUPS = frozenset(["o:each", "o:every"])


class Agreed(NamedTuple):
    """What the two questions say alike by the stored query, in other words."""

    number: bool
    """Only one asks how many, and the query selects a column that holds this number."""
    measure: bool
    """Both have their superlative right before the noun for what the query takes the extreme of."""
    group: bool
    """One says `per` and the other `by` before the same word, and the query groups."""


def agreed(a: View, b: View, sense: Sense, lexicon: Lexicon) -> Agreed:
    """What two questions agree on."""
    return Agreed(
        _asks_for_number(a, b, sense, lexicon),
        _names_measure(a.keys, sense, lexicon) and _names_measure(b.keys, sense, lexicon),
        sense.groups and (_groups_alike(a.keys, b.keys) or _groups_alike(b.keys, a.keys)),
    )


def same_by_query(x: str, y: str, sense: Sense, agree: Agreed, lexicon: Lexicon) -> bool:
    """Whether a word of the asked question and one of the stored question are one for the stored query.

    Two nouns for the column it selects, where a number is asked for as one; `place` and the noun for the
    venues it selects; the place it selects, asked for by its noun here and by `where` there, and the date by
    `when`; `per` and `by` where it groups; two superlatives that go the way of its extreme, of what both
    name; `high` and `highest` where that is in the name of the column.
    """
    if x in sense.selected and y in sense.selected:
        return agree.number or not sense.is_number
    if (_is_generic(x, lexicon) and y in sense.venues) or (_is_generic(y, lexicon) and x in sense.venues):
        return True
    if y == "a:where":
        return x in sense.places
    if x == "a:where":
        # The stored question says which place; only where it says none does `where` ask for the same.
        return y in sense.places and y[2:] in lexicon.anywhere
    if WHEN in (x, y):
        moment = x if y == WHEN else y
        return moment in sense.selected and moment[2:] in lexicon.moments
    if BY in (x, y):
        return agree.group and not GROUPS.isdisjoint((x, y))
    if x[0] == y[0] == "o":
        return agree.measure and x in sense.superlatives and y in sense.superlatives
    extreme, plain = (x, y) if x[0] == "o" else (y, x)
    if extreme not in sense.extremes or plain[0] != "w":
        return False
    return lexicon.stem(extreme[2:]) == lexicon.stem(plain[2:])


def _is_generic(key: str, lexicon: Lexicon) -> bool:
    return key[0] == "w" and key[2:] in lexicon.generic


def _asks_for_number(a: View, b: View, sense: Sense, lexicon: Lexicon) -> bool:
    counting, other = (a, b) if "o:count" in a.keys else (b, a)
    if not sense.is_number or "o:count" not in counting.keys or "o:count" in other.keys:
        return False
    counted = (following for key, following in pairwise(counting.keys) if key == "o:count")
    if sense.selected.isdisjoint(counted):
        return False
    return counting is a or any(key in sense.selected and key[2:] in lexicon.quantities for key in other.keys)


def _names_measure(keys: Sequence[str], sense: Sense, lexicon: Lexicon) -> bool:
    """Whether the superlative stands right before the noun for what the query takes the extreme of."""
    if not sense.measured:
        return False
    stems = {lexicon.stem(key[2:]) for key in sense.measured}
    return any(
        key in sense.superlatives and behind[0] == "w" and lexicon.stem(behind[2:]) in stems
        for key, behind in pairwise(keys)
    )


def _groups_alike(keys: Sequence[str], others: Sequence[str]) -> bool:
    """Whether the one says `each` before a word before which the other says `by`, and neither the other's."""
    if BY in keys or not GROUPS.isdisjoint(others):
        return False
    grouped = {following for key, following in pairwise(keys) if key in GROUPS}
    return any(key == BY and following in grouped for key, following in pairwise(others))


def explained(a: View, b: View, sense: Sense, agree: Agreed, lexicon: Lexicon) -> Iterator[str]:
    """Keys that say nothing in these two questions, by what the stored query is.

    `how many` where its column holds the number; `total` and `how much` of what it sums up; `other` before a
    noun said before, where it tells no two things apart; `mean` at the end of `what does X mean`; `written`
    in `papers written by X`, where the other says `papers by X`; the noun for the rows it selects, where the
    other question has none (`best French`). Of the stored question that is only the noun for a venue: without
    it the asked one may be about anything.
    """
    if agree.number:
        yield "o:count"
    if sense.sums:
        yield from _of_sum(a.keys, b.keys)
    if not sense.differs and (_says_again(a.keys) or _says_again(b.keys)):
        yield "o:other"
    for one, other, rows in ((a, b, sense.things), (b, a, sense.venues)):
        if one.asks in rows and other.asks not in other.keys and WHO not in other.keys:
            yield one.asks
        yield from _makers(one.keys, other.keys, lexicon)
        if one.asks == other.asks:
            yield from _made(one.keys, other.keys, lexicon)
        if one.keys[-1:] == ("w:mean",) and one.keys[-2:-1] and one.keys[-2][0] in HARD:
            yield "w:mean"


def _of_sum(a: Sequence[str], b: Sequence[str]) -> Iterator[str]:
    """`total` and `how much`, one of which must ask for the sum where the stored question says it."""
    if TOTAL in a or (TOTAL in b and MUCH in a):
        yield TOTAL
        yield MUCH


def _makers(keys: Sequence[str], others: Sequence[str], lexicon: Lexicon) -> Iterator[str]:
    for thing, verb, by in zip(keys, keys[1:], keys[2:], strict=False):
        if by != BY or verb[0] != "w" or verb[2:] not in lexicon.making:
            continue
        if (thing, by) in pairwise(others):
            yield verb


def _made(keys: Sequence[str], others: Sequence[str], lexicon: Lexicon) -> Iterator[str]:
    """`by` and `write`, where the one says `papers by X` and the other `papers X has written`.

    But not where it says `papers X has written about`.
    """
    if BY in others or (others and others[-1][0] == "p"):
        return
    for thing, by, maker in zip(keys, keys[1:], keys[2:], strict=False):
        for agent, verb in pairwise(others):
            if by != BY or maker != agent or thing not in others:
                continue
            if agent[0] in HARD and verb[2:] in lexicon.making:
                yield from (by, verb)


def _says_again(keys: Sequence[str]) -> bool:
    """Whether `other` stands before a noun said before: `teams that beat other teams`."""
    return any(key == "o:other" and keys[i + 1] in keys[:i] for i, key in enumerate(keys[:-1]))
