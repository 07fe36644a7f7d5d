"""A tenant with ten rows among a million, and thousands of tenants with the same question.

    python benchmarks/bench_tenants.py [ENTRIES]

Prints as JSON what was found and how long it took. Vectors are random, 64 dimensions, seed 7. The
process ends with 1 if the small tenant does not get each of its rows.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np

from medha_core import CacheEntry, HashingEmbedder, InMemoryBackend, Medha, Settings
from medha_core.normalise import normalize_question, query_hash

DIMENSION = 64
SMALL = 10
PORTION = 10_000


def entry(number: int, vector: np.ndarray, tenant: str) -> CacheEntry:
    question, query = f"question {number}", f"SELECT {number}"
    return CacheEntry(
        id=f"{tenant}-{number}",
        vector=vector,
        original_question=question,
        normalized_question=normalize_question(question),
        generated_query=query,
        query_hash=query_hash(query),
        metadata={"tenant": tenant},
    )


async def portions(entries: int) -> AsyncIterator[list[CacheEntry]]:
    rng = np.random.default_rng(7)
    for start in range(0, entries, PORTION):
        vectors = rng.standard_normal((min(PORTION, entries - start), DIMENSION)).astype(np.float32)
        yield [entry(start + i, vector, f"big {i % 7}") for i, vector in enumerate(vectors)]


async def small_tenant(entries: int) -> dict[str, Any]:
    """Whether ten rows among many are all found, nearest first."""
    async with InMemoryBackend(settings=Settings(_env_file=None)) as store:
        await store.initialize("c", DIMENSION)
        began = time.perf_counter()
        async for portion in portions(entries):
            await store.upsert("c", portion)
        rng = np.random.default_rng(8)
        rows = np.abs(rng.standard_normal((SMALL, DIMENSION))).astype(np.float32)
        await store.upsert("c", [entry(i, row, "small") for i, row in enumerate(rows)])
        stored = time.perf_counter() - began
        asked = np.abs(rng.standard_normal(DIMENSION)).astype(np.float32)
        times = []
        for _ in range(20):
            began = time.perf_counter()
            found = await store.candidates("c", asked, SMALL, 0.0, {"tenant": "small"})
            times.append(time.perf_counter() - began)
        cosines = rows @ asked / np.linalg.norm(rows, axis=1) / np.linalg.norm(asked)
        expected = {f"small-{i}" for i in np.flatnonzero(cosines >= 0)}
    return {
        "entries": entries,
        "seconds to store": round(stored, 1),
        "expected": len(expected),
        "found": len(expected & {one.id for one in found}),
        "median us": round(sorted(times)[10] * 1e6),
    }


async def same_question(tenants: int) -> dict[str, Any]:
    """Whether each of many tenants gets its own row for one question, past the first-level cache."""
    settings = Settings(_env_file=None, l1_cache_max_size=0)
    async with Medha("c", HashingEmbedder(DIMENSION), InMemoryBackend(), settings) as cache:
        pairs = [
            {"question": "How many users?", "generated_query": f"SELECT {n}", "metadata": {"tenant": n}}
            for n in range(tenants)
        ]
        await cache.store_many(pairs, batch_size=1000)
        asked = range(0, tenants, max(tenants // 100, 1))
        began = time.perf_counter()
        hits = [await cache.search("How many users?", filters={"tenant": n}) for n in asked]
        seconds = time.perf_counter() - began
    own = sum(hit.generated_query == f"SELECT {n}" for hit, n in zip(hits, asked, strict=True))
    return {
        "tenants": tenants,
        "asked": len(asked),
        "own row": own,
        "us each": round(seconds / len(asked) * 1e6),
    }


async def main(entries: int) -> int:
    told = {"small tenant": await small_tenant(entries), "same question": await same_question(5000)}
    print(json.dumps(told, indent=2))
    small, same = told.values()
    return int(small["found"] < small["expected"] or same["own row"] < same["asked"])


if __name__ == "__main__":
    sys.exit(asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)))
