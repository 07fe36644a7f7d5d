"""New vectors join the graph while the store is in use, and closing does not wait for all of them."""

import threading
import time

import numpy as np

from medha_core import CacheEntry, NativeBackend, Settings
from medha_core.normalise import normalize_question, query_hash

DIMENSION = 32


def rows(n, seed=3):
    return np.random.default_rng(seed).standard_normal((n, DIMENSION), np.float32)


def entries(vectors, start=0):
    for i, vector in enumerate(vectors, start):
        question = f"question {i}"
        yield CacheEntry(
            id=str(i),
            vector=vector,
            original_question=question,
            normalized_question=normalize_question(question),
            generated_query=f"SELECT {i}",
            query_hash=query_hash(f"SELECT {i}"),
        )


def joined(index, at_least, seconds=60):
    """Wait until the graph holds that many."""
    deadline = time.monotonic() + seconds
    while index.info()["graph"] < at_least:
        assert time.monotonic() < deadline, f"{index!r} after {seconds} s"
        time.sleep(0.01)
    return True


def keepers():
    return [thread for thread in threading.enumerate() if thread.name == "medha-keeper"]


async def test_a_growing_store_joins_by_itself_and_answers_meanwhile(tmp_path):
    vectors = rows(24_000)
    async with NativeBackend(tmp_path, settings=Settings(_env_file=None)) as store:
        await store.initialize("c", DIMENSION)
        for start in range(0, 24_000, 4_000):
            await store.upsert("c", list(entries(vectors[start : start + 4_000], start)))
            found = await store.search("c", vectors[start], 1, 0.99)
            assert found[0].id == str(start)
        index = store._collection("c").unscoped
        assert joined(index, 20_000)
        for number in range(0, 24_000, 1_500):
            assert (await store.search("c", vectors[number], 1, 0.5))[0].id == str(number)
    async with NativeBackend(tmp_path, mode="r") as store:
        await store.initialize("c", DIMENSION)
        assert store._collection("c").unscoped.info()["graph"] >= 20_000


async def test_few_vectors_start_no_thread():
    async with NativeBackend(settings=Settings(_env_file=None)) as store:
        await store.initialize("c", DIMENSION)
        await store.upsert("c", list(entries(rows(10))))
        assert not keepers()


async def test_closing_stops_after_the_present_step():
    store = NativeBackend(settings=Settings(_env_file=None))
    await store.initialize("c", DIMENSION)
    index = store._collection("c").unscoped
    index.add(np.arange(50_000), rows(50_000))
    await store.upsert("c", list(entries(rows(1))))
    joined(index, 1)
    await store.close()
    assert index.info()["graph"] < 50_000
    assert not keepers()
