"""A query text read at once: its literals and the words its names are made of."""

import re
from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple

from medha_core.native import extension_loaded
from medha_core.reading import literals as plain
from medha_core.reading.literals import Literal

if extension_loaded:
    from medha_core._core import QueryReader, differ_only_in

__all__ = ["ReadQuery", "differ_only_at", "read_query"]

_NAME_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\d_A-Za-z]+")
_SHORTEST_PART = 3
_SQL_STARTS = frozenset(["select", "with", "insert", "update", "delete", "values", "explain", "("])

if extension_loaded:
    READER = QueryReader(plain.COMPARISONS, plain.CLAUSES, plain.KEYWORDS, plain.MATCHING, _SQL_STARTS)


class ReadQuery(NamedTuple):
    """What is to be known of a query."""

    literals: tuple[Literal, ...]
    name_parts: frozenset[str]
    """The parts of three letters and more of its names, case folded."""
    is_sql: bool
    """Whether it begins like SQL, and is not Cypher that does."""


@lru_cache(maxsize=1024)
def read_query(query: str) -> ReadQuery:
    """The literals of a query, in order of appearance, and the parts of its names. Any text is accepted."""
    found = READER.read(query) if extension_loaded else None
    if found is not None:
        return ReadQuery(tuple(Literal(*literal) for literal in found[0]), frozenset(found[1]), found[2])
    return _plain_query(query)


def _plain_query(query: str) -> ReadQuery:
    tokens = plain.tokenize(query)
    parts = (
        part.casefold() for token in tokens if token.kind == "name" for part in _NAME_PART.findall(token.text)
    )
    names = frozenset(part for part in parts if len(part) >= _SHORTEST_PART)
    words = [token.text.lower() for token in tokens]
    is_sql = bool(words) and words[0] in _SQL_STARTS and "match" not in words
    return ReadQuery(plain.literals(query), names, is_sql)


def differ_only_at(before: str, after: str, starts: Collection[int]) -> bool:
    """Whether two queries have the same tokens but for those of the first that begin at `starts`."""
    found = differ_only_in(before, after, starts) if extension_loaded else None
    if found is not None:
        return found
    a, b = plain.tokenize(before), plain.tokenize(after)
    if [t.kind for t in a] != [t.kind for t in b]:
        return False
    return all(x.start in starts or x.text == y.text for x, y in zip(a, b, strict=True))
