"""Which literals of a query may be rewritten, and which values may stand in them.

Dialects read the same text differently. What one of them could read as more than a plain value is refused,
so that nothing depends on knowing the dialect.
"""

import re
from datetime import date

from medha_core.reading.literals import Literal, tokenize

__all__ = ["may_hold", "may_rewrite"]

_DOLLAR_QUOTED = re.compile(r"\$\w*\$")
_NESTED_COMMENT = re.compile(r"/\*(?:[^*]|\*(?!/))*/\*")
_DOCUMENT_SIGNS = re.compile(r"[*\[\]{}\\]")
"""In a stored value: it may be a pattern, a list or a document, not a name."""
_WHOLE = frozenset(["limit", "offset", "skip", "top", "first", "last"])
_PREFIX = re.compile(r"[\w&@$]")
"""Right before a quote: x'..', E'..', U&'..', r'..' are no plain strings, and N'..' is not worth the risk."""
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def may_rewrite(query: str, found: tuple[Literal, ...]) -> bool:
    """Whether the literals of a query are where they seem to be in every dialect."""
    if _DOLLAR_QUOTED.search(query) or _NESTED_COMMENT.search(query) or '"""' in query:
        return False
    return all(query[one.end - 1] == query[one.start] for one in found if not one.is_number) and all(
        one.is_number or one.end - one.start > 1 for one in found
    )


def may_hold(query: str, literal: Literal, value: str) -> bool:
    """Whether a literal may take a value: it is a plain one now, and stays one."""
    if literal.is_number:
        return literal.column not in _WHOLE or value.isdigit()
    if not _is_plain(query, literal):
        return False
    if _DATE.fullmatch(literal.value) and not _is_date(value):
        return False
    return not literal.is_pattern or _fits_pattern(query, literal, value)


def _is_plain(query: str, literal: Literal) -> bool:
    """Whether a text says itself in every dialect."""
    if literal.start and _PREFIX.match(query[literal.start - 1]):
        return False
    return not (literal.is_matched or _DOCUMENT_SIGNS.search(literal.value))


def _fits_pattern(query: str, literal: Literal, value: str) -> bool:
    """A pattern with wildcards at its ends only takes a value without any sign that is special in one."""
    inner, old = literal.value.strip("%"), literal.value
    if "%" in value and (value[0] == "%", value[-1] == "%") == (old[0] == "%", old[-1] == "%"):
        value = value.strip("%")  # seen in a pattern of the same form
    if not value or any(sign in inner for sign in "%_\\") or any(sign in value for sign in "%_\\[]"):
        return False
    behind = tokenize(query[literal.end :])[:2]
    if behind and behind[0].text.lower() == "escape":
        return len(behind) > 1 and behind[1].text.strip("'\"") not in value
    return True


def _is_date(value: str) -> bool:
    try:
        date.fromisoformat(value[:10])
    except ValueError:
        return False
    return True
