"""The first-level cache in a real redis-server: shared, bounded, and no harm when the server is away."""

import asyncio
import json
import logging
import os
import socket
import threading

import pytest

from medha_core import (
    ArgumentValueError,
    CacheHit,
    ConfigurationError,
    HashingEmbedder,
    Medha,
    NativeBackend,
    Settings,
)
from medha_core.concurrency.bridge import bridge
from medha_core.l1_cache import RedisL1Cache
from medha_core.testing import L1CacheContract
from medha_core.testing.l1_cache import hit


class TestRedis(L1CacheContract):
    @pytest.fixture
    async def l1(self, redis):
        cache = RedisL1Cache(redis.url)
        yield cache
        await cache.close()


@pytest.fixture
async def make(redis):
    """Caches on the server, as so many processes would have them."""
    made = []

    def one(**options):
        made.append(RedisL1Cache(redis.url, **options))
        return made[-1]

    yield one
    for cache in made:
        await cache.close()


def ask(server, *command):
    """The raw answer of the server to one command."""
    parts = [str(part).encode() for part in command]
    sent = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(sent)
        return connection.recv(65536).decode()


async def test_two_processes_share_hits_and_forget_together(make):
    here, there = make(), make()
    await here.set("k", hit("SELECT 1", entry_id="e"))
    assert (await there.get("k")).generated_query == "SELECT 1"
    assert there.size == 1
    await there.invalidate_entries(["e"])
    assert await here.get("k") is None


async def test_a_slow_search_of_another_process_cannot_bring_back_what_was_forgotten(make):
    here, there = make(), make()
    await there.get("k")
    noted = there.generation  # a search begins there
    await here.get("k")
    await here.invalidate_entries(["e"])
    await there.refill("k", hit("late", entry_id="e"), noted)
    assert await here.get("k") is None
    await there.get("k")
    await there.refill("k", hit("in time", entry_id="e"), there.generation)
    assert (await here.get("k")).generated_query == "in time"


async def test_another_prefix_is_never_touched(make, redis):
    prefixes = ["medha:l1", "medha:l1:records", "medha:l1:*", "medha:l1x", "m?dha:l1"]
    caches = [make(prefix=prefix) for prefix in prefixes]
    for cache in caches:
        await cache.set("k", hit(repr(cache), entry_id="e"))
    ask(redis, "SET", "medha:l1:mine", "of somebody else")
    for act in (
        lambda l1: l1.invalidate_all(),
        lambda l1: l1.clear(),
        lambda l1: l1.invalidate_prefix(""),
        lambda l1: l1.invalidate_entries(["e"]),
        lambda l1: l1.invalidate("k"),
    ):
        await caches[0].set("k", hit("again", entry_id="e"))
        await act(caches[0])
        assert [bool(await cache.get("k")) for cache in caches] == [False, True, True, True, True]
    assert "of somebody else" in ask(redis, "GET", "medha:l1:mine")


async def test_emptying_never_blocks_the_server_and_reads_no_key_list(make, redis):
    l1 = make(max_size=4_000)
    for start in range(0, 4_000, 500):
        many = [l1.set(f"k{i}", hit("q", entry_id="e")) for i in range(start, start + 500)]
        await asyncio.gather(*many)
    await l1.get("k0")  # learns the size
    assert l1.size == 4_000
    ask(redis, "CONFIG", "RESETSTAT")
    await l1.invalidate_all()
    commands = ask(redis, "INFO", "commandstats")
    assert "cmdstat_unlink:calls=1" in commands
    for slow in ("keys", "flushdb", "flushall", "del", "scan"):
        assert f"cmdstat_{slow}:" not in commands
    assert l1.size == 0


async def test_room_is_made_by_the_hits_unused_for_longest(make):
    l1 = make(max_size=3)
    for key in "abc":
        await l1.set(key, hit(key))
    await l1.get("a")
    await l1.set("d", hit("d"))
    assert [bool(await l1.get(key)) for key in "abcd"] == [True, False, True, True]
    assert l1.size == 3
    await l1.set("a", hit("again"))
    assert [bool(await l1.get(key)) for key in "acd"] == [True, True, True]


