"""Slips of the keyboard: which word was meant."""

from collections.abc import Iterable

from rapidfuzz import process
from rapidfuzz.distance import OSA

from medha_core.reading.lexicon import Lexicon

__all__ = ["correct", "is_slip"]

SHORTEST = 3
TWO_SLIPS_FROM = 8
"""Length from which a word may hold two slips."""
UNKNOWN_FROM = 7
"""Length from which a word that no dictionary holds may be what was meant."""
SHORTEST_STEM = 4
"""Letters that two words of one root have in common at least."""


def is_slip(wrong: str, right: str, lexicon: Lexicon) -> bool:
    """Whether `wrong` is no common word and a slip or two away from `right`, which is one or is long."""
    if len(right) < SHORTEST or wrong == right or lexicon.is_common(wrong) or not wrong.isalpha():
        return False
    known = lexicon.knows(right)
    if not known and (len(right) < UNKNOWN_FROM or not right.isalpha()):
        return False
    if _negates(wrong, right, lexicon) or (known and _are_two_words(wrong, right, lexicon)):
        return False
    allowed = _allowed(right, lexicon)
    return OSA.distance(wrong, right, score_cutoff=allowed) <= allowed


def _negates(one: str, other: str, lexicon: Lexicon) -> bool:
    """Whether one is the other behind a prefix that makes its opposite: `unfollowed`, `followed`."""
    short, long = sorted((one, other), key=len)
    return long.endswith(short) and long.removesuffix(short) in lexicon.negating


def _are_two_words(one: str, other: str, lexicon: Lexicon) -> bool:
    """Whether both are words that begin alike, and only one of them is for persons: `bakers`, `bakeries`."""
    if not lexicon.knows(one) or one[:SHORTEST_STEM] != other[:SHORTEST_STEM]:
        return False
    return _is_person(one, lexicon) != _is_person(other, lexicon)


def _is_person(word: str, lexicon: Lexicon) -> bool:
    return word not in lexicon.closed and lexicon.is_person(lexicon.lemma(word))


def correct(word: str, vocabulary: Iterable[str], lexicon: Lexicon) -> str | None:
    """The one word of a vocabulary that `word` is a slip for, or None."""
    near = process.extract(word, list(vocabulary), scorer=OSA.distance, score_cutoff=2, limit=8)
    best = [found for found, distance, _ in near if distance == near[0][1] and is_slip(word, found, lexicon)]
    return best[0] if len(best) == 1 else None


def _allowed(right: str, lexicon: Lexicon) -> int:
    return 2 if len(right) >= TWO_SLIPS_FROM and lexicon.knows(right) else 1
