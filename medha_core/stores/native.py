"""Chunks in the embedded engine: durable, mapped, filtered inside the search."""

import json
from collections.abc import AsyncIterator, Mapping
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from medha_core.embedded.backend import NativeBackend
from medha_core.errors import DimensionMismatchError, StorageError
from medha_core.metadata import filter_value
from medha_core.settings import Settings
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
from medha_core.types import CacheEntry, CacheResult, MetadataValue

__all__ = ["NativeVectorStore"]

_FOUND, _DIRECTIONLESS = "v", "z"
"""What collections' names begin with: of chunks that can be found, and of those whose vector is zero."""
_PAGE = 200


class NativeVectorStore:
    """A `VectorStore` in a directory, or in memory without one.

    Each namespace has an index of its own, so a small one is searched as if there
    were no others, and filters are decided inside the search. What `upsert` has
    returned from survives the end of the process; opening a directory maps its
    indexes. One store writes a directory at a time.

    Args:
        path: directory; None keeps everything in memory.
        dimensions: of all vectors; None takes those of the directory, or of the first vector stored.
        settings: `hnsw_m`, `hnsw_ef_construct` and `enable_quantization` of the index.

    Opens at its first use; `close`, or `async with`, writes the indexes. Safe to use
    from several threads.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        dimensions: int | None = None,
        settings: Settings | None = None,
    ):
        self._dimensions = None if dimensions is None else check_dimensions(dimensions)
        self._backend = NativeBackend(path, settings=settings)
        self._is_open = False

    def __repr__(self) -> str:
        return f"<NativeVectorStore {self._backend.path or 'in memory'}, {self._dimensions} dimensions>"

    async def connect(self) -> None:
        """Open the directory. Raises `StorageInitializationError`, `DimensionMismatchError`."""
        await self._backend.connect()
        held = {row.dimension for row in self._backend.rows.collections()}
        if held:
            (dimension,) = held
            if self._dimensions not in (None, dimension):
                await self._backend.close()
                raise DimensionMismatchError(dimension, self._dimensions or 0, f"{self._backend.path}")
            self._dimensions = dimension
        self._is_open = True

    async def close(self) -> None:
        """Write the indexes and let the directory go. Closing twice is harmless."""
        self._is_open = False
        await self._backend.close()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await self.close()

    async def _held(self, kind: str, namespace: str) -> bool:
        """Whether a namespace has chunks of a kind; opens the store."""
        if not self._is_open:
            await self.connect()
        return await self._backend.has_collection(kind + namespace)

    async def upsert(self, embedded_chunks: list[EmbeddedChunk], namespace: str) -> None:
        """Insert or replace by id."""
        check_namespace(namespace)
        if not self._is_open:
            await self.connect()
        dimensions = self._dimensions
        if dimensions is None:
            if not embedded_chunks:
                return
            dimensions = check_dimensions(len(embedded_chunks[0].embedding))
        checked = check_chunks(embedded_chunks, dimensions)
        self._dimensions = dimensions
        entries: dict[str, list[CacheEntry]] = {_FOUND: [], _DIRECTIONLESS: []}
        for one, vector in zip(checked.chunks, checked.vectors, strict=True):
            kind = _FOUND if _has_direction(vector) else _DIRECTIONLESS
            entries[kind].append(_entry(one, vector if kind == _FOUND else np.eye(1, dimensions)[0]))
        for kind, other in ((_FOUND, _DIRECTIONLESS), (_DIRECTIONLESS, _FOUND)):
            if entries[kind]:
                await self._backend.initialize(kind + namespace, dimensions)
                await self._backend.upsert(kind + namespace, entries[kind])
                await self._forget(other, namespace, [entry.id for entry in entries[kind]])

    async def search(
        self,
        query_vector: Vector,
        namespace: str,
        limit: int = 10,
        filter: dict[str, MetadataValue] | None = None,
    ) -> list[RetrievalResult]:
        """The nearest chunks, best first; of equal ones those stored last."""
        check_namespace(namespace)
        check_limit(limit)
        wanted = {_token(key, value): True for key, value in check_filter(filter).items()}
        held = await self._held(_FOUND, namespace)
        if self._dimensions is None:
            return []
        query = check_query(query_vector, self._dimensions)
        if not held or not _has_direction(query):
            return []
        found = await self._backend.candidates(
            _FOUND + namespace, query, limit, -1.0, wanted or None, include_scoped=True
        )
        return [
            RetrievalResult(chunk=_chunk(one.query), score=max(-1.0, one.score), retriever=RETRIEVER)
            for one in found
        ]

    async def delete(self, chunk_ids: list[str], namespace: str) -> None:
        """Delete by id."""
        check_namespace(namespace)
        for kind in (_FOUND, _DIRECTIONLESS):
            await self._forget(kind, namespace, chunk_ids)

    async def _forget(self, kind: str, namespace: str, ids: list[str]) -> None:
        if await self._held(kind, namespace):
            await self._backend.delete(kind + namespace, ids)

    async def delete_namespace(self, namespace: str) -> None:
        """Delete everything in a namespace."""
        check_namespace(namespace)
        for kind in (_FOUND, _DIRECTIONLESS):
            if await self._held(kind, namespace):
                await self._backend.drop_collection(kind + namespace)

    async def get_all_chunks(
        self,
        namespace: str,
        filter: dict[str, MetadataValue] | None = None,
    ) -> AsyncIterator[Chunk]:
        """Every chunk, in the order in which they were stored."""
        check_namespace(namespace)
        wanted = {_token(key, value): True for key, value in check_filter(filter).items()}
        for kind in (_FOUND, _DIRECTIONLESS):
            if not await self._held(kind, namespace):
                continue
            async for page in self._pages(kind + namespace):
                for row in page:
                    if wanted.keys() <= row.metadata.keys():
                        yield _chunk(row.generated_query)

    async def _pages(self, collection: str) -> AsyncIterator[list[CacheResult]]:
        offset: str | None = None
        while True:
            try:
                page, offset = await self._backend.scroll(collection, _PAGE, offset)
            except StorageError:
                if await self._backend.has_collection(collection):
                    raise
                return  # the namespace was deleted meanwhile
            yield page
            if offset is None:
                return


def _has_direction(vector: np.ndarray) -> bool:
    return bool(np.linalg.norm(vector.astype(np.float64)) > 0)


def _token(key: str, value: Any) -> str:
    """A name for a key with a value: entries' own metadata limits names and lengths, chunks' does not."""
    text = json.dumps([key, filter_value(value)])
    return f"m{blake2b(text.encode(), digest_size=20).hexdigest()}"


def _tokens(metadata: Mapping[str, Any]) -> dict[str, MetadataValue]:
    return {
        _token(key, value): True for key, value in metadata.items() if isinstance(value, (str, int, float))
    }


def _entry(one: EmbeddedChunk, vector: np.ndarray) -> CacheEntry:
    """The row of a chunk: the chunk itself stands where a cache keeps its query."""
    chunk = one.chunk
    return CacheEntry(
        id=chunk.id,
        vector=vector.astype(np.float32),  # type: ignore[arg-type]
        # Of rows with one question only the newest is found, and case does not tell questions apart.
        original_question=blake2b(chunk.id.encode(), digest_size=20).hexdigest(),
        normalized_question=chunk.id,
        generated_query=chunk.model_dump_json(),
        query_hash=chunk.content_hash,
        response_summary=one.embedding_model,
        template_id=chunk.document_id,
        metadata=_tokens(chunk.metadata),
    )


def _chunk(text: str) -> Chunk:
    return Chunk.model_validate_json(text)