async def test_size_zero_turns_it_off(make, redis):
    l1 = make(max_size=0)
    await l1.set("k", hit("q"))
    assert await l1.get("k") is None
    assert ask(redis, "DBSIZE") == ":0\r\n"


async def test_ttl_ends_a_hit_and_leaves_nothing_behind(make, redis):
    clock = [1_000_000.0]
    l1 = make(ttl=60, clock=lambda: clock[0])
    await l1.set("k", hit("q"))
    assert await l1.get("k") is not None
    assert ask(redis, "TTL", "medha:l1:records") == ":60\r\n"
    clock[0] += 60
    assert await l1.get("k") is None
    assert l1.size == 0


async def test_records_are_json_and_a_damaged_one_is_a_miss(make, redis):
    l1 = make()
    await l1.set("k", hit("SELECT 1", entry_id="e"))
    raw = ask(redis, "HGET", "medha:l1:records", "k").split("\r\n")[1]
    assert json.loads(raw)["hit"]["generated_query"] == "SELECT 1"
    for damaged in (
        "",
        "{",
        "[]",
        '{"until": null}',
        '{"until": "x", "hit": {}}',
        raw.replace("SELECT 1", "\x01"),
    ):
        ask(redis, "HSET", "medha:l1:records", "k", damaged)
        assert await l1.get("k") is None
        await l1.set("k", hit("SELECT 2", entry_id="e"))
        assert (await l1.get("k")).generated_query == "SELECT 2"
        await l1.invalidate_entries(["e"])
        assert await l1.get("k") is None


# without a server


async def test_an_outage_is_a_miss_with_one_warning_and_ends_by_itself(make, redis, caplog):
    l1 = make()
    await l1.set("k", hit("q"))
    redis.stop()
    caplog.set_level(logging.INFO, "medha_core")
    for _ in range(20):
        assert await l1.get("k") is None
        await l1.set("k", hit("q"))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "not reachable" in caplog.text
    assert "not reachable" in repr(l1)
    redis.start()
    for _ in range(200):
        await l1.set("k", hit("q"))
        if await l1.get("k"):
            break
        await asyncio.sleep(0.05)
    else:
        pytest.fail("it did not come back")
    assert "reachable again" in caplog.records[-1].message
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_while_the_server_is_away_nobody_waits_for_it(make, redis, monkeypatch):
    l1 = make()
    redis.stop()
    await l1.get("k")
    tried = []
    monkeypatch.setattr(type(l1._connection), "_attempt", lambda self, work: tried.append(work))
    await l1.get("k")
    assert tried == []


async def test_what_is_forgotten_during_an_outage_is_not_served_after_it(make, redis):
    """The server keeps its memory: only the way to it is lost."""
    l1, other = make(), make()
    await l1.set("k", hit("old", entry_id="e"))
    blocked = asyncio.Event()

    async def refused(work):
        blocked.set()

    reach, l1._connection.run = l1._connection.run, refused
    await l1.invalidate_entries(["e"])
    assert blocked.is_set()
    assert await l1.get("k") is None
    l1._connection.run = reach
    assert await other.get("k") is not None
    assert await l1.get("k") is None
    assert await other.get("k") is None


async def test_a_call_that_was_cancelled_takes_no_step_of_the_generation_along(make, redis, monkeypatch):
    l1 = make()
    await l1.get("k")
    begun = asyncio.Event()

    async def never(*_):
        begun.set()
        await asyncio.Event().wait()

    noted = l1.generation
    l1.advance()
    with monkeypatch.context() as patch:
        patch.setattr(l1, "_call", never)
        waiting = asyncio.create_task(l1.get("k"))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    await l1.get("k")
    assert l1.generation == noted + 1
    await l1.refill("k", hit("late"), noted)
    assert await l1.get("k") is None


async def test_a_server_that_lost_its_memory_is_used_on(make, redis):
    l1 = make()
    await l1.set("k", hit("q"))
    ask(redis, "FLUSHALL")
    before = l1.generation
    assert await l1.get("k") is None
    await l1.refill("k", hit("stale"), before)
    assert await l1.get("k") is None
    await l1.refill("k", hit("new"), l1.generation)
    assert (await l1.get("k")).generated_query == "new"


