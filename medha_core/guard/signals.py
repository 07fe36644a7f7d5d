"""What speaks for and against a candidate that passed the vetoes, as numbers for the verifier."""

from collections.abc import Sequence
from math import log1p
from typing import NamedTuple

from rapidfuzz import fuzz

from medha_core.guard.evidence import Difference, Learned
from medha_core.guard.view import View, bindings

__all__ = ["Signals", "signals"]


class Signals(NamedTuple):
    """One candidate in numbers. The order is the order of the verifier's data file."""

    score: float
    margin: float
    asked_named: float
    asked_strange: float
    stored_named: float
    stored_strange: float
    asked_glue: float
    stored_glue: float
    asked_kind: float
    operators: float
    bindings: float
    projection: float
    seen_same: float
    seen_other: float
    seen_shapes: float
    words_other: float
    words_same: float
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
    bridged: float


RISING = ("score", "margin", "seen_same", "seen_shapes", "words_same", "form_same", "overlap", "characters", "order")
FALLING = (
    "asked_named", "asked_strange", "stored_named", "stored_strange", "asked_glue", "stored_glue", "asked_kind",
    "operators", "bindings", "projection", "seen_other", "words_other", "form_other", "exchanged", "paired",
)  # fmt: skip


def signals(
    a: View, b: View, diff: Difference, left: Difference, names: frozenset[str], learned: Learned, *,
    score: float, margin: float, exchanged: int, shape: str, keys: tuple[str, ...], mapped: dict[str, str], stem,
) -> Signals:  # fmt: skip
    """The signals of one candidate: `diff` before, `left` after words were paired."""
    asked, stored = left
    now = tuple(mapped.get(k, k) for k in a.keys)
    common = [k for k in now if k in b.keys]
    named = [sum(k[0] == "w" and stem(k[2:]) in names for k in side) for side in left]
    strange = [sum(k[0] == "w" for k in side) - n for side, n in zip(left, named, strict=True)]
    same, other, shapes = learned.counts(diff)
    forms = learned.shapes.get(tuple(sorted(keys)), {})
    union = len(set(now) | set(b.keys)) or 1
    x, y = set(bindings(now)), set(bindings(b.keys))
    words_same, words_other = learned.word_counts([*asked, *stored])
    return Signals(
        score=score,
        margin=margin,
        asked_named=named[0],
        asked_strange=strange[0],
        stored_named=named[1],
        stored_strange=strange[1],
        asked_glue=sum(k[0] == "p" for k in asked),
        stored_glue=sum(k[0] == "p" for k in stored),
        asked_kind=sum(k[0] == "a" for side in left for k in side),
        operators=sum(k[0] == "o" for side in left for k in side),
        bindings=len(x ^ y),
        projection=float(_first(now) != _first(b.keys)),
        seen_same=log1p(same),
        seen_other=log1p(other),
        seen_shapes=min(shapes, 4),
        words_other=words_other,
        words_same=words_same,
        form_same=log1p(forms.get(shape, 0)),
        form_other=log1p(sum(n for s, n in forms.items() if s != shape)),
        exchanged=exchanged,
        overlap=len(set(now) & set(b.keys)) / union,
        characters=fuzz.ratio(" ".join(a.open_words), " ".join(b.open_words)) / 100,
        order=_in_order(common, [k for k in b.keys if k in now]),
        paired=len(mapped),
        length=len(b.keys),
        asked_common=learned.commonness(asked),
        stored_common=learned.commonness(stored),
        asked_class=_before_value(a.keys, asked),
        stored_class=_before_value(b.keys, stored),
        bridged=sum(stem(k[2:]) in names for side in left for k in side if k[0] == "w") if all(left) else 0,
    )


def _first(keys: Sequence[str]) -> str:
    return next((k for k in keys if k[0] == "w"), "")


def _in_order(a: Sequence[str], b: Sequence[str]) -> float:
    """Share of neighbouring pairs of the one that are neighbours, in this order, in the other."""
    pairs = set(zip(a, a[1:], strict=False)), set(zip(b, b[1:], strict=False))
    return len(pairs[0] & pairs[1]) / (max(map(len, pairs)) or 1) if any(pairs) else 1.0


def _before_value(keys: Sequence[str], words: Sequence[str]) -> float:
    """How many of the words stand right before a value, as its class: `the city Boston`."""
    return sum(1 for k, following in zip(keys, keys[1:], strict=False) if k in words and following[0] in "vq")
