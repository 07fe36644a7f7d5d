"""Whole searches and stores, with the embedding given: what the cache itself costs.

    pytest benchmarks/bench_search.py --benchmark-columns=min,median,mean,rounds

Vectors are synthetic clusters of 384 dimensions, seed 7. `hits` in the extra
information is the share of the asked questions that got their own query.
"""

import asyncio
from collections.abc import Coroutine
from functools import cache
from itertools import cycle
from typing import Any

import numpy as np
import pytest

from medha_core import BaseEmbedder, CacheEntry, Medha, NativeBackend, Settings
from medha_core.normalise import normalize_question, query_hash
from medha_core.scope import entry_id

DIMENSION = 384
ASKED = 200
SIZES = [1_000, 10_000, 100_000]


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class Given(BaseEmbedder):
    """Looks vectors up instead of computing them."""

    dimension = DIMENSION
    model_name = "given"

    def __init__(self) -> None:
        self.vectors: dict[str, np.ndarray] = {}

    async def aembed(self, text: str) -> list[float]:
        return self.vectors[text].tolist()

    async def aembed_batch(self, texts: list[str], **_: Any) -> list[list[float]]:
        return [self.vectors[text].tolist() for text in texts]


def words(number: int, prefix: str) -> str:
    """A question of its own, without digits, that no other is like in letters."""
    letters = "".join(chr(97 + int(digit, 16)) for digit in f"{number * 2654435761 % 2**32:08x}")
    return f"{prefix} {letters[:4]} of {letters[4:]} by month"


class Filled:
    """A cache of `size` entries and questions that are near an entry (hits) or near none (misses)."""

    def __init__(self, size: int, guard: str):
        rng = np.random.default_rng(7)
        centres = rng.standard_normal((max(size // 50, 20), DIMENSION))
        stored = unit(
            centres[rng.integers(len(centres), size=size)] + 0.8 * rng.standard_normal((size, DIMENSION))
        )
        near = unit(stored[:ASKED] + 0.015 * rng.standard_normal((ASKED, DIMENSION)))
        far = unit(rng.standard_normal((ASKED, DIMENSION)))
        self.embedder = Given()
        self.questions = [words(i, "sales") for i in range(size)]
        self.hits = [f"the {question}" for question in self.questions[:ASKED]]
        self.misses = [words(i, "stock") for i in range(ASKED)]
        self.embedder.vectors = dict(zip([*self.hits, *self.misses], [*near, *far], strict=True))
        self.cache = Medha("c", self.embedder, NativeBackend(), Settings(_env_file=None, guard=guard))
        asyncio.run(self._fill(stored))

    async def _fill(self, vectors: np.ndarray) -> None:
        await self.cache.start()
        entries = [
            CacheEntry(
                id=entry_id("c", question, {}),
                vector=vector,
                original_question=question,
                normalized_question=normalize_question(question),
                generated_query=f"SELECT {i}",
                query_hash=query_hash(f"SELECT {i}"),
            )
            for i, (question, vector) in enumerate(zip(self.questions, vectors, strict=True))
        ]
        for start in range(0, len(entries), 5_000):
            await self.cache._backend.upsert("c", entries[start : start + 5_000])


@cache
def filled(size: int, guard: str = "off") -> Filled:
    return Filled(size, guard)


def run(coroutine: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop) -> Any:
    return loop.run_until_complete(coroutine)


@pytest.fixture(scope="module")
def loop():
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def step(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits, without an event loop's overhead."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("the coroutine waited for something")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("guard", ["off", "balanced"])
@pytest.mark.parametrize("kind", ["hit", "miss"])
def test_search(benchmark, loop, size, kind, guard):
    case = filled(size, guard)
    questions = case.hits if kind == "hit" else case.misses
    case.cache._searching.lookup = None
    asked = cycle(questions)

    async def search_cold():
        question = next(asked)
        await case.cache._l1.clear()
        return await case.cache.search(question)

    benchmark.pedantic(lambda: run(search_cold(), loop), rounds=2 * ASKED, iterations=1, warmup_rounds=ASKED)
    answers = [run(case.cache.search(question), loop).generated_query for question in questions]
    right = [f"SELECT {i}" if kind == "hit" else "" for i in range(ASKED)]
    benchmark.extra_info["right"] = float(np.mean([a == b for a, b in zip(answers, right, strict=True)]))


@pytest.mark.parametrize("way", ["peek", "await search"])
def test_l1_hit(benchmark, way):
    case = filled(1_000)
    cache = Medha("c", case.embedder, NativeBackend(), Settings(_env_file=None))
    asyncio.run(cache.start())
    case.embedder.vectors["How many users signed up in the last month?"] = np.ones(DIMENSION)
    asyncio.run(cache.store("How many users signed up in the last month?", "SELECT 1"))
    asked = "how many users signed up in the last month"
    assert cache.peek(asked)
    if way == "peek":
        benchmark(cache.peek, asked)
    else:
        benchmark(lambda: step(cache.search(asked)))


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_store(benchmark, loop, tmp_path, where):
    embedder, rng = Given(), np.random.default_rng(3)
    questions = [words(i, "visits") for i in range(20_000)]
    embedder.vectors = dict(zip(questions, unit(rng.standard_normal((20_000, DIMENSION))), strict=True))
    backend = NativeBackend(tmp_path if where == "disk" else None)
    cache = Medha("c", embedder, backend, Settings(_env_file=None))
    loop.run_until_complete(cache.start())
    fresh = iter(questions)
    benchmark.pedantic(
        lambda: run(cache.store(next(fresh), "SELECT 1"), loop), rounds=5_000, iterations=1, warmup_rounds=100
    )
    loop.run_until_complete(cache.close())
