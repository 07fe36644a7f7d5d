"""Stored questions that are spelt like the asked one, found without a vector.

`rapidfuzz.fuzz.ratio` of strings of lengths m and n is 1 - D / (m + n), D being the number of characters to
insert and delete. So a ratio of at least t leaves D <= (1 - t)(m + n), and two things that cost little are
never above D: the difference of the lengths, and the sum of how much oftener each character stands in the one
text than in the other. Characters are counted in 32 boxes by hash: sharing one makes texts look more alike,
never less.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import fuzz, process

__all__ = ["Spellings"]

_BOXES = 32


class Spellings:
    """Texts to be found by their spelling. Never changes, so it is safe across threads."""

    def __init__(self, texts: Sequence[str]):
        lengths = np.fromiter(map(len, texts), np.int32, len(texts))
        self._order = np.argsort(lengths, kind="stable")
        self._lengths = lengths[self._order]
        self._texts = np.array([*texts, None], object)[self._order]  # None: strings are objects
        self._counts = _counts(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def near(self, text: str, least: float, limit: int) -> list[tuple[int, float]]:
        """Up to `limit` positions of texts with their ratios (0..100, none below `least`), best first."""
        share, length = 1 - least / 100 + 1e-12, len(text)
        # |m - n| <= share (m + n), solved for m.
        longest = np.inf if share >= 1 else length * (1 + share) / (1 - share) + 1e-9
        shortest = length * (1 - share) / (1 + share) - 1e-9
        first, last = np.searchsorted(self._lengths, [shortest, longest])
        changes = np.floor(share * (self._lengths[first:last] + length))
        possible = first + np.flatnonzero(self._apart(text, first, last) <= changes)
        if not len(possible):
            return []
        choices = self._texts[possible].tolist()
        ratios = process.cdist([text], choices, scorer=fuzz.ratio, score_cutoff=least, dtype=np.float64)[0]
        enough = np.flatnonzero(ratios >= least)
        places = self._order[possible[enough]]
        best = np.lexsort((places, -ratios[enough]))[:limit]
        return list(zip(places[best].tolist(), ratios[enough[best]].tolist(), strict=True))

    def _apart(self, text: str, first: int, last: int) -> NDArray[np.uint16]:
        """How many characters of a text in [first, last) have no counterpart, at least."""
        total = np.zeros(last - first, np.uint16)
        for known, asked in zip(self._counts[:, first:last], _counts([text])[:, 0], strict=True):
            total += np.maximum(known, asked) - np.minimum(known, asked)
        return total


def _counts(texts: Sequence[str]) -> NDArray[np.uint8]:
    """How many characters of each text are in each box, at most 255: uint8[boxes, n]."""
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    owner = np.repeat(np.arange(len(texts)), np.fromiter(map(len, texts), np.int64, len(texts)))
    box = (codes * np.uint32(0x9E3779B1)) >> np.uint32(27)
    found = np.bincount(box.astype(np.int64) * len(texts) + owner, minlength=_BOXES * len(texts))
    return np.minimum(found, 255).astype(np.uint8).reshape(_BOXES, len(texts))
