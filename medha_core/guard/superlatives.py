"""Superlatives that the stored query explains: `the largest state` is `the state with the largest area`."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from medha_core.guard.view import HARD, View
from medha_core.reading.sense import Sense

__all__ = ["EXTREME", "settle"]

EXTREME = "o:extreme"
"""The superlative of a question, where the stored query says what it is of."""
MOST = "o:most"


class _Place(NamedTuple):
    """One way to read the superlative of a question."""

    superlative: int
    """Where it stands."""
    noun: int
    """Where that stands which it is the superlative of."""
    drop: tuple[int, ...] = ()
    """Where words stand that only say what is measured."""
    says_what: bool = False
    """Whether there are such words."""


def settle(a: View, b: View, sense: Sense) -> tuple[View, View]:
    """The views with their one superlative before its noun, where the query says that both mean the same.

    That is where it takes the extreme of what the asked question names (`with the largest area`), or where
    that goes without saying (`oldest`, of an age) and the stored question names it.
    """
    if not sense.superlatives:
        return a, b
    for one in _places(a.keys, a.asks, sense):
        for other in _places(b.keys, b.asks, sense):
            if a.keys[one.noun] != b.keys[other.noun] or not (one.says_what or other.says_what):
                continue
            if one.says_what or _goes_without_saying(a.keys, one, sense):
                return _moved(a, one), _moved(b, other)
    return a, b


def _places(keys: Sequence[str], asks: str, sense: Sense) -> Iterator[_Place]:
    """The ways to read the one superlative of a question; none where there are two.

    Its noun stands behind it and what it says of that, or before it: `the state with the largest area`.
    """
    found = [at for at in range(len(keys)) if _is_superlative(keys, at, sense)]
    if len(found) != 1:
        return
    at = found[0]
    if not _is_word(keys, at + 1):
        if at + 1 in _by_measure(keys, at, sense) and (noun := _noun_before(keys, at)) >= 0:
            yield _Place(at, noun, (at + 1, at + 2), True)
        return
    if keys[at] == MOST and keys[at + 1] in sense.adjectives:
        if _is_word(keys, at + 2):
            yield _Place(at, at + 2, (at + 1,), True)
        return
    measure = at + 1 if keys[at + 1] in sense.measured else at + 2
    if _is_word(keys, measure) and keys[measure] in sense.measured and keys[measure] != asks:
        if measure == at + 1 and _is_word(keys, at + 2):
            yield _Place(at, at + 2, (measure,), True)
        if (noun := _noun_before(keys, at)) >= 0:
            yield _Place(at, noun, (measure,), True)
        return
    by = _by_measure(keys, at, sense)
    yield _Place(at, at + 1, by, bool(by))


def _by_measure(keys: Sequence[str], at: int, sense: Sense) -> tuple[int, ...]:
    """Where `by area` stands behind a superlative; empty where it does not."""
    for i in range(at + 1, len(keys) - 1):
        if keys[i] == "p:by" and keys[i + 1] in sense.measured:
            return i, i + 1
    return ()


def _noun_before(keys: Sequence[str], at: int) -> int:
    """The word before a superlative, values left out; -1 where there is none."""
    before = at - 1
    while before >= 0 and keys[before][0] in HARD:
        before -= 1
    return before if _is_word(keys, before) else -1


def _is_superlative(keys: Sequence[str], at: int, sense: Sense) -> bool:
    if keys[at] == MOST and _is_word(keys, at + 1) and keys[at + 1] in sense.adjectives:
        return True
    return keys[at] in sense.superlatives or keys[at] in sense.alone


def _is_word(keys: Sequence[str], place: int) -> bool:
    return 0 <= place < len(keys) and keys[place][0] == "w"


def _goes_without_saying(keys: Sequence[str], place: _Place, sense: Sense) -> bool:
    superlative = keys[place.superlative]
    return superlative in sense.alone or (superlative in sense.sizes and keys[place.noun] in sense.peopled)


def _moved(view: View, place: _Place) -> View:
    keys = _in_place(view.keys, place)
    # What is compared from here on, letter by letter too, is what the question says once it is put so.
    said = tuple(key[2:] for key in keys if key[0] not in HARD)
    return view._replace(keys=keys, opened=_in_place(view.opened, place), open_words=said)


def _in_place(keys: Sequence[str], place: _Place) -> tuple[str, ...]:
    found = []
    for i, key in enumerate(keys):
        if i == place.noun:
            found.append(EXTREME)
        if i != place.superlative and i not in place.drop:
            found.append(key)
    return tuple(found)
