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


def is_slip(wrong: str, right: str, lexicon: Lexicon) -> bool:
    """Whether `wrong` is no common word and a slip or two away from `right`, which is one or is long."""
    if len(right) < SHORTEST or wrong == right or lexicon.is_common(wrong) or not wrong.isalpha():
        return False
    if not lexicon.knows(right) and (len(right) < UNKNOWN_FROM or not right.isalpha()):
        return False
    allowed = _allowed(right, lexicon)
    return OSA.distance(wrong, right, score_cutoff=allowed) <= allowed


def correct(word: str, vocabulary: Iterable[str], lexicon: Lexicon) -> str | None:
    """The one word of a vocabulary that `word` is a slip for, or None."""
    near = process.extract(word, list(vocabulary), scorer=OSA.distance, score_cutoff=2, limit=8)
    best = [found for found, distance, _ in near if distance == near[0][1] and is_slip(word, found, lexicon)]
    return best[0] if len(best) == 1 else None


def _allowed(right: str, lexicon: Lexicon) -> int:
    return 2 if len(right) >= TWO_SLIPS_FROM and lexicon.knows(right) else 1
