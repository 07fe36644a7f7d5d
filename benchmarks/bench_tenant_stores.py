"""A tenant of ten among many: `python benchmarks/bench_tenant_stores.py [rows]`.

Fills a store with rows of one large tenant and of many small ones, and asks for the ten rows of a
small one and for the nearest of the large one, in the embedded engine and in PostgreSQL.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from medha_core import Chunk, EmbeddedChunk, NativeVectorStore, PgVectorStore
from servers import PostgresServer

DIMENSION, SMALL, TEN = 32, 1000, 10
SCANNED = 4096
"""Vectors outside a graph that are never joined to it: see medha_core/embedded/joining.py."""


def chunks(vectors, first):
    return [
        EmbeddedChunk(
            chunk=Chunk(id=f"{first + i:07}", document_id="d", content="x", position=0, content_hash="h"),
            embedding=vector,
            embedding_model="m",
            dimensions=DIMENSION,
        )
        for i, vector in enumerate(vectors)
    ]


def vectors_of(seed, count, centre):
    """The large tenant's vectors lie where the questions are; the small ones' lie opposite."""
    numbers = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    return numbers + centre * np.ones(DIMENSION, dtype=np.float32)


async def joined(backend):
    """Returns when the background has put all vectors into their graphs, but for the few that are scanned."""
    indexes = [index for one in backend._collections.values() for index in one.indexes]
    while any(index.waiting() >= SCANNED for index in indexes):
        await asyncio.sleep(0.1)


async def fill_native(store, count):
    for start in range(0, count, 20_000):
        part = vectors_of(start, min(20_000, count - start), 1.0)
        await store.upsert(chunks(part, start), "big")
    for small in range(SMALL):
        await store.upsert(chunks(vectors_of(small, TEN, -1.0), 0), f"small {small}")
    await joined(store._backend)


async def fill_postgres(store, count):
    """By COPY: loading is not what is measured."""
    async with store._pool.acquire() as connection:
        await connection.execute("CREATE TEMP TABLE rows (id text, namespace text, vector text)")
        for start in range(0, count, 50_000):
            part = vectors_of(start, min(50_000, count - start), 1.0)
            rows = [(f"{start + i:07}", "big", _text(v)) for i, v in enumerate(part)]
            await connection.copy_records_to_table("rows", records=rows)
        for small in range(SMALL):
            rows = [
                (f"{i:07}", f"small {small}", _text(v)) for i, v in enumerate(vectors_of(small, TEN, -1.0))
            ]
            await connection.copy_records_to_table("rows", records=rows)
        index = await connection.fetchval(
            "SELECT indexname FROM pg_indexes WHERE tablename = 'tenants' AND indexname LIKE 'ix_embedding%'"
        )
        definition = await connection.fetchval("SELECT indexdef FROM pg_indexes WHERE indexname = $1", index)
        await connection.execute(f"DROP INDEX {index}")
        await connection.execute(
            "INSERT INTO tenants SELECT id, namespace, 'd', 'x', 0, '{}', 'h', vector::vector, 'm' FROM rows"
        )
        await connection.execute("SET maintenance_work_mem = '1GB'; SET max_parallel_maintenance_workers = 2")
        await connection.execute(definition, timeout=3000)
        await connection.execute("ANALYZE tenants")


def _text(vector):
    return f"[{','.join(f'{number:.5f}' for number in vector.tolist())}]"


async def asked(store, name):
    query = np.ones(DIMENSION, dtype=np.float32)
    times, complete = [], 0
    for small in range(0, SMALL, SMALL // 50):
        started = time.perf_counter()
        found = await store.search(query, f"small {small}", limit=TEN)
        times.append((time.perf_counter() - started) * 1000)
        complete += len(found) == TEN
    big = []
    for seed in range(50):
        question = vectors_of(10**6 + seed, 1, 1.0)[0]
        started = time.perf_counter()
        assert len(await store.search(question, "big", limit=TEN)) == TEN
        big.append((time.perf_counter() - started) * 1000)
    print(
        f"{name:<10} tenants of {TEN} that got all their rows: {complete} of {len(times)}; "
        f"p50 {np.median(times):.2f} ms, p95 {np.quantile(times, 0.95):.2f} ms; "
        f"the large tenant: p50 {np.median(big):.2f} ms"
    )


async def main(count):
    print(f"{count} rows of one tenant, {SMALL} tenants of {TEN}; {DIMENSION} dimensions")
    async with NativeVectorStore(tempfile.mkdtemp(), dimensions=DIMENSION) as store:
        started = time.perf_counter()
        await fill_native(store, count)
        print(f"native     filled in {time.perf_counter() - started:.0f} s")
        await asked(store, "native")
    with PostgresServer() as server:
        async with await PgVectorStore.connect(server.url, DIMENSION, table_name="tenants") as store:
            await store.apply_migrations()
            started = time.perf_counter()
            await fill_postgres(store, count)
            print(f"pgvector   filled in {time.perf_counter() - started:.0f} s")
            await asked(store, "pgvector")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
