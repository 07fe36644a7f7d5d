"""What was nearly answered: counted by reason in the statistics."""

import pytest

from medha_core import Medha, OnnxEmbedder, Settings
from medha_core.embeddings.models import DEFAULT_MODEL, model_path
from medha_core.stats import StatsRecorder


@pytest.fixture(scope="module")
def embedder():
    if not model_path(DEFAULT_MODEL).is_dir():
        pytest.skip(f"needs the model {DEFAULT_MODEL}: medha models pull")
    return OnnxEmbedder()


@pytest.fixture
async def cache(embedder):
    async with Medha("shop", embedder, settings=Settings(_env_file=None)) as cache:
        await cache.store("What was our revenue in 2023?", "SELECT sum(total) FROM orders WHERE year = 2023")
        await cache.store("Which shop has the largest stock?", "SELECT shop FROM stock ORDER BY n DESC")
        yield cache


async def test_refused_neighbours_are_counted_by_reason(cache):
    assert not await cache.search("What was our revenue before 2023?")
    assert not await cache.search("Which shop has the smallest stock?")
    stats = await cache.stats()
    assert sum(stats.near_misses.values()) == 2
    assert stats.near_misses["operator"] >= 1
    assert 0.85 < stats.guard.p50_near_miss_score <= stats.guard.p95_near_miss_score < 1
    assert 0 < stats.guard.p50_guard_us <= stats.guard.p95_guard_us
    assert "near misses: 2 (" in str(stats)
    assert "guard us: p50" in str(stats)


async def test_what_lies_far_is_no_near_miss(cache):
    assert not await cache.search("Who repairs bicycles on Sundays?")
    assert (await cache.stats()).near_misses == {}


async def test_an_answer_leaves_no_near_miss_score(cache):
    assert await cache.search("Tell me our revenue for 2023")
    stats = await cache.stats()
    assert stats.guard.p95_near_miss_score == 0
    assert "near miss" not in str(stats)


async def test_answers_ready_in_the_first_tier_are_not_weighed(cache):
    assert await cache.search("Which shop has the largest stock?")
    assert (await cache.stats()).guard.p95_guard_us == 0


async def test_clearing_the_caches_clears_the_counts(cache):
    await cache.search("What was our revenue before 2023?")
    await cache.clear_caches()
    assert (await cache.stats()).near_misses == {}


def test_a_recorder_that_is_off_counts_nothing():
    recorder = StatsRecorder(enabled=False)
    recorder.record_guard(0.1, ["value"], 0.9)
    assert recorder.snapshot().guard.near_misses == {}
