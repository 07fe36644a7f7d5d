"""A question as it is compared: its items, with the values of one query folded into single items."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from medha_core.reading.features import Features, Item
from medha_core.reading.lexicon import Lexicon
from medha_core.reading.mentions import Mention, places
from medha_core.reading.words import NUMBER, Word

__all__ = ["HARD", "View", "mentioned_in", "opened_value", "view"]

_ROW = 4
"""Words behind a superlative among which its noun is looked for."""
HARD = "vnqid"
"""Kinds of items that name data: values, numbers, quoted strings, identifiers, dates."""


class View(NamedTuple):
    """The compared items of one question, in order."""

    keys: tuple[str, ...]
    opened: tuple[str, ...]
    """The keys with the column in place of each value."""
    open_words: tuple[str, ...]
    """The words outside values."""
    asks: str
    """The item that says what is asked for."""
    classes: frozenset[str] = frozenset()
    """Words beside a value that only say what its column says, `state` in `the state Texas`, and words
    between the two: `the city called Boston`."""


def opened_value(text: str, column: str) -> str:
    """A value with its text left open: only the column's own name counts, and all numbers are alike."""
    return "v:#" if text.isdigit() else f"v:{column.rpartition('.')[2]}"


def mentioned_in(asked: Features, mentions: Sequence[Mention]) -> tuple[Mention, ...] | None:
    """Where the same values stand in another question, however often; None where one is missing."""
    found: list[Mention] = []
    taken: set[int] = set()
    for mention in sorted(mentions, key=lambda m: m.first - m.last):
        value = tuple(mention.text.split())
        for first, last in places(asked.words, value):
            if taken.isdisjoint(range(first, last)):
                taken.update(range(first, last))
                found.append(mention._replace(first=first, last=last))
        if not any(m.text == mention.text for m in found):
            return None
    return tuple(sorted(found, key=lambda m: m.first))


def view(features: Features, mentions: Sequence[Mention], lexicon: Lexicon) -> View:
    """Fold the mentions of a question into value items; a value said twice asks for nothing new."""
    inside = {i for m in mentions for i in range(m.first, m.last)}
    keys: list[str] = []
    opened: list[str] = []
    spans: list[tuple[int, int]] = []
    for item in _with_values(features.items, mentions, inside):
        if isinstance(item, Item):
            keys.append(item.key)
            opened.append(item.key)
        elif f"v:{item.text}" not in keys:
            keys.append(f"v:{item.text}")
            opened.append(opened_value(item.text, item.column))
        else:
            continue
        spans.append((item.first, item.last))
    for i, operator in _magnitudes(keys, spans, lexicon):
        keys[i] = opened[i] = operator
    if len(mentions) > 1:
        _sort_coordinated(features.words, mentions, keys, opened)
    open_words = tuple(w.text for i, w in enumerate(features.words) if i not in inside)
    classes = _classes(features, mentions, lexicon) if mentions else frozenset()
    return View(tuple(_ranges(keys)), tuple(_ranges(opened)), open_words, features.asks, classes)


def _classes(features: Features, mentions: Sequence[Mention], lexicon: Lexicon) -> frozenset[str]:
    """Words right before or behind a value that its column or table is named with."""
    found = set()
    for mention in mentions:
        near = [i for i in features.items if i.key[0] == "w" and _is_beside(i, mention, features, lexicon)]
        if near:
            parts = mention.column.replace(".", "_").lower().split("_")
            named = {lexicon.stem(lexicon.lemma(part)) for part in parts}
            found |= {item.key for item in near if lexicon.stem(item.key[2:]) in named}
        found.update(
            item.key
            for item in features.items
            if _names(item, mention, features, lexicon) or _labels(item, mention, features, lexicon)
        )
    return frozenset(found)


def _names(item: Item, mention: Mention, features: Features, lexicon: Lexicon) -> bool:
    """Whether a word only leads from a class to its value: `the city called Boston`."""
    if item.last != mention.first or features.words[item.first].text not in lexicon.naming:
        return False
    return sum(other.key == item.key for other in features.items) == 1


