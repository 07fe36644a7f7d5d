"""How often an engine is waited for: counted on its socket, for all engines at the end of a network."""

import asyncio
from contextlib import ExitStack

import pytest
from engine_harness import HARNESSES, Proxied, client_of
from test_engine_contract import DIMENSION, axis, entry, random_entries

from medha_core import HashingEmbedder, Medha, QueryTemplate, SearchStrategy, Settings

NETWORKED = [name for name, (kind, _) in HARNESSES.items() if issubclass(kind, Proxied)]
COUNTS_ITSELF = {"pgvector", "vectorchord", "redis", "redisearch", "elasticsearch"}
"""Engines that add to a counter themselves; the others are read and written in turn."""


@pytest.fixture(params=NETWORKED)
async def engine(request, tmp_path, require):
    kind, server = HARNESSES[request.param]
    require(*client_of(kind))
    harness = kind(request.getfixturevalue(server), tmp_path)
    yield harness
    await harness.clean()


async def waits(engine, work):
    """How often `work` waits for the engine, and what it gives.

    Done once before: connections are made then, and statements known.
    """
    await work()
    with ExitStack() as stack:
        for proxy in engine.proxies:
            stack.enter_context(proxy.counting())
        found = await work()
    return sum(proxy.round_trips for proxy in engine.proxies), found


class TestAStore:
    @pytest.fixture
    async def store(self, engine):
        async with engine.make() as store:
            await store.initialize("c", DIMENSION)
            many = random_entries(60)
            await store.upsert("c", many + [entry(100 + i, metadata={"t": 1}) for i in range(20)])
            yield store

    async def test_a_search_is_one(self, engine, store):
        for filters in (None, {"t": 1}):
            count, found = await waits(engine, lambda f=filters: store.candidates("c", axis(1), 8, 0.0, f))
            assert (count, len(found)) == (1, 8)

    async def test_searches_side_by_side_are_one(self, engine, store):
        many = 40 if engine.together else 4

        async def work():
            return await asyncio.gather(*(store.search("c", axis(i), limit=3) for i in range(many)))

        count, found = await waits(engine, work)
        assert count == 1
        alone = [await store.search("c", axis(i), limit=3) for i in range(many)]
        assert [[row.id for row in rows] for rows in found] == [[row.id for row in rows] for rows in alone]

    async def test_writing_is_one(self, engine, store):
        count, _ = await waits(engine, lambda: store.upsert("c", random_entries(100)))
        assert count == 1

    async def test_counters_are_one_or_read_and_written(self, engine, store):
        assert (await waits(engine, lambda: store.count("c")))[0] == 1
        count, value = await waits(engine, lambda: store.update_feedback("c", "e1", True))
        assert (count, value) == (1 if engine.name in COUNTS_ITSELF else 2, 2)


THINGS = ["orders", "users", "cities", "planes", "rivers"]
DIFFERENT = [f"{verb} {thing}?" for verb in ("How many", "Where are the", "Who owns the") for thing in THINGS]
ALIKE = [f"How many trains leave from platform {i}?" for i in range(30)]
"""Questions of which each answers the others, with its values."""
TEMPLATE = QueryTemplate(
    intent="top",
    template_text="Show the top {number} products",
    query_template="SELECT * FROM products LIMIT {number}",
    parameters=["number"],
)


class TestACache:
    @pytest.fixture
    async def cache(self, engine):
        async with Medha(
            "c", HashingEmbedder(), engine.make(), Settings(_env_file=None), templates=[TEMPLATE]
        ) as cache:
            await cache.store_many(
                [
                    {"question": question, "generated_query": f"SELECT {i}"}
                    for i, question in enumerate([*DIFFERENT, *ALIKE])
                ]
            )
            yield cache

    async def test_what_is_answered_before_it_does_not_wait_for_it(self, engine, cache):
        count, hit = await waits(engine, lambda: cache.search(ALIKE[3]))
        assert (count, hit.strategy) == (0, SearchStrategy.L1_CACHE)
        await cache.clear_caches()

        async def by_template():
            await cache.clear_caches()
            return await cache.search("Show the top 7 products")

        count, hit = await waits(engine, by_template)
        assert (count, hit.strategy) == (0, SearchStrategy.TEMPLATE_MATCH)

    @pytest.mark.parametrize(("stored", "most"), [(DIFFERENT, 1), (ALIKE, 2)], ids=["different", "alike"])
    async def test_a_batch_of_questions_is_one(self, engine, cache, stored, most):
        """Two where the guard knows entries that say the same with other values."""
        asked = stored if engine.together else stored[:4]

        async def work():
            await cache.clear_caches()
            return await cache.search_batch([question.lower().rstrip("?") for question in asked])

        count, hits = await waits(engine, work)
        places = range(len(DIFFERENT)) if stored is DIFFERENT else range(len(DIFFERENT), 50)
        assert [hit.generated_query for hit in hits] == [f"SELECT {i}" for i in places][: len(asked)]
        assert 1 <= count <= most

    async def test_storing_many_waits_no_oftener_than_storing_one(self, engine, cache):
        async def store(count):
            pairs = [
                {"question": f"Which orders has customer {i}?", "generated_query": f"SELECT {i}"}
                for i in range(count)
            ]
            assert await cache.store_many(pairs) == count

        few, _ = await waits(engine, lambda: store(5))
        many, _ = await waits(engine, lambda: store(100))
        assert few <= 5
        if engine.together:
            assert many <= few

    async def test_what_is_stored_is_learnt_again_a_page_at_a_time(self, engine, cache):
        taught = cache._parts.teacher._knowledge._taught
        assert len(taught) == len(DIFFERENT) + len(ALIKE)
        async with Medha("c", HashingEmbedder(), engine.make(), Settings(_env_file=None)) as again:
            teacher = again._parts.teacher
            assert teacher._knowledge._taught.keys() == taught.keys()
            count, _ = await waits(engine, lambda: teacher.recall("c"))
            if engine.together:
                assert count <= 6
