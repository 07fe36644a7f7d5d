"""What a user of the facade sees."""

import asyncio
import signal
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from medha_core import (
    CacheHit,
    CallableEmbedder,
    HashingEmbedder,
    InMemoryL1Cache,
    Medha,
    NativeBackend,
    SearchStrategy,
    Settings,
)

COUNT = "SELECT count(*) FROM users"


def make(name="shop", *, embedder=None, backend=None, l1=None, **settings):
    settings = Settings(_env_file=None, **settings)
    return Medha(name, embedder or HashingEmbedder(), backend=backend, settings=settings, l1_backend=l1)


@pytest.fixture
async def cache():
    async with make() as cache:
        yield cache


class Meaning:
    """Vectors chosen by the test: texts given the same angle mean the same."""

    def __init__(self, **angles):
        self.angles = angles
        self.calls = []

    def __call__(self, texts):
        self.calls.append(list(texts))
        return [self.angles.get(text.replace(" ", "_"), [0.0, 0.0, 1.0]) for text in texts]

    def embedder(self):
        return CallableEmbedder(self, 3, "meaning", batch=True)


async def test_a_stored_question_is_answered(cache):
    assert await cache.store("How many users are there?", COUNT) is True
    hit = await cache.search("how many users are there")
    assert hit
    assert hit.generated_query == COUNT
    assert hit.strategy is SearchStrategy.L1_CACHE
    assert hit.confidence == 1.0


async def test_an_unknown_question_is_a_miss(cache):
    await cache.store("How many users are there?", COUNT)
    hit = await cache.search("Which city sold most umbrellas in May?")
    assert not hit
    assert hit == CacheHit()
    assert hit.strategy is SearchStrategy.NO_MATCH


async def test_exact_text_is_found_after_l1_is_cleared_and_runs_no_model():
    meaning = Meaning(how_many_users=[1.0, 0.0, 0.0])
    async with make(embedder=meaning.embedder()) as cache:
        await cache.store("how many users", COUNT)
        await cache.clear_caches()
        meaning.calls.clear()
        hit = await cache.search("How many users?")
    assert hit.strategy is SearchStrategy.EXACT_MATCH
    assert (hit.generated_query, hit.confidence, hit.similarity) == (COUNT, 1.0, 1.0)
    assert meaning.calls == []


@pytest.mark.parametrize(
    ("cosine", "strategy", "confidence"),
    [
        (0.995, SearchStrategy.EXACT_MATCH, 0.995),
        (0.90, SearchStrategy.SEMANTIC_MATCH, 0.81),
        (0.70, SearchStrategy.NO_MATCH, 0.0),
    ],
)
async def test_the_score_decides_the_tier(cosine, strategy, confidence):
    meaning = Meaning(total_users=[1.0, 0.0, 0.0], everybody_counted=[cosine, (1 - cosine**2) ** 0.5, 0.0])
    async with make(embedder=meaning.embedder(), guard="off") as cache:
        await cache.store("total users", COUNT)
        hit = await cache.search("everybody counted")
    assert hit.strategy is strategy
    assert hit.confidence == pytest.approx(confidence, abs=1e-5)
    if hit:
        assert hit.similarity == pytest.approx(cosine, abs=1e-5)
        assert hit.entry_id


async def test_a_typo_is_found_by_the_fuzzy_tier():
    meaning = Meaning(total_users_by_month=[1.0, 0.0, 0.0], total_usrs_by_month=[0.7, 0.714143, 0.0])
    async with make(embedder=meaning.embedder()) as cache:
        await cache.store("total users by month", COUNT)
        hit = await cache.search("total usrs by month")
    assert hit.strategy is SearchStrategy.FUZZY_MATCH
    assert 0.85 <= hit.confidence <= 1.0


@pytest.mark.parametrize("guard", ["balanced", "off"])
async def test_while_the_embedder_fails_a_question_spelt_alike_still_answers(guard):
    vectors = {"total users by month": [1.0, 0.0], "total users by year": [0.0, 1.0]}

    def embed(text):
        if text not in vectors:
            raise ConnectionError("no model today")
        return vectors[text]

    async with make(embedder=CallableEmbedder(embed, 2, "failing"), guard=guard) as cache:
        await cache.store("total users by month", COUNT)
        await cache.store("total users by year", "SELECT 2", metadata={"tenant": "a"})
        hit = await cache.search("total usrs by month", explain=True)
        assert hit.strategy is SearchStrategy.FUZZY_MATCH
        assert (hit.generated_query, hit.similarity) == (COUNT, None)
        assert 0.85 <= hit.confidence <= 1.0
        assert any(step.name == "spelling" and "1 found" in step.outcome for step in hit.explanation.steps)
        scoped = await cache.search("total usrs by year", filters={"tenant": "a"})
        assert scoped.generated_query == "SELECT 2"
        assert (await cache.search("total usrs by year")).generated_query != "SELECT 2"
        other = await cache.search("average revenue of each shop")
        assert other.strategy is SearchStrategy.ERROR
        await cache.invalidate("total users by month")
        assert (await cache.search("totl users by month")).strategy is SearchStrategy.ERROR


