"""Answer a question with the query of another one, its values exchanged (a parametric hit).

Only whole literals are exchanged. The new query is read again, and where anything but those literals
differs, it is refused: no value can end a literal, add a clause or change a type.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice, permutations
from typing import NamedTuple

from medha_core.errors import ArgumentValueError
from medha_core.reading.features import Features
from medha_core.reading.literal_rules import may_hold
from medha_core.reading.literals import Literal
from medha_core.reading.mentions import Mention
from medha_core.reading.query import differ_only_at, read_query
from medha_core.reading.slots import Slot, is_iso_date, slots
from medha_core.reading.values import KnownValues
from medha_core.reading.words import Word

__all__ = ["MODES", "Proposal", "Substituted", "Written", "completed", "proposals", "write"]

MODES = ("seen", "any", "off")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
MAX_ORDERS = 24
"""Assignments of values to slots that are tried for one entry."""
MAX_LENGTH = 512
"""Characters of a value; a longer one is refused."""


class Proposal(NamedTuple):
    """One way to fit the asked question's values into the slots of a stored query."""

    asked: tuple[Mention, ...]
    """The asked question's values, named by the slot they would fill."""
    stored: tuple[Mention, ...]
    """The stored question's values, named by slot."""
    spellings: tuple[str, ...]
    """For each slot how the query will spell its value."""
    exchanged: int
    """How many values differ from the stored ones."""


class Substituted(NamedTuple):
    """A query with its values exchanged."""

    query: str
    parameters: dict[str, str]
    """The value of each slot, by column (with a number behind it where a column has several)."""
    bound_query: str
    """The query with a `?` for each exchanged literal, for drivers that bind values."""
    bind_values: tuple[str | int | float, ...]
    """The values of those marks, in order."""


class Written(NamedTuple):
    """A query in which values were exchanged, and no more than candidates are compared by."""

    query: str
    values: dict[int, str]
    """The new value of each literal that has one, by its number."""


class _Words(NamedTuple):
    asked: Sequence[Word]
    stored: Sequence[Word]


def proposals(
    asked: Features, stored: Features, query: str, known: KnownValues, mode: str = "seen"
) -> Iterator[Proposal]:
    """Every assignment of the asked question's values to the slots of an entry that columns and types allow.

    `mode`: "seen" takes only texts already seen in that column (numbers are taken as they are), "any"
    also quoted ones never seen, "off" proposes nothing.
    """
    if mode not in MODES:
        raise ArgumentValueError("mode", " or ".join(map(repr, MODES)), mode)
    available = slots(stored.mentions, query) if mode != "off" else None
    if not available:
        return
    spans = _spans(asked, stored, available, known)
    if len(spans) != len(available):
        return
    words = _Words(asked.words, stored.words)
    named = tuple(slot.mention._replace(text=f"?{i}") for i, slot in enumerate(available))
    options = [[_spelling(slot, span, words, known, mode) for span in spans] for slot in available]
    orders = (
        o for o in permutations(range(len(spans))) if all(options[i][j] is not None for i, j in enumerate(o))
    )
    for order in islice(orders, MAX_ORDERS):
        exchanged = sum(spans[j].text != available[i].mention.text for i, j in enumerate(order))
        if exchanged:
            mentions = [
                spans[j]._replace(text=f"?{i}", column=available[i].mention.column)
                for i, j in enumerate(order)
            ]
            spellings = tuple(options[i][j] or "" for i, j in enumerate(order))
            yield Proposal(tuple(sorted(mentions, key=lambda m: m.first)), named, spellings, exchanged)


def _spans(asked: Features, stored: Features, available: Sequence[Slot], known: KnownValues) -> list[Mention]:
    """What in the asked question may be a value: known ones of the slots' columns, and what looks like one.

    What looks like a value but stands in the stored question without being in its query is a constant.
    """
    columns = {column for slot in available for column in slot.columns}
    spotted = known.spot([word.text for word in asked.words])
    found = [
        Mention(s.text, s.first, s.last) for s in spotted if any(known.fitting(c, s.text) for c in columns)
    ]
    taken = {i for m in found for i in range(m.first, m.last)}
    inside = {i for m in stored.mentions for i in range(m.first, m.last)}
    constants = Counter(w.text for i, w in enumerate(stored.words) if w.kind in "nqid" and i not in inside)
    for i, word in enumerate(asked.words):
        if word.kind not in "nqid" or i in taken:
            continue
        if constants[word.text]:
            constants[word.text] -= 1
        else:
            found.append(Mention(word.text, i, i + 1))
    return sorted(found, key=lambda m: m.first)


