"""What durability costs, and what an entry takes on disk and in memory.

    pytest benchmarks/bench_durable.py -s
    MEDHA_BENCH_SIZES=1000000 pytest benchmarks/bench_durable.py -s -k size

Storing: the same calls on a store in memory and on one in a directory, in turns, vectors given; medians of
the rounds, as time on the clock and of the processor. "store" is `Medha.store` of one entry, "given" a store
of one entry that brings its vector, with the guard on, what the guard learns of it afterwards, and, "bare",
what sqlite3 alone takes to insert the same row into the same table, one a transaction; "bulk"
`Medha.store_many` in batches of 1,000, guard off: what the guard learns costs the same in both. "rows"
is the store alone, `NativeBackend.put`.

Size: the same float32 vectors of 384 dimensions in each library, graphs with 16 links per point. Memory is
what the process grew by; for medha_core in an own process, rows in a directory.
"""

import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from medha_core import BaseEmbedder, CacheEntry, Medha, NativeBackend, Settings
from medha_core.rows import Rows

DIMENSION = 384
SIZES = [int(size) for size in os.environ.get("MEDHA_BENCH_SIZES", "20000").split(",")]
ROUNDS = 5


class Given(BaseEmbedder):
    """Vectors that were made before: the number in a text says which."""

    def __init__(self, vectors: np.ndarray):
        self._vectors = vectors

    @property
    def dimension(self) -> int:
        return DIMENSION

    @property
    def model_name(self) -> str:
        return "given"

    async def aembed(self, text: str) -> list[float]:
        return self._vectors[int(text.split()[5])].tolist()

    async def aembed_batch(self, texts: list[str], **_: object) -> list[list[float]]:
        return (await self.aembed_array(texts)).tolist()

    async def aembed_array(self, texts: Sequence[str], **_: object) -> np.ndarray:
        return self._vectors[[int(text.split()[5]) for text in texts]]


def vectors(size: int) -> np.ndarray:
    return np.random.default_rng(size).standard_normal((size, DIMENSION), np.float32)


def pairs(size: int) -> list[dict[str, str]]:
    return [
        {
            "question": f"How many parts does machine {i} have in hall {i * 7919 % size}?",
            "generated_query": f"SELECT COUNT(*) FROM parts WHERE machine = {i} AND hall = {i * 7919 % size}",
        }
        for i in range(size)
    ]


async def store(path: Path | None, given: np.ndarray, asked: list[dict[str, str]]) -> tuple[float, float]:
    async with Medha("c", Given(given), settings=_settings(path)) as cache:
        begin, used = time.perf_counter(), time.process_time()
        for one in asked:
            assert await cache.store(one["question"], one["generated_query"])
        return time.perf_counter() - begin, time.process_time() - used


async def bulk(path: Path | None, given: np.ndarray, asked: list[dict[str, str]]) -> tuple[float, float]:
    async with Medha("c", Given(given), settings=_settings(path)) as cache:
        begin, used = time.perf_counter(), time.process_time()
        await cache.store_many(asked, batch_size=1000)
        return time.perf_counter() - begin, time.process_time() - used


async def rows(path: Path | None, given: np.ndarray, asked: list[dict[str, str]]) -> tuple[float, float]:
    entries = _entries(given, asked)
    async with NativeBackend(path, settings=_settings(path)) as backend:
        await backend.initialize("c", DIMENSION, model="m")
        begin, used = time.perf_counter(), time.process_time()
        for start in range(0, len(entries), 1000):
            await backend.put("c", entries[start : start + 1000], "replace")
        return time.perf_counter() - begin, time.process_time() - used


def _settings(path: Path | None) -> Settings:
    return Settings(_env_file=None, path=path, guard="off")


def _entries(given: np.ndarray, asked: list[dict[str, str]]) -> list[CacheEntry]:
    random = np.random.default_rng(1)
    return [
        CacheEntry(
            id=random.bytes(16).hex(),
            vector=given[number],
            original_question=one["question"],
            normalized_question=one["question"].lower(),
            generated_query=one["generated_query"],
            query_hash=random.bytes(16).hex(),
        )
        for number, one in enumerate(asked)
    ]


