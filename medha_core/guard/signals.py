"""What speaks for and against a candidate that passed the vetoes, as numbers for the verifier."""

from collections.abc import Sequence
from itertools import pairwise
from math import log1p
from typing import NamedTuple

from rapidfuzz import fuzz

from medha_core.guard.evidence import Learned
from medha_core.guard.pairing import Pairing
from medha_core.guard.structure import bindings, projection
from medha_core.guard.view import View
from medha_core.reading.features import Features
from medha_core.reading.lexicon import Lexicon

__all__ = ["FALLING", "RISING", "Signals", "measure"]


class Signals(NamedTuple):
    """One candidate in numbers. The names of the stored query hold "named" words, not "strange" ones."""

    score: float
    margin: float
    asked_named: float
    asked_strange: float
    stored_named: float
    stored_strange: float
    asked_glue: float
    stored_glue: float
    interrogatives: float
    bindings: float
    projection: float
    seen_same: float
    seen_other: float
    seen_shapes: float
    words_same: float
    words_other: float
    form_same: float
    form_other: float
    exchanged: float
    overlap: float
    characters: float
    order: float
    paired: float
    length: float
    asked_common: float
    stored_common: float
    asked_class: float
    stored_class: float
    asked_alien: float
    """Leftover words of the asked question that no leftover word of the other is related to."""
    stored_alien: float


WHERE, WHEN, WHO = "a:where", "a:when", "a:who"
RISING = frozenset("score margin seen_same seen_shapes words_same form_same overlap characters order".split())
"""Signals of which more can only speak for the candidate; the verifier is trained to keep that."""
FALLING = frozenset(
    [
        "asked_named",
        "asked_strange",
        "stored_named",
        "stored_strange",
        "asked_glue",
        "stored_glue",
        "interrogatives",
        "bindings",
        "projection",
        "seen_other",
        "words_other",
        "form_other",
        "exchanged",
        "paired",
        "asked_alien",
        "stored_alien",
    ]
)
"""Signals of which more can only speak against it."""


def measure(
    a: View,
    b: View,
    pairing: Pairing,
    stored: Features,
    lexicon: Lexicon,
    learned: Learned,
    *,
    score: float,
    margin: float,
    exchanged: int,
) -> Signals:
    """The signals of one candidate."""
    asked, leftover = pairing.left
    now = [pairing.mapped.get(key, key) for key in a.keys]
    said = set(b.keys)
    asked_named, asked_strange = _content(asked, stored.names, lexicon)
    stored_named, stored_strange = _content(leftover, stored.names, lexicon)
    same, other, shapes = learned.counts(pairing.before)
    words_same, words_other = learned.word_record([*asked, *leftover])
    form_same, form_other = learned.form_record(a.opened, stored.shape)
    return Signals(
        score=score,
        margin=margin,
        asked_named=asked_named,
        asked_strange=asked_strange,
        stored_named=stored_named,
        stored_strange=stored_strange,
        asked_glue=sum(key[0] == "p" for key in asked),
        stored_glue=sum(key[0] == "p" for key in leftover),
        interrogatives=sum(key[0] == "a" for side in pairing.left for key in side),
        bindings=len(bindings(now) ^ bindings(b.keys)),
        projection=float(_asks_otherwise(a, b, pairing, lexicon)),
        seen_same=log1p(same),
        seen_other=log1p(other),
        seen_shapes=min(shapes, 4),
        words_same=words_same,
        words_other=words_other,
        form_same=log1p(form_same),
        form_other=log1p(form_other),
        exchanged=exchanged,
        overlap=len(said.intersection(now)) / (len(said.union(now)) or 1),
        characters=fuzz.ratio(" ".join(a.open_words), " ".join(b.open_words)) / 100,
        order=_in_order([k for k in now if k in said], [k for k in b.keys if k in now]),
        paired=len(pairing.mapped),
        length=len(b.keys),
        asked_common=learned.commonness(asked),
        stored_common=learned.commonness(leftover),
        asked_class=_before_value(a.keys, asked),
        stored_class=_before_value(b.keys, leftover),
        asked_alien=_alien(asked, pairing.apart[0], leftover, lexicon),
        stored_alien=_alien(leftover, pairing.apart[1], asked, lexicon),
    )


def _content(keys: Sequence[str], names: frozenset[str], lexicon: Lexicon) -> tuple[int, int]:
    """How many leftover words the stored query is named with, and how many it is not."""
    words = [key[2:] for key in keys if key[0] == "w"]
    named = sum(lexicon.stem(word) in names for word in words)
    return named, len(words) - named


def _asks_otherwise(a: View, b: View, pairing: Pairing, lexicon: Lexicon) -> bool:
    idle = pairing.idle.difference(pairing.mapped, pairing.mapped.values())
    asked, stored = projection(a, idle), projection(b, idle)
    meant = pairing.mapped.get(asked, asked)
    if meant in (stored, WHERE, WHEN) or (stored and stored in map(pairing.mapped.get, (WHERE, WHEN))):
        return False  # `where` is no noun: the place that it asks for is
    if WHO in (asked, stored):
        # `who directed` asks for the director.
        person = stored if asked == WHO else asked
        return not (lexicon.is_person(person[2:]) and person in (*pairing.mapped, *pairing.mapped.values()))
    return True


def _alien(keys: Sequence[str], apart: Sequence[str], others: Sequence[str], lexicon: Lexicon) -> int:
    """Words related to no leftover word of the other question; a light verb counts beside a verb."""
    words, found = [key[2:] for key in keys if key[0] == "w"], [key[2:] for key in others if key[0] == "w"]
    if not words and any(lexicon.is_verb(other) for other in found):
        words = [key[2:] for key in apart if key[0] == "w" and key[2:] in lexicon.light_verbs]
    return sum(not any(lexicon.are_related(word, other) for other in found) for word in words)


def _in_order(a: Sequence[str], b: Sequence[str]) -> float:
    """Share of neighbouring pairs of the one that are neighbours, in this order, in the other."""
    first, second = set(pairwise(a)), set(pairwise(b))
    longest = max(len(first), len(second))
    return len(first & second) / longest if longest else 1.0


def _before_value(keys: Sequence[str], words: Sequence[str]) -> int:
    """How many of the words stand right before a value, as its class: `the city Boston`."""
    return sum(key in words and following[0] in "vq" for key, following in pairwise(keys))
