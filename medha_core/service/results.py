"""What the service answers."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class EmbeddingResult:
    """One vector, and what it cost.

    `cached` is True when it was not computed for this call: it was remembered,
    or somebody else was computing it already. Then `cost` is 0. Costs are
    estimates in US dollars.
    """

    embedding: list[float]
    dimension: int
    model: str
    cached: bool
    cost: float


@dataclass(frozen=True)
class BatchEmbeddingResult:
    """Vectors of a batch in the order of its texts, empty texts left out.

    `indices[i]` is the place in the batch of the text that `embeddings[i]`
    belongs to; `cached_count` counts those that were not computed for this call.
    """

    embeddings: list[list[float]]
    dimension: int
    model: str
    total_embeddings: int
    cached_count: int
    total_cost: float
    indices: list[int]


@dataclass(frozen=True)
class Vectors:
    """The same as arrays, for callers who encode them: float32 (texts, dimension), read-only use."""

    array: np.ndarray
    cached: list[bool]
    """For each text: whether its vector was not computed for this call."""
    model: str
    fingerprint: str
    tokens: int
    """Of all texts, estimated."""
    cost: float
    """US dollars, of the texts that were computed."""

    @property
    def dimension(self) -> int:
        return int(self.array.shape[1])
