"""One caller makes the query, the others wait for it."""

import asyncio
import threading
import time

import pytest

from medha_core import (
    ArgumentTypeError,
    ArgumentValueError,
    CallableEmbedder,
    ConflictError,
    HashingEmbedder,
    InMemoryBackend,
    Medha,
    SearchStrategy,
    Settings,
)

ASKED = "how many users are there"
QUERY = "SELECT count(*) FROM users"


def make(*, embedder=None, **settings):
    return Medha(
        "c", embedder or HashingEmbedder(32), InMemoryBackend(), Settings(_env_file=None, **settings)
    )


@pytest.fixture
async def cache():
    async with make() as cache:
        yield cache


class Model:
    """Generates slowly, and counts how often."""

    def __init__(self, answer=QUERY, seconds=0.05):
        self.answer, self.seconds = answer, seconds
        self.asked = []
        self.started = asyncio.Event()

    async def __call__(self, question):
        self.asked.append(question)
        self.started.set()
        await asyncio.sleep(self.seconds)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def test_a_miss_is_generated_and_stored(cache):
    model = Model()
    hit = await cache.get_or_generate(ASKED, model)
    assert hit
    assert (hit.strategy, hit.generated_query) == (SearchStrategy.GENERATED, QUERY)
    again = await cache.get_or_generate(ASKED, model)
    assert (again.strategy, again.generated_query) == (SearchStrategy.L1_CACHE, QUERY)
    assert again.entry_id == hit.entry_id
    assert model.asked == [ASKED]


async def test_of_many_one_generates(cache):
    model = Model()
    hits = await asyncio.gather(*(cache.get_or_generate(ASKED, model) for _ in range(50)))
    assert {hit.generated_query for hit in hits} == {QUERY}
    assert len(model.asked) == 1
    assert not len(cache._generating._inflight)
    others = await asyncio.gather(
        *(cache.get_or_generate(f"{ASKED} in {city}", model) for city in ("Rome", "Oslo"))
    )
    assert all(others)
    assert len(model.asked) == 3


async def test_a_plain_function_runs_in_a_thread_and_for_all_threads_once():
    threads = []

    def generate(question):
        threads.append(threading.current_thread())
        time.sleep(0.05)
        return {"generated_query": QUERY, "response_summary": "the number", "template_id": "t"}

    async with make() as cache:
        found = []
        callers = [
            threading.Thread(target=lambda: found.append(cache.get_or_generate_sync(ASKED, generate)))
            for _ in range(8)
        ]
        for caller in callers:
            caller.start()
        found.append(await cache.get_or_generate(ASKED, generate))
        await asyncio.to_thread(lambda: [caller.join() for caller in callers])
        assert len(threads) == 1
        assert threads[0] is not threading.main_thread()
        assert {(hit.generated_query, hit.response_summary, hit.template_used) for hit in found} == {
            (QUERY, "the number", "t")
        }


async def test_a_failure_reaches_everybody_and_is_not_remembered(cache):
    model = Model(KeyError("no quota"))
    failed = await asyncio.gather(
        *(cache.get_or_generate(ASKED, model) for _ in range(5)), return_exceptions=True
    )
    assert [repr(error) for error in failed] == ["KeyError('no quota')"] * 5
    assert len(model.asked) == 1
    model.answer = QUERY
    assert (await cache.get_or_generate(ASKED, model)).generated_query == QUERY
    assert len(model.asked) == 2


async def test_if_the_one_who_generates_is_cancelled_another_takes_over(cache):
    model = Model(seconds=0.2)
    first = asyncio.create_task(cache.get_or_generate(ASKED, model))
    await model.started.wait()
    others = [asyncio.create_task(cache.get_or_generate(ASKED, model)) for _ in range(4)]
    await asyncio.sleep(0.01)
    first.cancel()
    hits = await asyncio.gather(*others)
    assert {hit.generated_query for hit in hits} == {QUERY}
    assert first.cancelled()
    assert len(model.asked) == 2


