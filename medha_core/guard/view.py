"""A question as it is compared: its items, with the values of one query folded into single items."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from medha_core.reading.features import Features, Item
from medha_core.reading.lexicon import Lexicon
from medha_core.reading.mentions import Mention, places

__all__ = ["HARD", "View", "mentioned_in", "opened_value", "view"]

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
    for item in _with_values(features.items, mentions, inside):
        if isinstance(item, Item):
            keys.append(item.key)
            opened.append(item.key)
        elif f"v:{item.text}" not in keys:
            keys.append(f"v:{item.text}")
            opened.append(opened_value(item.text, item.column))
    open_words = tuple(w.text for i, w in enumerate(features.words) if i not in inside)
    return View(_canonical(keys, lexicon), _canonical(opened, lexicon), open_words, features.asks)


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


def _canonical(keys: list[str], lexicon: Lexicon) -> tuple[str, ...]:
    return tuple(_magnitudes(_ranges(keys), lexicon))


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


def _magnitudes(keys: list[str], lexicon: Lexicon) -> Iterator[str]:
    """`largest`, `highest` and `most` are one before a noun that is a quantity."""
    for i, key in enumerate(keys):
        following = keys[i + 1] if i + 1 < len(keys) else ""
        way = lexicon.magnitude.get(key[2:]) if key[0] == "o" and following[:2] == "w:" else None
        yield f"o:{way}" if way and following[2:] in lexicon.quantities else key
