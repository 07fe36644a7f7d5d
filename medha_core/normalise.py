"""Questions and queries in the form in which they are compared, and their public hashes."""

import re
from collections.abc import Sequence
from hashlib import md5

from medha_core.errors import ArgumentTypeError, ArgumentValueError
from medha_core.native import normalize

__all__ = [
    "differ_in_quoted_case",
    "keyword_overlap_score",
    "normalize_question",
    "query_hash",
    "question_hash",
    "quotes",
]

_FIRST_N = re.compile(r"\bfirst (\d+)\b")
_QUOTED = re.compile(r"""(?<!\w)(?:'[^']+'|"[^"]+"|‘[^’]+’|“[^”]+”)(?!\w)""")
"""A text in quotes, which an apostrophe inside a word does not begin."""
_SLOT = re.compile(r"\{[^{}]*\}")
_WORD = re.compile(r"\w+")
_STOP_WORDS = frozenset(
    ["the", "a", "an", "and", "or", "but", "in", "on", "at", "to", "for", "of", "with", "by"]
)


def normalize_question(
    question: str, extra_replacements: Sequence[tuple[str, str]] | None = None, *, legacy: bool = False
) -> str:
    """`question` in lower case, whitespace collapsed, polite phrases shortened, end marks dropped.

    "Can you tell me  the total?" becomes "get the total". `extra_replacements` are pairs of a regular
    expression and its replacement, applied after the built-in ones. `legacy=True` also turns "first 5"
    into "top 5", as the Medha library does: that makes one text of questions that can ask for
    different rows (the first five by date, the top five by amount), so it is off here.
    """
    if not extra_replacements and not legacy:
        return normalize(question)
    return _normalize_with(question, extra_replacements or (), legacy)


def _normalize_with(question: str, replacements: Sequence[tuple[str, str]], legacy: bool) -> str:
    # Imported here: only callers with rules of their own need the rules as regular expressions.
    from medha_core._twin.text import collapse, finish, shorten

    text = collapse(question)
    if legacy:
        text = _FIRST_N.sub(r"top \1", text)
    text = shorten(text)
    for pattern, replacement in replacements:
        text = re.sub(pattern, replacement, text)
    return finish(text)


def quotes(question: str) -> bool:
    """Whether a question quotes a text."""
    if question.isascii() and "'" not in question and '"' not in question:
        return False  # as most do, and the expression looks at every letter
    return _QUOTED.search(question) is not None


def differ_in_quoted_case(one: str, other: str) -> bool:
    """Whether two questions quote the same texts, but for the case of letters."""
    a = _QUOTED.findall(one)
    if not a:
        return False
    b = _QUOTED.findall(other)
    return a != b and [text.lower() for text in a] == [text.lower() for text in b]


def question_hash(question: str, *, legacy: bool = False) -> str:
    """MD5 (hexadecimal) of the normalised question; `legacy=True` gives the Medha library's."""
    return _md5(normalize_question(question, legacy=legacy), "question")


def query_hash(query: str) -> str:
    """MD5 (hexadecimal) of the query without the whitespace at its ends; case counts."""
    if not isinstance(query, str):
        raise ArgumentTypeError("query", "str", query)
    return _md5(query.strip(), "query")


def _md5(text: str, argument: str) -> str:
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        raise ArgumentValueError(argument, "text without lone surrogates", text) from None
    return md5(encoded, usedforsecurity=False).hexdigest()


def keyword_overlap_score(question: str, template_text: str) -> float:
    """Share (0..1) of the template's words, slots and stop words aside, that the question holds."""
    wanted = keywords(template_text, slots=True)
    return len(wanted & keywords(question)) / len(wanted) if wanted else 0.0


def keywords(text: str, *, slots: bool = False) -> set[str]:
    """The words of a text in lower case but for stop words; with `slots`, `{slots}` are none."""
    return set(_WORD.findall((_SLOT.sub(" ", text) if slots else text).lower())) - _STOP_WORDS