async def test_a_password_is_never_shown(caplog):
    l1 = RedisL1Cache("redis://user:hunter2@127.0.0.1:1/0")
    assert await l1.get("k") is None
    assert "hunter2" not in repr(l1) + caplog.text
    await l1.close()
    with pytest.raises(ArgumentValueError) as caught:
        RedisL1Cache("http://user:hunter2@host")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"prefix": ""}, "prefix"),
        ({"ttl": 0}, "ttl"),
        ({"max_size": -1}, "max_size"),
        ({"timeout": 0}, "timeout"),
    ],
)
def test_arguments_are_checked(options, named):
    with pytest.raises(ArgumentValueError, match=named):
        RedisL1Cache(**options)


def test_without_the_package_one_sentence_names_the_extra(monkeypatch):
    for name in ("redis.asyncio.connection", "redis.asyncio", "redis"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(ConfigurationError, match=r"medha-core\[redis\]"):
        RedisL1Cache()


# under a cache


def shared(redis, collection, **options):
    settings = Settings(_env_file=None, **options)
    return Medha(collection, HashingEmbedder(), settings=settings, l1_backend=RedisL1Cache(redis.url))


async def test_collections_that_share_a_server_do_not_meet(redis):
    async with shared(redis, "acme-eu") as a, shared(redis, "acme_eu") as b:
        await a.store("how many users", "SELECT a")
        await b.store("how many users", "SELECT b")
        for _ in range(2):
            assert (await a.search("how many users")).generated_query == "SELECT a"
            assert (await b.search("how many users")).generated_query == "SELECT b"
        assert (await a.search("how many users")).strategy.value == "l1_cache"
        assert not await a.search("how many users", filters={"tenant": "x"})


async def test_a_reader_that_lags_behind_brings_nothing_old_into_what_is_shared(redis, tmp_path):
    async with shared(redis, "c", path=tmp_path) as writer:
        await writer.store("how many users", "SELECT 1")
        store = NativeBackend(tmp_path, mode="r")
        settings = Settings(_env_file=None)
        async with Medha(
            "c", HashingEmbedder(), store, settings, l1_backend=RedisL1Cache(redis.url)
        ) as reader:
            assert (await reader.search("how many users")).strategy.value == "l1_cache"
            await writer.store("how many users", "SELECT 2")
            await writer.clear_caches()
            assert (await reader.search("how many users")).generated_query.startswith("SELECT")
            assert (await writer.search("how many users")).generated_query == "SELECT 2"
            assert await reader.refresh() in (True, False)
            assert (await writer.search("how many users")).strategy.value == "l1_cache"
            assert (await reader.search("how many users")).generated_query == "SELECT 2"
        await store.close()


def test_asyncio_run_then_sync_calls_then_threads(redis):
    """Connections belong to no caller's loop, so the recipe of the Medha library's README works."""
    cache = shared(redis, "c")
    asyncio.run(cache.start())
    assert cache.store_sync("how many users", "SELECT 1")
    assert asyncio.run(cache.search("how many users")).generated_query == "SELECT 1"
    failed = []

    def work():
        for _ in range(20):
            found = cache.search_sync("how many users")
            if found.strategy.value != "l1_cache":
                failed.append(found)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    cache.close_sync()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_has_connections_of_its_own(redis):
    l1 = RedisL1Cache(redis.url)
    bridge.run(l1.set("k", hit("SELECT 1")))
    child = os.fork()
    if not child:
        try:
            for i in range(20):
                bridge.run(l1.set(f"child {i}", hit("SELECT 2")))
            os._exit(0 if bridge.run(l1.get("k")) else 1)
        finally:
            os._exit(2)
    for _ in range(20):
        assert bridge.run(l1.get("k")).generated_query == "SELECT 1"
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert bridge.run(l1.get("child 19")) is not None
    bridge.run(l1.close())


async def test_a_search_goes_on_when_the_server_goes(redis):
    async with shared(redis, "c") as cache:
        await cache.store("how many users", "SELECT 1")
        redis.stop()
        found = await cache.search("how many users")
        assert isinstance(found, CacheHit)
        assert found.generated_query == "SELECT 1"
        assert await cache.store("how many orders", "SELECT 2")
        assert (await cache.search("how many orders")).generated_query == "SELECT 2"
