"""Answer a question with the query of another one, its values exchanged."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import NamedTuple

from medha_core.reading.features import Features
from medha_core.reading.literals import Literal, literals
from medha_core.reading.mentions import Mention
from medha_core.reading.values import KnownValues

__all__ = ["Proposal", "proposals", "rewrite"]

MAX_SLOTS = 6


class Proposal(NamedTuple):
    """One way to fit the asked question's values into the stored query's slots."""

    asked: tuple[Mention, ...]
    """The asked question's values, named by the slot they would fill."""
    stored: tuple[Mention, ...]
    """The stored question's values, named by slot."""
    texts: tuple[str, ...]
    """For each slot the new value, compared form."""
    spellings: tuple[str, ...]
    """For each slot how the query will spell it."""


def proposals(asked: Features, stored: Features, query: str, known: KnownValues, mode: str = "seen") -> Iterator[Proposal]:
    """Every assignment of the asked question's values to the slots that columns and types allow."""
    slots = _slots(stored, literals(query))
    if slots is None or len(slots) > MAX_SLOTS:
        return
    spans = _spans(asked, stored, slots, known)
    if len(spans) != len(slots):
        return
    options = [[_spelling(slot, span, known, mode) for span in spans] for slot in slots]
    named = tuple(slot.mention._replace(text=f"?{i}") for i, slot in enumerate(slots))
    for order in _orders(options):
        spellings = tuple(options[i][j] for i, j in enumerate(order))
        if all(spellings[i] == slot.spelling for i, slot in enumerate(slots)):
            continue
        mentions = tuple(spans[j]._replace(text=f"?{i}", column=slots[i].mention.column) for i, j in enumerate(order))
        yield Proposal(
            tuple(sorted(mentions, key=lambda m: m.first)), named, tuple(spans[j].text for j in order), spellings
        )


class _Slot(NamedTuple):
    mention: Mention
    columns: frozenset[str]
    is_number: bool
    spelling: str


def _slots(stored: Features, found: Sequence[Literal]) -> list[_Slot] | None:
    """The mentions as slots; None where one is named twice or has two meanings."""
    slots = []
    seen: set[tuple[int, ...]] = set()
    for mention in stored.mentions:
        values = [found[i] for i in mention.literals]
        names = {v.column.rpartition(".")[2] for v in values}
        if mention.literals in seen or len(names) > 1 or len({v.is_number for v in values}) > 1:
            return None
        seen.add(mention.literals)
        slots.append(_Slot(mention, frozenset(v.column for v in values), values[0].is_number, values[0].value))
    return slots


def _spans(asked: Features, stored: Features, slots: Sequence[_Slot], known: KnownValues) -> list[Mention]:
    """What in the asked question may be a value: known values, and numbers where a slot takes one."""
    spotted = known.spot([w.text for w in asked.words])
    columns = frozenset().union(*(slot.columns for slot in slots)) if slots else frozenset()
    found = [Mention(s.text, s.first, s.last, ()) for s in spotted if any(known.fitting(c, s.text) for c in columns)]
    taken = {i for m in found for i in range(m.first, m.last)}
    inside = {i for m in stored.mentions for i in range(m.first, m.last)}
    fixed = Counter(w.text for i, w in enumerate(stored.words) if w.kind in "nqid" and i not in inside)
    for i, word in enumerate(asked.words):
        if word.kind in "nqid" and i not in taken:
            if fixed[word.text]:
                fixed[word.text] -= 1
                continue
            found.append(Mention(word.text, i, i + 1, ()))
    return sorted(found, key=lambda m: m.first)


def _spelling(slot: _Slot, span: Mention, known: KnownValues, mode: str) -> str | None:
    """How the query would spell this value in this slot; None where it may not stand there."""
    if slot.is_number:
        return span.text if _is_number(span.text) else None
    spellings = {known.fitting(column, span.text) for column in slot.columns}
    if None in spellings or len(spellings) > 1:
        return None
    return spellings.pop()


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isascii() and text.replace(".", "", 1).isdigit()


def _orders(options: Sequence[Sequence[str | None]]) -> Iterator[tuple[int, ...]]:
    for order in permutations(range(len(options))):
        if all(options[i][j] is not None for i, j in enumerate(order)):
            yield order


def rewrite(query: str, stored: Features, proposal: Proposal) -> str:
    """The stored query with the proposal's values in its literals."""
    found = literals(query)
    changes = []
    for mention, spelling in zip(stored.mentions, proposal.spellings, strict=True):
        for which in mention.literals:
            changes.append((found[which], spelling))
    parts, end = [], 0
    for literal, spelling in sorted(changes, key=lambda change: change[0].start):
        parts += [query[end : literal.start], _written(query, literal, spelling)]
        end = literal.end
    return "".join([*parts, query[end:]])


def _written(query: str, literal: Literal, spelling: str) -> str:
    if literal.is_number:
        return spelling
    quote = query[literal.start]
    return f"{quote}{spelling.replace(quote, quote * 2)}{quote}"
