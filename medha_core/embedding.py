"""The embedding step: remembers vectors, shares work under way, trusts no embedder blindly."""

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np

from medha_core.concurrency.bridge import bridge
from medha_core.concurrency.calling import accepts, on_event_loop
from medha_core.concurrency.forking import watch
from medha_core.concurrency.inflight import InFlight, UnfinishedError, done, outcome
from medha_core.errors import (
    ArgumentTypeError,
    ArgumentValueError,
    EmbeddingError,
    MedhaError,
    shown,
)
from medha_core.interfaces.embedder import (
    ArrayEmbedder,
    BaseEmbedder,
    as_array,
    check_texts,
    known_dimension,
    unit_rows,
)
from medha_core.vectors.cache import VectorCache, vector_keys
from medha_core.vectors.file import VectorFile

__all__ = ["CachedEmbedder"]

T = TypeVar("T")

_PROBE = "How many orders were placed today?"
_READ_INLINE = 32
"""Vectors that are read from the file without leaving the event loop: below a millisecond."""


class _Work:
    """What one call needs that nobody remembers, and what of it the call has computed itself."""

    __slots__ = ("computed", "is_document", "texts")

    def __init__(self, texts: dict[bytes, str], is_document: bool):
        self.texts, self.is_document = texts, is_document
        self.computed: dict[bytes, np.ndarray] = {}


