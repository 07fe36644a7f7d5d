"""Chunks in memory, compared one by one."""

from collections.abc import AsyncIterator, Iterator, Mapping

import numpy as np

from medha_core.metadata import metadata_matches
from medha_core.stores.base import (
    RETRIEVER,
    Vector,
    check_chunks,
    check_dimensions,
    check_filter,
    check_limit,
    check_namespace,
    check_query,
)
from medha_core.stores.models import Chunk, EmbeddedChunk, RetrievalResult
from medha_core.types import MetadataValue

__all__ = ["InMemoryVectorStore"]


class _Namespace:
    """One tenant's chunks, by id, and the matrix of their directions, made when it is first searched."""

    def __init__(self) -> None:
        self.chunks: dict[str, Chunk] = {}
        self.vectors: dict[str, np.ndarray] = {}
        self._matrix: tuple[list[str], np.ndarray] | None = None

    def change(self) -> None:
        """To be called after each change."""
        self._matrix = None

    def directions(self) -> tuple[list[str], np.ndarray]:
        """Ids of the chunks whose vector is not zero, and float64 unit vectors, shape (n, dimensions)."""
        if self._matrix is None:
            ids = [name for name, vector in self.vectors.items() if vector.any()]
            rows = np.array([self.vectors[name] for name in ids], dtype=np.float64)
            if ids:
                rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            self._matrix = ids, rows
        return self._matrix


class InMemoryVectorStore:
    """A `VectorStore` that forgets with the process; every search is exact, in float64.

    For tests and for up to some ten thousand chunks. Not to be shared by threads.
    """

    def __init__(self, dimensions: int):
        self._dimensions = check_dimensions(dimensions)
        self._namespaces: dict[str, _Namespace] = {}

    def __repr__(self) -> str:
        chunks = sum(len(one.chunks) for one in self._namespaces.values())
        return (
            f"<InMemoryVectorStore {self._dimensions} dimensions, {chunks} chunks "
            f"in {len(self._namespaces)} namespaces>"
        )

    async def upsert(self, embedded_chunks: list[EmbeddedChunk], namespace: str) -> None:
        """Insert or replace by id."""
        check_namespace(namespace)
        checked = check_chunks(embedded_chunks, self._dimensions)
        if not checked.chunks:
            return
        held = self._namespaces.setdefault(namespace, _Namespace())
        for one, vector in zip(checked.chunks, checked.vectors, strict=True):
            held.chunks[one.chunk.id] = one.chunk.model_copy(deep=True)
            held.vectors[one.chunk.id] = vector
        held.change()

    async def search(
        self,
        query_vector: Vector,
        namespace: str,
        limit: int = 10,
        filter: dict[str, MetadataValue] | None = None,
    ) -> list[RetrievalResult]:
        """The nearest chunks, best first; of equal ones those stored first."""
        check_namespace(namespace)
        check_limit(limit)
        query, wanted = check_query(query_vector, self._dimensions), check_filter(filter)
        held = self._namespaces.get(namespace)
        if held is None or not query.any():
            return []
        ids, rows = held.directions()
        if wanted:
            places = [i for i, name in enumerate(ids) if matches(held.chunks[name].metadata, wanted)]
            ids, rows = [ids[i] for i in places], rows[places]
        if not ids:
            return []
        scores = np.clip(rows @ (query / np.linalg.norm(query)), -1.0, 1.0)
        best = np.argsort(-scores, kind="stable")[:limit]
        return [
            RetrievalResult(
                chunk=held.chunks[ids[i]].model_copy(deep=True), score=float(scores[i]), retriever=RETRIEVER
            )
            for i in best
        ]

    async def delete(self, chunk_ids: list[str], namespace: str) -> None:
        """Delete by id."""
        held = self._namespaces.get(check_namespace(namespace))
        if held is not None:
            for name in chunk_ids:
                held.chunks.pop(name, None)
                held.vectors.pop(name, None)
            held.change()

    async def delete_namespace(self, namespace: str) -> None:
        """Delete everything in a namespace."""
        self._namespaces.pop(check_namespace(namespace), None)

    async def get_all_chunks(
        self,
        namespace: str,
        filter: dict[str, MetadataValue] | None = None,
    ) -> AsyncIterator[Chunk]:
        """Every chunk that was there when the loop began, as it was then."""
        check_namespace(namespace)
        wanted = check_filter(filter)
        held = self._namespaces.get(namespace)
        for chunk in _snapshot(held):
            if matches(chunk.metadata, wanted):
                yield chunk.model_copy(deep=True)


def _snapshot(held: _Namespace | None) -> Iterator[Chunk]:
    return iter(list(held.chunks.values()) if held is not None else [])


def matches(metadata: Mapping[str, object], wanted: Mapping[str, MetadataValue]) -> bool:
    """Whether a chunk's metadata satisfies a filter; nested values equal nothing."""
    plain = {key: value for key, value in metadata.items() if isinstance(value, (str, int, float))}
    return metadata_matches(plain, wanted)
