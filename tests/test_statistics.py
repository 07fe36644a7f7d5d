"""Counts, latencies, and the statistics that outlive a process."""

import asyncio
import subprocess
import sys
import time

import pytest

from medha_core import (
    HashingEmbedder,
    InMemoryBackend,
    Medha,
    NativeBackend,
    PersistedStats,
    SearchStrategy,
    Settings,
    StorageError,
)
from medha_core.stats import StatsRecorder
from medha_core.types import LATENCY_BUCKETS


def make(backend=None, **settings):
    return Medha("c", HashingEmbedder(32), backend or InMemoryBackend(), Settings(_env_file=None, **settings))


async def ask(cache, hits, misses=0):
    for _ in range(hits):
        assert await cache.search("how many users are there")
    for number in range(misses):
        assert not await cache.search(f"zzz {number} qqq")


async def test_each_tier_has_its_latencies():
    async with make() as cache:
        await cache.store("how many users are there", "SELECT 1")
        await ask(cache, hits=5, misses=3)
        stats = await cache.stats()
    hit, miss = stats.by_strategy["l1_cache"], stats.by_strategy["no_match"]
    assert (hit.count, miss.count) == (5, 3)
    assert 0 < hit.p50_latency_ms <= hit.p95_latency_ms <= hit.p99_latency_ms < miss.p99_latency_ms
    assert sum(hit.latency_buckets) == 5
    assert len(hit.latency_buckets) == len(LATENCY_BUCKETS) + 1
    assert LATENCY_BUCKETS[0] == 1e-5


def test_percentiles_are_those_of_the_newest_samples():
    recorder = StatsRecorder(max_samples=100)
    for milliseconds in range(1, 301):
        recorder.record(SearchStrategy.L1_CACHE, milliseconds / 1000)
    stats = recorder.snapshot()
    newest = list(range(201, 301))
    for share, seen in (
        (0.5, stats.p50_latency_ms),
        (0.95, stats.p95_latency_ms),
        (0.99, stats.p99_latency_ms),
    ):
        assert seen == pytest.approx(newest[min(int(100 * share), 99)])
    assert stats.by_strategy["l1_cache"].p50_latency_ms == stats.p50_latency_ms
    assert stats.total_requests == 300


async def test_batches_count_each_question_and_errors_too():
    async with make() as cache:
        await cache.store("how many users are there", "SELECT 1")
        await cache.search_batch(["how many users are there", "zzz", "", "x" * 9000])
        stats = await cache.stats()
    assert (stats.total_requests, stats.total_hits, stats.total_misses, stats.total_errors) == (4, 1, 1, 2)


async def test_counts_outlive_the_object(tmp_path):
    for round_ in (1, 2):
        async with make(NativeBackend(tmp_path)) as cache:
            await cache.store("how many users are there", "SELECT 1")
            await ask(cache, hits=3, misses=1)
            assert (await cache.stats()).total_requests == 4
            kept = await cache.persisted_stats()
            assert (kept.total_requests, kept.total_hits, kept.total_misses) == (
                4 * round_,
                3 * round_,
                round_,
            )
            assert kept.hits_by_strategy == {"l1_cache": 3 * round_}
            await ask(cache, hits=0)
    async with make(NativeBackend(tmp_path)) as cache:
        assert (await cache.persisted_stats()).total_requests == 8


async def test_what_was_counted_last_is_saved_at_the_end(tmp_path):
    async with make(NativeBackend(tmp_path)) as cache:
        await ask(cache, hits=0, misses=2)
    async with NativeBackend(tmp_path, mode="r") as store:
        assert (await store.load_stats("c")).total_misses == 2


async def test_they_are_saved_every_so_often_without_being_asked(tmp_path):
    async with make(NativeBackend(tmp_path), stats_persist_interval=5) as cache:
        await ask(cache, hits=0, misses=12)
        until = time.monotonic() + 20
        while (await cache._backend.load_stats("c") or PersistedStats()).total_requests < 10:
            assert time.monotonic() < until
            await asyncio.sleep(0.01)
        assert (await cache.persisted_stats()).total_requests == 12


