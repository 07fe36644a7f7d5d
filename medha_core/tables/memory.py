"""What short queries were found to read: many differ in nothing but values, and a parser takes its time."""

import re
from typing import NamedTuple

from medha_core.concurrency import forking

__all__ = ["TableMemory"]

_KEPT = 1024
_LONGEST = 4096
"""Characters of a query that is remembered."""
_VALUE = re.compile(r"""'[^']*'|"[^"]*"|(?<![\w.])\d+(?:\.\d+)?(?![\w.])""")
_MARKS = {"'": "\0s", '"': "\0d"}
_UNCLEAR = re.compile(r"[`\[\\#${]|--|/\*|[Ww][Ii][Tt][Hh]")
"""Here a text in quotes may be none, or may be the name of a common table expression."""
_WORD = re.compile(r"\w+")

Tables = tuple[str, ...] | None


class Unknown(NamedTuple):
    """A query that nothing is remembered of."""


class TableMemory:
    """The tables of queries by their form: the query without its values. Safe from several threads.

    Which names are tables follows from where they stand. So a form is remembered unless one of its
    values was found to be a name, or cannot be told from one.
    """

    UNKNOWN = Unknown()

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Tables] = {}
        self._lock = forking.lock()
        """Held while something is added."""

    def __len__(self) -> int:
        return len(self._known)

    def get(self, query: str, language: str) -> Tables | Unknown:
        """What the query reads, as it was kept, or `UNKNOWN`."""
        found = self._known.get((_form(query), language), self.UNKNOWN)
        return self._known.get((query, language), self.UNKNOWN) if isinstance(found, Unknown) else found

    def keep(self, query: str, language: str, tables: Tables) -> None:
        """Remember what a query was found to read."""
        if len(query) > _LONGEST:
            return
        key = query if _names_a_value(query, tables) else _form(query)
        with self._lock:
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[key, language] = tables


def _form(query: str) -> str:
    """The query with a mark for each value, which no query contains; or as it is."""
    if len(query) > _LONGEST or _UNCLEAR.search(query):
        return query
    return _VALUE.sub(lambda found: _MARKS.get(found[0][0], "\0n"), query)


def _names_a_value(query: str, tables: Tables) -> bool:
    names = {name.removeprefix("=") for name in tables or ()}
    words = {word for name in names for word in _WORD.findall(name)}
    for value in _VALUE.findall(query.lower()):
        text = value[1:-1] if value[0] in _MARKS else value
        if not text or text in names or not words.isdisjoint(_WORD.findall(text)):
            return True
    return False
