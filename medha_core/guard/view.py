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
_ONE_PART = [{"p:between", "p:from"}, {"p:through", "p:from"}, {"p:by", "p:from"}]
_LOOSE_OPERATORS = frozenset(["o:count", "o:each", "o:distinct", "o:much", "o:order", "o:ascending", "o:descending"])


class View(NamedTuple):
    """The compared items of one question, in order, and what they are bound to."""

    keys: tuple[str, ...]
    opened: tuple[str, ...]
    """The keys with the column in place of each value."""
    open_words: tuple[str, ...]
    """Raw words outside values."""


def opened_value(text: str, column: str) -> str:
    """A value with its text left open: only the column's own name counts, and all numbers are alike."""
    return "v:#" if text.isdigit() else f"v:{column.rpartition('.')[2]}"


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
                opened.append(opened_value(item.text, item.column))
        else:
            keys.append(item.key)
            opened.append(item.key)
    _ranges(keys), _ranges(opened)
    open_words = tuple(w.text for i, w in enumerate(features.words) if i not in inside)
    return View(tuple(_magnitudes(keys, lexicon)), tuple(_magnitudes(opened, lexicon)), open_words)


def _with_values(items: Sequence[Item], starts: dict[int, Mention], inside: set[int]):
    pending = sorted(starts)
    for item in items:
        while pending and pending[0] <= item.first:
            yield starts[pending.pop(0)]
        if inside.isdisjoint(range(item.first, item.last)):
            yield item
    for first in pending:
        yield starts[first]


def _ranges(keys: list[str]) -> None:
    """`between A and B` asks for what `from A to B` asks for."""
    for i in range(len(keys) - 2, -1, -1):
        if keys[i] == "p:between" and [k[0] in "vnqid" for k in keys[i + 1 : i + 3]] == [True, True]:
            keys[i] = "p:from"
            keys.insert(i + 2, "p:to")


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


def roles(keys: Sequence[str]) -> list[tuple[str, str]]:
    """Each value with the bound preposition right before it, or ""; in order."""
    return [
        (key, keys[i - 1] if i and keys[i - 1] in BOUND else "") for i, key in enumerate(keys) if key[0] in "vnqid"
    ]


def contradiction(a: View, b: View) -> str:
    """Which value plays another part in the two questions, or "".

    A value contradicts where both say its part and differ, and where values that could be taken for one
    another stand in another order although no preposition tells them apart.
    """
    first, second = dict(roles(a.keys)), dict(roles(b.keys))
    for key, role in first.items():
        other = second.get(key, role)
        if role and other and role != other and {role, other} not in _ONE_PART:
            return key[2:]
    for alike in _of_one_kind(a):
        order = [k for k in first if k in second and k in alike]
        other_order = [k for k in second if k in order]
        for key, other in zip(order, other_order, strict=True):
            if key != other and (not first[key] or first[key] != second[key] or first[key] == "p:between"):
                return key[2:]
    return ""


def _of_one_kind(view: View) -> list[set[str]]:
    """The values of a question that could be taken for one another: of one column, or of one written form."""
    kinds: dict[str, set[str]] = {}
    for key, opened in zip(view.keys, view.opened, strict=True):
        if key[0] in "vnqid":
            kinds.setdefault(opened if key[0] == "v" else key[0], set()).add(key)
    return list(kinds.values())


def rebound(a: Sequence[str], b: Sequence[str]) -> str:
    """An operator that stands before another word although both questions say both words, or ""."""
    first, second = _heads(a), _heads(b)
    for operator, heads in first.items():
        others = second.get(operator, heads)
        for x, y in zip(sorted(heads - others), sorted(others - heads), strict=False):
            if x in b and y in a:
                return f"{operator[2:]} {x[2:]} / {operator[2:]} {y[2:]}"
    return ""


def _heads(keys: Sequence[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for i, key in enumerate(keys):
        if key[0] == "o" and key not in _LOOSE_OPERATORS:
            found.setdefault(key, set()).add(_head(keys, i))
    return found


def _head(keys: Sequence[str], i: int) -> str:
    for key in keys[i + 1 :]:
        if key[0] not in "opa":
            return key
    for key in reversed(keys[:i]):
        if key[0] not in "opa":
            return key
    return ""
