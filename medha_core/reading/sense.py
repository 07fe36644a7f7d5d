"""What a query asks of its data, as far as a question may say it in several ways.

Read with patterns, not with a parser: of a query that is not SQL, or that holds two of what is looked for,
nothing is reported, and the guard stays as strict as it is without it.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from medha_core.reading.lexicon import Lexicon

__all__ = ["NO_SENSE", "Sense", "read_sense"]

_NAME = r'[\w$.`"\[\]]+'
_EXTREME = re.compile(rf"\b(max|min)\s*\(\s*({_NAME})\s*\)", re.IGNORECASE)
_FIRST_OF = re.compile(
    rf"\border\s+by\s+({_NAME})(?:\s+(asc|desc))?(?:\s+nulls\s+(?:first|last))?\s+limit\s+1\b(?!\s*,|\s+offset)",
    re.IGNORECASE,
)
_ROWS = re.compile(r"\b(?:limit|top|offset|fetch|over|rank)\b", re.IGNORECASE)
_SELECTED = re.compile(r"\s*select\s+(?:distinct\s+)?(.*?)\s+from\s", re.IGNORECASE | re.DOTALL)
_TABLE = re.compile(rf"\bfrom\s+({_NAME})", re.IGNORECASE)
_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_LONGEST = 4000
"""Characters; of a longer query nothing is reported."""


class Sense(NamedTuple):
    """What a query selects and takes the extreme of, as keys of the words that say so."""

    superlatives: frozenset[str] = frozenset()
    """Superlatives that go the way of its one extreme; empty where it has none, or several."""
    alone: frozenset[str] = frozenset()
    """Superlatives that also say of what: `largest` of an area."""
    measured: frozenset[str] = frozenset()
    """Nouns that say of what: `area`, `size`."""
    adjectives: frozenset[str] = frozenset()
    """Adjectives that say of what, behind `most`: `dense`."""
    peopled: frozenset[str] = frozenset()
    """Nouns whose size is a number of people, where that is what the extreme is of."""
    sizes: frozenset[str] = frozenset()
    """The superlatives that then say of what."""
    selected: frozenset[str] = frozenset()
    """Nouns that name the one column it selects."""
    is_number: bool = False
    """Whether that column holds the number of what it is named with."""
    places: frozenset[str] = frozenset()
    """Nouns for the places it selects: `where` asks for them."""
    extremes: frozenset[str] = frozenset()
    """Superlatives in the names of columns it selects: `highest_point`."""
    things: frozenset[str] = frozenset()
    """Nouns for the rows it selects: they name its tables."""
    venues: frozenset[str] = frozenset()
    """Those of them that are called a place."""
    differs: bool = True
    """Whether it may tell two things apart: `other` then has a part in it."""


NO_SENSE = Sense()


def read_sense(query: str, lexicon: Lexicon) -> Sense:
    """What a query asks of its data. Any text is accepted."""
    found = _SELECTED.match(query) if len(query) <= _LONGEST else None
    if found is None:
        return NO_SENSE
    columns = _columns(found[1])
    words = [_words(column) for column in columns]
    selected = _nouns(words[0], lexicon) if len(columns) == 1 else frozenset()
    things = frozenset(_things(query, columns, lexicon))
    counts = bool(selected) and not lexicon.counting.isdisjoint(words[0])
    return _of_extreme(*_extreme(query), lexicon)._replace(
        selected=selected,
        is_number=counts or not selected.isdisjoint(lexicon.crowds),
        places=frozenset(_key(word, lexicon) for row in words for word in row if word in lexicon.places),
        extremes=frozenset(_superlatives(words, lexicon)),
        things=things,
        venues=things & lexicon.venues,
        differs="<>" in query or "!=" in query,
    )


@lru_cache(maxsize=1024)
def _of_extreme(way: str, column: str, lexicon: Lexicon) -> Sense:
    """What there is to say of the extreme of a column."""
    nouns = _nouns(_words(column), lexicon)
    if not nouns:
        return NO_SENSE
    crowd = not nouns.isdisjoint(lexicon.crowds)
    superlatives = frozenset(key for key, own in lexicon.ways.items() if own == way)
    alone = {key for key, of in lexicon.measured_by.items() if lexicon.ways[key] == way and of & nouns}
    direction = "gt" if way == "max" else "lt"
    adjectives = [
        adjective
        for adjective, (attribute, toward) in lexicon.attributes.items()
        if toward == direction and f"w:{attribute}" in nouns
    ]
    return Sense(
        superlatives=superlatives,
        alone=frozenset(alone.union(f"o:most {adjective}" for adjective in adjectives)),
        measured=nouns,
        adjectives=frozenset(f"w:{adjective}" for adjective in adjectives),
        peopled=lexicon.peopled if crowd else frozenset(),
        sizes=lexicon.sizes.intersection(superlatives) if crowd else frozenset(),
    )


def _extreme(query: str) -> tuple[str, str]:
    """The way and the column of the one extreme of a query, or two empty texts."""
    ordered = _FIRST_OF.findall(query)
    found = {(way.lower(), _own_name(column)) for way, column in _EXTREME.findall(query)}
    found.update(("max" if way.lower() == "desc" else "min", _own_name(column)) for column, way in ordered)
    if len(found) != 1 or len(_ROWS.findall(query)) != len(ordered):
        return "", ""
    return found.pop()


def _own_name(column: str) -> str:
    return column.rpartition(".")[2]


def _columns(selected: str) -> list[str]:
    """The selected columns; none where something else is selected too."""
    found = [part.strip() for part in selected.split(",")]
    return found if all(re.fullmatch(_NAME, part) for part in found) else []


def _words(name: str) -> list[str]:
    return [part.casefold() for part in _PART.findall(_own_name(name))]


def _key(word: str, lexicon: Lexicon) -> str:
    return f"w:{lexicon.lemma(word)}"


def _nouns(words: Sequence[str], lexicon: Lexicon) -> frozenset[str]:
    """Nouns for what a column named with these words holds: the last of them, and what means the same."""
    head = [word for word in words if word not in lexicon.counting][-1:]
    found = {_key(word, lexicon) for word in head}
    if not found.isdisjoint(lexicon.crowds):
        found |= lexicon.people
    for group in lexicon.measures:
        if not found.isdisjoint(group):
            found |= group
    return frozenset(found)


def _superlatives(words: Sequence[Sequence[str]], lexicon: Lexicon) -> Iterator[str]:
    keys = (f"o:{lexicon.operators[word]}" for row in words for word in row if word in lexicon.operators)
    return (key for key in keys if key in lexicon.ways)


def _things(query: str, columns: Sequence[str], lexicon: Lexicon) -> Iterator[str]:
    """Keys of the last words of the tables that columns are selected from."""
    for owner in {column.rpartition(".")[0] for column in columns}:
        named = rf"(?:\bfrom|\bjoin|,)\s*({_NAME})\s+(?:as\s+)?{re.escape(owner)}\b"
        table = (owner and re.search(named, query, re.IGNORECASE)) or _TABLE.search(query)
        if table and (words := _words(table[1])):
            yield _key(words[-1], lexicon)
