"""Vectors from hashed letters and words, without a model."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import xxhash

from medha_core.errors import ArgumentTypeError, ArgumentValueError
from medha_core.interfaces.embedder import ArrayEmbedder, check_texts

_WORD = re.compile(r"\w+")
_SIGN = re.compile(r"[^\w\s.,;:!?'\"()-]")
_LETTERS = range(3, 6)
_WORD_WEIGHT = 2.0  # a shared word says more than a shared run of letters
_RECIPE = 1  # part of the fingerprint: raise it when vectors change


class HashingEmbedder(ArrayEmbedder):
    """Sees letters, not meaning: for tests, and for living without a model.

    Two texts are near each other when they share runs of 3 to 5 letters, words
    and pairs of words. "car" and "automobile" share none, "orders in May" and
    "orders in March" share most: thresholds that suit a language model do not
    suit this. The same text gives the same vector on every machine. Letter case
    is ignored.

    Features are hashed with xxh3-64 into `dimension` signed counts (K. Weinberger
    et al., Feature Hashing for Large Scale Multitask Learning, ICML 2009, section
    2), each count is replaced by its square root, and the vector is scaled to
    length 1.
    """

    def __init__(self, dimension: int = 384):
        if not isinstance(dimension, int) or isinstance(dimension, bool):
            raise ArgumentTypeError("dimension", "int", dimension)
        if dimension < 8:
            raise ArgumentValueError("dimension", "at least 8", dimension)
        self._dimension = dimension

    @property
    def dimension(self) -> int:
        return self._dimension

    @property
    def model_name(self) -> str:
        return f"hashing-v{_RECIPE}-{self._dimension}"

    def unread(self, text: str) -> Sequence[str]:
        """Signs that are neither in words nor between them: "<" and ">", currencies, pictures."""
        return _SIGN.findall(text)

    def __repr__(self) -> str:
        return f"<HashingEmbedder, {self._dimension} dimensions>"

    async def aembed_array(self, texts: Sequence[str], **kwargs: Any) -> np.ndarray:
        return self.embed_array(texts)

    def embed_array(self, texts: Sequence[str], **kwargs: Any) -> np.ndarray:
        """Unit vectors, float32 (len(texts), dimension)."""
        check_texts(texts)
        vectors = np.zeros((len(texts), self._dimension), np.float32)
        for row, text in enumerate(texts):
            self._fill(vectors[row], text.lower())
        return vectors

    def _fill(self, vector: np.ndarray, text: str) -> None:
        counts = Counter(_features(text))
        hashes = np.array([xxhash.xxh3_64_intdigest(feature.encode()) for feature in counts], np.uint64)
        weights = np.sqrt(np.array(list(counts.values()), np.float64))
        weights[[feature[0] == "w" for feature in counts]] *= _WORD_WEIGHT
        # The highest bit gives the sign, the rest the position: collisions cancel instead of adding up.
        weights[hashes >> np.uint64(63) == 1] *= -1
        places = (hashes & np.uint64(2**63 - 1)) % np.uint64(self._dimension)
        sums = np.bincount(places.astype(np.int64), weights, minlength=self._dimension)
        length = np.linalg.norm(sums)
        if length < 1e-9:  # every feature met its opposite
            sums[places[0]], length = 1.0, 1.0
        vector[:] = sums / length


def _features(text: str) -> Iterator[str]:
    """Runs of letters (prefix c) and words and pairs of neighbouring words (prefix w)."""
    words = _WORD.findall(text) or text.split()
    for word in words:
        yield f"w{word}"
        framed = f"^{word}$"
        for size in _LETTERS:
            for start in range(len(framed) - size + 1):
                yield f"c{framed[start : start + size]}"
    for first, second in pairwise(words):
        yield f"w{first} {second}"