async def test_a_semantic_hit_is_ready_in_l1_the_next_time():
    meaning = Meaning(total_users=[1.0, 0.0, 0.0], count_of_people=[0.9, 0.43589, 0.0])
    async with make(embedder=meaning.embedder(), guard="off") as cache:
        await cache.store("total users", COUNT)
        first = await cache.search("count of people")
        again = await cache.search("count of people")
        peeked = cache.peek("Count of   people?")
    assert first.strategy is SearchStrategy.SEMANTIC_MATCH
    assert again.strategy is SearchStrategy.L1_CACHE
    assert again.generated_query == peeked.generated_query == COUNT
    assert again.entry_id == first.entry_id


async def test_an_l1_hit_needs_no_embedder():
    meaning = Meaning(total_users=[1.0, 0.0, 0.0])
    async with make(embedder=meaning.embedder()) as cache:
        await cache.store("total users", COUNT)
        meaning.angles = None  # from now on every embedding raises
        assert (await cache.search("total users")).generated_query == COUNT
        failed = await cache.search("something else")
    assert failed.strategy is SearchStrategy.ERROR
    assert failed.error
    assert not failed


async def test_a_corrected_query_replaces_the_old_one(cache):
    await cache.store("How many users?", "SELECT 1")
    await cache.store("how many users", COUNT)
    await cache.clear_caches()
    assert (await cache.search("How many users?")).generated_query == COUNT
    assert (await cache.stats()).backend_count == 1


async def test_a_paraphrase_in_l1_follows_the_replaced_query():
    meaning = Meaning(total_users=[1.0, 0.0, 0.0], count_of_people=[0.9, 0.43589, 0.0])
    async with make(embedder=meaning.embedder(), guard="off") as cache:
        await cache.store("total users", "SELECT 1")
        await cache.search("count of people")
        await cache.store("total users", COUNT)
        assert (await cache.search("count of people")).generated_query == COUNT


async def test_collections_are_apart_even_with_one_l1():
    l1, backend = InMemoryL1Cache(), NativeBackend()
    async with make("acme-eu", backend=backend, l1=l1) as eu, make("acme_eu", backend=backend, l1=l1) as us:
        await eu.store("How many users?", "SELECT 'eu'")
        assert not await us.search("How many users?")
        assert not await eu.search("How many users?", collection_name="acme_eu")
        await us.store("How many users?", "SELECT 'us'")
        assert (await eu.search("How many users?")).generated_query == "SELECT 'eu'"
        assert (await us.search_batch(["How many users?"]))[0].generated_query == "SELECT 'us'"
        batch = await eu.search_batch(["How many users?"], collection_name="acme_eu")
        assert batch[0].generated_query == "SELECT 'us'"


async def test_scoped_entries_are_seen_only_through_their_filter(cache):
    await cache.store("How many users?", "SELECT 'a'", metadata={"tenant": "a"})
    assert not await cache.search("How many users?")
    assert (await cache.search("How many users?", filters={"tenant": "a"})).generated_query == "SELECT 'a'"
    assert not await cache.search("How many users?", filters={"tenant": "b"})
    await cache.clear_caches()
    assert not await cache.search("How many users?")
    hit = await cache.search("How many users?", include_scoped=True)
    assert hit.generated_query == "SELECT 'a'"
    assert hit.metadata == {"tenant": "a"}


async def test_the_metadata_of_a_hit_cannot_be_changed(cache):
    await cache.store("How many users?", COUNT, metadata={"tenant": "a"})
    hit = await cache.search("How many users?", filters={"tenant": "a"})
    with pytest.raises(TypeError, match="cannot be changed"):
        hit.metadata["tenant"] = "b"


async def test_many_tenants_with_the_same_question_get_their_own_row(cache):
    await cache.store_many(
        [
            {"question": "How many users?", "generated_query": f"SELECT {i}", "metadata": {"tenant": i}}
            for i in range(600)
        ]
    )
    await cache.clear_caches()
    for tenant in (0, 299, 599):
        hit = await cache.search("How many users?", filters={"tenant": tenant})
        assert hit.generated_query == f"SELECT {tenant}"
        assert hit.strategy is SearchStrategy.EXACT_MATCH


