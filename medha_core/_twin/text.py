"""Normalised text and the keys made from it: the twin of ext/text.pxi, rule by rule."""

import re
from collections.abc import Iterator

import xxhash

from medha_core.errors import ArgumentTypeError, ArgumentValueError

__all__ = ["collapse", "finish", "hash_parts", "normalize", "question_key", "shorten"]

# In this order, each over the whole text: what one rule writes, a later one may read.
_RULES = [
    (re.compile(rf"\b{phrase}\b"), replacement)
    for phrase, replacement in [
        ("can you tell me", "get"),
        ("could you (show|get|find|list)", r"\1"),
        ("i want to know", "get"),
        ("get me the", "get"),
        ("get me", "get"),
        ("show me the", "show"),
        ("show me", "show"),
        ("list all the", "list"),
        ("list all", "list"),
        ("who are the", "list"),
        ("what are the", "list"),
        ("tell me about", "get"),
        ("find out", "find"),
        ("please", ""),
    ]
]

# Opening and closing mark; ' and ’ are also apostrophes, which close nothing inside a word.
_QUOTES = {
    '"': re.compile('"'),
    "'": re.compile(r"'(?!\w)"),
    "`": re.compile("`"),
    "“": re.compile("”"),
    "‘": re.compile(r"’(?!\w)"),
    "«": re.compile("»"),
}
_CAPITALS = re.compile(r"(?<!\w)[A-Z][A-Z0-9]+(?!\w)")
_SMALL = re.compile(r"[a-z]")
_OPENING = re.compile(r"""["`“‘«]|(?<!\w)'""")


def normalize(question: str) -> str:
    """`question` in lower case, whitespace collapsed, polite phrases shortened, end marks dropped."""
    return finish(shorten(collapse(question)))


def collapse(question: str) -> str:
    """`question` in lower case, each run of whitespace one space, none at the ends."""
    if not isinstance(question, str):
        raise ArgumentTypeError("question", "str", question)
    return " ".join(question.split()).lower()


def shorten(text: str) -> str:
    """Apply the rules to lower-case text with single spaces."""
    for phrase, replacement in _RULES:
        text = phrase.sub(replacement, text)
    return text


def finish(text: str) -> str:
    """Drop the marks at the end, and the spaces that dropped words leave."""
    return " ".join(text.rstrip(".!?").split())


def hash_parts(*parts: str | bytes) -> bytes:
    """XXH3-128 (16 bytes) over the parts, each behind its length; str counts as its UTF-8.

    Equal to `xxhash.xxh3_128_digest` over `len(part).to_bytes(8, "little") + part` of all parts.
    """
    encoded = [_encoded(part) for part in parts]
    return xxhash.xxh3_128_digest(b"".join(len(part).to_bytes(8, "little") + part for part in encoded))


def _encoded(part: str | bytes) -> bytes:
    if isinstance(part, str):
        return _utf8(part, "parts")
    if isinstance(part, bytes):
        return part
    raise ArgumentTypeError("parts", "str or bytes", part)


def _utf8(text: str, argument: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ArgumentValueError(argument, "text without lone surrogates", text) from None


def question_key(scope: bytes, question: str) -> bytes:
    """16 bytes that stand for a question inside a scope (collection, filters).

    Hashed are the scope, the normalised question, the inside of each quoted literal as written,
    and each word in capitals ("US" is not "us") of a question that is not all in capitals: the
    case of letters counts there and nowhere else.
    Raises `ArgumentValueError` for NUL characters and lone surrogates.
    """
    normalized = normalize(question)
    if b"\0" in _utf8(question, "question"):
        raise ArgumentValueError("question", "text without NUL characters", question)
    return hash_parts(scope, normalized, *_literals(question), *_capital_words(question))


def _capital_words(question: str) -> list[str]:
    return _CAPITALS.findall(question) if _SMALL.search(question) else []


def _literals(question: str) -> Iterator[str]:
    """The inside of each quoted literal, from left to right; a mark without an end opens nothing."""
    unclosed: set[str] = set()
    opening = _OPENING.search(question)
    while opening:
        end = opening.end()
        if opening[0] not in unclosed:
            closing = _QUOTES[opening[0]].search(question, opening.end())
            if closing:
                yield question[opening.end() : closing.start()]
                end = closing.end()
            else:
                unclosed.add(opening[0])
        opening = _OPENING.search(question, end)