async def test_the_error_rate_seen_survives_the_process(tmp_path):
    question = "how many users are there"
    async with make(NativeBackend(tmp_path), max_error_rate=0.1) as cache:
        await cache.store(question, "SELECT 1")
        for correct in (True, True, False):
            assert await cache.feedback(question, correct)
        assert (await cache.stats()).error_rate_seen == pytest.approx(1 / 3)
    async with make(NativeBackend(tmp_path), max_error_rate=0.1) as cache:
        kept = await cache.persisted_stats()
        assert (kept.feedback_correct, kept.feedback_incorrect) == (2, 1)
        assert kept.error_rate_seen == pytest.approx(1 / 3)
        assert await cache.feedback(question, False)
        assert (await cache.persisted_stats()).error_rate_seen == pytest.approx(1 / 2)


async def test_caches_on_one_store_add_to_one_another(tmp_path):
    backend = NativeBackend(tmp_path)
    async with make(backend) as one, make(backend) as other:
        await ask(one, hits=0, misses=3)
        await ask(other, hits=0, misses=4)
        await one.persisted_stats()
        assert (await other.persisted_stats()).total_misses == 7
        assert (await one.stats()).total_misses == 3


COUNTING = """
import asyncio, sys
from medha_core import HashingEmbedder, Medha, NativeBackend, Settings

async def main(folder, misses):
    async with Medha("c", HashingEmbedder(32), NativeBackend(folder), Settings(_env_file=None)) as cache:
        for number in range(misses):
            await cache.search(f"zzz {number} qqq")

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def test_processes_add_to_one_another(tmp_path):
    for misses in (3, 5):
        command = [sys.executable, "-c", COUNTING, str(tmp_path), str(misses)]
        subprocess.run(command, check=True, capture_output=True)
    cache = make(NativeBackend(tmp_path, mode="r"))
    cache.start_sync()
    assert cache.persisted_stats_sync().total_misses == 8
    cache.close_sync()


async def test_reset_begins_anew_everywhere_and_clear_caches_only_here(tmp_path):
    async with make(NativeBackend(tmp_path)) as cache:
        await ask(cache, hits=0, misses=3)
        await cache.clear_caches()
        assert (await cache.stats()).total_requests == 0
        assert (await cache.persisted_stats()).total_requests == 3
        await ask(cache, hits=0, misses=2)
        await cache.reset_stats()
        assert (await cache.stats()).total_requests == 0
        kept = await cache.persisted_stats()
        assert kept.total_requests == 0
        assert kept.last_reset_at is not None
        await ask(cache, hits=0, misses=1)
    async with make(NativeBackend(tmp_path)) as cache:
        kept = await cache.persisted_stats()
        assert (kept.total_requests, kept.last_reset_at is not None) == (1, True)


async def test_a_reader_counts_for_itself(tmp_path):
    async with make(NativeBackend(tmp_path)):
        pass
    async with make(NativeBackend(tmp_path, mode="r"), stats_persist_interval=1) as reader:
        await ask(reader, hits=0, misses=3)
        assert (await reader.stats()).total_misses == 3
        assert (await reader.persisted_stats()).total_misses == 0
        await reader.reset_stats()


async def test_what_could_not_be_saved_is_saved_the_next_time(monkeypatch, caplog):
    async with make() as cache:
        await ask(cache, hits=0, misses=3)
        with monkeypatch.context() as patch:

            async def broken(*_):
                raise StorageError("the disk is full")

            patch.setattr(cache._backend, "add_stats", broken)
            assert (await cache.persisted_stats()).total_misses == 0
            assert "statistics were not saved: StorageError" in caplog.text
        assert (await cache.persisted_stats()).total_misses == 3


async def test_nothing_is_counted_when_statistics_are_off(tmp_path):
    async with make(NativeBackend(tmp_path), collect_stats=False) as cache:
        await ask(cache, hits=0, misses=3)
        assert (await cache.stats()).total_requests == 0
        assert (await cache.persisted_stats()).total_requests == 0
