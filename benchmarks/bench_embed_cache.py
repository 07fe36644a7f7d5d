"""What a cached vector costs: from memory, from the file, computed and kept.

    python benchmarks/bench_embed_cache.py        the table
    pytest benchmarks/bench_embed_cache.py        the same calls under pytest-benchmark

384 dimensions; the embedder answers at once, so that only the cache is measured. The ways are taken in
turn. "file" reads with no memory in front of it; the file has 20,000 rows and is in the page cache.
"""

import asyncio
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from medha_core import CachedEmbedder, EmbeddingCache
from medha_core.interfaces import BaseEmbedder

ROWS = 20_000
DIMENSION = 384


class Instant(BaseEmbedder):
    """One vector for all texts."""

    dimension = DIMENSION
    model_name = "instant"
    _vector = np.full(DIMENSION, DIMENSION**-0.5, np.float32)

    async def aembed(self, text: str) -> list[float]:
        return self._vector.tolist()

    async def aembed_batch(self, texts: list[str], **kwargs: object) -> list[list[float]]:
        return [self._vector.tolist() for _ in texts]

    async def aembed_array(self, texts: list[str], **kwargs: object) -> np.ndarray:
        return np.tile(self._vector, (len(texts), 1))


def filled(path: Path, **options: int) -> CachedEmbedder:
    cache = CachedEmbedder(Instant(), path, **options)
    for start in range(0, ROWS, 1000):
        cache.embed_array(texts(start, 1000))
    return cache


def texts(start: int, count: int) -> list[str]:
    return [f"how many orders were placed in week {number}" for number in range(start, start + count)]


def ways(folder: Path) -> dict[str, tuple[Callable[[], object], int]]:
    """Each way with the number of texts that one call embeds; asynchronous ways run 200 calls in one loop."""
    in_file = filled(folder / "file.db", memory_entries=0)
    in_memory = CachedEmbedder(Instant(), folder / "file.db", memory_entries=2 * ROWS)
    for start in range(0, ROWS, 1000):
        in_memory.embed_array(texts(start, 1000))
    new = CachedEmbedder(Instant(), folder / "new.db")
    facade = EmbeddingCache("hashing", folder)
    facade.embed("how many orders")
    numbers, misses = itertools.count(), itertools.count()

    def one() -> list[str]:
        return [f"how many orders were placed in week {next(numbers) * 7919 % ROWS}"]

    async def many(cache: CachedEmbedder) -> None:
        for _ in range(200):
            await cache.aembed_array(one())

    return {
        "memory, array": (lambda: in_memory.embed_array(one()), 1),
        "memory, list": (lambda: in_memory.embed(one()[0]), 1),
        "memory, awaited": (lambda: asyncio.run(many(in_memory)), 200),
        "memory, batch of 1000": (lambda: in_memory.embed_array(texts(0, 1000)), 1000),
        "file, array": (lambda: in_file.embed_array(one()), 1),
        "file, awaited": (lambda: asyncio.run(many(in_file)), 200),
        "file, batch of 1000": (lambda: in_file.embed_array(texts(0, 1000)), 1000),
        "EmbeddingCache.embed, hit": (lambda: facade.embed("How many orders "), 1),
        "miss kept in the file, one": (lambda: new.embed_array([f"new {next(misses)}"]), 1),
        "miss kept in the file, 1000": (
            lambda: new.embed_array([f"new {next(misses)}" for _ in range(1000)]),
            1000,
        ),
    }


def main() -> None:
    with TemporaryDirectory() as folder:
        measured = ways(Path(folder))
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in measured}
        for _ in range(60):
            for name, (call, count) in measured.items():
                repeats = 20 if count == 1 else 1
                cpu, wall = time.process_time(), time.perf_counter()
                for _ in range(repeats):
                    call()
                per = 1e6 / (repeats * count)
                taken[name].append(((time.process_time() - cpu) * per, (time.perf_counter() - wall) * per))
        print(f"{'microseconds a text':<32}  cpu p50  wall p50  wall p99")
        for name, values in taken.items():
            cpu, wall = np.array(values).T
            print(f"  {name:<30}{np.median(cpu):9.2f}{np.median(wall):10.2f}{np.percentile(wall, 99):10.2f}")


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    return ways(tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize("way", ["memory, array", "file, array", "miss kept in the file, one"])
def test_cost(benchmark, measured, way):
    benchmark(measured[way][0])


if __name__ == "__main__":
    main()
