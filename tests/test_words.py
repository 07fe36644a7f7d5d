"""Metadata, settings, statistics, hits: the small values everything else is made of."""

import os
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medha_core import CacheHit, SearchStrategy, Settings
from medha_core.metadata import (
    canonical_json,
    dumps_metadata,
    loads_metadata,
    metadata_fingerprint,
    metadata_matches,
    validate_metadata,
)
from medha_core.stats import StatsRecorder, percentile

VALUES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
)
METADATA = st.dictionaries(
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_.\-]{0,10}", fullmatch=True), VALUES, max_size=5
)


@given(METADATA)
def test_metadata_survives_writing_and_reading(metadata):
    assert loads_metadata(dumps_metadata(validate_metadata(metadata))) == metadata
    assert metadata_matches(metadata, metadata)
    assert metadata_matches({**metadata, "extra_key": 1}, metadata)


@given(METADATA, METADATA)
def test_equal_filters_and_only_they_share_a_fingerprint(left, right):
    same = metadata_matches(left, right) and metadata_matches(right, left)
    assert (metadata_fingerprint(left) == metadata_fingerprint(right)) == same


def test_filters_are_exact():
    assert metadata_matches({"n": 10}, {"n": 10.0})
    assert not metadata_matches({"n": 1}, {"n": True})
    assert not metadata_matches({}, {"n": 0})
    assert metadata_matches({}, {})
    assert canonical_json({"b": 1, "a": "ü"}) == '{"a":"ü","b":1}'
    assert loads_metadata("broken") == loads_metadata("[1]") == loads_metadata(None) == {}


def test_settings_come_from_the_environment_and_from_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("MEDHA_")]:
        monkeypatch.delenv(name)
    (tmp_path / ".env").write_text("MEDHA_SCORE_THRESHOLD_SEMANTIC=0.8\nMEDHA_HNSW_M=32\n")
    monkeypatch.setenv("MEDHA_HNSW_M", "24")
    settings = Settings(l1_cache_max_size=5)
    assert (settings.score_threshold_semantic, settings.hnsw_m, settings.l1_cache_max_size) == (0.8, 24, 5)
    assert Settings(_env_file=None).score_threshold_semantic == 0.85
    assert Settings(_env_file=None, no_such_setting=1).backend_type == "native"


def test_a_hit_is_true_only_with_an_answer():
    for strategy in SearchStrategy:
        hit = CacheHit(strategy=strategy)
        assert bool(hit) == (strategy.value not in ("no_match", "error"))


def test_percentiles_follow_the_documented_rule():
    assert percentile([], 0.5) == 0.0
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.5) == 3.0
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.99) == 4.0


def test_statistics_add_up_beyond_one_batch_and_keep_the_newest_samples():
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    stats = StatsRecorder(max_samples=100, now=lambda: now[0])
    for i in range(3000):
        stats.record(SearchStrategy.EXACT_MATCH if i % 2 else SearchStrategy.NO_MATCH, i / 1000)
    now[0] += timedelta(minutes=1)
    seen = stats.snapshot(7)
    assert (seen.total_requests, seen.total_hits, seen.total_misses, seen.total_errors) == (
        3000,
        1500,
        1500,
        0,
    )
    assert (seen.hit_rate, seen.miss_rate, seen.backend_count) == (0.5, 0.5, 7)
    assert seen.p50_latency_ms == pytest.approx(2950)
    assert seen.total_latency_ms == pytest.approx(sum(range(3000)))
    assert seen.by_strategy["exact_match"].avg_latency_ms == pytest.approx(1500)
    assert seen.until - seen.since == timedelta(minutes=1)
    stats.reset()
    assert stats.snapshot().total_requests == 0
    silent = StatsRecorder(enabled=False)
    silent.record(SearchStrategy.ERROR, 1.0)
    assert silent.snapshot().total_requests == 0
