"""Which leftover word of the one question stands for which of the other."""

from typing import NamedTuple

from medha_core.guard.evidence import Difference, Learned, difference
from medha_core.guard.slips import is_slip
from medha_core.guard.view import View
from medha_core.reading.lexicon import Lexicon

__all__ = ["Pairing", "corrections", "opposites", "pair_up"]

SYNONYM_SCORE = 0.85
"""Cosine from which a dictionary synonym is believed."""
SHORTEST_STEM = 4
_NEAR_OPERATORS = frozenset([("o:first", "o:earliest"), ("o:last", "o:latest"), ("o:out_of", "p:from")])


class Pairing(NamedTuple):
    """The difference of two questions once equivalent words are paired."""

    before: Difference
    left: Difference
    """What neither pairs nor goes without saying."""
    mapped: dict[str, str]
    """The asked question's words and what they stand for."""


def pair_up(a: View, b: View, score: float, lexicon: Lexicon, learned: Learned) -> Pairing:
    """Pair leftover words as forms of one word, synonyms or learnt equals; drop those without weight."""
    before = difference(a.keys, b.keys)
    left, right = list(before[0]), list(before[1])
    mapped: dict[str, str] = {}
    for key in before[0]:
        match = next((other for other in right if _equivalent(key, other, score, lexicon, learned)), None)
        if match:
            mapped[key] = match
            left.remove(key)
            right.remove(match)
    return Pairing(before, (_weighty(left, lexicon), _weighty(right, lexicon)), mapped)


def corrections(a: View, b: View, lexicon: Lexicon) -> dict[str, str]:
    """Words of `a` that are slips for words only `b` says."""
    only_a, only_b = difference(a.open_words, b.open_words)
    found = {}
    for word in set(only_a):
        near = {other for other in only_b if is_slip(word, other, lexicon)}
        if len(near) == 1:
            found[word] = near.pop()
    return found


def opposites(left: Difference, lexicon: Lexicon) -> str:
    """Two leftover words that mean the opposite of each other, or ""."""
    for x in left[0]:
        for y in left[1]:
            if x[0] == y[0] == "w" and lexicon.are_antonyms(x[2:], y[2:]):
                return f"{x[2:]} / {y[2:]}"
    return ""


def _equivalent(x: str, y: str, score: float, lexicon: Lexicon, learned: Learned) -> bool:
    if (x, y) in _NEAR_OPERATORS or (y, x) in _NEAR_OPERATORS:
        return True
    if x[0] != "w" or y[0] != "w":
        return False
    if learned.keeps(((x,), (y,))):
        return True
    stem = lexicon.stem(x[2:])
    if len(stem) >= SHORTEST_STEM and stem == lexicon.stem(y[2:]):
        return True
    return score >= SYNONYM_SCORE and lexicon.are_synonyms(x[2:], y[2:])


def _weighty(keys: list[str], lexicon: Lexicon) -> tuple[str, ...]:
    return tuple(key for key in keys if not (key[0] == "w" and key[2:] in lexicon.light))
