"""From texts to vectors: remembered, under way, or computed; each of these once."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from medha_core.concurrency.inflight import InFlight, Pending, UnfinishedError, done, outcome
from medha_core.service.cache import ServiceCache
from medha_core.service.models import LoadedModel


class Charge(Protocol):
    """Asked before texts are computed.

    Where the caller may not have so many it raises what is no `MedhaError`: that
    concerns the caller alone, and nobody who waits for the same texts.
    """

    def take(self, count: int) -> None: ...


@dataclass
class Job:
    """One request: what is asked for, and what became of it."""

    model: LoadedModel
    texts: Mapping[bytes, str]
    """The different texts by their keys."""
    is_document: bool
    batch_size: int
    charge: Charge | None = None
    vectors: dict[bytes, np.ndarray] = field(default_factory=dict)
    computed: set[bytes] = field(default_factory=set)
    """The keys of what was computed for this request; kept up to date when it fails, too."""


class Worker:
    """Runs jobs against one cache. Safe from several threads and event loops.

    Args:
        concurrency: batches of one request that are computed at once.
    """

    def __init__(self, cache: ServiceCache | None, concurrency: int):
        self.cache = cache
        self._concurrency = concurrency
        self._inflight: InFlight[bytes, np.ndarray] = InFlight()

    @property
    def under_way(self) -> int:
        """Texts that are being computed."""
        return len(self._inflight)

    async def run(self, job: Job, *, use_cache: bool) -> None:
        """Fill `job.vectors`. Raises `EmbeddingError` when the model fails."""
        if not use_cache or self.cache is None:
            await self._batches(job, list(job.texts), self._plain)
            return
        job.vectors |= await self.cache.get_many(list(job.texts), job.model.dimension)
        # for each text: nobody computes it -> we do; somebody does -> wait;
        # and if that one's batch ends without a result -> start again
        while waiting := [key for key in job.texts if key not in job.vectors]:
            pending, mine = self._inflight.claim(waiting)
            try:
                if mine:
                    await self._batches(job, list(mine), self._shared)
            except BaseException as error:
                self._inflight.fail(mine, UnfinishedError(error, frozenset(mine)))
                raise
            await self._collect(job, pending)

    async def _collect(self, job: Job, pending: dict[bytes, Pending[np.ndarray]]) -> None:
        for key, one in pending.items():
            await done(one)
            vector = outcome(one, job.texts.keys())
            if vector is not None:
                job.vectors[key] = vector

    async def _batches(self, job: Job, keys: list[bytes], compute) -> None:  # type: ignore[no-untyped-def]
        parts = [keys[i : i + job.batch_size] for i in range(0, len(keys), job.batch_size)]
        if len(parts) == 1:
            await compute(job, parts[0])
            return
        limit = asyncio.Semaphore(self._concurrency)

        async def one(part: list[bytes]) -> None:
            async with limit:
                await compute(job, part)

        try:
            async with asyncio.TaskGroup() as group:
                for part in parts:
                    group.create_task(one(part))
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _shared(self, job: Job, keys: list[bytes]) -> None:
        # Somebody may have finished between our look at the cache and our claim.
        assert self.cache is not None  # noqa: S101 (narrows the type: `run` has looked)
        known = self.cache.remembered(keys)
        for key, vector in known.items():
            self._inflight.settle(key, vector)
        new = [key for key in keys if key not in known]
        if new:
            vectors = await self._computed(job, new)
            self.cache.remember(vectors)  # first: who claims a settled key looks here
            for key, vector in vectors.items():
                self._inflight.settle(key, vector)
            await self.cache.set_many(vectors)

    async def _plain(self, job: Job, keys: list[bytes]) -> None:
        job.vectors |= await self._computed(job, keys)

    async def _computed(self, job: Job, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        if job.charge is not None:
            job.charge.take(len(keys))
        rows = await job.model.embed([job.texts[key] for key in keys], is_document=job.is_document)
        job.computed.update(keys)
        # Copies: a row of a batch would keep the whole batch in memory.
        return {key: row.copy() for key, row in zip(keys, rows, strict=True)}
