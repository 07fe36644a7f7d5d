"""Which tables a stored query reads: SQL tables, Cypher labels and types, GraphQL root fields.

A table is stored as several keys, so that a store looks names up by plain
equality: `public.orders` as "orders", "public.orders" and "=public.orders",
the last meaning that this is all the query says. Letters and quotes do not
count. Where a query cannot be understood, every name in it counts: entries are
rather forgotten too often than served after their table has changed.
"""

import importlib
import importlib.util
import re
from collections.abc import Iterable, Iterator
from typing import Any

from medha_core.errors import ArgumentTypeError, ArgumentValueError

__all__ = ["keys_of", "read_tables", "sql_can_be_read"]

_MAX_QUERY = 100_000
_MAX_KEYS = 400
_DIALECTS = ("", "mysql", "tsql", "bigquery")
"""Of sqlglot: the second and fourth quote names with `, the third with []."""

_SQL = re.compile(
    r"\s*(?:--[^\n]*\n\s*)*\(*\s*(select|with|insert|update|delete|merge\s+into|values)\b", re.I
)
_CYPHER = re.compile(r"\s*(optional\s+match|match|merge\s*\(|create\s*\(|unwind|call)\b", re.I)
_GRAPHQL = re.compile(r"\s*(#[^\n]*\n\s*)*(\{|(query|mutation|subscription|fragment)\b)")
_QUOTED_PART = re.compile(
    r'\s*(?:"([^"]+)"|`([^`]+)`|\[([^\]]+)\]|([^\s."`\[\]]+(?:\s+[^\s."`\[\]]+)*))\s*(\.|$)'
)
_WORD = re.compile(r"[^\W\d]\w*")
_STRINGS_AND_COMMENTS = re.compile(r"""//[^\n]*|/\*.*?\*/|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.S)
_LABEL = re.compile(r"[:|&!]\s*(?:`([^`]+)`|([^\W\d]\w*))")
_GRAPHQL_NOISE = re.compile(r'"""(?:[^"\\]|\\.|"(?!""))*"""|"(?:[^"\\\n]|\\.)*"|#[^\n]*', re.S)
_GRAPHQL_TOKEN = re.compile(r"\.\.\.|[_A-Za-z]\w*|[{}():@$!\[\]=|&]")

Path = tuple[str, ...]
"""A name with its qualifiers, outermost first: ("public", "orders")."""


def sql_can_be_read() -> bool:
    """Whether the extra `sql` is installed."""
    return importlib.util.find_spec("sqlglot") is not None


def read_tables(query: str, language: str = "generic", *, bounded: bool = True) -> tuple[str, ...] | None:
    """The keys of the tables a query reads or writes; None where it is SQL and the extra is missing.

    Args:
        language: "sql", "cypher", "graphql", or "generic", which goes by the first word.
        bounded: None, too, for a query that is too long or names too much to keep with an entry.
    """
    language = _guessed(query) if language == "generic" else language
    if language == "sql" and not sql_can_be_read():
        return None
    is_long = len(query) > _MAX_QUERY
    if bounded and is_long:
        return None
    read = _every_name if is_long else _READERS[language]
    keys = sorted({key for path in read(query) for key in _stored(path)})
    return None if bounded and len(keys) > _MAX_KEYS else tuple(keys)


def keys_of(table: str) -> tuple[str, ...]:
    """The keys that entries about a table have one of.

    "orders" means a table of this name in any schema; "public.orders" means also
    queries that say "orders" alone. Raises `ArgumentValueError`.
    """
    if not isinstance(table, str):
        raise ArgumentTypeError("name", "str", table)
    path, end = list[str](), 0
    while found := _QUOTED_PART.match(table, end):
        path.append(next(part for part in found.groups()[:4] if part is not None))
        end = found.end()
        if found[5] == "":
            break
    if not path or end != len(table) or table.rstrip().endswith("."):
        raise ArgumentValueError("name", "a table, as in orders or public.orders", table)
    folded = tuple(part.lower() for part in path)
    less = ["=" + ".".join(folded[start:]) for start in range(1, len(folded))]
    return (".".join(folded), *less)


def _stored(path: Path) -> Iterator[str]:
    folded = [part.lower() for part in path]
    for start in range(len(folded)):
        yield ".".join(folded[start:])
    yield "=" + ".".join(folded)


def _guessed(query: str) -> str:
    for language, start in (("graphql", _GRAPHQL), ("cypher", _CYPHER), ("sql", _SQL)):
        if start.match(query):
            return language
    return "unknown"


def _every_name(query: str) -> Iterable[Path]:
    return [(word,) for word in _WORD.findall(query)]


def _of_sql(query: str) -> Iterable[Path]:
    # Statements of other kinds are not parsed: sqlglot would log them.
    if not _SQL.match(query):
        return _every_name(query)
    glot = importlib.import_module("sqlglot")
    for dialect in _DIALECTS:
        try:
            trees = glot.parse(query, dialect=dialect)
        except (glot.errors.SqlglotError, RecursionError):
            continue
        return {path for tree in trees if tree is not None for path in _tables_in(tree, glot.exp)}
    return _every_name(query)


def _tables_in(tree: Any, exp: Any) -> Iterator[Path]:
    for table in tree.find_all(exp.Table):
        path = tuple(part.name for part in table.parts if part.name)
        if path and not (len(path) == 1 and _is_cte(table, path[0], exp)):
            yield path


def _is_cte(table: Any, name: str, exp: Any) -> bool:
    """Whether a name means a common table expression that is visible where it stands.

    In its own definition a name means the table, unless the WITH is recursive.
    """
    node, inside = table, None
    while node is not None:
        for clause in (value for value in node.args.values() if isinstance(value, exp.With)):
            known = clause.expressions
            if not clause.args.get("recursive") and inside in known:
                known = known[: known.index(inside)]
            if any(cte.alias.lower() == name.lower() for cte in known):
                return True
        inside = node if isinstance(node, exp.CTE) else inside
        node = node.parent
    return False


def _of_cypher(query: str) -> Iterable[Path]:
    bare = _STRINGS_AND_COMMENTS.sub(" ", query)
    return [(quoted or plain,) for quoted, plain in _LABEL.findall(bare)]


def _of_graphql(query: str) -> Iterable[Path]:
    tokens = _GRAPHQL_TOKEN.findall(_GRAPHQL_NOISE.sub(" ", query))
    braces = parentheses = 0
    for place, part in enumerate(tokens):
        before = tokens[place - 1] if place else ""
        after = tokens[place + 1] if place + 1 < len(tokens) else ""
        braces += (part == "{") - (part == "}")
        parentheses += (part == "(") - (part == ")")
        at_root = braces == 1 and not parentheses and _WORD.fullmatch(part)
        # Not the root field itself: an alias, a directive, a fragment's name, its type.
        spread = before == "..." or (before == "on" and place > 1 and tokens[place - 2] == "...")
        if at_root and after != ":" and before != "@" and not spread:
            yield (part,)


_READERS = {"sql": _of_sql, "cypher": _of_cypher, "graphql": _of_graphql, "unknown": _every_name}