async def test_soft_filters_lower_the_score_of_what_does_not_match():
    meaning = Meaning(total_users=[1.0, 0.0, 0.0], everybody=[0.999, 0.0447, 0.0])
    async with make(
        embedder=meaning.embedder(),
        metadata_filter_mode="soft",
        metadata_filter_soft_penalty=0.9,
        guard="off",
    ) as cache:
        await cache.store("total users", COUNT, metadata={"region": "north"})
        hit = await cache.search("everybody", filters={"region": "south"})
    assert hit.strategy is SearchStrategy.SEMANTIC_MATCH
    assert hit.similarity == pytest.approx(0.899, abs=1e-3)


@pytest.mark.parametrize("many", [False, True])
async def test_expiry_holds_in_l1_and_in_the_store(many):
    now = datetime.now(UTC)
    clock = [now.timestamp()]
    backend = NativeBackend(clock=lambda: clock[0])
    l1 = InMemoryL1Cache(clock=lambda: clock[0])
    async with make(backend=backend, l1=l1, default_ttl_seconds=60) as cache:
        if many:
            await cache.store_many([{"question": "How many users?", "generated_query": COUNT}])
        else:
            await cache.store("How many users?", COUNT)
        await cache.store("How many orders?", "SELECT 2", ttl=None)
        assert await cache.search("How many users?")
        clock[0] = (now + timedelta(seconds=61)).timestamp()
        assert not await cache.search("How many users?")
        await cache.clear_caches()
        assert not await cache.search("How many users?")
        assert await cache.search("How many orders?")


TOP = "SELECT name FROM customers WHERE year = 2023 ORDER BY total DESC LIMIT 5"


async def test_the_guard_refuses_what_asks_for_something_else_at_any_score():
    stored = "top 5 customers in 2023"
    asked = ["top 5 customers not in 2023", "bottom 5 customers in 2023", "top 5 suppliers in 2023"]
    meaning = Meaning(**{text.replace(" ", "_"): [1.0, 0.0, 0.0] for text in [stored, *asked]})
    async with make(embedder=meaning.embedder()) as cache:
        await cache.store(stored, TOP)
        for question in asked:
            assert not await cache.search(question), question
    async with make(embedder=meaning.embedder(), guard="off") as cache:
        await cache.store(stored, TOP)
        assert (await cache.search(asked[0])).generated_query == TOP


@pytest.mark.parametrize("question", ["top 10 customers in 2023", "top 5 customers in 2024"])
async def test_other_values_get_the_query_with_those_values(question):
    stored = "top 5 customers in 2023"
    meaning = Meaning(**{text.replace(" ", "_"): [1.0, 0.0, 0.0] for text in [stored, question]})
    async with make(embedder=meaning.embedder()) as cache:
        await cache.store(stored, TOP, "the five best")
        hit = await cache.search(question)
        again = await cache.search(question)
    year, limit = question[-4:], question.split()[1]
    assert hit.strategy is SearchStrategy.PARAMETRIC_MATCH
    assert hit.generated_query == TOP.replace("2023", year).replace("LIMIT 5", f"LIMIT {limit}")
    assert hit.response_summary is None
    assert {"2023", "5"} - {year, limit} != set()
    assert set(hit.parameters.values()) == {year, limit}
    assert hit.bound.query.count("?") == len(hit.bound.values) == 1
    assert again.strategy is SearchStrategy.L1_CACHE
    assert again.generated_query == hit.generated_query
    async with make(embedder=meaning.embedder(), substitution="off") as cache:
        await cache.store(stored, TOP)
        assert not await cache.search(question)


async def test_one_tenants_values_are_not_known_to_another():
    same = [1.0, 0.0, 0.0]
    meaning = Meaning(customers_in_Rome=same, customers_in_Oslo=same)
    async with make(embedder=meaning.embedder()) as cache:
        for tenant, city in (("a", "Rome"), ("b", "Oslo")):
            query = f"SELECT name FROM customers WHERE city = '{city}'"
            await cache.store(f"customers in {city}", query, metadata={"tenant": tenant})
        assert await cache.search("customers in Rome", filters={"tenant": "a"})
        assert not await cache.search("customers in Oslo", filters={"tenant": "a"})


