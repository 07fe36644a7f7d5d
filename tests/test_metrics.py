"""What a cache tells a monitoring system."""

import asyncio
import subprocess
import sys
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.parser import text_string_to_metric_families

from medha_core import CallableEmbedder, HashingEmbedder, Medha, QueryTemplate, Settings
from medha_core.histogram import Histogram
from medha_core.metrics import as_text
from medha_core.metrics.collector import MedhaCollector
from medha_core.metrics.families import Family, Sample
from medha_core.stats import StatsRecorder
from medha_core.types import LATENCY_BUCKETS, SearchStrategy


def values(text):
    """Each sample of an exposition by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(found, name, **labels):
    return found[name, tuple(sorted(labels.items()))]


@pytest.fixture
async def cache(tmp_path):
    template = QueryTemplate(intent="t", template_text="count the lamps", query_template="SELECT 9")
    settings = Settings(_env_file=None, path=tmp_path / "cache", l1_cache_max_size=2)
    async with Medha("tenant-secret", HashingEmbedder(), settings=settings, templates=[template]) as cache:
        await cache.store("how many orders are there", "SELECT 1")
        await cache.store("which customers live in Rome", "SELECT 2")
        await cache.clear_caches()
        yield cache


async def ask_around(cache):
    for question in (
        "how many orders are there",  # exact text
        "how many orders are there",  # ready
        "count the lamps",  # template
        "how many orders are not there",  # refused
        "zzz",
        "",
    ):
        await cache.search(question)
    await cache.feedback("how many orders are there", True)


async def test_the_text_counts_every_answer(cache):
    await ask_around(cache)
    found = values(await cache.prometheus_text())
    requests = "medha_requests_total"
    assert of(found, requests, tier="exact_match", result="hit") == 1
    assert of(found, requests, tier="l1_cache", result="hit") == 1
    assert of(found, requests, tier="template_match", result="hit") == 1
    assert of(found, requests, tier="none", result="miss") == 2
    assert of(found, requests, tier="none", result="error") == 1
    assert sum(v for (name, _), v in found.items() if name == requests) == 6
    assert of(found, "medha_entries", kind="store") == 2
    assert of(found, "medha_entries", kind="l1") == 2
    assert of(found, "medha_entries", kind="templates") == 1
    assert of(found, "medha_feedback_total", result="correct") == 1
    assert of(found, "medha_near_misses_total", reason="operator") == 1
    assert of(found, "medha_similarity_score_count", result="miss") == 1
    assert of(found, "medha_similarity_score_count", result="hit") == 1
    assert of(found, "medha_embed_duration_seconds_count", model="hashing-v1-384") == 2
    assert of(found, "medha_embed_texts_total", source="model") >= 2
    assert of(found, "medha_stampede_waiters") == 0


async def test_latencies_have_buckets_from_ten_microseconds(cache):
    await ask_around(cache)
    found = values(await cache.prometheus_text())
    bounds = {
        dict(labels)["le"]
        for name, labels in found
        if name == "medha_lookup_duration_seconds_bucket" and dict(labels)["tier"] == "l1_cache"
    }
    assert min(map(float, bounds)) == 1e-5
    assert len(bounds) == len(LATENCY_BUCKETS) + 1
    name = "medha_lookup_duration_seconds"
    assert of(found, f"{name}_bucket", tier="l1_cache", le="+Inf") == 1
    assert of(found, f"{name}_count", tier="miss") == 2
    assert 0 < of(found, f"{name}_sum", tier="l1_cache") < of(found, f"{name}_sum", tier="exact_match") + 1


async def test_no_label_tells_a_question_or_a_tenant(cache):
    await ask_around(cache)
    text = await cache.prometheus_text()
    for secret in ("orders", "lamps", "SELECT", "tenant-secret", "zzz"):
        assert secret not in text


async def test_what_is_gone_and_what_was_pushed_out_is_counted(cache):
    await cache.invalidate("how many orders are there")
    for question in ("which customers live in Rome", "count the lamps", "show which customers live in Rome"):
        await cache.search(question)
    found = values(await cache.prometheus_text())
    assert of(found, "medha_entries", kind="store") == 1
    assert of(found, "medha_evictions_total", reason="l1_size") >= 1
    assert of(found, "medha_deleted_entries") >= 0


async def test_snapshots_are_timed(cache, tmp_path):
    await cache.snapshot(tmp_path / "kept")
    found = values(await cache.prometheus_text())
    assert of(found, "medha_snapshot_duration_seconds_count") == 1
    assert of(found, "medha_snapshot_duration_seconds_sum") > 0
    size = sum(file.stat().st_size for file in (tmp_path / "kept").rglob("*") if file.is_file())
    assert of(found, "medha_snapshot_bytes") == size


async def test_waiters_of_a_stampede_are_counted(cache):
    gate = asyncio.Event()

    async def generate(question):
        await gate.wait()
        return "SELECT 3"

    asking = [asyncio.create_task(cache.get_or_generate("how many lamps", generate)) for _ in range(5)]
    async with asyncio.timeout(30):
        while of(values(await cache.prometheus_text()), "medha_stampede_waiters") < 4:
            await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*asking)
    assert of(values(await cache.prometheus_text()), "medha_stampede_waiters") == 0


async def test_reset_begins_anew(cache):
    await ask_around(cache)
    await cache.reset_stats()
    found = values(await cache.prometheus_text())
    assert not [name for name, _ in found if name == "medha_requests_total"]
    assert of(found, "medha_similarity_score_count", result="miss") == 0


def test_without_statistics_nothing_is_measured():
    recorder = StatsRecorder(enabled=False)
    recorder.record_similarity(0.9)
    recorder.record_embedding(0.1)
    recorder.record_guard(0.1, ["value"], 0.9)
    assert recorder.meters.similarity["hit"].snapshot()[1] == 0
    assert recorder.meters.similarity["miss"].snapshot()[1] == 0
    assert recorder.meters.embedding.snapshot()[1] == 0


def test_labels_are_escaped():
    family = Family("m", "gauge", "Help.", [Sample({"model": 'a"b\\c\nd'}, 1.5)])
    assert values(as_text([family]))["m", (("model", 'a"b\\c\nd'),)] == 1.5


def test_a_value_on_a_bound_is_below_it():
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 9.0):
        histogram.add(value)
    assert histogram.snapshot() == ((2, 2, 1), 14.0)


# the collector


async def scraped(collector):
    return values((await asyncio.to_thread(generate_latest, collector.registry)).decode())


async def test_the_collector_says_what_the_text_says(cache):
    await ask_around(cache)
    text, found = values(await cache.prometheus_text()), await scraped(MedhaCollector(cache))
    for (name, labels), value in text.items():
        same = tuple((k, v if k != "le" or v == "+Inf" else str(float(v))) for k, v in labels)
        assert found[name, same] == pytest.approx(value), name
    assert {name for name, _ in found} == {name for name, _ in text}


async def test_several_caches_share_a_registry_of_the_callers(cache):
    registry = CollectorRegistry()
    settings = Settings(_env_file=None)
    async with Medha("other", HashingEmbedder(), settings=settings) as other:
        await cache.search("zzz")
        await other.search("zzz")
        closed = Medha("closed", HashingEmbedder(), settings=settings)
        collector = MedhaCollector({"shop": cache, "hr": other, "closed": closed}, registry)
        assert collector.registry is registry
        found = await scraped(collector)
    names = {dict(labels)["cache"] for _, labels in found}
    assert names == {"shop", "hr"}
    assert of(found, "medha_requests_total", tier="none", result="miss", cache="hr") == 1


async def test_the_registry_is_its_own_and_can_be_served(cache):
    from prometheus_client import REGISTRY

    collector = MedhaCollector(cache)
    assert collector.registry is not REGISTRY
    server, thread = start_http_server(0, addr="127.0.0.1", registry=collector.registry)
    try:
        url = f"http://127.0.0.1:{server.server_port}/metrics"
        body = await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=20).read().decode())
        assert of(values(body), "medha_entries", kind="store") == 2
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_without_the_package_one_sentence_names_the_extra():
    code = "import sys; sys.modules['prometheus_client'] = None; import medha_core.metrics.collector"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'medha-core[metrics]'" in done.stderr.splitlines()[-1]


# the hot path


async def test_a_hit_of_the_first_tier_touches_no_histogram(cache, monkeypatch):
    for _ in range(2):
        await cache.search("how many orders are there")

    def refuse(*_):
        raise AssertionError("measured")

    monkeypatch.setattr(Histogram, "add", refuse)
    assert (await cache.search("how many orders are there")).strategy is SearchStrategy.L1_CACHE
    assert cache.peek("how many orders are there") is not None


async def test_embedding_time_is_that_of_the_embedder():
    async def slow(texts):
        await asyncio.sleep(0.02)
        return [[1.0, 0.0]] * len(texts)

    embedder = CallableEmbedder(slow, dimension=2, model_name="slow", batch=True)
    async with Medha("c", embedder, settings=Settings(_env_file=None)) as cache:
        await cache.search("zzz")
        found = values(await cache.prometheus_text())
    assert of(found, "medha_embed_duration_seconds_sum", model="slow") >= 0.02
