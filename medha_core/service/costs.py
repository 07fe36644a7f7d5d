"""How many tokens a text has, about, and what they cost."""

import re

_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")


def estimate_tokens(text: str) -> float:
    """Tokens of `text` as byte-pair vocabularies cut it, estimated; about 4 letters each in English.

    Other scripts take more: half a token for a letter of an alphabet that UTF-8
    writes in two bytes, one for a sign of three (Chinese, Japanese, Korean, the
    scripts of India), two for one of four.
    """
    beyond = "".join(_BEYOND_ASCII.findall(text))
    if not beyond:
        return len(text) / 4
    two = sum(letter < "\u0800" for letter in beyond)
    four = sum(letter > "\uffff" for letter in beyond)
    three = len(beyond) - two - four
    return (len(text) - len(beyond)) / 4 + two / 2 + three + 2 * four


def cost_of(tokens: float, cost_per_1k_tokens: float | None) -> float:
    """US dollars for so many tokens; 0 for a model without a price."""
    return 0.0 if cost_per_1k_tokens is None else tokens / 1000 * cost_per_1k_tokens