async def test_explain_shows_every_step_and_the_verdicts():
    meaning = Meaning(largest_customers=[1.0, 0.0, 0.0], smallest_customers=[0.95, 0.31225, 0.0])
    async with make(embedder=meaning.embedder()) as cache:
        await cache.store("largest customers", "SELECT 5")
        miss = await cache.search("smallest customers", explain=True)
        hit = await cache.search("largest customers", explain=True)
    names = [step.name for step in miss.explanation.steps]
    assert names == ["l1", "template", "text", "embedding", "index", "guard"]
    assert all(step.microseconds > 0 for step in miss.explanation.steps)
    (seen,) = miss.explanation.steps[-1].candidates
    assert (seen.question, seen.verdict) == ("largest customers", "operator")
    assert seen.score == pytest.approx(0.95)
    assert "smallest" in seen.evidence
    assert "largest customers" in str(miss.explanation)
    assert hit.strategy is SearchStrategy.L1_CACHE
    assert [step.outcome for step in hit.explanation.steps] == ["hit"]
    assert hit.explanation.as_dict()["steps"][0]["name"] == "l1"


async def test_batches_keep_the_order_and_say_what_is_wrong_with_each(cache):
    await cache.store("How many users?", COUNT)
    hits = await cache.search_batch(["nothing like it", "How many users?", "", 7, "x" * 9000])
    assert [hit.strategy.value for hit in hits] == ["no_match", "l1_cache", "error", "error", "error"]
    assert "question" in hits[3].error
    assert (await cache.stats()).total_requests == 5


async def test_every_question_of_an_explained_batch_has_its_times(cache):
    await cache.store("How many users?", COUNT)
    hits = await cache.search_batch(["Which city is it?", "Who sells umbrellas?"], explain=True)
    for hit in hits:
        times = {step.name: step.microseconds for step in hit.explanation.steps}
        assert times["embedding"] > 0
        assert times["index"] > 0


async def test_store_many_reports_progress_and_names_the_faulty_entry(cache):
    seen = []
    entries = [{"question": f"How many of kind {i}?", "generated_query": f"SELECT {i}"} for i in range(7)]
    stored = await cache.store_many(entries, batch_size=3, on_progress=lambda *done: seen.append(done))
    assert stored == 7
    assert seen == [(3, 7), (6, 7), (7, 7)]
    with pytest.raises(ValueError, match=r"entries\[1\]"):
        await cache.store_many([entries[0], {"question": "no query"}])
    assert (await cache.stats()).backend_count == 7


async def test_stats_count_by_strategy(cache):
    await cache.store("How many users?", COUNT)
    await cache.search("How many users?")
    await cache.search("Which city sold most umbrellas?")
    await cache.search("")
    stats = await cache.stats()
    assert (stats.total_requests, stats.total_hits, stats.total_misses, stats.total_errors) == (3, 1, 1, 1)
    assert stats.by_strategy["l1_cache"].count == 1
    assert stats.p99_latency_ms >= stats.p50_latency_ms > 0
    assert "3 requests" in str(stats)
    await cache.clear_caches()
    assert (await cache.stats()).total_requests == 0


async def test_l1_can_be_turned_off():
    async with make(l1_cache_max_size=0) as cache:
        await cache.store("How many users?", COUNT)
        assert cache.peek("How many users?") is None
        assert (await cache.search("How many users?")).strategy is SearchStrategy.EXACT_MATCH


def test_sync_methods_from_eight_threads():
    cache = make()
    cache.start_sync()
    cache.store_sync("How many users?", COUNT)
    failures = []

    def ask(number):
        for i in range(60):
            cache.store_sync(f"How many users of kind {number} {i}?", f"SELECT {number}, {i}")
            hit = cache.search_sync(f"How many users of kind {number} {i}?")
            if hit.generated_query != f"SELECT {number}, {i}":
                failures.append(hit)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cache.close_sync()
    assert failures == []


async def test_sync_methods_inside_a_running_loop(cache):
    await cache.store("How many users?", COUNT)
    await cache.clear_caches()
    assert cache.search_sync("How many users?").generated_query == COUNT


async def test_a_search_that_is_slow_cannot_bring_back_a_replaced_query():
    gate = asyncio.Event()

    async def vectors(texts):
        if texts == ["slow question"]:
            await gate.wait()
        return [[1.0, 0.0] for _ in texts]

    async with make(embedder=CallableEmbedder(vectors, 2, "gate", batch=True), guard="off") as cache:
        await cache.store("stored question", "SELECT 'old'")
        search = asyncio.create_task(cache.search("slow question"))
        await asyncio.sleep(0.01)
        await cache.store("stored question", "SELECT 'new'")
        gate.set()
        await search
        assert (await cache.search("slow question")).generated_query == "SELECT 'new'"


