"""Where the slots of a query template stand: inside which quotes, or bare and in which place."""

import re
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from medha_core.parameters.forms import SLOT
from medha_core.reading.literals import Token, tokenize

__all__ = ["Place", "Plan", "Slot", "plan"]

_COMPARISONS = frozenset("= == != <> < > <= >= : like ilike contains with in is between".split())
_COUNTS = frozenset(["limit", "offset", "skip", "top"])
_BEFORE_VALUES = _COMPARISONS | _COUNTS | frozenset("( , [ and or not then else when values".split())
_ARITHMETIC = frozenset("+ - * / % ||".split())
_PATTERNS = frozenset(["like", "ilike"])
_EXPRESSIONS = frozenset("=~ ~ ~* rlike regexp glob to".split())
_CLAUSES = frozenset("select by from join into update table where having set values return on match".split())
_NAME_CLAUSES = frozenset("select by from join into update table return".split())
_SQL_STARTS = frozenset("select with insert update delete values explain (".split())
_QUOTES = {"single": "'", "double": '"', "quoted_name": "`"}


class Place(Enum):
    """What may stand in a slot."""

    QUOTED = 1
    """Part of a string whose quotes the template has."""
    VALUE = 2
    """A whole value, bare: a number, or a string that needs quotes."""
    NAME = 3
    """The name of a table or column, or a part of one."""
    COMMENT = 4
    """No value at all."""


class Slot(NamedTuple):
    """One slot of a query template."""

    name: str
    start: int
    end: int
    place: Place
    quote: str = ""
    """The quote around it, three of them for a GraphQL block string."""
    is_pattern: bool = False
    """Whether LIKE reads `%` and `_` in it."""
    is_expression: bool = False
    """Whether it is read as a regular expression."""
    prefixed: bool = False
    """Whether a letter stands before the quote, which may change what escapes it."""
    is_count: bool = False
    """Whether only a number may stand there: LIMIT, TOP."""
    bracketed: bool = False
    """Whether it stands in square brackets, which one dialect reads as the quotes of a name."""


class Plan(NamedTuple):
    """A query template, read once."""

    text: str
    slots: tuple[Slot, ...]
    is_sql: bool
    tokens: tuple[str, ...]
    """Its tokens, those with a slot empty."""


@lru_cache(maxsize=4096)
def plan(query_template: str, kept: frozenset[str] = frozenset(), has_labels: bool = True) -> Plan:
    """The slots of a query template, but for those named in `kept`, which are text of the query.

    `has_labels`: whether `(n:x` may name something, as in Cypher, or is an argument, as in GraphQL.
    """
    found = [match for match in SLOT.finditer(query_template) if match[1] not in kept]
    probed, spans = _probed(query_template, found)
    tokens = tokenize(probed)
    is_sql = _is_sql(tokens)
    slots = []
    for match, (start, end) in zip(found, spans, strict=True):
        i = next((i for i, token in enumerate(tokens) if token.start <= start and end <= token.end), None)
        slots.append(
            Slot(match[1], *match.span(), Place.COMMENT)
            if i is None
            else _slot(match, tokens, i, probed[start:end], has_labels)
        )
    return Plan(query_template, tuple(slots), is_sql, skeleton(tokens, spans))


def skeleton(tokens: Sequence[Token], spans: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    """The texts of the tokens; for one that holds a slot, which lie at `spans`, nothing.

    The sign of a number in a slot belongs to the number.
    """
    texts: list[str] = []
    for token in tokens:
        held = next((span for span in spans if span[0] < token.end and token.start < span[1]), None)
        is_sign = held is not None and token.text == "-" and held[0] == token.start < held[1] - 1
        if not is_sign:
            texts.append("" if held else token.text)
    return tuple(texts)


def _probed(text: str, found: Sequence[re.Match[str]]) -> tuple[str, list[tuple[int, int]]]:
    """The text with a word in each slot, and where these stand.

    The words begin with a digit, so that `[{x}]` is read as a list and never as a quoted name.
    """
    parts: list[str] = []
    spans, end, length = [], 0, 0
    for i, match in enumerate(found):
        before, word = text[end : match.start()], f"9zq{i}qz"
        parts += [before, word]
        spans.append((length + len(before), length + len(before) + len(word)))
        length, end = spans[-1][1], match.end()
    return "".join([*parts, text[end:]]), spans


def _is_sql(tokens: Sequence[Token]) -> bool:
    words = {token.text.lower() for token in tokens}
    return bool(tokens) and tokens[0].text.lower() in _SQL_STARTS and "match" not in words


def _slot(match: re.Match[str], tokens: Sequence[Token], i: int, probe: str, has_labels: bool) -> Slot:
    """Cases: inside quotes; a part of a name; a name of its own; a value."""
    token, before = tokens[i], tokens[i - 1].text.lower() if i else ""
    context = {
        "is_pattern": before in _PATTERNS,
        "is_expression": before in _EXPRESSIONS,
        "is_count": before in _COUNTS,
        "bracketed": token.text.startswith("[") or _is_bracketed(tokens[:i]),
    }
    if token.kind in _QUOTES:
        quote = '"""' if token.text.startswith('"""') else token.text[0]
        prefixed = i > 0 and tokens[i - 1].end == token.start and tokens[i - 1].kind == "name"
        return Slot(match[1], *match.span(), Place.QUOTED, quote, **context, prefixed=prefixed)
    bare = token.text.removeprefix(":") == probe
    if not bare or _is_followed_by(tokens, i, "(", ".") or _is_name_place(tokens, i, has_labels):
        return Slot(match[1], *match.span(), Place.NAME)
    return Slot(match[1], *match.span(), Place.VALUE, **context)


def _is_bracketed(before: Sequence[Token]) -> bool:
    texts = [token.text for token in before]
    return texts.count("[") > texts.count("]")


def _is_followed_by(tokens: Sequence[Token], i: int, *texts: str) -> bool:
    return i + 1 < len(tokens) and tokens[i + 1].text in texts


def _is_name_place(tokens: Sequence[Token], i: int, has_labels: bool) -> bool:
    """Whether the bare token at `i` names something; what is not known to stand before values does."""
    before = tokens[i - 1].text.lower() if i else ""
    if tokens[i].text.startswith(":") or before == ":":
        return has_labels and _is_label(tokens, i if before != ":" else i - 1)
    if before in _COMPARISONS or before in _EXPRESSIONS or before in _ARITHMETIC:
        return False
    if before == "(":
        return i > 1 and tokens[i - 2].text.lower() in ("count", "sum", "avg", "min", "max", "by", "distinct")
    if before == ",":
        return _clause(tokens, i - 1) in _NAME_CLAUSES
    return before not in _BEFORE_VALUES


def _is_label(tokens: Sequence[Token], i: int) -> bool:
    """Whether a colon stands before a label, `(n:Label)`, and not before a value, `{name: value}`."""
    behind = [token.text for token in tokens[max(i - 2, 0) : i]]
    return bool(behind) and (behind[-1] in ("(", "[", "|") or behind[0] in ("(", "["))


def _clause(tokens: Sequence[Token], i: int) -> str:
    """The clause a comma belongs to, or "(" inside brackets."""
    depth = 0
    for token in reversed(tokens[:i]):
        text = token.text.lower()
        depth += (text in (")", "]", "}")) - (text in ("(", "[", "{"))
        if depth < 0:
            return "("
        if depth == 0 and text in _CLAUSES:
            return text
    return ""