def _spelling(slot: Slot, span: Mention, words: _Words, known: KnownValues, mode: str) -> str | None:
    """How the query would spell this value in this slot; None where it may not stand there.

    Cases: too long; the value it has; a number; a date; a known text; with "any", a quoted text nobody knows.
    """
    word = words.asked[span.first]
    if len(span.text) > MAX_LENGTH:
        return None
    if span.text == slot.mention.text:
        return slot.spelling
    if slot.is_number:
        return span.text if _is_number(span.text) else None
    if is_iso_date(slot.spelling):
        return span.text if word.kind == "d" and is_iso_date(span.text) else None
    seen = {known.fitting(column, span.text) for column in slot.columns}
    if len(seen) == 1 and None not in seen:
        return seen.pop()
    if mode == "any" and word.quoted and not known.columns(span.text):
        lowered = slot.spelling.islower() and not words.stored[slot.mention.first].quoted.islower()
        return word.quoted.lower() if lowered else word.quoted
    return None


def _is_number(text: str) -> bool:
    whole, _, fraction = text.partition(".")
    return text.isascii() and whole.isdigit() and (not fraction or fraction.isdigit())


def write(
    query: str, stored: Features, proposal: Proposal, *, backslash_escapes: bool | None = None
) -> Written | None:
    """The stored query with the proposal's values, or None where they cannot stand there safely.

    `backslash_escapes` says whether a backslash escapes inside the language's strings (MySQL, BigQuery,
    Cypher, GraphQL: True; standard SQL: False). None finds out: what begins like SQL gets its quotes doubled,
    and values with a backslash, which its dialects read differently, are refused.
    """
    read = read_query(query)
    if backslash_escapes is None and not read.is_sql:
        backslash_escapes = True
    found = read.literals
    new = {
        which: spelling
        for mention, spelling in zip(stored.mentions, proposal.spellings, strict=True)
        for which in mention.literals
        if spelling != found[which].value
    }
    texts: dict[int, str] = {}
    for which, value in new.items():
        text = _written(query, found[which], value, backslash_escapes)
        if text is None:
            return None
        texts[which] = text
    made = _spliced(query, found, texts)
    if not differ_only_at(query, made, [found[which].start for which in new]):
        return None  # read again, the new query is not the old one with these values
    return Written(made, new)


def completed(query: str, stored: Features, proposal: Proposal, written: Written) -> Substituted:
    """A written query with what a program that binds its values needs: candidates are compared without."""
    found, new = read_query(query).literals, written.values
    marks = _spliced(query, found, dict.fromkeys(new, "?"))
    values = tuple(_bound(found[which], _patterned(found[which], new[which])) for which in sorted(new))
    return Substituted(written.query, _parameters(stored, proposal), marks, values)


def _written(query: str, literal: Literal, value: str, backslash_escapes: bool | None) -> str | None:
    """A literal's text for a new value, in the form of the old one."""
    if not may_hold(query, literal, value):
        return None
    if literal.is_number:
        return value if _is_number(value) else None
    if _CONTROL.search(value) or ("\\" in value and backslash_escapes is None):
        return None
    quote = query[literal.start]
    inner = value
    if literal.is_pattern:
        inner = _patterned(literal, inner)
    if backslash_escapes:
        inner = inner.replace("\\", "\\\\").replace(quote, f"\\{quote}")
    else:
        inner = inner.replace(quote, quote * 2)
    return f"{quote}{inner}{quote}"


def _patterned(literal: Literal, value: str) -> str:
    """A value with the wildcards at its ends that the old one has."""
    if not literal.is_pattern:
        return value
    old = literal.value
    return f"{'%' if old.startswith('%') else ''}{value.strip('%')}{'%' if old.endswith('%') else ''}"


def _spliced(query: str, found: Sequence[Literal], texts: dict[int, str]) -> str:
    parts, end = [], 0
    for which in sorted(texts):
        parts += [query[end : found[which].start], texts[which]]
        end = found[which].end
    return "".join([*parts, query[end:]])


def _parameters(stored: Features, proposal: Proposal) -> dict[str, str]:
    made: dict[str, str] = {}
    for mention, spelling in zip(stored.mentions, proposal.spellings, strict=True):
        name = mention.column or "value"
        count = sum(taken == name or taken.startswith(f"{name}#") for taken in made)
        made[f"{name}#{count + 1}" if count else name] = spelling
    return made


def _bound(literal: Literal, value: str) -> str | int | float:
    if not literal.is_number:
        return value
    return float(value) if "." in value else int(value)
