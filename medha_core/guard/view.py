"""A question as it is compared: its items, with the values of one query folded into single items."""

from collections.abc import Sequence
from typing import NamedTuple

from medha_core.reading.features import Features, Item
from medha_core.reading.lexicon import Lexicon
from medha_core.reading.mentions import Mention, find

__all__ = ["View", "mentioned_in", "view"]

BOUND = frozenset(
    "p:from p:to p:through p:between p:by p:since p:until p:during p:under p:over p:against p:around p:near "
    "p:behind p:about p:off p:among p:outside p:beyond p:along p:inside p:upon p:like".split()
)
_LOOSE_OPERATORS = frozenset(["o:count", "o:each", "o:distinct", "o:much", "o:order", "o:ascending", "o:descending"])


class View(NamedTuple):
    """The compared items of one question, in order, and what they are bound to."""

    keys: tuple[str, ...]
    opened: tuple[str, ...]
    """The keys with the column in place of each value."""
    open_words: tuple[str, ...]
    """Raw words outside values."""


def mentioned_in(asked: Features, mentions: Sequence[Mention]) -> tuple[Mention, ...] | None:
    """Where the same values stand in another question, each as often as it is said; None where one is missing."""
    found: list[Mention] = []
    taken: set[int] = set()
    for mention in sorted(mentions, key=lambda m: m.first - m.last):
        before = len(taken)
        value = tuple(mention.text.split())
        start = find(asked.words, value)
        while start >= 0:
            last = start + (1 if asked.words[start].text != value[0] else len(value))
            if taken.isdisjoint(range(start, last)):
                taken.update(range(start, last))
                found.append(mention._replace(first=start, last=last))
            start = find(asked.words, value, start + 1)
        if len(taken) == before and not any(m.text == mention.text for m in found):
            return None
    return tuple(sorted(found, key=lambda m: m.first))


def view(features: Features, mentions: Sequence[Mention], lexicon: Lexicon) -> View:
    """Fold the mentions of a question into value items, and name superlatives of quantities alike."""
    starts = {m.first: m for m in mentions}
    inside = {i for m in mentions for i in range(m.first, m.last)}
    keys, opened, placed = [], [], set()
    for item in _with_values(features.items, starts, inside):
        if isinstance(item, Mention):
            if item.first not in placed:
                placed.add(item.first)
                keys.append(f"v:{item.text}")
                opened.append(f"v:{item.column}")
        else:
            keys.append(item.key)
            opened.append(item.key)
    open_words = tuple(w.text for i, w in enumerate(features.words) if i not in inside)
    return View(tuple(_magnitudes(keys, lexicon)), tuple(opened), open_words)


def _with_values(items: Sequence[Item], starts: dict[int, Mention], inside: set[int]):
    pending = sorted(starts)
    for item in items:
        while pending and pending[0] <= item.first:
            yield starts[pending.pop(0)]
        if inside.isdisjoint(range(item.first, item.last)):
            yield item
    for first in pending:
        yield starts[first]


def _magnitudes(keys: list[str], lexicon: Lexicon) -> list[str]:
    """`largest`, `highest` and `most` are one before a noun that is a quantity."""
    found = list(keys)
    for i, key in enumerate(keys[:-1]):
        way = lexicon.magnitude.get(key[2:]) if key[0] == "o" else None
        if way and keys[i + 1][:2] == "w:" and keys[i + 1][2:] in lexicon.quantities:
            found[i] = f"o:{way}"
    return found


def bindings(keys: Sequence[str]) -> list[str]:
    """Each operator, number and bound preposition with the word it stands before; order does not matter.

    A word at the end is bound to what precedes it.
    """
    found = []
    for i, key in enumerate(keys):
        if key in BOUND or (key[0] == "o" and key not in _LOOSE_OPERATORS) or key[0] == "n":
            found.append(f"{key}>{_head(keys, i)}")
    return sorted(set(found))


def _head(keys: Sequence[str], i: int) -> str:
    for key in keys[i + 1 :]:
        if key[0] not in "opa":
            return key
    for key in reversed(keys[:i]):
        if key[0] not in "opa":
            return key
    return ""
