"""The service's memory for vectors: in this process, in Redis, and when Redis goes away."""

import asyncio
import logging
import socket

import numpy as np
import pytest
import redis as redis_package
from redis import asyncio as redis_asyncio
from service_harness import Counted

from medha_core import ArgumentTypeError, ArgumentValueError, ConfigurationError, ServiceCache
from medha_core.service.values import pack_vector, unpack_vector

VECTOR = [0.6, 0.8, 0.0, -0.0]


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def model():
    return Counted()


@pytest.fixture
async def raw(redis):
    """A client of our own, to see what is kept."""
    async with redis_asyncio.Redis.from_url(redis.url) as client:
        yield client


async def test_get_and_set(raw, redis):
    for cache in (ServiceCache(), ServiceCache(redis.url)):
        assert await cache.get("a", "m", dimension=4) is None
        await cache.set("a", "m", VECTOR)
        assert await cache.get("a", "m", dimension=4) == np.asarray(VECTOR, np.float32).tolist()
        await cache.close()


async def test_the_dimension_need_not_be_named(redis):
    for cache in (ServiceCache(), ServiceCache(redis.url)):
        assert await cache.get("a", "m") is None
        assert await cache.get_batch(["a"], "m") == ({}, [0])
        await cache.set("a", "m", VECTOR)
        assert await cache.get("a", "m") == np.asarray(VECTOR, np.float32).tolist()
        assert (await cache.get_batch(["b", "a"], "m"))[1] == [0]
        await cache.set("a", "m", VECTOR[:2])
        assert len(await cache.get("a", "m")) == 2
        assert len(await cache.get("a", "m", dimension=4)) == 4
        await cache.close()


async def test_another_process_takes_the_dimension_from_the_model(redis):
    writer, reader = ServiceCache(redis.url), ServiceCache(redis.url)
    await writer.set("a", "all-MiniLM-L6-v2", [1.0] * 384)
    assert await reader.get("a", "all-MiniLM-L6-v2") == [1.0] * 384
    await writer.close()
    await reader.close()


async def test_get_batch_tells_what_is_missing_by_place():
    cache = ServiceCache()
    await cache.set_batch(["a", "c"], "m", [VECTOR, VECTOR])
    found, missing = await cache.get_batch(["c", "b", "a", "b"], "m", dimension=4)
    assert (sorted(found), missing) == ([0, 2], [1, 3])
    with pytest.raises(ArgumentValueError, match="one for each of the 1 texts"):
        await cache.set_batch(["a"], "m", [])


@pytest.mark.parametrize(
    "other",
    [
        {"model": "n"},
        {"text": "b"},
        {"role": "query"},
        {"dimension": 3},
    ],
)
async def test_model_text_role_and_dimension_are_in_the_key(other):
    cache = ServiceCache()
    await cache.set("a", "m", VECTOR)
    asked = {"text": "a", "model": "m", "dimension": 4, "role": "document"} | other
    assert await cache.get(**asked) is None


async def test_a_batch_is_one_round_trip_each_way(redis, raw, model):
    texts = [f"text {i}" for i in range(50)]
    service = model.service(redis_client=redis.url)
    await service.embed_text("first")  # opens the connection
    before = (await raw.info("stats"))["total_net_input_bytes"], await calls(raw)
    await service.embed_batch(texts)
    after = await calls(raw)
    assert after["get"] - before[1]["get"] == 50
    assert after["set"] - before[1]["set"] == 50
    assert "mget" not in after
    assert "exec" not in after
    assert len(await raw.keys("medha:embed:*")) == 51
    await service.close()


async def calls(raw):
    stats = await raw.info("commandstats")
    return {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}


async def test_one_service_finds_what_another_computed(redis, model):
    first, second = (model.service(redis_client=redis.url) for _ in range(2))
    one = await first.embed_batch(["a", "b"])
    two = await second.embed_batch(["b", "a", "c"])
    assert two.cached_count == 2
    assert two.embeddings[1::-1] == one.embeddings
    assert model.texts == ["a", "b", "c"]
    await first.close()
    await second.close()


async def test_vectors_live_as_long_as_they_should(redis, raw):
    cache = ServiceCache(redis.url, ttl=100)
    await cache.set("a", "m", VECTOR)
    (key,) = await raw.keys("*")
    assert 90_000 < await raw.pttl(key) <= 100_000
    forever = ServiceCache(redis.url, ttl=None)
    await forever.set("b", "m", VECTOR)
    await forever.close()
    await cache.close()
    assert -1 in [await raw.pttl(key) for key in await raw.keys("*")]


async def test_memory_forgets_in_time_too():
    clock = Clock()
    cache = ServiceCache(ttl=10, clock=clock)
    await cache.set("a", "m", VECTOR)
    clock.now += 9
    assert await cache.get("a", "m", dimension=4)
    clock.now += 2
    assert await cache.get("a", "m", dimension=4) is None


