"""What short queries were found to read: many differ in nothing but values, and a parser takes its time."""

import re
from typing import NamedTuple

from medha_core.concurrency import forking

__all__ = ["TableMemory"]

_KEPT = 1024
_LONGEST = 4096
"""Characters of a query that is remembered."""
_VALUE = re.compile(r"""['"\d](?:(?<=')[^']*(')|(?<=")[^"]*(")|(?<=\d)(?<![\w.]\d)\d*(?:\.\d+)?(?![\w.]))""")
"""A text in quotes, with the last one as a group, or a number. Searching for its first letter is quick."""
_UNCLEAR = re.compile(r"`|\[|\\|#|\$|\{|--|/\*|w[Ii][Tt][Hh]|W[Ii][Tt][Hh]")
"""Here a text in quotes may be none, or may be the name of a common table expression."""
_WORD = re.compile(r"\w+")

Tables = tuple[str, ...] | None
Form = str | tuple[str | None, ...]


class Unknown(NamedTuple):
    """A query that nothing is remembered of."""


class TableMemory:
    """The tables of queries by their form: the query without its values. Safe from several threads.

    Which names are tables follows from where they stand. So a form is remembered unless one of its
    values was found to be a name, or cannot be told from one.
    """

    UNKNOWN = Unknown()

    def __init__(self) -> None:
        self._known: dict[tuple[Form, str], Tables] = {}
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


def _form(query: str) -> Form:
    """The parts of the query around its values, and between them the quotes of each; or as it is."""
    if len(query) > _LONGEST or _UNCLEAR.search(query):
        return query
    return tuple(_VALUE.split(query))


def _names_a_value(query: str, tables: Tables) -> bool:
    names = {name.removeprefix("=") for name in tables or ()}
    if not all(map(_WORD.search, names)):  # of signs alone, as a value may be
        return True
    words = {word for name in names for word in _WORD.findall(name)}
    for found in _VALUE.finditer(query.lower()):
        text = found[0][1:-1] if found[1] or found[2] else found[0]
        if not text or text in names or not words.isdisjoint(_WORD.findall(text)):
            return True
    return False