def _labels(item: Item, mention: Mention, features: Features, lexicon: Lexicon) -> bool:
    """Whether a word only says that a number follows: `order number 7`, `the year 2010`."""
    number = features.words[mention.first]
    if item.last != mention.first or number.kind != NUMBER or item.key[2:] not in lexicon.labels:
        return False
    return item.key[2:] not in lexicon.calendar or len(number.text) == 4


def _is_beside(item: Item, mention: Mention, features: Features, lexicon: Lexicon) -> bool:
    """`the state Texas`, `the state of Texas`, `Texas state` or `states called Texas`; but no `states that
    border Texas`."""
    if item.first == mention.last:
        return "v" not in lexicon.words.get(item.key[2:], "")
    gap = mention.first - item.last
    if gap == 1 and features.words[item.last].text in lexicon.naming:
        return True
    if gap not in (0, 1) or not item.first or (gap and features.words[item.last].text != "of"):
        return False
    return features.words[item.first - 1].text in lexicon.before_classes


def _with_values(
    items: Sequence[Item], mentions: Sequence[Mention], inside: set[int]
) -> Iterator[Item | Mention]:
    """Items and mentions in the order of the question."""
    pending = sorted(mentions, key=lambda m: m.first, reverse=True)
    for item in items:
        while pending and pending[-1].first <= item.first:
            yield pending.pop()
        if inside.isdisjoint(range(item.first, item.last)):
            yield item
    yield from reversed(pending)


def _sort_coordinated(
    words: Sequence[Word], mentions: Sequence[Mention], keys: list[str], opened: list[str]
) -> None:
    """`rock and jazz` is `jazz and rock`: values joined by `and` or `or` are put in alphabetical order.

    Values that are to be exchanged stay where they are: their order says which is which.
    """
    for one, other in pairwise(mentions):
        between = [word.text for word in words[one.last : other.first]]
        if between not in (["and"], ["or"]) or one.text[0] == "?" or one.column != other.column:
            continue
        if one.text <= other.text or f"v:{one.text}" not in keys or f"v:{other.text}" not in keys:
            continue
        i, j = keys.index(f"v:{one.text}"), keys.index(f"v:{other.text}")
        if i < j and (not i or keys[i - 1] != "p:between"):
            keys[i], keys[j] = keys[j], keys[i]
            opened[i], opened[j] = opened[j], opened[i]


def _ranges(keys: list[str]) -> list[str]:
    """`between A and B` asks for what `from A to B` asks for."""
    found: list[str] = []
    for i, key in enumerate(keys):
        if key == "p:between" and len(keys) > i + 2 and keys[i + 1][0] in HARD and keys[i + 2][0] in HARD:
            found.append("p:from")
        elif i > 1 and keys[i - 2] == "p:between" and key[0] in HARD and keys[i - 1][0] in HARD:
            found += ["p:to", key]
        else:
            found.append(key)
    return found


def _magnitudes(
    keys: Sequence[str], spans: Sequence[tuple[int, int]], lexicon: Lexicon
) -> Iterator[tuple[int, str]]:
    """`largest`, `highest` and `most` are one before a noun that is a quantity: `lowest round trip fare`.

    The noun must stand in one unbroken row with them, unlike that of `the highest house in the area`; and
    `cheapest` is `lowest` only of what is paid.
    """
    for i, key in enumerate(keys):
        way = lexicon.magnitude.get(key[2:]) if key[0] == "o" else None
        if not way:
            continue
        nouns = lexicon.prices if key in lexicon.priced else lexicon.quantities
        for j in range(i + 1, min(i + 1 + _ROW, len(keys))):
            if keys[j][0] != "w" or spans[j][0] != spans[j - 1][1]:
                break
            if keys[j][2:] in nouns:
                yield i, f"o:{way}"
                break