async def test_a_damaged_value_is_a_miss_and_is_written_again(redis, raw, model):
    service = model.service(redis_client=redis.url, enable_caching=True)
    await service.embed_text("a")
    (key,) = await raw.keys("*")
    whole = await raw.get(key)
    for damaged in (b"", whole[:-1], whole[:-1] + b"\xff", b"\x09" + whole[1:], whole + whole):
        await raw.set(key, damaged)
        fresh = model.service(redis_client=redis.url)
        assert not (await fresh.embed_text("a")).cached
        assert await raw.get(key) == whole
        await fresh.close()
    await raw.delete(key)
    await raw.lpush(key, "not a string at all")
    fresh = model.service(redis_client=redis.url)
    assert (await fresh.embed_text("a")).dimension == 8
    assert fresh.redis_state == "up"
    await fresh.close()
    await service.close()


async def test_redis_goes_away_and_comes_back(redis, model, caplog):
    cache = ServiceCache(redis.url, pause=0.05)
    service = model.service(cache=cache)
    await service.embed_text("before")
    assert service.redis_state == "up"
    redis.stop()
    with caplog.at_level(logging.WARNING, logger="medha_core"):
        for i in range(20):
            assert (await service.embed_text(f"meanwhile {i}")).dimension == 8
        assert service.redis_state == "away"
        assert (await service.embed_text("before")).cached
        assert (await service.embed_text("meanwhile 7")).cached
    assert sum("Redis is away" in message for message in caplog.messages) == 1
    redis.start()
    await asyncio.sleep(0.06)
    await service.embed_text("after")
    assert service.redis_state == "up"
    # What was learnt meanwhile has been handed over.
    other = model.service(redis_client=redis.url)
    assert (await other.embed_text("meanwhile 7")).cached
    assert (await other.embed_text("after")).cached
    await other.close()
    await cache.close()


async def test_a_read_hands_over_too(redis, model):
    cache = ServiceCache(redis.url, pause=0.01)
    service = model.service(cache=cache)
    redis.stop()
    await service.embed_text("meanwhile")
    redis.start()
    await asyncio.sleep(0.02)
    await cache.get("something else", "m", dimension=4)
    other = model.service(redis_client=redis.url)
    assert (await other.embed_text("meanwhile")).cached
    await other.close()
    await cache.close()


async def test_redis_that_was_never_there_costs_one_try_a_pause(redis, model):
    redis.stop()
    clock = Clock()
    cache = ServiceCache(redis.url, pause=5, clock=clock)
    service = model.service(cache=cache)
    await service.embed_text("a")
    tried = []
    cache._redis._executed = lambda pipeline: tried.append(pipeline)  # would be called by a try
    await service.embed_text("b")
    assert not tried
    assert (await service.embed_text("b")).cached
    await cache.close()


async def test_a_redis_that_hangs_is_not_waited_for(model):
    with socket.create_server(("127.0.0.1", 0)) as hung:  # accepts, and never says a word
        cache = ServiceCache(f"redis://127.0.0.1:{hung.getsockname()[1]}/0", timeout=0.1)
        service = model.service(cache=cache)
        async with asyncio.timeout(10):
            assert (await service.embed_text("a")).dimension == 8
        assert service.redis_state == "away"
        await cache.close()


def test_several_event_loops_share_redis(redis, model):
    service = model.service(redis_client=redis.url)
    for text in ("a", "b", "a"):
        asyncio.run(service.embed_text(text))
        assert service.redis_state == "up"
    fresh = model.service(redis_client=redis.url)
    assert asyncio.run(fresh.embed_text("b")).cached
    for each in (service, fresh):
        asyncio.run(each.close())


async def test_memory_holds_no_more_than_it_may():
    cache = ServiceCache(max_entries=10)
    for i in range(50):
        await cache.set(f"text {i}", "m", VECTOR)
    assert len(cache) == 10
    none = ServiceCache(max_entries=0)
    await none.set("a", "m", VECTOR)
    assert await none.get("a", "m", dimension=4) is None


async def test_what_waits_for_redis_is_bounded(redis):
    redis.stop()
    cache = ServiceCache(redis.url, max_entries=5, pause=60)
    for i in range(20):
        await cache.set(f"text {i}", "m", VECTOR)
    assert len(cache._unsent) == 5
    await cache.close()


async def test_clients_of_the_caller_are_used_and_left_open(redis, model):
    client = redis_asyncio.Redis.from_url(redis.url)
    service = model.service(redis_client=client)
    await service.embed_text("a")
    await service.close()
    assert await client.dbsize() == 1
    await client.aclose()


def test_what_is_no_redis_is_refused():
    with pytest.raises(ArgumentTypeError, match="redis_client"):
        ServiceCache(object())
    with pytest.raises(ConfigurationError, match="redis_url"):
        ServiceCache("http://127.0.0.1")
    with pytest.raises(ConfigurationError, match="decode_responses"):
        ServiceCache(redis_package.Redis(decode_responses=True))
    with pytest.raises(ArgumentValueError, match="ttl"):
        ServiceCache(ttl=0)
    with pytest.raises(ArgumentValueError, match="max_entries"):
        ServiceCache(max_entries=-1)


def test_a_vector_comes_back_with_every_bit():
    vector = np.array([1 / 3, -0.0, 1e-38, 3.4e38], np.float32)
    value = pack_vector(vector)
    assert unpack_vector(value, 4).tobytes() == vector.tobytes()
    assert unpack_vector(value, 3) is None
    assert len(value) == 5 + 4 * 4
    assert repr(ServiceCache()) == "<ServiceCache, 0 of 1000 vectors in memory, no Redis>"