class CachedEmbedder(ArrayEmbedder):
    """Unit vectors of `inner`, each computed once as long as it is remembered.

    What is asked for is looked up in memory, then in the file, then among what is
    being computed for somebody else; only what is left is computed, each text
    once. A text is known by the model's fingerprint, the dimension, its role
    (question or document) and its exact characters. A hit has the same bits as
    the miss that filled it. Only what `inner` returned and what was checked is
    remembered, a failure never is, and a caller that is cancelled harms no other.

    Safe from several threads, event loops and forked children; several processes
    may share one file. A damaged row is computed again; a damaged file is set
    aside under another name with one warning.
    """

    def __init__(
        self,
        inner: BaseEmbedder,
        path: str | os.PathLike[str] | VectorFile | None = None,
        *,
        max_entries: int | None = 1_000_000,
        max_bytes: int | None = 2**30,
        ttl: float | None = None,
        memory_entries: int = 10_000,
        timeout: float | None = None,
        clock: Callable[[], float] = time.time,
    ):
        """
        Args:
            inner: computes the vectors.
            path: the file, `~` expanded, or one that is open; None remembers in memory only.
            max_entries: how many vectors are kept, least recently used first to go; None for any number.
            max_bytes: bytes of vectors that are kept; None for any number.
            ttl: seconds after which a vector is computed again; None: never.
            memory_entries: how many of them stay in memory too; 0: none.
            timeout: seconds a call may take, waiting for another's result included; None: no limit.
            clock: the time in seconds since the epoch.

        Raises `StorageInitializationError` if the file cannot be opened.
        """
        if not isinstance(inner, BaseEmbedder):
            raise ArgumentTypeError("inner", "a BaseEmbedder", inner)
        if timeout is not None and not timeout > 0:
            raise ArgumentValueError("timeout", "more than 0 seconds, or None", timeout)
        self._embedder, self._timeout = inner, timeout
        self._dimension: int | None = None
        methods = inner.aembed_array, inner.aembed_batch
        self._takes_role = all(accepts(method, "is_document") for method in methods)
        self._cache = VectorCache(
            path,
            max_entries=max_entries,
            max_bytes=max_bytes,
            ttl=ttl,
            memory_entries=memory_entries,
            clock=clock,
        )
        # Each candidate of each search is asked for: as costly as a twentieth of an embedding.
        self._unread = lru_cache(maxsize=memory_entries)(lambda text: tuple(inner.unread(text)))
        self.reads_all = type(inner).unread is BaseEmbedder.unread
        """Whether `unread` says of every text that there is nothing."""
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()  # guards the counters
        self._counts = dict.fromkeys(("hits", "misses", "file_hits", "computed"), 0)
        self._inflight: InFlight[bytes, np.ndarray] = InFlight()
        watch(self)

    def abandon(self) -> None:
        """In a forked child: nothing is remembered in memory, and nothing under way."""
        self._cache.begin()
        self._begin()

    def __len__(self) -> int:
        """How many vectors are in memory."""
        return len(self._cache)

    def __bool__(self) -> bool:
        return True  # an empty cache is an embedder all the same

    def __repr__(self) -> str:
        file = "" if self._cache.file is None else f", {self._cache.file.path}"
        return (
            f"<CachedEmbedder of {self._embedder.model_name}{file}, {len(self)} vectors in memory, "
            f"{len(self._inflight)} under way>"
        )

    @property
    def inner(self) -> BaseEmbedder:
        """What computes the vectors."""
        return self._embedder

    @property
    def dimension(self) -> int:
        return self._embedder.dimension if self._dimension is None else self._dimension

    @property
    def model_name(self) -> str:
        return self._embedder.model_name

    @property
    def fingerprint(self) -> str:
        return self._embedder.fingerprint

    @property
    def stats(self) -> dict[str, int]:
        """Texts asked for since this object was made, by where their vectors came from.

        `hits` were remembered (`file_hits` of them read from the file), `misses`
        were not; `computed` went to the embedder: fewer than `misses` where several
        asked at the same time. `corrupt` rows of the file were computed again.
        """
        with self._lock:
            return {**self._counts, "corrupt": self._cache.corrupt_rows}

    def info(self) -> dict[str, Any]:
        """What the file holds: path, entries, bytes, models; only the memory's entries without a file."""
        return self._cache.info()

    def unread(self, text: str) -> tuple[str, ...]:
        """The parts of `text` that its vector says nothing of."""
        return self._unread(text)

    def unread_of(self, texts: Iterable[str]) -> list[tuple[str, ...]]:
        """`unread` of each text."""
        unread = self._unread
        return [unread(text) for text in texts]

    async def probe(self) -> int:
        """The embedder's dimension; embeds one text if the embedder does not know it before."""
        if self._dimension is None:
            known = known_dimension(self._embedder)
            if known is None:
                known = (await self._in_time(self._embedded([_PROBE], False))).shape[1]
            self._learn(known)
            return known
        return self._dimension

    def _learn(self, dimension: int) -> None:
        with self._lock:
            if self._dimension is None:
                self._cache.learn(dimension)
                self._dimension = dimension

    # embedding

    async def aembed_array(
        self, texts: Sequence[str], *, is_document: bool = False, **kwargs: Any
    ) -> np.ndarray:
        """Float32 unit vectors (len(texts), dimension), in the order of `texts`.

        Raises `EmbeddingError` when the embedder fails, is too slow or returns
        what is no vector, `DimensionMismatchError` for vectors of another length.
        """
        check_texts(texts)
        if self._dimension is None:
            await self.probe()
        keys = self._keys(texts, is_document)
        found = self._cache.remembered(keys)
        if self._cache.file is not None and (behind := [key for key in keys if key not in found]):
            found |= await self._read_file(behind)
        return await self._completed(texts, keys, found, is_document, shared=True)

    def embed_array(self, texts: Sequence[str], *, is_document: bool = False, **kwargs: Any) -> np.ndarray:
        """`aembed_array` for synchronous callers; what is remembered is read in the calling thread."""
        check_texts(texts)
        if self._dimension is None:
            bridge.run(self.probe())
        keys = self._keys(texts, is_document)
        found = self._cache.remembered(keys)
        if behind := [key for key in keys if key not in found]:
            found |= self._read(behind)
        if all(key in found for key in keys):
            self._count("hits", len(keys))
            return self._rows(keys, found)
        # A caller that blocks an event loop must not wait for work which that loop has yet to finish.
        return bridge.run(self._completed(texts, keys, found, is_document, shared=not on_event_loop()))

    async def _completed(
        self,
        texts: Sequence[str],
        keys: Sequence[bytes],
        found: dict[bytes, np.ndarray],
        is_document: bool,
        *,
        shared: bool,
    ) -> np.ndarray:
        """The vectors of all texts, those included that nobody remembers yet."""
        if len(found) == len(keys):
            self._count("hits", len(keys))
            return self._rows(keys, found)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        if len(missing) < len(keys):
            self._count("hits", len(keys) - len(missing))
        if not missing:  # a text was asked for twice
            return self._rows(keys, found)
        self._count("misses", len(missing))
        work = _Work(missing, is_document)
        try:
            found |= await self._in_time(self._missing(work, shared))
        finally:
            # Nobody waits for the file but who computed, and a slow disk is no slow embedder.
            if self._cache.file is not None and work.computed:
                await asyncio.to_thread(self._write, work.computed, is_document)
        return self._rows(keys, found)

    def _rows(self, keys: Sequence[bytes], found: dict[bytes, np.ndarray]) -> np.ndarray:
        # A copy: what the caller does to its vectors changes no memory.
        vectors = np.empty((len(keys), self.dimension), np.float32)
        for row, key in enumerate(keys):
            vectors[row] = found[key]
        return vectors

    def _keys(self, texts: Iterable[str], is_document: bool) -> list[bytes]:
        role = _role(is_document)
        return vector_keys(texts, fingerprint=self._embedder.fingerprint, dimension=self.dimension, role=role)

    async def _read_file(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        if len(keys) <= _READ_INLINE:
            return self._read(keys)
        return await asyncio.to_thread(self._read, keys)

    def _read(self, keys: Iterable[bytes]) -> dict[bytes, np.ndarray]:
        found = self._cache.read(keys)
        self._count("file_hits", len(found))
        return found

    # computing

    async def _missing(self, work: _Work, shared: bool) -> dict[bytes, np.ndarray]:
        # for each text: nobody computes it -> we do; somebody does -> wait;
        # and if that one's call ends without a result -> start again
        if not shared:
            return await self._new(list(work.texts), work)
        found: dict[bytes, np.ndarray] = {}
        while waiting := [key for key in work.texts if key not in found]:
            pending, mine = self._inflight.claim(waiting)
            if mine:
                try:
                    # Somebody may have finished between our look at the cache and our claim.
                    found |= self._cache.remembered(mine)
                    new = [key for key in mine if key not in found]
                    if new:
                        found |= await self._new(new, work)
                    for key in mine:
                        self._inflight.settle(key, found[key])
                except BaseException as error:
                    self._inflight.fail(mine, UnfinishedError(error, frozenset(mine)))
                    raise
            if len(mine) == len(pending):
                break  # all of them
            for key in pending.keys() - mine.keys():
                await done(pending[key])
                vector = outcome(pending[key], work.texts.keys())
                if vector is not None:
                    found[key] = vector
        return found

    async def _new(self, keys: Sequence[bytes], work: _Work) -> dict[bytes, np.ndarray]:
        rows = await self._embedded([work.texts[key] for key in keys], work.is_document)
        self._count("computed", len(keys))
        # Copies: a row of a batch would keep the whole batch in memory.
        vectors = {key: row.copy() for key, row in zip(keys, rows, strict=True)}
        self._cache.keep(vectors)
        work.computed |= vectors
        return vectors

    def _write(self, vectors: dict[bytes, np.ndarray], is_document: bool) -> None:
        self._cache.write(vectors, model=self.fingerprint, role=_role(is_document))

    def _in_time(self, work: Awaitable[T]) -> Awaitable[T]:
        return work if self._timeout is None else _within(self._timeout, work)

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
        return unit_rows(vectors, len(texts), self._dimension)

    # the cache by hand

    def mget(self, texts: Sequence[str], *, is_document: bool = False) -> list[np.ndarray | None]:
        """What is remembered of `texts`, read-only, None where nothing is; nothing is computed."""
        check_texts(texts)
        keys = self._keys(texts, is_document)
        found = self._cache.remembered(keys)
        found |= self._read([key for key in keys if key not in found])
        return [found.get(key) for key in keys]

    def mset(self, texts: Sequence[str], vectors: object, *, is_document: bool = False) -> None:
        """Remember vectors (len(texts), dimension) that `inner` computed elsewhere."""
        check_texts(texts)
        rows = unit_rows(as_array(vectors), len(texts), self.dimension)
        self._learn(self.dimension)
        kept = {key: row.copy() for key, row in zip(self._keys(texts, is_document), rows, strict=True)}
        self._cache.keep(kept)
        self._write(kept, is_document)

    def drop(self, texts: Sequence[str], *, is_document: bool = False) -> None:
        """Forget the vectors of `texts`."""
        check_texts(texts)
        self._cache.drop(self._keys(texts, is_document))

    def forget(self) -> None:
        """Empty the memory; the file stays."""
        self._cache.forget()

    def clear(self) -> None:
        """Forget all vectors, those in the file too."""
        self._cache.clear()

    def close(self) -> None:
        """Release the file; the inner embedder stays open. Closing twice is harmless."""
        self._cache.close()

    def __enter__(self) -> "CachedEmbedder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _count(self, what: str, number: int) -> None:
        with self._lock:
            self._counts[what] += number


def _role(is_document: bool) -> str:
    return "document" if is_document else "query"


async def _within(seconds: float, work: Awaitable[T]) -> T:
    """What `work` gives, if it does so in time."""
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError as late:
        raise EmbeddingError(f"embedding took longer than {seconds:g} seconds") from late
