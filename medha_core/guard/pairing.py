"""Which leftover word of the one question stands for which of the other."""

from typing import NamedTuple

from medha_core.guard.evidence import Difference, Learned, difference
from medha_core.guard.explained import WHO, agreed, explained, same_by_query
from medha_core.guard.slips import is_slip
from medha_core.guard.view import View
from medha_core.reading.features import Features
from medha_core.reading.lexicon import Lexicon

__all__ = ["Pairing", "corrections", "opposites", "pair_up"]

SYNONYM_SCORE = 0.85
"""Cosine from which a dictionary synonym is believed."""
SHORTEST_STEM = 4
NEAR_OPERATORS = frozenset(
    [("o:first", "o:earliest"), ("o:last", "o:latest"), ("o:out_of", "p:from"), ("o:every", "o:each")]
)


class Pairing(NamedTuple):
    """The difference of two questions once equivalent words are paired."""

    before: Difference
    left: Difference
    """What neither pairs nor goes without saying."""
    mapped: dict[str, str]
    """The asked question's words and what they stand for."""
    apart: Difference
    """What is not paired, words without weight included."""
    idle: frozenset[str] = frozenset()
    """Words that say nothing in these two questions."""


def pair_up(a: View, b: View, stored: Features, score: float, lexicon: Lexicon, learned: Learned) -> Pairing:
    """Pair leftover words as forms of one word, synonyms or learnt equals; drop those without weight."""
    before = difference(a.keys, b.keys)
    left, right = list(before[0]), list(before[1])
    mapped: dict[str, str] = {}
    agree = agreed(a, b, stored.sense, lexicon)
    if left and right:
        # A deed pairs before `who` does it: the director is who directed.
        for key in sorted(before[0], key=WHO.__eq__):
            match = next(
                (
                    other
                    for other in sorted(right, key=WHO.__eq__)
                    if same_by_query(key, other, stored.sense, agree, lexicon)
                    or (
                        not _asks_for_others(key, other, a, b, lexicon)
                        and _equivalent(key, other, stored, score, lexicon, learned)
                    )
                ),
                None,
            )
            if match:
                mapped[key] = match
                left.remove(key)
                right.remove(match)
    apart = (tuple(left), tuple(right))
    idle: frozenset[str] = frozenset()
    if left or right:
        idle = _idle(a, b, stored, mapped, lexicon).union(explained(a, b, stored.sense, agree, lexicon))
    weighty = (_weighty(left, lexicon, idle), _weighty(right, lexicon, idle))
    return Pairing(before, weighty, mapped, apart, idle)


def _idle(a: View, b: View, stored: Features, mapped: dict[str, str], lexicon: Lexicon) -> frozenset[str]:
    """Words that say nothing in these two questions although they may in others.

    `every` where nothing is summed up; `how much` where the quantity is named; a class beside its value
    (`the state Texas`); the `name` of what is asked for, where the stored query selects names; `who` where
    the person is named by what they do (`who wrote`, `the author of`); a proper noun of the stored question
    that its query does without.
    """
    keys = {*a.keys, *b.keys}
    found = {*a.classes, *b.classes}
    if _has_own_class(a, b, stored, lexicon) and _has_own_class(b, a, stored, lexicon):
        # The one names the value by one class, the other by another: `the state Texas`, `the city Texas`.
        found.clear()
    if not stored.unnamed:
        only_stored = (key for key in b.keys if key[0] == "w" and key not in a.keys)
        found.update(key for key in only_stored if _is_elsewhere(key, stored, lexicon))
    if "o:every" in keys and lexicon.summing.isdisjoint(keys):
        found.add("o:every")
    if "a:much" in keys and any(key[0] == "w" and key[2:] in lexicon.quantities for key in keys):
        found.add("a:much")
    if "w:name" in keys and stored.selects_name:
        found.add("w:name")
    if "a:who" in keys and any(lexicon.is_person(word[2:]) for pair in mapped.items() for word in pair):
        found.add("a:who")
    return frozenset(found)


def _has_own_class(one: View, other: View, stored: Features, lexicon: Lexicon) -> bool:
    """Whether a class beside a value, which is not what is asked for, is said by this question only."""
    own = one.classes.difference(other.keys, (one.asks,))
    return any(lexicon.stem(key[2:]) in stored.names for key in own)


def corrections(a: View, b: View, lexicon: Lexicon) -> dict[str, str]:
    """Words of `a` that are slips for words only `b` says."""
    only_a, only_b = difference(a.open_words, b.open_words)
    found = {}
    for word in dict.fromkeys(only_a):
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


def _is_elsewhere(key: str, stored: Features, lexicon: Lexicon) -> bool:
    """Whether a proper noun of the stored question has no part in its query: `cities in the USA`."""
    return lexicon.is_proper(key[2:]) and lexicon.stem(key[2:]) not in stored.names


def _asks_for_others(x: str, y: str, a: View, b: View, lexicon: Lexicon) -> bool:
    """Whether the one question asks for persons and the other for what they do: `voters`, `votes`."""
    if x != a.asks or y != b.asks or WHO in a.keys or WHO in b.keys:
        return False
    if not (lexicon.is_noun(x[2:]) and lexicon.is_noun(y[2:])) or lexicon.are_synonyms(x[2:], y[2:]):
        return False
    return lexicon.is_person(x[2:]) != lexicon.is_person(y[2:])


def _equivalent(x: str, y: str, stored: Features, score: float, lexicon: Lexicon, learned: Learned) -> bool:
    if (x, y) in NEAR_OPERATORS or (y, x) in NEAR_OPERATORS:
        return True
    if x == "a:who" or y == "a:who":
        person = y[2:] if x == "a:who" else x[2:]
        if person in lexicon.anybody:
            return True
        return lexicon.is_person(person) and lexicon.stem(person) in stored.names
    if x[0] != "w" or y[0] != "w":
        return False
    if learned.keeps(((x,), (y,))):
        return True
    stem = lexicon.stem(x[2:])
    if len(stem) >= SHORTEST_STEM and stem == lexicon.stem(y[2:]) and not _only_sound_alike(x, y, lexicon):
        return True
    if score < SYNONYM_SCORE:
        return False
    return lexicon.are_synonyms(x[2:], y[2:]) or _derived(x[2:], y[2:], lexicon)


def _only_sound_alike(x: str, y: str, lexicon: Lexicon) -> bool:
    """Whether two nouns of one stem have nothing to do with each other: `state`, `station`."""
    nouns = lexicon.is_noun(x[2:]) and lexicon.is_noun(y[2:])
    return nouns and not lexicon.are_related(x[2:], y[2:])


def _derived(x: str, y: str, lexicon: Lexicon) -> bool:
    """Whether two related words are of one root (`weigh`, `weight`), or one is who does the other."""
    if not lexicon.are_related(x, y):
        return False
    return x[:SHORTEST_STEM] == y[:SHORTEST_STEM] or _does(x, y, lexicon) or _does(y, x, lexicon)


def _does(person: str, deed: str, lexicon: Lexicon) -> bool:
    return lexicon.is_person(person) and "v" in lexicon.words.get(deed, "") and not lexicon.is_person(deed)


def _weighty(keys: list[str], lexicon: Lexicon, idle: frozenset[str]) -> tuple[str, ...]:
    return tuple(key for key in keys if key not in idle and not (key[0] == "w" and key[2:] in lexicon.light))
