"""Opening a snapshot and answering the first question in a fresh process, beside hnswlib's load_index.

    pytest benchmarks/bench_snapshot.py -s
    MEDHA_BENCH_SIZES=1000000 MEDHA_BENCH_FOLDER=/var/tmp/kept pytest benchmarks/bench_snapshot.py -s

What `bench_open.py` does with an index alone, with the whole: a snapshot is opened as a store (rows,
manifest, index), and the answer is the row of the nearest entry. "before" is the resident memory when the
store is open and nothing was asked, imports among it. Files of MEDHA_BENCH_FOLDER are kept and used again.
"""

import asyncio
import os
import statistics
import sys
from pathlib import Path

import pytest

from benchmarks.bench_open import DIMENSION, OPEN, PROCESSES, Process, build, question, rows
from medha_core import CacheEntry, NativeBackend, Settings

SIZES = [int(size) for size in os.environ.get("MEDHA_BENCH_SIZES", "100000").split(",")]

OPEN["snapshot"] = """
import asyncio
from medha_core import NativeBackend, Settings
settings = Settings(_env_file=None)
async def ask():
    global opened, found
    store = NativeBackend(path, mode="r", settings=settings)
    await store.initialize("c", len(query), model="m")
    opened = time.perf_counter()
    if len(sys.argv) > 3:
        return
    found = [candidate.label.label - 1 for candidate in await store.candidates("c", query, 1, 0.65)]
started = time.perf_counter()
found = [-1]
asyncio.run(ask())
"""


def write_snapshot(size: int, folder: Path) -> None:
    vectors = rows(size)

    def entries(first: int) -> list[CacheEntry]:
        return [
            CacheEntry(
                id=f"{i:032x}",
                vector=vectors[i],
                original_question=f"How many parts does machine {i} have in hall {i % 977}?",
                normalized_question=f"how many parts does machine {i} have in hall {i % 977}",
                generated_query=f"SELECT COUNT(*) FROM parts WHERE machine = {i} AND hall = {i % 977}",
                query_hash=f"{i:032x}",
            )
            for i in range(first, min(first + 5000, size))
        ]

    async def fill() -> None:
        async with NativeBackend(settings=Settings(_env_file=None)) as store:
            await store.initialize("c", DIMENSION, model="m")
            for first in range(0, size, 5000):
                await store.upsert("c", entries(first))
            await store.snapshot(folder)

    asyncio.run(fill())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    kept = os.environ.get("MEDHA_BENCH_FOLDER")
    return Path(kept) if kept else tmp_path_factory.mktemp("snapshots")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
@pytest.mark.parametrize("size", SIZES)
def test_open_a_snapshot_and_answer(folder: Path, size: int) -> None:
    kept, peer = folder / f"snapshot-{size}", folder / f"hnswlib-{size}.bin"
    if not kept.exists():
        write_snapshot(size, kept)
    if not peer.exists():
        build("hnswlib", size, peer)
    asked, milliseconds = question(folder, size), {}
    for engine, path in (("hnswlib", peer), ("snapshot", kept)):
        reports = []
        for _ in range(PROCESSES):
            with Process(engine, path, asked) as report:
                reports.append(report)
        with Process(engine, path, asked), Process(engine, path, asked) as second:
            added = second["added"]
        milliseconds[engine] = statistics.median(report["ms"] for report in reports)
        files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
        megabytes = sum(one.stat().st_size for one in files) / 2**20
        print(
            f"\n{engine:10} {size:8}: open and answer {milliseconds[engine]:8.1f} ms, "
            f"resident {max(r['resident'] for r in reports):5.0f} MB, "
            f"own {max(r['own'] for r in reports):5.0f}, "
            f"added by a second process {added:5.0f} ({added / megabytes:.1%}), on disk {megabytes:5.0f}"
        )
    with Process("snapshot", kept, asked, "only open") as idle:
        print(f"snapshot open and nothing asked: resident {idle['resident']:.0f} MB, own {idle['own']:.0f}")
    print(f"ratio {milliseconds['hnswlib'] / milliseconds['snapshot']:.1f}")
