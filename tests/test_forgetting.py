"""What is forgotten answers nothing any more: by no way, for no wording, in no process."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from forgetting_world import OTHER, OTHER_QUERY, QUERY, SERVED, STORED, TAUGHT_VALUE, WORLD

from medha_core import (
    ArgumentTypeError,
    ArgumentValueError,
    ConfigurationError,
    HashingEmbedder,
    InMemoryBackend,
    Medha,
    NativeBackend,
    SearchStrategy,
    Settings,
    StorageError,
    query_hash,
)
from medha_core.interfaces import VectorStorageBackend
from medha_core.learning import teaching

HERE = Path(__file__).parent


def make(backend=None, name="c", **settings):
    settings = Settings(_env_file=None, feedback_incorrect_threshold=1, **settings)
    return Medha(name, WORLD.embedder(), backend or InMemoryBackend(), settings)


async def by_question(cache):
    assert await cache.invalidate("Customers in Rome?") is True


async def by_query_hash(cache):
    assert await cache.invalidate_by_query_hash(query_hash(QUERY)) == 1


async def by_template(cache):
    assert await cache.invalidate_by_template("by-city") == 1


async def by_table(cache):
    assert await cache.invalidate_by_table("customers") == 1


async def by_collection(cache):
    assert await cache.invalidate_collection() == 2


async def by_expiry(cache):
    await cache.store(STORED, QUERY, ttl=0.2)
    for question in SERVED:
        await cache.search(question)
    await asyncio.sleep(0.25)
    assert await cache.expire() == 1


async def by_feedback(cache):
    hit = await cache.search(STORED)
    assert await cache.feedback(STORED, False, entry_id=hit.entry_id)


async def by_feedback_without_an_id(cache):
    assert await cache.feedback(STORED, False)


async def by_dedup(cache):
    await cache.store("suppliers nobody asked for", QUERY)
    assert await cache.dedup_collection() == 1
    await cache.invalidate("suppliers nobody asked for")


async def by_replacement_and_question(cache):
    await cache.store(STORED, "SELECT 1", on_conflict="keep_both")
    assert await cache.invalidate(STORED) is True


WAYS = [
    by_question,
    by_query_hash,
    by_template,
    by_table,
    by_collection,
    by_expiry,
    by_feedback,
    by_feedback_without_an_id,
    by_dedup,
    by_replacement_and_question,
]


async def fill(cache):
    await cache.store(STORED, QUERY, template_id="by-city")
    await cache.store(OTHER, OTHER_QUERY)


async def assert_served(cache):
    """All that may be answered is, and the second time from L1."""
    for _ in range(2):
        hits = [await cache.search(question) for question in SERVED]
        assert all(hits), hits
    assert {hit.strategy for hit in hits} == {SearchStrategy.L1_CACHE}


async def assert_forgotten(cache):
    hits = [await cache.search(question) for question in SERVED]
    assert [hit.generated_query for hit in hits if hit] == []
    assert [hit.error for hit in hits if hit.error] == []


@pytest.mark.parametrize("forget", WAYS, ids=lambda way: way.__name__)
async def test_nothing_of_it_is_served(forget):
    async with make() as cache:
        await fill(cache)
        await assert_served(cache)
        await forget(cache)
        await assert_forgotten(cache)
        if forget is not by_collection:
            assert (await cache.search(OTHER)).generated_query == OTHER_QUERY
        await cache.store(STORED, QUERY)  # and it can be known again
        assert (await cache.search(SERVED[1])).generated_query == QUERY


@pytest.mark.parametrize("forget", WAYS, ids=lambda way: way.__name__)
async def test_another_cache_on_the_same_store_serves_nothing_of_it(forget):
    backend = InMemoryBackend()
    async with make(backend) as cache, make(backend) as other:
        await fill(cache)
        await other._parts.teacher.recall("c")
        await assert_served(other)
        await forget(cache)
        await assert_forgotten(other)


class Foreign(InMemoryBackend):
    """A store that answers only what every store must."""

    local = False


for _name in ("with_text", "with_ids", "fetch", "candidates", "find_by_tables", "find_unread", "get", "put"):
    if _name != "with_text":
        setattr(Foreign, _name, getattr(VectorStorageBackend, _name))


@pytest.mark.parametrize(
    "forget", [way for way in WAYS if way is not by_replacement_and_question], ids=lambda way: way.__name__
)
async def test_a_store_of_another_kind_serves_nothing_of_it(forget):
    async with make(Foreign()) as cache:
        await fill(cache)
        assert await cache.search(STORED)
        assert await cache.search(SERVED[1])
        await forget(cache)
        await assert_forgotten(cache)


class Reader:
    """Another process that has the directory open for reading."""

    def __init__(self, folder):
        command = [sys.executable, str(HERE / "asking_harness.py"), str(folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *questions):
        self.process.stdin.write(json.dumps(questions) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(60) == 0


async def test_the_l1_of_another_process_serves_nothing_of_it(tmp_path):
    asked = SERVED[:3]
    async with make(NativeBackend(tmp_path)) as cache:
        await fill(cache)
        with Reader(tmp_path) as reader:
            for forget in WAYS:
                until = time.monotonic() + 30
                while any(
                    strategy != "l1_cache" for strategy, _ in await asyncio.to_thread(reader.ask, *asked)
                ):
                    assert time.monotonic() < until, "the reader never had all of it in its L1"
                await forget(cache)
                answers = await asyncio.to_thread(reader.ask, *asked)
                assert [query for _, query in answers if query] == [], forget.__name__
                await fill(cache)


# each act by itself


async def test_a_question_of_another_wording_or_case_of_a_literal_is_another(tmp_path):
    async with make() as cache:
        await cache.store("first 5 orders", "SELECT 1")
        await cache.store("top 5 orders", "SELECT 2")
        assert await cache.invalidate("top 5 orders") is True
        assert await cache.invalidate("top 5 orders") is False
        assert (await cache.search("first 5 orders")).generated_query == "SELECT 1"
        with pytest.raises(ArgumentValueError, match="question"):
            await cache.invalidate(" ")


async def test_a_question_is_forgotten_for_every_tenant_and_with_all_that_was_kept_beside():
    async with make(on_conflict="keep_both") as cache:
        for tenant in ("a", "b"):
            await cache.store(STORED, "SELECT 1", metadata={"t": tenant})
            await cache.store(STORED, "SELECT 2", metadata={"t": tenant})
        assert await cache.invalidate(STORED) is True
        assert await cache._backend.count("c") == 0


async def test_where_takes_what_matches_and_nothing_else():
    async with make() as cache:
        for number, metadata in enumerate([{"t": 1, "u": "x"}, {"t": 1.0, "u": "y"}, {"t": True}, {}]):
            await cache.store(f"customers {number}", f"SELECT {number}", metadata=metadata)
        assert await cache.invalidate_where({"t": 1, "u": "y"}) == 1
        assert await cache.invalidate_where({"t": 1}) == 1
        assert await cache.invalidate_where({"t": 1}) == 0
        assert not await cache.search("customers 0", filters={"t": 1})
        assert await cache._backend.count("c") == 2
        with pytest.raises(ArgumentValueError, match="invalidate_collection"):
            await cache.invalidate_where({})
        with pytest.raises(ArgumentValueError, match="filters"):
            await cache.invalidate_where({"bad key!": 1})


TABLE_QUERIES = {
    "SELECT * FROM orders": True,
    "SELECT * FROM Shop.Orders": True,
    "WITH recent AS (SELECT * FROM orders) SELECT count(*) FROM recent": True,
    "SELECT 1 FROM users WHERE id IN (SELECT user_id FROM orders)": True,
    "WITH orders AS (SELECT * FROM archive) SELECT * FROM orders": False,
    "SELECT 'orders' FROM users": False,
    "MATCH (o:Orders) RETURN o": True,
    "query { orders { id } }": True,
    "query { users { orders { id } } }": False,
}


@pytest.mark.parametrize("kind", [InMemoryBackend, Foreign])
async def test_by_table_takes_every_query_about_it(kind):
    async with make(kind()) as cache:
        for number, query in enumerate(TABLE_QUERIES):
            await cache.store(f"customers of kind {'abcdefghi'[number]}", query)
        assert await cache.invalidate_by_table("sales.orders") == 5
        assert await cache.invalidate_by_table('"ORDERS"') == 1
        rows, _ = await cache._backend.scroll("c")
        assert [row.generated_query for row in rows] == [q for q, about in TABLE_QUERIES.items() if not about]
        assert await cache.invalidate_by_table("nowhere") == 0
        for bad in ("", "a..b"):
            with pytest.raises(ArgumentValueError, match="name"):
                await cache.invalidate_by_table(bad)
        with pytest.raises(ArgumentTypeError, match="name"):
            await cache.invalidate_by_table(7)


async def test_by_table_without_the_extra_says_so_and_misses_nothing(monkeypatch):
    async with make() as cache:
        with monkeypatch.context() as patch:
            patch.setattr("medha_core.tables.sql_can_be_read", lambda: False)
            await cache.store("customers of a", "SELECT * FROM orders")
            await cache.store("customers of b", "MATCH (o:Orders) RETURN o")
            with pytest.raises(ConfigurationError, match=r"medha-core\[sql\]"):
                await cache.invalidate_by_table("orders")
            assert await cache._backend.count("c") == 2
        await cache.store("customers of c", "SELECT * FROM orders")
        assert await cache.invalidate_by_table("orders") == 3


async def test_dedup_keeps_one_of_each_query_and_metadata():
    async with make() as cache:
        for number, (query, tenant) in enumerate([("A", 1), ("B", 1), ("A", 1), ("A", 2), ("A", 1)]):
            await cache.store(f"customers {number}", query, metadata={"t": tenant})
        assert await cache.dedup_collection(strategy="keep_first") == 2
        assert {row.original_question[-1] for row in (await cache._backend.scroll("c"))[0]} == set("013")
        await cache.store("customers 5", "A", metadata={"t": 1})
        assert await cache.dedup_collection() == 1
        assert {row.original_question[-1] for row in (await cache._backend.scroll("c"))[0]} == set("135")
        with pytest.raises(ArgumentValueError, match="strategy"):
            await cache.dedup_collection(strategy="keep_both")


async def test_every_act_takes_a_collection_and_leaves_the_others():
    async with make() as cache:
        for name in ("c", "b"):
            await cache.store(STORED, QUERY, template_id="t", metadata={"k": 1}, collection_name=name)
        calls = [
            lambda: cache.invalidate(STORED, collection_name="b"),
            lambda: cache.invalidate_by_query_hash(query_hash(QUERY), collection_name="b"),
            lambda: cache.invalidate_by_template("t", collection_name="b"),
            lambda: cache.invalidate_by_table("customers", collection_name="b"),
            lambda: cache.invalidate_where({"k": 1}, collection_name="b"),
            lambda: cache.invalidate_collection("b"),
        ]
        for call in calls:
            assert await call() == 1
            assert await cache._backend.count("b") == 0
            await cache.store(STORED, QUERY, template_id="t", metadata={"k": 1}, collection_name="b")
        assert await cache._backend.count("c") == 1
        for call in (cache.expire, cache.dedup_collection, cache.invalidate_collection):
            with pytest.raises(StorageError, match="'never made'"):
                await call("never made")


async def test_nothing_is_forgotten_where_only_reading_is_allowed(tmp_path):
    async with make(NativeBackend(tmp_path)) as cache:
        await fill(cache)
    async with make(NativeBackend(tmp_path, mode="r")) as cache:
        for call in (
            lambda: cache.invalidate(STORED),
            cache.expire,
            cache.dedup_collection,
            cache.invalidate_collection,
        ):
            with pytest.raises(ConfigurationError, match="read-only"):
                await call()
        assert await cache.search(STORED)


async def test_what_has_expired_is_deleted_in_the_background():
    settings = Settings(_env_file=None).model_copy(update={"cleanup_interval_seconds": 0.05})
    async with Medha("c", HashingEmbedder(8), InMemoryBackend(), settings) as cache:
        await cache.store("an entry that goes", "SELECT 1", ttl=0.01)
        await cache.store("an entry that stays", "SELECT 2")
        until = time.monotonic() + 20
        while await cache._backend.count("c") > 1:
            assert time.monotonic() < until
            await asyncio.sleep(0.02)
    assert not cache._background._saves


def test_the_background_goes_on_when_the_loop_of_start_is_gone():
    settings = Settings(_env_file=None).model_copy(update={"cleanup_interval_seconds": 0.05})
    cache = Medha("c", HashingEmbedder(8), InMemoryBackend(), settings)
    asyncio.run(cache.start())
    cache.store_sync("an entry that goes", "SELECT 1", ttl=0.01)
    until = time.monotonic() + 20
    while cache.stats_sync().backend_count:
        assert time.monotonic() < until
        time.sleep(0.02)
    cache.close_sync()


async def test_values_that_were_taught_are_dropped_from_l1_only_with_what_taught_them():
    async with make() as cache:
        await fill(cache)
        await assert_served(cache)
        await cache.store("suppliers nobody asked for", "SELECT 3")
        assert (await cache.search(TAUGHT_VALUE)).strategy is not SearchStrategy.ERROR
        await by_question(cache)
        assert not await cache.search(TAUGHT_VALUE)


async def test_what_has_expired_teaches_nothing_before_it_is_deleted(tmp_path):
    query = "SELECT name FROM shop WHERE city = '{}'"
    settings = Settings(_env_file=None, path=str(tmp_path), l1_cache_max_size=0)
    for again in (False, True):  # taught when it was stored, and when the directory was opened
        async with Medha("shop", HashingEmbedder(), settings=settings) as cache:
            await cache.store("Which shops are in Rome?", query.format("Rome"))
            ttl = 60 if again else 1
            await cache.store("List clerks of Oslo", "SELECT clerk FROM shop WHERE city = 'Oslo'", ttl=ttl)
            assert (await cache.search("Which shops are in Oslo?")).generated_query == query.format("Oslo")
            if not again:
                await asyncio.sleep(1.1)
                assert not await cache.search("Which shops are in Oslo?")


async def test_a_reader_takes_back_what_the_writer_has_forgotten_or_replaced(tmp_path):
    query = "SELECT name FROM shop WHERE city = '{}'"
    taught = {"List clerks of Oslo": "Oslo", "List clerks of Lima": "Lima"}
    async with Medha(
        "shop", HashingEmbedder(), settings=Settings(_env_file=None, path=str(tmp_path))
    ) as writer:
        await writer.store("Which shops are in Rome?", query.format("Rome"))
        for question, city in taught.items():
            await writer.store(question, f"SELECT clerk FROM shop WHERE city = '{city}'")
        async with Medha.open(
            tmp_path, mode="r", collection_name="shop", embedder=HashingEmbedder()
        ) as reader:
            for city in taught.values():
                found = await reader.search(f"Which shops are in {city}?")
                assert found.generated_query == query.format(city)
            await writer.invalidate("List clerks of Oslo")
            await writer.store("List clerks of Lima", "SELECT clerk FROM staff")
            for city in taught.values():
                assert not await reader.search(f"Which shops are in {city}?")
            assert await reader.search("Which shops are in Rome?")


async def test_a_reader_looks_again_for_the_last_few_that_are_gone_only(tmp_path, monkeypatch):
    monkeypatch.setattr(teaching, "_GONE", 2)
    settings = Settings(_env_file=None, path=str(tmp_path))
    async with Medha("shop", HashingEmbedder(), settings=settings) as writer:
        for number in range(6):
            await writer.store(f"List clerks of hall {number}", f"SELECT clerk FROM hall WHERE id = {number}")
        async with Medha.open(
            tmp_path, mode="r", collection_name="shop", embedder=HashingEmbedder()
        ) as reader:
            for number in range(5):
                await writer.invalidate(f"List clerks of hall {number}")
                await reader.refresh()
            assert len(reader._parts.teacher._gone["shop"]) == 2
            assert await reader.search("List clerks of hall 5")
