"""Search through each engine beside the embedded store: `bench_engines.py [rows [dimensions]]`.

Same rows, same questions, one after the other in one run. Prints milliseconds a search (p50, p95),
how often the exact nearest row came first, and the ratio to the embedded store. Engines that the
machine lacks are left out; servers of the tests' own stand for those that cannot run here, and their
times say nothing of the engine itself.
"""

import asyncio
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from engine_harness import ChromaHttp, LanceDB, Pgvector, QdrantEdge, QdrantLocal, RedisVectorSets

from medha_core import CacheEntry, InMemoryBackend, Settings
from servers import ChromaServer, PostgresServer, VectorRedis

QUESTIONS = 100


def entries(vectors):
    return [
        CacheEntry(
            id=f"e{i}",
            vector=vector,
            original_question=f"Question {i}?",
            normalized_question=f"question {i}",
            generated_query=f"SELECT {i}",
            query_hash=f"h{i}",
            metadata={"tenant": f"t{i % 100}"} if i % 2 else {},
        )
        for i, vector in enumerate(vectors)
    ]


async def measured(store, rows, questions, truth):
    """Milliseconds a search, how often the nearest row was first, seconds to write."""
    await store.initialize("bench", questions.shape[1])
    started = time.perf_counter()
    for start in range(0, len(rows), 500):
        await store.upsert("bench", rows[start : start + 500])
    if isinstance(store, InMemoryBackend):
        store._keeper.wait()  # in the background vectors join the graph
    writing = time.perf_counter() - started
    times, right = [], 0
    for question, best in zip(questions, truth, strict=True):
        started = time.perf_counter()
        found = await store.candidates("bench", question, 8, 0.0, include_scoped=True)
        times.append((time.perf_counter() - started) * 1000)
        right += bool(found) and found[0].id == f"e{best}"
    filtered = []
    for i, question in enumerate(questions):
        started = time.perf_counter()
        await store.candidates("bench", question, 8, 0.0, {"tenant": f"t{2 * (i % 50) + 1}"})
        filtered.append((time.perf_counter() - started) * 1000)
    return np.array(times), np.array(filtered), right / len(questions), writing


async def main(count, dimension):
    numbers = np.random.default_rng(5)
    vectors = numbers.normal(size=(count, dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    near = vectors[numbers.integers(count, size=QUESTIONS)]
    questions = (near + 0.05 * numbers.normal(size=near.shape)).astype(np.float32)
    truth = np.argmax(questions @ vectors.T, axis=1)
    rows = entries(vectors)
    print(f"{count} rows, {dimension} dimensions, {QUESTIONS} questions; ms")
    print(f"{'engine':<14}{'p50':>8}{'p95':>8}{'filtered':>10}{'first':>7}{'x native':>10}{'write s':>9}")
    native = None
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp())
        stores = [("native", lambda: InMemoryBackend(settings=Settings(_env_file=None)))]
        for kind, server in (
            (Pgvector, PostgresServer),
            (QdrantLocal, None),
            (QdrantEdge, None),
            (LanceDB, None),
            (ChromaHttp, lambda: ChromaServer(folder)),
            (RedisVectorSets, VectorRedis),
        ):
            held = stack.enter_context(server()) if server else None
            stores.append((kind.name, kind(held, folder).make))
        for name, make in stores:
            async with make() as store:
                times, filtered, first, writing = await measured(store, rows, questions, truth)
            p50 = float(np.median(times))
            native = native or p50
            print(
                f"{name:<14}{p50:>8.3f}{np.quantile(times, 0.95):>8.3f}{np.median(filtered):>10.3f}"
                f"{first:>7.2f}{p50 / native:>10.1f}{writing:>9.1f}"
            )


if __name__ == "__main__":
    asyncio.run(main(*(int(one) for one in (sys.argv[1:3] + ["2000", "384"][len(sys.argv) - 1 :]))))
