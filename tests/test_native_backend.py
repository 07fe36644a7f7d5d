"""The embedded store, in memory and on disk, as any store is used."""

import os
import sqlite3
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from random import Random

import numpy as np
import pytest

from medha_core import (
    ArgumentValueError,
    CacheEntry,
    DimensionMismatchError,
    MedhaError,
    NativeBackend,
    PersistedStats,
    SearchStrategy,
    StorageError,
    StorageInitializationError,
)
from medha_core.waterfall.request import hit_from


def entry(number, **fields):
    vector = np.zeros(8, dtype=np.float32)
    vector[number % 8] = 1.0
    vector[(number + 1) % 8] = 0.1 * (number // 8)
    given = {
        "id": f"e{number}",
        "vector": vector.tolist(),
        "original_question": f"Question {number}?",
        "normalized_question": f"question {number}",
        "generated_query": f"SELECT {number}",
        "query_hash": f"hash{number % 3}",
        **fields,
    }
    return CacheEntry(**given)


@pytest.fixture(params=["memory", "disk"])
async def store(request, tmp_path):
    async with NativeBackend(tmp_path if request.param == "disk" else None) as store:
        await store.initialize("c", 8)
        yield store


async def test_search_gives_the_nearest_first(store):
    await store.upsert("c", [entry(i) for i in range(20)])
    found = await store.search("c", entry(9).vector, limit=3)
    assert [row.id for row in found] == ["e9", "e17", "e1"]
    assert found[0].score == pytest.approx(1.0)
    assert all(0.0 <= row.score <= 1.0 for row in found)
    assert await store.search("c", entry(9).vector, limit=3, score_threshold=0.9999) == found[:1]


async def test_an_entry_read_by_id_is_the_one_that_stands_there(store):
    await store.initialize("d", 8)
    await store.upsert("c", [entry(1), entry(2)])
    await store.upsert("d", [entry(1, generated_query="SELECT 'of d'")])
    for _ in range(2):  # the second time from memory
        assert [one.query for one in await store.with_ids("c", ["e2", "e1"])] == ["SELECT 2", "SELECT 1"]
        assert [one.query for one in await store.with_ids("d", ["e1", "e2"])] == ["SELECT 'of d'"]
    await store.upsert("c", [entry(1, generated_query="SELECT 1.5")])
    assert [one.query for one in await store.with_ids("c", ["e1"])] == ["SELECT 1.5"]
    await store.update_feedback("c", "e1", True)
    (found,) = await store.with_ids("c", ["e1"])
    assert (await store.fetch("c", found)).feedback_correct == 1
    await store.delete("c", ["e1"])
    assert await store.with_ids("c", ["e1", "e2", "e2"]) == await store.with_ids("c", ["e2"])


async def test_an_entry_found_by_its_text_is_the_one_that_stands_there(store):
    await store.upsert("c", [entry(1), entry(2)])
    for _ in range(2):  # the second time from memory
        (found,) = await store.with_text("c", "question 1")
        assert (found.query, found.score) == ("SELECT 1", 1.0)
    await store.upsert("c", [entry(1, generated_query="SELECT 1.5", template_id="t")])
    (found,) = await store.with_text("c", "question 1")
    row = await store.fetch("c", found)
    assert (row.generated_query, row.template_id, row.response_summary) == ("SELECT 1.5", "t", None)
    await store.update_feedback("c", "e1", True)
    assert (await store.search_by_normalized_question("c", "question 1")).feedback_correct == 1
    await store.delete("c", ["e1"])
    assert await store.fetch("c", found) is None
    assert await store.with_text("c", "question 1") == []


async def test_what_a_fetched_row_says_is_what_its_result_says(store):
    expires = datetime(2100, 1, 1, tzinfo=UTC)
    await store.upsert("c", [entry(1, response_summary="42", expires_at=expires, metadata={"plan": "gold"})])
    (found,) = await store.with_ids("c", ["e1"])
    row, (result,) = await store.fetch("c", found), await store.get("c", ["e1"])
    hits = [hit_from(one, SearchStrategy.EXACT_MATCH, 1.0, 1.0) for one in (row, result)]
    assert hits[0] == hits[1]
    assert (hits[0].expires_at, hits[0].metadata) == (expires, {"plan": "gold"})


async def test_a_reader_sees_by_id_what_the_writer_put_in_its_place(tmp_path):
    async with NativeBackend(tmp_path) as writer:
        await writer.initialize("c", 8)
        await writer.upsert("c", [entry(1), entry(2)])
        async with NativeBackend(tmp_path, mode="r") as reader:
            await reader.initialize("c", 8)
            assert len(await reader.with_ids("c", ["e1", "e2"])) == 2
            await writer.upsert("c", [entry(1, generated_query="SELECT 1.5")])
            await writer.delete("c", ["e2"])
            await reader.refresh()
            assert [one.query for one in await reader.with_ids("c", ["e1", "e2"])] == ["SELECT 1.5"]


async def test_upsert_replaces_by_id(store):
    await store.upsert("c", [entry(1), entry(2)])
    await store.upsert(
        "c", [entry(1, generated_query="SELECT 'new'"), entry(1, generated_query="SELECT 'last'")]
    )
    assert await store.count("c") == 2
    found = await store.search("c", entry(1).vector, limit=1)
    assert found[0].generated_query == "SELECT 'last'"


async def test_a_bad_vector_in_a_batch_writes_nothing(store):
    await store.upsert("c", [entry(1)])
    for vector in ([1.0] * 7, [0.0] * 8, [float("nan")] * 8, ["a"] * 8, None):
        with pytest.raises((MedhaError, ValueError, TypeError)):
            await store.upsert("c", [entry(1, generated_query="SELECT 0"), entry(2, vector=vector)])
    assert await store.count("c") == 1
    assert (await store.search("c", entry(1).vector, limit=1))[0].generated_query == "SELECT 1"


async def test_delete_and_lookups(store):
    await store.upsert("c", [entry(i, template_id="t" if i < 2 else None) for i in range(6)])
    assert await store.find_by_query_hash("c", "hash1") == ["e1", "e4"]
    assert await store.find_by_template_id("c", "t") == ["e0", "e1"]
    await store.delete("c", ["e1", "unknown"])
    assert await store.find_by_query_hash("c", "hash1") == ["e4"]
    assert await store.search_by_normalized_question("c", "question 1") is None
    assert (await store.search_by_normalized_question("c", "question 4")).id == "e4"
    assert "e1" not in [row.id for row in await store.search("c", entry(1).vector, limit=6)]


async def test_scroll_reaches_each_entry_once_while_others_are_written(store):
    await store.upsert("c", [entry(i) for i in range(25)])
    seen, offset = [], None
    while True:
        page, offset = await store.scroll("c", limit=10, offset=offset)
        seen += [row.id for row in page]
        await store.upsert("c", [entry(100 + len(seen))])
        if offset is None or len(seen) > 60:
            break
    assert seen[:25] == [f"e{i}" for i in range(25)]
    assert len(seen) == len(set(seen))
    for bad in ({"limit": 0}, {"offset": "x"}):
        with pytest.raises(ArgumentValueError):
            await store.scroll("c", **bad)


async def test_filters_are_decided_inside_the_search(store):
    same = [entry(8 * i, vector=[1.0] + [0.0] * 7, metadata={"tenant": f"t{i}", "n": i}) for i in range(300)]
    await store.upsert("c", same)
    found = await store.search_filtered("c", [1.0] + [0.0] * 7, filters={"tenant": "t299"})
    assert [row.metadata for row in found] == [{"tenant": "t299", "n": 299}]
    assert [r.id for r in await store.search_filtered("c", [1.0] + [0.0] * 7, filters={"n": 299.0})] == [
        "e2392"
    ]
    assert await store.search_filtered("c", [1.0] + [0.0] * 7, filters={"n": True}) == []
    assert await store.search_filtered("c", [1.0] + [0.0] * 7, filters={"tenant": "t1", "n": 2}) == []
    await store.delete("c", ["e2392"])
    assert await store.search_filtered("c", [1.0] + [0.0] * 7, filters={"n": 299}) == []


async def test_expired_entries_are_not_found(tmp_path):
    clock = [1_000_000.0]
    async with NativeBackend(clock=lambda: clock[0]) as store:
        await store.initialize("c", 8)
        soon = datetime.fromtimestamp(1_000_010, UTC)
        await store.upsert(
            "c", [entry(1, expires_at=soon), entry(9), entry(2, expires_at=soon + timedelta(1))]
        )
        assert await store.find_expired("c") == []
        assert [row.id for row in await store.search("c", entry(1).vector, limit=2)] == ["e1", "e9"]
        clock[0] += 11
        assert await store.find_expired("c") == ["e1"]
        assert [row.id for row in await store.search("c", entry(1).vector, limit=1)] == ["e9"]
        assert await store.search_by_normalized_question("c", "question 1") is None
        await store.upsert("c", [entry(1, expires_at=soon + timedelta(1))])
        assert [row.id for row in await store.search("c", entry(1).vector, limit=1)] == ["e1"]


async def test_feedback_counts_and_unknown_entries(store):
    await store.upsert("c", [entry(1)])
    assert await store.update_feedback("c", "e1", True) == 1
    assert await store.update_feedback("c", "e1", True) == 2
    assert await store.update_feedback("c", "e1", False) == 1
    assert await store.update_feedback("c", "absent", True) == 0
    row = (await store.search("c", entry(1).vector, limit=1))[0]
    assert (row.feedback_correct, row.feedback_incorrect) == (2, 1)


async def test_collections_are_kept_exactly(store):
    names = ["acme-eu", "acme_eu", "ACME_eu", "ünïcode", "quote'\"", "", " "]
    for i, name in enumerate(names):
        await store.initialize(name, 8)
        await store.initialize(name, 8)
        await store.upsert(name, [entry(i)])
    for i, name in enumerate(names):
        assert [row.id for row in await store.search(name, entry(i).vector, limit=9)] == [f"e{i}"]
    await store.drop_collection("acme_eu")
    with pytest.raises(StorageError, match="acme_eu"):
        await store.count("acme_eu")
    assert await store.count("acme-eu") == await store.count("ACME_eu") == 1


async def test_another_dimension_is_refused_even_for_an_empty_collection(store):
    with pytest.raises(DimensionMismatchError, match="expected dimension 8, got 9"):
        await store.initialize("c", 9)
    with pytest.raises(DimensionMismatchError):
        await store.search("c", [1.0] * 9)
    with pytest.raises(ArgumentValueError, match="limit"):
        await store.search("c", [1.0] * 8, limit=0)
    with pytest.raises(ArgumentValueError, match="dimension"):
        await store.initialize("d", 0)


async def test_statistics_are_kept_with_the_collection(store):
    assert await store.load_stats("c") is None
    await store.save_stats("c", PersistedStats(total_requests=4, total_hits=3))
    assert (await store.load_stats("c")).hit_rate == 0.75


async def test_use_after_close(store):
    await store.close()
    await store.close()
    with pytest.raises(StorageError, match="not open"):
        await store.count("c")


async def test_everything_is_there_after_reopening(tmp_path):
    async with NativeBackend(tmp_path) as store:
        await store.initialize("c", 8)
        await store.upsert("c", [entry(i, metadata={"n": i} if i % 2 else {}) for i in range(50)])
        await store.delete("c", ["e3"])
        before = await store.search("c", entry(9).vector, limit=50)
    async with NativeBackend(tmp_path) as store:
        await store.initialize("c", 8)
        assert await store.search("c", entry(9).vector, limit=50) == before
        assert len(before) == 49


async def test_files_that_are_not_ours_are_refused(tmp_path):
    (tmp_path / "entries.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StorageInitializationError, match=r"entries\.db"):
        await NativeBackend(tmp_path).connect()
    other = tmp_path / "newer"
    other.mkdir()
    with sqlite3.connect(other / "entries.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StorageInitializationError, match="format 99"):
        await NativeBackend(other).connect()
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="path"):
        await NativeBackend(tmp_path / "file").connect()


async def test_a_directory_in_use_is_refused_and_the_holder_named(tmp_path):
    held = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with held:
        assert held.stdout.readline() == "held\n"
        with pytest.raises(StorageInitializationError, match=f"in use by process {held.pid} on "):
            await NativeBackend(tmp_path).connect()
        held.kill()
    async with NativeBackend(tmp_path) as store:
        with pytest.raises(StorageInitializationError, match="in use by another cache of this process"):
            await NativeBackend(tmp_path).connect()
        assert await store.count("c") == 1
    async with NativeBackend(tmp_path) as store:
        assert await store.count("c") == 1


HOLD = """
import asyncio, sys
from medha_core import CacheEntry, NativeBackend

async def hold():
    store = NativeBackend(sys.argv[1])
    await store.initialize("c", 1)
    text = dict.fromkeys(["original_question", "normalized_question", "generated_query", "query_hash"], "x")
    await store.upsert("c", [CacheEntry(id="a", vector=[1.0], **text)])
    print("held", flush=True)
    sys.stdin.read()

asyncio.run(hold())
"""


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
async def test_a_forked_process_may_not_write_through_its_parents_store(tmp_path):
    async with NativeBackend(tmp_path) as store:
        await store.initialize("c", 8)
        await store.upsert("c", [entry(1)])
        child = os.fork()
        if child == 0:
            try:
                store.rows.count(1)
            except StorageError as error:
                os._exit(17 if "forked" in str(error) else 18)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 17
        assert await store.count("c") == 1


async def test_a_home_directory_is_meant_by_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    async with NativeBackend("~/cache"):
        assert (tmp_path / "cache" / "entries.db").is_file()
    with pytest.raises(ArgumentValueError, match="path"):
        NativeBackend("a\x00b")


@pytest.mark.parametrize("seed", range(24))
async def test_a_damaged_file_is_an_error_of_ours_or_right(tmp_path, seed):
    async with NativeBackend(tmp_path) as store:
        await store.initialize("c", 8)
        await store.upsert("c", [entry(i, metadata={"n": i % 3}) for i in range(200)])
    file = tmp_path / "entries.db"
    damaged = bytearray(file.read_bytes())
    random = Random(seed)
    if seed % 3 == 0:
        del damaged[random.randrange(len(damaged)) :]
    for _ in range((0, 1, 400)[seed % 3]):
        damaged[random.randrange(len(damaged))] = random.randrange(256)
    file.write_bytes(damaged)
    with suppress(StorageError):
        async with NativeBackend(tmp_path) as store:
            await store.initialize("c", 8)
            for i in range(0, 200, 20):
                await store.search("c", entry(i).vector, limit=3)
            await store.upsert("c", [entry(i) for i in range(30)])
            await store.scroll("c", limit=300)


async def test_entries_expire_after_the_clock_was_set_back():
    clock = [1_000_000.0]
    async with NativeBackend(clock=lambda: clock[0]) as store:
        await store.initialize("c", 8)
        await store.search("c", entry(1).vector)
        clock[0] = 500_000.0
        await store.upsert("c", [entry(1, expires_at=datetime.fromtimestamp(500_010, UTC)), entry(9)])
        assert [row.id for row in await store.search("c", entry(1).vector, limit=2)] == ["e1", "e9"]
        clock[0] += 11
        assert [row.id for row in await store.search("c", entry(1).vector, limit=2)] == ["e9"]


@pytest.mark.parametrize(
    "damage",
    [
        "created = 1e300",
        "usage = 'x'",
        "query = x'00'",
        "metadata = '{'",
        "vector = 'x'",
        "vector = zeroblob(32)",
    ],
)
async def test_a_damaged_row_is_named_and_never_answers(tmp_path, damage, caplog):
    async with NativeBackend(tmp_path) as store:
        await store.initialize("c", 8)
        await store.upsert("c", [entry(1, metadata={"tenant": "a"})])
    with sqlite3.connect(tmp_path / "entries.db") as db:
        db.execute(f"UPDATE entries SET {damage}")
    db.close()
    async with NativeBackend(tmp_path) as store:
        await store.initialize("c", 8)
        assert await store.search("c", entry(1).vector) == []
    assert "entry 1" in caplog.text
    assert "damaged" in caplog.text