@pytest.mark.parametrize(("act", "size"), [(store, 3_000), (bulk, 20_000), (rows, 20_000)])
def test_cost_of_durability(tmp_path: Path, act, size: int) -> None:
    given, asked = vectors(size), pairs(size)
    took: dict[str, list[tuple[float, float]]] = {"memory": [], "disk": []}
    for number in range(ROUNDS):
        took["memory"].append(asyncio.run(act(None, given, asked)))
        took["disk"].append(asyncio.run(act(tmp_path / str(number), given, asked)))
        shutil.rmtree(tmp_path / str(number))
    medians = {
        where: [statistics.median(each) / size * 1e6 for each in zip(*times, strict=True)]
        for where, times in took.items()
    }
    (memory, memory_cpu), (disk, disk_cpu) = medians["memory"], medians["disk"]
    print(
        f"\n{act.__name__:6} us an entry: memory {memory:6.1f} (processor {memory_cpu:6.1f}), "
        f"disk {disk:6.1f} ({disk_cpu:6.1f}), ratio {disk / memory:.2f} ({disk_cpu / memory_cpu:.2f})"
    )


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_cost_of_one_store(tmp_path: Path, where: str) -> None:
    size, at_once = 3_000, 12
    given, asked = vectors(size), pairs(size)

    async def run() -> None:
        settings = Settings(_env_file=None, path=tmp_path if where == "disk" else None)
        async with Medha("c", Given(given), settings=settings) as cache:
            known = {"model": Given(given).fingerprint}
            items = [{**one, **known, "vector": vector} for one, vector in zip(asked, given, strict=True)]
            bare = _bare_inserts(tmp_path / "bare.db" if where == "disk" else None, given, asked)
            took: dict[str, list[float]] = {"stored": [], "learnt": [], "bare": []}
            for start in range(0, size, at_once):
                begin = time.thread_time()
                for item in items[start : start + at_once]:
                    assert await cache.store_batch([item])
                stored = time.thread_time()
                await cache._parts.teacher.caught_up()
                took["stored"].append((stored - begin) / at_once * 1e6)
                learnt = time.thread_time()
                for _ in items[start : start + at_once]:
                    next(bare)
                took["learnt"].append((learnt - stored) / at_once * 1e6)
                took["bare"].append((time.thread_time() - learnt) / at_once * 1e6)
            bare.close()
        said = ", ".join(f"{what} in {statistics.median(each):.1f}" for what, each in took.items())
        print(f"\ngiven  us of the processor an entry, {where}: {said}")

    asyncio.run(run())


def _bare_inserts(path: Path | None, given: np.ndarray, asked: list[dict[str, str]]) -> Iterator[None]:
    """Insert one row for each step."""
    rows = [
        {
            "collection": 1,
            "id": one.id,
            "question": one.original_question,
            "normalized": one.normalized_question,
            "query": one.generated_query,
            "query_hash": one.query_hash,
            "metadata": "",
            "created": time.time(),
            "vector": one.vector.tobytes(),
            "tables": '["=parts", "parts"]',
            **dict.fromkeys(("role", "usage", "used", "correct", "incorrect"), 1),
            **dict.fromkeys(("seal", "vector_seal"), 2**61),
        }
        for one in _entries(given, asked)
    ]
    insert = f"INSERT INTO entries({', '.join(rows[0])}) VALUES ({', '.join('?' * len(rows[0]))})"
    with closing(Rows(path)) as table:
        for row in rows:
            with table.database.statements() as db:
                db.execute(insert, tuple(row.values()))
            yield


MEASURED = {
    "medha_core": """
async def fill(store):
    await store.initialize("c", d, model="m")
    for first in range(0, n, 5000):
        await store.upsert("c", [CacheEntry(
            id=f"{i:032x}", vector=v[i], original_question=f"How many parts {i}?",
            normalized_question=f"how many parts {i}", generated_query=f"SELECT {i}", query_hash=f"{i:032x}")
            for i in range(first, min(first + 5000, n))])
import asyncio
from medha_core import CacheEntry, NativeBackend, Settings
store = NativeBackend(folder, settings=Settings(_env_file=None))
before = resident()
asyncio.run(fill(store))
after = resident()
asyncio.run(store.close())
""",
    "hnswlib": """
import hnswlib
before = resident()
index = hnswlib.Index("ip", d)
index.init_index(n, M=16, ef_construction=20)
index.add_items(v)
after = resident()
index.save_index(folder + "/index.bin")
""",
    "usearch": """
from usearch.index import Index
before = resident()
index = Index(ndim=d, metric="ip", dtype="f32", connectivity=16, expansion_add=20)
index.add(numpy.arange(n), v)
after = resident()
index.save(folder + "/index.usearch")
""",
    "faiss": """
import faiss
before = resident()
index = faiss.IndexHNSWFlat(d, 16, faiss.METRIC_INNER_PRODUCT)
index.hnsw.efConstruction = 20
index.add(v)
after = resident()
faiss.write_index(index, folder + "/index.faiss")
""",
}
AROUND = """
import gc, json, sys
import numpy
n, d, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
v = numpy.random.default_rng(n).standard_normal((n, d), numpy.float32)
v /= numpy.linalg.norm(v, axis=1, keepdims=True)
def resident():
    gc.collect()
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]) * 1024
{body}
print(json.dumps(after - before))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
@pytest.mark.parametrize("library", MEASURED)
@pytest.mark.parametrize("size", SIZES)
def test_size_of_an_entry(tmp_path: Path, size: int, library: str) -> None:
    if library != "medha_core":
        pytest.importorskip(library)
    code = AROUND.replace("{body}", MEASURED[library])
    command = [sys.executable, "-c", code, str(size), str(DIMENSION), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    files = {one: one.stat().st_size / size for one in sorted(tmp_path.rglob("*")) if one.is_file()}
    parts = ", ".join(f"{one.relative_to(tmp_path)} {each:.0f}" for one, each in files.items() if each > 1)
    memory, disk = json.loads(done.stdout) / size, sum(files.values())
    print(f"\n{library:10} {size:8}: bytes an entry: memory {memory:6.0f}, disk {disk:6.0f} ({parts})")
