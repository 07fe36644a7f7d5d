"""The literals of a query text: where they stand, what they say, which column they are compared with.

A tokenizer with the literal rules of SQL, Cypher and GraphQL, not a parser: it is fast enough for every
stored entry, needs no package, and never fails. What it does not understand it reports as no literal.
"""

import re
from functools import lru_cache
from typing import NamedTuple

__all__ = ["Literal", "Token", "literals", "tokenize"]

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z)|//[^\n]*)
  | (?P<single>'(?:[^'\\]|''|\\.)*(?:'|\Z))
  | (?P<double>"(?:[^"\\]|""|\\.)*(?:"|\Z))
  | (?P<quoted_name>`[^`]*(?:`|\Z)|\[[A-Za-z_][^\]'"]*\])
  | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?!\w))
  | (?P<name>[^\W\d]\w*|[@:$]\w+|\d\w*)
  | (?P<operator><>|!=|<=|>=|=~|==|\|\||::|[^\s\w])
    """,
    re.VERBOSE | re.DOTALL,
)

COMPARISONS = frozenset(
    [
        "=",
        "==",
        "!=",
        "<>",
        "<",
        ">",
        "<=",
        ">=",
        "=~",
        ":",
        "like",
        "ilike",
        "contains",
        "with",
        "rlike",
        "regexp",
        "in",
        "glob",
        "is",
    ]
)
MATCHING = frozenset(["rlike", "regexp", "glob", "similar", "to", "match", "against", "=~", "~"])
"""Before a text that is no plain one: a regular expression, or another kind of pattern."""
_LIKES = frozenset(["like", "ilike"])
CLAUSES = frozenset(["limit", "offset", "skip", "top", "first", "last"])
KEYWORDS = frozenset(
    [
        "select",
        "from",
        "where",
        "and",
        "or",
        "not",
        "in",
        "is",
        "as",
        "on",
        "join",
        "left",
        "right",
        "inner",
        "outer",
        "full",
        "cross",
        "natural",
        "using",
        "group",
        "by",
        "order",
        "having",
        "union",
        "all",
        "distinct",
        "limit",
        "offset",
        "between",
        "like",
        "ilike",
        "exists",
        "case",
        "when",
        "then",
        "else",
        "end",
        "asc",
        "desc",
        "set",
        "values",
        "with",
        "match",
        "return",
        "optional",
        "skip",
        "create",
        "merge",
        "call",
        "yield",
        "unwind",
        "null",
        "true",
        "false",
        "intersect",
        "except",
    ]
)


class Token(NamedTuple):
    """One token of a query: its kind (a group of the pattern), text, and place in the query."""

    kind: str
    text: str
    start: int
    end: int


class Literal(NamedTuple):
    """One string or number of a query."""

    value: str
    """What it says: quotes and escapes removed, LIKE wildcards still in."""
    column: str
    """`table.column` as far as it can be seen, a clause such as `limit`, or `""`."""
    is_number: bool
    is_pattern: bool
    """Whether it is compared with LIKE."""
    start: int
    end: int
    is_matched: bool
    """Whether it is a regular expression, or part of an expression that makes a pattern."""


def tokenize(query: str) -> list[Token]:
    """All tokens but spaces and comments, in order."""
    tokens = []
    for match in _TOKEN.finditer(query):
        kind = match.lastgroup or ""
        if kind not in ("space", "comment"):
            tokens.append(Token(kind, match.group(), match.start(), match.end()))
    return tokens


@lru_cache(maxsize=1024)
def literals(query: str) -> tuple[Literal, ...]:
    """The literals of a query, in order of appearance."""
    tokens = tokenize(query)
    tables = _aliases(tokens)
    found = []
    opened: list[int] = []  # places of the parentheses that the token stands in
    for i, token in enumerate(tokens):
        if token.text == "(":
            opened.append(i)
        elif token.text == ")" and opened:
            opened.pop()
        if token.kind not in ("single", "double", "number"):
            continue
        column = _column(tokens, i, tables)
        if token.kind == "double" and not column and not _is_value_place(tokens, i):
            continue
        is_number = token.kind == "number"
        value = token.text if is_number else _unquote(token.text)
        before = tokens[i - 1].text.lower() if i else ""
        is_matched = before in MATCHING or (bool(opened) and _makes_pattern(tokens, opened[-1]))
        found.append(Literal(value, column, is_number, before in _LIKES, token.start, token.end, is_matched))
    return tuple(found)


def _makes_pattern(tokens: list[Token], place: int) -> bool:
    """Whether what stands in the parenthesis at `place` is part of a pattern."""
    before = [token.text.lower() for token in tokens[max(0, place - 2) : place]]
    return any(text in MATCHING or text in _LIKES for text in before)


def _unquote(text: str) -> str:
    quote, inner = text[0], text[1:-1] if len(text) > 1 and text[-1] == text[0] else text[1:]
    return re.sub(r"\\(.)", r"\1", inner.replace(quote * 2, quote), flags=re.DOTALL)


def _is_value_place(tokens: list[Token], i: int) -> bool:
    return i > 0 and tokens[i - 1].text.lower() in COMPARISONS and not _followed_by_dot(tokens, i)


def _followed_by_dot(tokens: list[Token], i: int) -> bool:
    return i + 1 < len(tokens) and tokens[i + 1].text == "."


def _aliases(tokens: list[Token]) -> dict[str, str]:
    """`alias -> table` for `table AS alias`, `table alias` and Cypher's `(alias:Label`."""
    found = {}
    for a, b, c in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if a.kind == c.kind == "name" and b.text.lower() == "as":
            found[c.text.lower()] = a.text.lower()
        elif a.text == "(" and b.kind == "name" and c.text[0] == ":":
            found[b.text.lower()] = c.text[1:].lower()
        elif (
            a.text.lower() in ("from", "join", ",")
            and b.kind == c.kind == "name"
            and c.text.lower() not in KEYWORDS
        ):
            found[c.text.lower()] = b.text.lower()
    return found


def _column(tokens: list[Token], i: int, tables: dict[str, str]) -> str:
    """The column or clause the literal at `i` belongs to."""
    j = i - 1
    if j >= 0 and tokens[j].text in ("-", "+"):
        j -= 1
    j = _before_list(tokens, j)
    if j < 0:
        return ""
    word = tokens[j].text.lower()
    if word in CLAUSES:
        return word
    if word in ("and", "between"):
        return _column_of_between(tokens, j, tables)
    if word not in COMPARISONS or _followed_by_dot(tokens, i):
        return ""
    return _name_before(tokens, j, tables)


def _before_list(tokens: list[Token], j: int) -> int:
    """Step back over `IN (a, b,` and `[a, b,` to the comparison itself."""
    k = j
    while k > 0 and (tokens[k].text in (",", "(", "[") or tokens[k].kind in ("single", "double", "number")):
        if tokens[k].text in ("(", "["):
            return k - 1
        k -= 1
    return j


def _column_of_between(tokens: list[Token], j: int, tables: dict[str, str]) -> str:
    if tokens[j].text.lower() == "and":
        if j < 2 or tokens[j - 2].text.lower() != "between":
            return ""
        j -= 2
    return _name_before(tokens, j, tables)


def _name_before(tokens: list[Token], j: int, tables: dict[str, str]) -> str:
    """The column left of the comparison at `j`; a function call gives `function(column)`'s parts."""
    k = j - 1
    while k >= 0 and tokens[k].text.lower() in ("not", "starts", "ends", "is"):
        k -= 1
    function = ""
    if k >= 0 and tokens[k].text == ")":
        function, k = _call(tokens, k)
    if k < 0 or tokens[k].kind not in ("name", "quoted_name", "double"):
        return function
    name = tokens[k].text.strip('`"[]').lower()
    if k >= 2 and tokens[k - 1].text == ".":
        owner = tokens[k - 2].text.strip('`"[]').lower()
        name = f"{tables.get(owner, owner)}.{name}"
    return f"{function}({name})" if function in ("count", "sum", "avg", "min", "max") else name


def _call(tokens: list[Token], k: int) -> tuple[str, int]:
    """The function whose call closes at `k`, and the place of the last name inside it."""
    depth, inside = 0, -1
    while k >= 0:
        text = tokens[k].text
        depth += (text == ")") - (text == "(")
        if depth == 0:
            break
        if inside < 0 and tokens[k].kind in ("name", "quoted_name"):
            inside = k
        k -= 1
    before = tokens[k - 1] if k > 0 else None
    function = before.text.lower() if before and before.kind == "name" else ""
    return function if function not in KEYWORDS else "", inside