async def test_cancelling_one_who_waits_cancels_only_that_one(cache):
    model = Model()
    first = asyncio.create_task(cache.get_or_generate(ASKED, model))
    await model.started.wait()
    second = asyncio.create_task(cache.get_or_generate(ASKED, model))
    await asyncio.sleep(0.01)
    second.cancel()
    assert (await first).generated_query == QUERY
    assert second.cancelled()
    assert len(model.asked) == 1


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_validator_decides_what_is_stored(cache, is_async):
    seen = []

    def judged(question, query):
        seen.append((question, query))
        return query.startswith("SELECT")

    async def judged_later(question, query):
        return judged(question, query)

    validate = judged_later if is_async else judged
    refused = await cache.get_or_generate(ASKED, Model("DROP TABLE users"), validate=validate)
    assert (refused.generated_query, refused.entry_id) == ("DROP TABLE users", None)
    assert not await cache.search(ASKED)
    assert (await cache.get_or_generate(ASKED, Model(), validate=validate)).entry_id
    assert (await cache.search(ASKED)).generated_query == QUERY
    assert seen == [(ASKED, "DROP TABLE users"), (ASKED, QUERY)]


async def test_a_validator_that_raises_stores_nothing(cache):
    def broken(question, query):
        raise RuntimeError("the database is down")

    with pytest.raises(RuntimeError, match="is down"):
        await cache.get_or_generate(ASKED, Model(), validate=broken)
    assert not await cache.search(ASKED)


async def test_nothing_generated_is_a_miss(cache):
    assert not await cache.get_or_generate(ASKED, Model(None))
    assert (await cache.stats()).backend_count == 0


async def test_each_tenant_has_its_own(cache):
    one = await cache.get_or_generate(ASKED, Model("SELECT 1"), filters={"tenant": 1})
    two = await cache.get_or_generate(ASKED, Model("SELECT 2"), metadata={"tenant": 2})
    three = await cache.get_or_generate(ASKED, Model("SELECT 3"), collection_name="b")
    assert [hit.generated_query for hit in (one, two, three)] == ["SELECT 1", "SELECT 2", "SELECT 3"]
    assert one.metadata == {"tenant": 1}
    for tenant in (1, 2):
        hit = await cache.search(ASKED, filters={"tenant": tenant})
        assert hit.generated_query == f"SELECT {tenant}"
    assert not await cache.search(ASKED)
    assert await cache.search(ASKED, collection_name="b")


async def test_ttl_and_conflicts_are_those_of_store(cache):
    await cache.get_or_generate(ASKED, Model(), ttl=60)
    assert (await cache.search(ASKED)).expires_at
    await cache.store("another", "SELECT 1", metadata={"t": 1})
    with pytest.raises(ConflictError):
        await cache.get_or_generate(
            "another", Model("SELECT 2"), metadata={"t": 1}, filters={"t": 2}, on_conflict="error"
        )


async def test_a_failing_embedder_does_not_keep_the_query_from_being_made():
    def broken(texts):
        raise RuntimeError("no model")

    async with make(embedder=CallableEmbedder(broken, 2, "broken", batch=True)) as cache:
        hit = await cache.get_or_generate(ASKED, Model())
        assert (hit.generated_query, hit.entry_id) == (QUERY, None)


async def test_what_cannot_be_is_named(cache):
    with pytest.raises(ArgumentTypeError, match="generate"):
        await cache.get_or_generate(ASKED, QUERY)
    with pytest.raises(ArgumentTypeError, match="what generate returned"):
        await cache.get_or_generate(ASKED, Model(7))
    with pytest.raises(ArgumentValueError, match=r"what generate returned.generated_query"):
        await cache.get_or_generate(ASKED, Model("  "))
    with pytest.raises(ArgumentValueError, match="question"):
        await cache.get_or_generate(" ", Model())
    assert not len(cache._generating._inflight)
