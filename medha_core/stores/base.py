"""The contract of stores for many tenants, and the checks that all of them make before they write or read."""

import json
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from medha_core.errors import (
    ArgumentTypeError,
    ArgumentValueError,
    ConfigurationError,
    DimensionMismatchError,
    MedhaError,
)
from medha_core.metadata import MAX_KEYS
from medha_core.pairs import check_text
from medha_core.stores.models import Chunk, EmbeddedChunk, RetrievalResult
from medha_core.types import MetadataValue

__all__ = ["VectorStore"]

Vector = Sequence[float] | np.ndarray
RETRIEVER = "vector"


@runtime_checkable
class VectorStore(Protocol):
    """Chunks of many tenants. A method without a namespace does not exist.

    A namespace is any text, taken exactly; a chunk's id is its own within its
    namespace. Filters are exact and must all match: a missing key is a mismatch,
    `True` is not `1`, `10` equals `10.0`; nested values are refused. Everything is
    checked before the first write.
    """

    async def upsert(self, embedded_chunks: list[EmbeddedChunk], namespace: str) -> None:
        """Insert or replace by id: all of them, or none and an error. Of one id, the last counts."""
        ...

    async def search(
        self,
        query_vector: Vector,
        namespace: str,
        limit: int = 10,
        filter: dict[str, MetadataValue] | None = None,
    ) -> list[RetrievalResult]:
        """The nearest chunks of the namespace, best first; none for an unknown one, or a zero vector."""
        ...

    async def delete(self, chunk_ids: list[str], namespace: str) -> None:
        """Delete by id; unknown ids and namespaces are ignored."""
        ...

    async def delete_namespace(self, namespace: str) -> None:
        """Delete everything in a namespace."""
        ...

    def get_all_chunks(
        self,
        namespace: str,
        filter: dict[str, MetadataValue] | None = None,
    ) -> AsyncIterator[Chunk]:
        """Every chunk of the namespace, without vectors, in a stable order; writing meanwhile is allowed."""
        ...


class Checked(NamedTuple):
    """Chunks that may be written, each id once, with their vectors."""

    chunks: list[EmbeddedChunk]
    vectors: np.ndarray
    """float32, shape (n, dimensions)."""


def check_dimensions(dimensions: int, **positive: int) -> int:
    """`dimensions`, if it and the other numbers are whole and above zero."""
    for name, value in {"dimensions": dimensions, **positive}.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigurationError(f"{name} must be a positive whole number, got {value!r}")
    return dimensions


def check_namespace(namespace: object) -> str:
    """The namespace itself; a missing one is an error, never a namespace of all."""
    return check_text(namespace, "namespace")


def check_limit(limit: object) -> int:
    """The limit itself, at least 1."""
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise ArgumentTypeError("limit", "int", limit)
    if limit < 1:
        raise ArgumentValueError("limit", "at least 1", limit)
    return limit


def check_filter(given: Mapping[str, Any] | None) -> dict[str, MetadataValue]:
    """A checked copy of a filter. Raises `ArgumentValueError` for nested values and for None."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ArgumentTypeError("filter", "a mapping", given)
    for key, value in given.items():
        check_text(key, "filter key")
        _check_scalar(value, f"filter[{key!r}]")
    return dict(given)


def _check_scalar(value: object, where: str) -> None:
    if isinstance(value, str):
        check_text(value, where)
    elif not isinstance(value, (int, float)):
        raise ArgumentValueError(where, "text, a number or a truth value, nothing nested", value)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ArgumentValueError(where, "an integer of 64 bits", f"one of {value.bit_length()}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ArgumentValueError(where, "a finite number", value)


def check_query(vector: Vector, dimensions: int) -> np.ndarray:
    """The query as float64, shape (dimensions,)."""
    return _numbers(vector, dimensions, "query_vector").astype(np.float64)


def check_chunks(embedded_chunks: Sequence[EmbeddedChunk], dimensions: int) -> Checked:
    """Everything about to be written, or the error for the first thing that cannot be."""
    if isinstance(embedded_chunks, (str, bytes)) or not isinstance(embedded_chunks, Sequence):
        raise ArgumentTypeError("embedded_chunks", "a list of EmbeddedChunk", embedded_chunks)
    kept: dict[str, tuple[EmbeddedChunk, np.ndarray]] = {}
    for number, one in enumerate(embedded_chunks):
        where = f"embedded_chunks[{number}]"
        if not isinstance(one, EmbeddedChunk):
            raise ArgumentTypeError(where, "an EmbeddedChunk", one)
        _check_chunk(one, where)
        vector = _numbers(one.embedding, dimensions, f"{where}.embedding")
        if one.dimensions != dimensions:
            raise DimensionMismatchError(dimensions, one.dimensions, f"{where}.dimensions")
        kept.pop(one.chunk.id, None)
        kept[one.chunk.id] = one, vector
    vectors = np.array([vector for _, vector in kept.values()], dtype=np.float32)
    return Checked([one for one, _ in kept.values()], vectors.reshape(len(kept), dimensions))


def _check_chunk(one: EmbeddedChunk, where: str) -> None:
    chunk = one.chunk
    for name in ("id", "document_id", "content", "content_hash"):
        check_text(getattr(chunk, name), f"{where}.chunk.{name}")
    check_text(one.embedding_model, f"{where}.embedding_model")
    if not 0 <= chunk.position < 2**31:
        raise ArgumentValueError(f"{where}.chunk.position", "from 0 to 2147483647", chunk.position)
    check_metadata(chunk.metadata, f"{where}.chunk.metadata")


def check_metadata(metadata: Mapping[str, Any], where: str) -> None:
    """Refuse what is not JSON, and what not every engine keeps."""
    if len(metadata) > MAX_KEYS:
        raise ArgumentValueError(where, f"at most {MAX_KEYS} keys", len(metadata))
    try:
        text = json.dumps(metadata, allow_nan=False, ensure_ascii=False)
        check_text(text.replace("\\u0000", "\0"), where)
        same = json.loads(text) == metadata
    except (TypeError, ValueError, RecursionError) as error:
        if isinstance(error, MedhaError):
            raise
        raise ArgumentValueError(where, f"JSON values ({error})", metadata) from None
    if not same:
        raise ArgumentValueError(where, "JSON values under text keys", metadata)
    for key, value in metadata.items():
        if isinstance(value, (str, int, float)):
            _check_scalar(value, f"{where}[{key!r}]")


def _numbers(vector: Any, dimensions: int, where: str) -> np.ndarray:
    try:
        array = np.asarray(vector)
        if array.dtype.kind not in "fiu" and array.size:
            raise ArgumentTypeError(where, f"{dimensions} numbers", vector)
        numbers = array.astype(np.float32)
    except (TypeError, ValueError) as error:
        if isinstance(error, MedhaError):
            raise
        raise ArgumentTypeError(where, f"{dimensions} numbers", vector) from None
    if numbers.ndim != 1:
        raise ArgumentValueError(where, f"an array of shape ({dimensions},)", numbers.shape)
    if len(numbers) != dimensions:
        raise DimensionMismatchError(dimensions, len(numbers), where)
    if not np.isfinite(numbers).all():
        raise ArgumentValueError(where, "finite numbers", float(numbers[~np.isfinite(numbers)][0]))
    return numbers
