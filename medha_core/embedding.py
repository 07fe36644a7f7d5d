"""The waterfall's embedding step: remembers vectors, shares work under way, trusts no embedder blindly."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import xxhash
from cachetools import LRUCache

from medha_core import forking
from medha_core.errors import (
    ArgumentTypeError,
    ArgumentValueError,
    DimensionMismatchError,
    EmbeddingError,
    MedhaError,
    shown,
)
from medha_core.inflight import InFlight, done
from medha_core.interfaces.embedder import BaseEmbedder, as_array, check_texts

_UNIT_TOLERANCE = 1e-4  # float32 rounding stays below 1e-6; more means that nobody scaled the vector
_PROBE = "How many orders were placed today?"

# What a `dimension` property may raise as long as the embedder does not know its model.
_NOT_KNOWN_YET = (MedhaError, RuntimeError, ValueError, TypeError, AttributeError, LookupError)


class _UnfinishedError(Exception):
    """A call that others were waiting for failed or was cancelled."""

    def __init__(self, error: BaseException, keys: frozenset[bytes]):
        super().__init__(str(error))
        self.error = error
        self.keys = keys  # of the whole call


class EmbeddingStep:
    """Unit vectors for texts, each computed once as long as it is remembered.

    Safe from several threads and event loops. Only what the embedder returned
    and what was checked is remembered; a failure never is.
    """

    def __init__(self, embedder: BaseEmbedder, *, timeout: float | None = None, cache_size: int = 10_000):
        """
        Args:
            embedder: computes the vectors.
            timeout: seconds a call may take, waiting for another's result included; None: no limit.
            cache_size: how many vectors are remembered, least recently used first to go; 0: none.
        """
        if timeout is not None and not timeout > 0:
            raise ArgumentValueError("timeout", "more than 0 seconds, or None", timeout)
        if not isinstance(cache_size, int) or isinstance(cache_size, bool):
            raise ArgumentTypeError("cache_size", "int", cache_size)
        if cache_size < 0:
            raise ArgumentValueError("cache_size", "at least 0", cache_size)
        self._embedder = embedder
        self._timeout = timeout
        self._dimension: int | None = None
        self._takes_role = _accepts(embedder.aembed_array) and _accepts(embedder.aembed_batch)
        self._lock = forking.lock()  # guards the cache
        self._cache: LRUCache[bytes, np.ndarray] = LRUCache(cache_size)
        self._inflight: InFlight[bytes, np.ndarray] = InFlight()
        # Each candidate of each search is asked for: as costly as a twentieth of an embedding.
        self._unread = lru_cache(maxsize=cache_size)(lambda text: tuple(embedder.unread(text)))

    def __len__(self) -> int:
        return len(self._cache)

    def __repr__(self) -> str:
        return f"<EmbeddingStep, {len(self)} vectors remembered, {len(self._inflight)} under way>"

    def clear(self) -> None:
        """Forget all vectors."""
        with self._lock:
            self._cache.clear()

    def unread(self, text: str) -> tuple[str, ...]:
        """The parts of `text` that its vector says nothing of."""
        return self._unread(text)

    async def probe(self) -> int:
        """The embedder's dimension; embeds one text if the embedder does not know it before."""
        if self._dimension is None:
            known = _known_dimension(self._embedder)
            if known is None:
                async with _limit(self._timeout):
                    known = (await self._embedded([_PROBE], False)).shape[1]
            self._dimension = known
        return self._dimension

    async def vectors(self, texts: Sequence[str], *, is_document: bool = False) -> np.ndarray:
        """Float32 unit vectors (len(texts), dimension), in the order of `texts`.

        Raises `EmbeddingError` when the embedder fails, is too slow or returns
        what is no vector, `DimensionMismatchError` for vectors of another length.
        """
        check_texts(texts)
        dimension = await self.probe()
        keys = self._keys(texts, is_document)
        found = self._remembered(keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        if missing:
            async with _limit(self._timeout):
                found |= await self._missing(missing, is_document)
        vectors = np.empty((len(texts), dimension), np.float32)
        for row, key in enumerate(keys):
            vectors[row] = found[key]
        return vectors

    def _keys(self, texts: Sequence[str], is_document: bool) -> list[bytes]:
        """128-bit keys of fingerprint, role and text; different parts never give equal bytes."""
        space = self._embedder.fingerprint.encode()
        prefix = b"%d:%b%d:" % (len(space), space, is_document)
        return [xxhash.xxh3_128_digest(prefix + text.encode()) for text in texts]

    def _remembered(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        with self._lock:
            return {key: self._cache[key] for key in keys if key in self._cache}

    async def _missing(self, texts: dict[bytes, str], is_document: bool) -> dict[bytes, np.ndarray]:
        # for each text: nobody computes it -> we do; somebody does -> wait;
        # and if that one's call ends without a result -> start again
        found: dict[bytes, np.ndarray] = {}
        while waiting := [key for key in texts if key not in found]:
            futures, mine = self._inflight.claim(waiting)
            if mine:
                await self._compute(mine, texts, is_document)
            for key, future in futures.items():
                await done(future)
                vector = _outcome(future, texts)
                if vector is not None:
                    found[key] = vector
        return found

    async def _compute(self, mine: dict[bytes, Future], texts: dict[bytes, str], is_document: bool) -> None:
        try:
            # Somebody may have finished between our look at the cache and our claim.
            found = self._remembered(list(mine))
            new = [key for key in mine if key not in found]
            if new:
                rows = await self._embedded([texts[key] for key in new], is_document)
                found |= self._remember(new, rows)
            for key in mine:
                self._inflight.settle(key, found[key])
        except BaseException as error:
            self._inflight.fail(mine, _UnfinishedError(error, frozenset(mine)))
            raise

    def _remember(self, keys: list[bytes], rows: np.ndarray) -> dict[bytes, np.ndarray]:
        # Copies: a row of a batch would keep the whole batch in memory.
        vectors = {key: row.copy() for key, row in zip(keys, rows, strict=True)}
        with self._lock:
            if self._cache.maxsize:
                self._cache.update(vectors)
        return vectors

    async def _embedded(self, texts: list[str], is_document: bool) -> np.ndarray:
        role = {"is_document": True} if is_document and self._takes_role else {}
        try:
            vectors = as_array(await self._embedder.aembed_array(texts, **role))
        except MedhaError:
            raise
        except Exception as error:  # an embedder may raise anything
            raise EmbeddingError(
                f"the embedder {self._embedder.model_name} raised {shown(error, 500)}"
            ) from error
        return _checked(vectors, len(texts), self._dimension)


def _outcome(future: "Future[np.ndarray]", asked: dict[bytes, str]) -> np.ndarray | None:
    """The vector, or None when the text must be computed again.

    A failed call tells something about our texts only if it held no others.
    """
    error = future.exception()
    if error is None:
        return future.result()
    if (
        isinstance(error, _UnfinishedError)
        and isinstance(error.error, MedhaError)
        and error.keys <= asked.keys()
    ):
        raise error.error
    return None


def _checked(vectors: np.ndarray, count: int, dimension: int | None) -> np.ndarray:
    """Unit vectors out of what an embedder returned."""
    if len(vectors) != count:
        raise EmbeddingError(f"the embedder returned {len(vectors)} vectors for {count} texts")
    if dimension is not None and vectors.shape[1] != dimension:
        raise DimensionMismatchError(dimension, vectors.shape[1], "vector from the embedder")
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(vectors, axis=1)
    bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if bad.size:
        raise EmbeddingError(f"the embedder's vector {bad[0]} is zero, infinite or not a number")
    if np.abs(lengths - 1).max(initial=0) > _UNIT_TOLERANCE:
        return vectors / lengths[:, None]
    return vectors


def _known_dimension(embedder: BaseEmbedder) -> int | None:
    try:
        dimension = embedder.dimension
    except _NOT_KNOWN_YET:
        return None
    return dimension if isinstance(dimension, int) and dimension > 0 else None


def _accepts(method: Callable[..., Any], name: str = "is_document") -> bool:
    parameters = inspect.signature(method).parameters
    return name in parameters or any(kind.kind is kind.VAR_KEYWORD for kind in parameters.values())


@asynccontextmanager
async def _limit(seconds: float | None) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as late:
        raise EmbeddingError(f"embedding took longer than {seconds:g} seconds") from late
