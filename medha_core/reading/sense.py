"""What a query asks of its data, as far as a question may say it in several ways.

Read with patterns, not with a parser: of a query that is not SQL, or that holds two of what is looked for,
nothing is reported, and the guard stays as strict as it is without it.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from medha_core.reading.lexicon import Lexicon

__all__ = ["NO_SENSE", "Sense", "extreme", "read_sense", "sense_of"]

_NAME = r'[\w$.`"\[\]]+'
_EXTREME = re.compile(rf"\b(max|min)\s*\(\s*({_NAME})\s*\)", re.IGNORECASE)
_FIRST_OF = re.compile(
    rf"\border\s+by\s+({_NAME})(?:\s+(asc|desc))?(?:\s+nulls\s+(?:first|last))?\s+limit\s+1\b(?!\s*,|\s+offset)",
    re.IGNORECASE,
)
_ROWS = re.compile(r"\b(?:limit|top|offset|fetch|over|rank)\b", re.IGNORECASE)
_SELECTED = re.compile(r"\s*select\s+(?:distinct\s+)?(.*?)\s+from\s", re.IGNORECASE | re.DOTALL)
_TABLE = re.compile(
    rf"(?:\bfrom|\bjoin|,)\s*({_NAME})"
    r"(?:\s+(?:as\s+)?(?!where\b|join\b|on\b|left\b|inner\b|natural\b|cross\b|order\b|group\b)(\w+))?",
    re.IGNORECASE,
)
_AGGREGATE = re.compile(r"\b(\w+)\s*\(")
_GROUPED = re.compile(r"\bgroup\s+by\b", re.IGNORECASE)
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
    sums: bool = False
    """Whether it selects sums, and computes nothing else: `total` and `how much` then ask no more."""
    groups: bool = False
    """Whether it groups its rows: `by` and `per` then mean one thing."""


NO_SENSE = Sense()


def read_sense(query: str, lexicon: Lexicon) -> Sense:
    """What a query asks of its data. Any text is accepted."""
    found = _SELECTED.match(query) if len(query) <= _LONGEST else None
    if found is None:
        return NO_SENSE
    tables = " ".join(_tables(query[found.end(1) :], _of_columns(found[1], lexicon).owners))
    differs, groups = "<>" in query or "!=" in query, _GROUPED.search(query) is not None
    return sense_of(found[1], tables, *extreme(query), differs, groups, lexicon)


@lru_cache(maxsize=4096)
def sense_of(
    selected: str, tables: str, way: str, column: str, differs: bool, groups: bool, lexicon: Lexicon
) -> Sense:
    """The sense of a query by what it selects, from which tables, and what it takes the extreme of."""
    columns = _of_columns(selected, lexicon)
    rows = [words for table in tables.split(" ") if (words := _words(table))]
    things = frozenset(_key(words[-1], lexicon) for words in rows)
    of_extreme = _of_extreme(way, column, lexicon)
    sums = {name.lower() for name in _AGGREGATE.findall(selected)} == {"sum"}
    return Sense(*of_extreme, *columns[:-1], things, things & lexicon.venues, differs, sums, groups)


class _Columns(NamedTuple):
    """What there is to say of the columns that a query selects."""

    selected: frozenset[str] = frozenset()
    is_number: bool = False
    places: frozenset[str] = frozenset()
    extremes: frozenset[str] = frozenset()
    owners: frozenset[str] = frozenset()
    """What stands before their names, in lower case: a table, or what one is called here."""


@lru_cache(maxsize=1024)
def _of_columns(text: str, lexicon: Lexicon) -> _Columns:
    columns = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(_NAME, column) for column in columns):
        return _Columns()
    rows = [_words(column) for column in columns]
    selected = _nouns(rows[0], lexicon) if len(rows) == 1 else frozenset()
    counts = bool(selected) and _counts(rows[0], lexicon)
    words = [word for row in rows for word in row]
    operators = (f"o:{lexicon.operators[word]}" for word in words if word in lexicon.operators)
    return _Columns(
        selected,
        counts or not selected.isdisjoint(lexicon.crowds),
        frozenset(_key(word, lexicon) for word in words if word in lexicon.places),
        frozenset(key for key in operators if key in lexicon.ways),
        frozenset(column.rpartition(".")[0].lower() for column in columns),
    )


def _counts(words: Sequence[str], lexicon: Lexicon) -> bool:
    """Whether a column says how many: `num_pages`, but not `invoice_number`, which says which one."""
    return not lexicon.counting.isdisjoint(words) and words[-1] not in lexicon.numbering


class _Extreme(NamedTuple):
    """What there is to say of the one extreme of a query: the first fields of `Sense`."""

    superlatives: frozenset[str] = frozenset()
    alone: frozenset[str] = frozenset()
    measured: frozenset[str] = frozenset()
    adjectives: frozenset[str] = frozenset()
    peopled: frozenset[str] = frozenset()
    sizes: frozenset[str] = frozenset()


@lru_cache(maxsize=1024)
def _of_extreme(way: str, column: str, lexicon: Lexicon) -> _Extreme:
    nouns = _nouns(_words(column), lexicon)
    if not nouns:
        return _Extreme()
    direction = "gt" if way == "max" else "lt"
    adjectives = [
        adjective
        for adjective, (attribute, toward) in lexicon.attributes.items()
        if toward == direction and f"w:{attribute}" in nouns
    ]
    superlatives = frozenset(key for key, own in lexicon.ways.items() if own == way)
    crowd = not nouns.isdisjoint(lexicon.crowds)
    return _Extreme(
        superlatives,
        frozenset(key for key in superlatives if not nouns.isdisjoint(lexicon.measured_by.get(key, ())))
        | {f"o:most {adjective}" for adjective in adjectives},
        nouns.union(*(lexicon.reached.get(_key(word, lexicon), ()) for word in _words(column)[-1:])),
        frozenset(f"w:{adjective}" for adjective in adjectives),
        lexicon.peopled if crowd else frozenset(),
        lexicon.sizes & superlatives if crowd else frozenset(),
    )


def extreme(query: str) -> tuple[str, str]:
    """The way and the column of the one extreme of a query, or two empty texts."""
    ordered = _FIRST_OF.findall(query)
    found = {(way.lower(), _own_name(column)) for way, column in _EXTREME.findall(query)}
    found.update(("max" if way.lower() == "desc" else "min", _own_name(column)) for column, way in ordered)
    if len(found) != 1 or len(_ROWS.findall(query)) != len(ordered):
        return "", ""
    return found.pop()


def _own_name(column: str) -> str:
    return column.rpartition(".")[2]


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
    return frozenset(found).union(*(lexicon.measures.get(key, ()) for key in found))


def _tables(clauses: str, owners: Collection[str]) -> Iterator[str]:
    """The own names of the tables that columns are selected from, by the clauses behind these."""
    if not owners:
        return
    for table, name in _TABLE.findall(clauses):
        if name.lower() in owners or _own_name(table).lower() in owners or "" in owners:
            yield _own_name(table)
            if "" in owners:
                return