async def test_rows_on_disk_outlive_the_object(tmp_path):
    async with make(path=tmp_path / "cache") as cache:
        await cache.store("How many users are there?", COUNT, metadata={"tenant": "a"})
        await cache.store("How many orders are there?", "SELECT 2")
    async with make(path=tmp_path / "cache") as cache:
        assert (await cache.search("How many orders are there?")).generated_query == "SELECT 2"
        scoped = await cache.search("How many users are there", filters={"tenant": "a"})
        assert scoped.generated_query == COUNT


async def test_what_was_learnt_is_known_again_after_reopening(tmp_path):
    same = [1.0, 0.0, 0.0]
    meaning = Meaning(customers_in_Rome=same, customers_in_Oslo=same, orders_from_Oslo=[0.0, 1.0, 0.0])
    async with make(embedder=meaning.embedder(), path=tmp_path) as cache:
        await cache.store("customers in Rome", "SELECT name FROM customers WHERE city = 'Rome'")
        await cache.store("orders from Oslo", "SELECT id FROM customers WHERE city = 'Oslo'")
        first = await cache.search("customers in Oslo")
    async with make(embedder=meaning.embedder(), path=tmp_path) as cache:
        again = await cache.search("customers in Oslo")
    assert first.generated_query == again.generated_query == "SELECT name FROM customers WHERE city = 'Oslo'"


async def test_a_replaced_query_teaches_no_longer():
    same = [1.0, 0.0, 0.0]
    meaning = Meaning(customers_in_Rome=same, customers_in_Oslo=same, orders_from_Oslo=[0.0, 1.0, 0.0])
    async with make(embedder=meaning.embedder()) as cache:
        await cache.store("customers in Rome", "SELECT name FROM customers WHERE city = 'Rome'")
        await cache.store("orders from Oslo", "SELECT id FROM customers WHERE city = 'Oslo'")
        await cache.store("orders from Oslo", "SELECT id FROM orders")
        assert not await cache.search("customers in Oslo")


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("How many 🍎 were sold?", "How many 🍌 were sold?"),
        ("Orders with total > average", "Orders with total < average"),
        ("Revenue in €", "Revenue in £"),
    ],
)
async def test_signs_that_the_embedder_cannot_read_are_no_paraphrase(cache, stored, asked):
    await cache.store(stored, "SELECT 1")
    assert not await cache.search(asked)
    assert await cache.search(stored.lower())


class SlowBackend(NativeBackend):
    """Writes as slowly as a full disk does."""

    def _write(self, name, entries, on_conflict):
        time.sleep(0.05)
        return super()._write(name, entries, on_conflict)


async def test_a_batch_cancelled_while_it_is_written_leaves_no_outdated_answer():
    questions = [f"How many of kind {i}?" for i in range(100)]
    old, new = ([{"question": q, "generated_query": query} for q in questions] for query in ("old", "new"))
    async with make(backend=SlowBackend(settings=Settings(_env_file=None))) as cache:
        await cache.store_many(old)
        writing = asyncio.create_task(cache.store_many(new))
        await asyncio.sleep(0.02)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        await asyncio.sleep(0.1)
        ready = await cache.search(questions[7])
        await cache.clear_caches()
        assert ready.generated_query == (await cache.search(questions[7])).generated_query


@pytest.mark.parametrize("stop", [SystemExit, KeyboardInterrupt])
def test_an_embedder_that_asks_the_program_to_end_ends_its_caller_only(stop):
    async def vector(text):
        if text == "end":
            raise stop
        return [1.0, 0.0]

    cache = make(embedder=CallableEmbedder(vector, 2, "ends"))
    cache.start_sync()
    with pytest.raises(stop):
        cache.search_sync("end")
    assert cache.store_sync("How many users?", COUNT)
    cache.close_sync()


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
def test_an_interrupted_caller_leaves_nothing_running():
    reached, ended = threading.Event(), threading.Event()

    async def vector(text):
        reached.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    def is_waiting(thread):
        frame, names = sys._current_frames()[thread.ident], set()
        while frame:
            names.add(frame.f_code.co_name)
            frame = frame.f_back
        return "result" in names

    def interrupt():
        reached.wait()
        while not is_waiting(threading.main_thread()):  # the model may run before its caller waits
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    cache = make(embedder=CallableEmbedder(vector, 2, "slow"))
    cache.start_sync()
    thread = threading.Thread(target=interrupt)
    # In the background of a shell, a process is born deaf to this signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            cache.search_sync("How many users?")
    finally:
        signal.signal(signal.SIGINT, before)
    thread.join()
    assert ended.wait(10)
    cache.close_sync()
