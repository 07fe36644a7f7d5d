"""How many tokens a text has, about."""

import re
from bisect import bisect_right

from medha_core.errors import ArgumentValueError

MOST_TOKENS = 8000
"""Of one text that is to be embedded."""

_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")

# Tokens of a letter from each of these code points on. Measured with the vocabulary cl100k on
# questions in 15 languages; on other texts of those the sum was within a third of the count.
_FROM = "\x80", "\u0370", "\u0400", "\u0530", "\u0800", "\U00010000"
_TOKENS = 1.0, 0.9, 0.5, 0.85, 1.1, 3.0
"""Latin with marks, Greek, Cyrillic, Hebrew and Arabic, Asia's scripts, pictures."""


def estimate_tokens(text: str) -> float:
    """Tokens of `text` as byte-pair vocabularies cut it, estimated; four letters each in English.

    Scripts that such vocabularies know less of take more: a sign of Chinese is
    about one token, a letter of Cyrillic half of one.
    """
    beyond = "".join(_BEYOND_ASCII.findall(text))
    tokens = (len(text) - len(beyond)) / 4
    return tokens + sum(_TOKENS[bisect_right(_FROM, letter) - 1] for letter in beyond)


def check_length(text: str, argument: str = "text", most: int = MOST_TOKENS) -> float:
    """The tokens of `text`, estimated; `ArgumentValueError` for more than `most`, or for more words."""
    tokens = estimate_tokens(text)
    length = max(tokens, len(text.split()))
    if length > most:
        raise ArgumentValueError(argument, f"at most {most} tokens (this has about {length:.0f})", text)
    return tokens
