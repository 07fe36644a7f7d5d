"""The ways in which caches of this kind fail their users, one test each, named after the list they are on.

W: wrong answers. T: staleness and loss. P: performance, concurrency, interface. Templates (W6, W7, W9,
P16) and the command line (P13) have their own files, other engines (W10, W11, T11) theirs.
"""

import asyncio
import inspect
import logging
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from medha_core import (
    BaseEmbedder,
    CacheHit,
    CallableEmbedder,
    ConfigurationError,
    DimensionMismatchError,
    HashingEmbedder,
    InMemoryBackend,
    InMemoryL1Cache,
    Medha,
    NativeBackend,
    SearchStrategy,
    Settings,
    StorageError,
)

SAME = [1.0, 0.0, 0.0]


def make(name="c", *, embedder=None, backend=None, l1=None, **settings):
    settings = Settings(_env_file=None, **settings)
    return Medha(name, embedder or HashingEmbedder(64), backend, settings, l1_backend=l1)


def alike():
    """An embedder for which all questions mean the same."""
    return CallableEmbedder(lambda texts: [SAME] * len(texts), 3, "alike", batch=True)


# wrong answers


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("first 5 orders", "top 5 orders"),
        ("sales in 'US'", "sales in 'us'"),
        ("show me the first 10 users", "show me the top 10 users"),
    ],
)
async def test_W1_first_is_not_top_and_letters_of_a_literal_count(stored, asked):
    async with make(embedder=alike()) as cache:
        await cache.store(stored, "SELECT 1")
        assert not await cache.search(asked)
        await cache.store(asked, "SELECT 2")
        await cache.clear_caches()
        assert (await cache.search(stored)).generated_query == "SELECT 1"
        assert (await cache.search(asked)).generated_query == "SELECT 2"


@pytest.mark.parametrize("shared_l1", [True, False])
async def test_W2_collections_never_answer_for_one_another(shared_l1):
    backend, l1 = InMemoryBackend(), InMemoryL1Cache() if shared_l1 else None
    async with make("a", backend=backend, l1=l1) as a, make("b", backend=backend, l1=l1) as b:
        await a.store("how many users", "SELECT 'a'")
        assert await a.search("how many users")
        assert not await b.search("how many users")
        assert not (await a.search_batch(["how many users"], collection_name="b"))[0]
        await b.store("how many users", "SELECT 'b'")
        for cache, other in ((a, "b"), (b, "a")):
            assert (
                await cache.search("how many users", collection_name=other)
            ).generated_query == f"SELECT '{other}'"
            (batch,) = await cache.search_batch(["how many users"], collection_name=other)
            assert batch.generated_query == f"SELECT '{other}'"


async def test_W3_a_corrected_query_replaces_the_old_one():
    async with make() as cache:
        for query in ("SELECT 'wrong'", "SELECT 'right'"):
            assert await cache.store("how many users", query)
        await cache.clear_caches()
        assert (await cache.search("how many users")).generated_query == "SELECT 'right'"
        assert (await cache.stats()).backend_count == 1


CHANGED = [
    ("top 5 customers in 2023", "top 10 customers in 2024", "number"),
    ("revenue by region", "revenue not by region", "negation"),
    ("orders of customer 10234", "orders of customer 10239", "id"),
    ("orders in 2023", "orders in 2024", "year"),
    ("users named 'Smith'", "users named 'smith'", "literal"),
    ("first 5 orders", "last 5 orders", "operator"),
]


@pytest.mark.parametrize(("stored", "asked", "kind"), CHANGED, ids=[kind for *_, kind in CHANGED])
async def test_W4_W5_what_asks_for_something_else_is_no_hit_at_any_cosine_and_any_ratio(stored, asked, kind):
    async with make(embedder=alike()) as cache:
        await cache.store(stored, "SELECT name FROM t")
        hit = await cache.search(asked)
        assert not hit, hit
        again = await cache.search(asked)
        assert not again


async def test_W8_scoped_entries_answer_only_their_scope():
    async with make(embedder=alike()) as cache:
        for tenant in ("a", "b"):
            await cache.store("how many users", f"SELECT '{tenant}'", metadata={"tenant": tenant})
        for question in ("how many users", "show me how many users"):
            assert not await cache.search(question)
            for tenant in ("a", "b"):
                hit = await cache.search(question, filters={"tenant": tenant})
                assert hit.generated_query == f"SELECT '{tenant}'"
        assert await cache.search("how many users", include_scoped=True)
        assert not await cache.search("how many users")


async def test_W11_names_that_look_alike_are_different_collections(tmp_path):
    names = ("acme-eu", "acme_eu", "ACME_eu", "acme.eu", "acme eu", "é" * 200)
    async with make("acme-eu", backend=NativeBackend(tmp_path)) as cache:
        for name in names:
            await cache.store("how many users", f"SELECT '{name}'", collection_name=name)
    async with make("acme-eu", backend=NativeBackend(tmp_path)) as cache:
        for name in names:
            hit = await cache.search("how many users", collection_name=name)
            assert hit.generated_query == f"SELECT '{name}'"


async def test_W12_soft_filters_find_the_matching_twin_behind_one_that_does_not_match():
    async with make(embedder=alike(), metadata_filter_mode="soft", guard="off") as cache:
        for number in range(3):
            await cache.store(f"how many users {'abc'[number]}", f"SELECT {number}", metadata={"n": number})
        for number in range(3):
            hit = await cache.search("how many people", filters={"n": number})
            assert (hit.generated_query, hit.strategy) == (f"SELECT {number}", SearchStrategy.EXACT_MATCH)


class Asymmetric(BaseEmbedder):
    """A model that embeds questions and documents differently, and notes what it was given as which."""

    dimension = 3
    model_name = "asymmetric"

    def __init__(self):
        self.seen = []

    async def aembed(self, text):
        return (await self.aembed_batch([text]))[0]

    async def aembed_batch(self, texts, **kwargs):
        is_document = bool(kwargs.get("is_document"))
        self.seen += [(text, is_document) for text in texts]
        return [[1.0, 0.2 * is_document, 0.0] for _ in texts]


async def test_W13_questions_are_embedded_as_questions_and_entries_as_documents():
    embedder = Asymmetric()
    async with make(embedder=embedder, guard="off") as cache:
        await cache.store("one way", "SELECT 1")
        await cache.store_batch([{"question": "another way", "generated_query": "SELECT 2"}])
        await cache.store_many([{"question": "a third way", "generated_query": "SELECT 3"}])
        assert [is_document for _, is_document in embedder.seen] == [True] * 3
        rows, _ = await cache._backend.scroll("c", with_vectors=True)
        assert len({np.asarray(row.vector).tobytes() for row in rows}) == 1
        await cache.search("one way or the other")
        assert embedder.seen[-1] == ("one way or the other", False)
        # The document's vector is not taken for the question's, though the text is the same.
        await cache.invalidate("one way")
        await cache.search("one way")
        assert embedder.seen[-1] == ("one way", False)


async def test_W14_vectors_of_another_model_are_never_compared(tmp_path):
    async with make("a", backend=NativeBackend(tmp_path)) as cache:
        await cache.store("how many users", "SELECT 1")
        await cache.store("how many users", "SELECT 1", collection_name="b")

    class Other(HashingEmbedder):
        model_name = "another model of the same dimension"

    with pytest.raises(StorageError, match="another model"):
        await make("a", embedder=Other(64), path=tmp_path).start()
    with pytest.raises(DimensionMismatchError):
        await make("a", embedder=HashingEmbedder(32), path=tmp_path).start()
    async with make("new", embedder=Other(64), backend=NativeBackend(tmp_path)) as cache:
        hit = await cache.search("how many users", collection_name="b")
        assert hit.strategy is SearchStrategy.ERROR
        assert "another model" in hit.error
        assert await cache.store("how many users", "SELECT 2", collection_name="b") is False
        with pytest.raises(StorageError, match="another model"):
            await cache.invalidate("how many users", collection_name="b")


# staleness and loss


async def test_T1_T2_the_default_ttl_holds_on_every_way_in_l1_and_in_the_store(tmp_path):
    clock = [time.time()]
    backend = InMemoryBackend(clock=lambda: clock[0])
    l1 = InMemoryL1Cache(clock=lambda: clock[0])
    path = tmp_path / "f.json"
    path.write_text('[{"question": "from a file", "generated_query": "SELECT 4"}]')
    async with make(backend=backend, l1=l1, default_ttl_seconds=60) as cache:
        await cache.store("one by one", "SELECT 1")
        await cache.store_batch([{"question": "in a batch", "generated_query": "SELECT 2"}])
        await cache.store_many([{"question": "of many", "generated_query": "SELECT 3"}])
        await cache.warm_from_file(path)
        await cache.get_or_generate("made on a miss", lambda question: "SELECT 5")
        asked = ("one by one", "in a batch", "of many", "from a file", "made on a miss")
        for _ in range(2):
            assert all([await cache.search(question) for question in asked])
            await cache.clear_caches()
        assert all([await cache.search(question) for question in asked])
        clock[0] += 61
        assert not any([await cache.search(question) for question in asked])
        assert await cache.expire() == 5
        assert not any([await cache.search(question) for question in asked])


async def test_T3_no_paraphrase_gets_what_was_forgotten():
    # Every way of forgetting, for L1, vectors, exchanged values and other processes: test_forgetting.py.
    async with make(embedder=alike(), guard="off") as cache:
        await cache.store("how many users", "SELECT 1")
        assert await cache.search("count the people")
        assert (await cache.search("count the people")).strategy is SearchStrategy.L1_CACHE
        await cache.invalidate("how many users")
        assert not await cache.search("count the people")


def test_T5_a_kill_while_storing_leaves_a_store_that_opens_with_all_that_was_acknowledged(tmp_path):
    # At every moment of a write: test_survival.py. Here at whatever moment the parent comes by.
    script = (
        "import asyncio, sys\n"
        "from medha_core import HashingEmbedder, Medha, NativeBackend, Settings\n"
        "async def main():\n"
        "    cache = Medha('c', HashingEmbedder(64), NativeBackend(sys.argv[1]), Settings(_env_file=None))\n"
        "    await cache.start()\n"
        "    for number in range(100000):\n"
        "        await cache.store(f'question {number}', f'SELECT {number}')\n"
        "        print(number, flush=True)\n"
        "asyncio.run(main())\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    for _ in range(50):
        process.stdout.readline()
    process.kill()
    stored = 50 + len([line for line in process.stdout.read().split("\n") if line])
    process.stdout.close()
    process.wait()
    cache = make(backend=NativeBackend(tmp_path))
    cache.start_sync()
    for number in range(stored - 1):
        assert cache.search_sync(f"question {number}").generated_query == f"SELECT {number}"
    cache.close_sync()


async def test_T6_the_default_store_keeps_what_it_is_given_a_directory_for(tmp_path):
    settings = Settings(_env_file=None, path=tmp_path)
    assert settings.backend_type == "native"
    for turn in range(2):
        async with Medha("c", HashingEmbedder(64), settings=settings) as cache:
            assert bool(await cache.search("how many users")) is bool(turn)
            await cache.store("how many users", "SELECT 1")


async def test_T8_caches_add_to_persisted_statistics_and_clearing_caches_keeps_them(tmp_path):
    backend = NativeBackend(tmp_path)
    async with make(backend=backend) as one, make(backend=backend) as other:
        for cache in (one, other, other):
            await cache.search("nobody knows")
        await one.clear_caches()
        await one.persisted_stats()
        assert (await other.persisted_stats()).total_misses == 3


class LateDimension(HashingEmbedder):
    """Knows its dimension only once it has embedded something."""

    known = False

    @property
    def dimension(self):
        if not self.known:
            raise RuntimeError("embed something first")
        return 64

    async def aembed_array(self, texts, **kwargs):
        self.known = True
        return await super().aembed_array(texts, **kwargs)


async def test_T9_an_embedder_that_does_not_know_its_dimension_yet_can_start():
    embedder = LateDimension(64)
    embedder.known = False
    async with make(embedder=embedder) as cache:
        await cache.store("how many users", "SELECT 1")
        assert await cache.search("how many users")


async def test_T10_another_dimension_is_refused_even_for_an_empty_collection(tmp_path):
    async with make(embedder=HashingEmbedder(64), backend=NativeBackend(tmp_path)):
        pass
    with pytest.raises(DimensionMismatchError, match=r"64.*32"):
        await make(embedder=HashingEmbedder(32), path=tmp_path).start()
    for kind in (InMemoryBackend(), NativeBackend(tmp_path / "b")):
        async with kind as store:
            await store.initialize("c", 3)
            with pytest.raises(DimensionMismatchError):
                await store.initialize("c", 4)


# performance, concurrency, interface


async def test_P1_an_l1_hit_needs_no_embedder():
    working = [True]

    def embed(texts):
        if not working[0]:
            raise RuntimeError("the model is gone")
        return [SAME] * len(texts)

    async with make(embedder=CallableEmbedder(embed, 3, "may fail", batch=True)) as cache:
        await cache.store("how many users", "SELECT 1")
        working[0] = False
        assert (await cache.search("How many users?")).strategy is SearchStrategy.L1_CACHE
        assert (await cache.search_batch(["how many users"]))[0].strategy is SearchStrategy.L1_CACHE
        assert (await cache.search("something else")).strategy is SearchStrategy.ERROR


def test_P2_P3_the_cost_of_a_search_and_of_forgetting_does_not_grow_with_the_collection():
    """Ten times the entries must not cost anywhere near ten times as much (measured in CPU time)."""
    costs = []
    for size in (400, 4000):
        rng = np.random.default_rng(7)
        vectors = rng.standard_normal((size, 64)).astype(np.float32)
        model = HashingEmbedder(64).fingerprint
        entries = [
            {
                "question": f"q{n} of {n * 7919}",
                "generated_query": f"SELECT {n}",
                "vector": vectors[n],
                "model": model,
            }
            for n in range(size)
        ]
        cache = make(l1_cache_max_size=0, guard="off")

        async def cost(cache=cache, entries=entries):
            async with cache:
                await cache.store_many(entries, batch_size=1000)
                loop_time = []
                for turn in range(20):
                    before = time.thread_time()
                    await cache.search(f"what is {turn}")
                    await cache._backend.find_by_query_hash("c", "none")
                    await cache.invalidate(f"q{turn} of {turn * 7919}")
                    loop_time.append(time.thread_time() - before)
                return sorted(loop_time)[10]

        costs.append(asyncio.run(cost()))
    assert costs[1] < 5 * costs[0], costs


async def test_P4_each_of_600_tenants_gets_its_own_row_at_the_exact_tier():
    async with make() as cache:
        await cache.store_many(
            [
                {"question": "how many users", "generated_query": f"SELECT {n}", "metadata": {"tenant": n}}
                for n in range(600)
            ]
        )
        await cache.clear_caches()
        for tenant in range(600):
            hit = await cache.search("How many users?", filters={"tenant": tenant})
            assert (hit.strategy, hit.generated_query) == (SearchStrategy.EXACT_MATCH, f"SELECT {tenant}")


def test_P5_eight_threads_and_a_running_loop_can_use_the_synchronous_twins():
    # 8 threads x 500 calls, every twin, inside a loop: test_sync_twins.py. Here on the recipe of the docs.
    cache = make()
    asyncio.run(cache.start())
    cache.store_sync("how many users", "SELECT 1")
    hits = []

    async def inside():
        hits.append(cache.search_sync("how many users"))

    threads = [
        threading.Thread(
            target=lambda: hits.extend(cache.search_sync(f"how many users{'?' * n}") for n in range(3))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asyncio.run(inside())
    assert len(hits) == 25
    assert {hit.generated_query for hit in hits} == {"SELECT 1"}
    asyncio.run(cache.close())


async def test_P6_cancelling_one_who_waits_for_an_embedding_cancels_only_that_one():
    started, going = asyncio.Event(), asyncio.Event()

    async def embed(texts):
        started.set()
        await going.wait()
        return [SAME] * len(texts)

    async with make(embedder=CallableEmbedder(embed, 3, "slow", batch=True)) as cache:
        owner = asyncio.create_task(cache.search("how many users"))
        await started.wait()
        joiners = [asyncio.create_task(cache.search("how many users")) for _ in range(3)]
        await asyncio.sleep(0.01)
        joiners[0].cancel()
        owner.cancel()
        await asyncio.sleep(0.01)
        going.set()
        hits = await asyncio.gather(*joiners[1:])
        assert all(hit.strategy is SearchStrategy.NO_MATCH for hit in hits), hits
        assert joiners[0].cancelled()
        assert owner.cancelled()


async def test_P7_an_error_is_false_and_says_why():
    async with make() as cache:
        hit = await cache.search("")
        assert not hit
        assert (hit.strategy, hit.generated_query) == (SearchStrategy.ERROR, "")
        assert "question" in hit.error
    assert not CacheHit()


async def test_P7_a_warning_names_the_kind_of_what_others_raise(monkeypatch, caplog):
    async def fails(texts):
        raise KeyError(texts[0])

    async with make() as cache:
        await cache.store("how many shops", "SELECT 1")
        monkeypatch.setattr(cache._parts.embedding, "aembed_array", fails)
        hit = await cache.search("how many orders")
    assert (hit.strategy, bool(hit)) == (SearchStrategy.ERROR, False)
    assert "search failed: MedhaError from KeyError" in caplog.text


class Narrow(BaseEmbedder):
    """Takes no keyword arguments, like the custom embedder of the Medha README."""

    dimension = 64
    model_name = "narrow"

    async def aembed(self, text):
        return await HashingEmbedder(64).aembed(text)

    async def aembed_batch(self, texts):
        return [await self.aembed(text) for text in texts]


async def test_P8_an_embedder_without_keyword_arguments_works_everywhere():
    async with make(embedder=Narrow()) as cache:
        assert await cache.store_batch([{"question": "a question", "generated_query": "SELECT 1"}])
        assert await cache.store_many([{"question": "another", "generated_query": "SELECT 2"}]) == 1
        assert (await cache.search("a question")).generated_query == "SELECT 1"


async def test_P9_a_batch_checks_counts_remembers_and_shares_as_a_single_search_does():
    calls = []

    def embed(texts):
        calls.append(list(texts))
        return [SAME] * len(texts)

    async with make(embedder=CallableEmbedder(embed, 3, "counting", batch=True)) as cache:
        asked = ["what is a", "what is a", "", "x" * 9000, "what is b"]
        hits = await cache.search_batch(asked)
        assert [hit.strategy.value for hit in hits] == ["no_match", "no_match", "error", "error", "no_match"]
        assert calls == [["what is a", "what is b"]]
        await cache.search_batch(asked)
        await cache.search("what is a")
        assert len(calls) == 1
        stats = await cache.stats()
        assert (stats.total_requests, stats.total_errors, stats.total_misses) == (11, 4, 7)


async def test_P10_setting_a_key_again_evicts_nothing_and_makes_it_the_newest():
    l1 = InMemoryL1Cache(2)
    for key in ("a", "b", "a"):
        await l1.set(key, CacheHit(generated_query=key))
    assert l1.size == 2
    await l1.set("c", CacheHit(generated_query="c"))
    assert await l1.get("b") is None
    assert (await l1.get("a")).generated_query == "a"


async def test_P11_uses_are_counted_and_caches_can_be_cleared_while_others_search():
    async with make() as cache:
        await cache.store("how many users", "SELECT 1")

        async def search():
            for _ in range(50):
                assert await cache.search("how many users")
                await asyncio.sleep(0)

        async def clear():
            for _ in range(20):
                await asyncio.to_thread(cache.clear_caches_sync)

        await asyncio.gather(search(), clear(), search())
        rows, _ = await cache._backend.scroll("c")
        assert rows[0].usage_count == 101


async def test_P12_similarity_is_one_scale_whatever_tier_answered():
    vectors = {"total users": SAME, "exact twin": [0.995, 0.0999, 0.0], "near": [0.9, 0.43589, 0.0]}
    embedder = CallableEmbedder(lambda texts: [vectors[text] for text in texts], 3, "given", batch=True)
    async with make(embedder=embedder, guard="off") as cache:
        await cache.store("total users", "SELECT 1")
        for question, cosine in (("total users", 1.0), ("exact twin", 0.995), ("near", 0.9)):
            for _ in range(2):
                hit = await cache.search(question)
                assert hit.similarity == pytest.approx(cosine, abs=2e-3)
        assert (await cache.search("near")).confidence == pytest.approx(0.81, abs=2e-3)


def test_P14_what_the_documents_say_is_there_is_there():
    parameters = inspect.signature(Medha.store).parameters
    assert "ttl" in parameters
    assert parameters["ttl"].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert {"cleanup_interval_seconds", "l1_cache_max_size", "default_ttl_seconds"} <= set(
        Settings.model_fields
    )
    for name, method in inspect.getmembers(Medha):
        if not name.startswith("_"):
            assert inspect.getdoc(method) or isinstance(method, property), name


def test_P15_settings_say_that_they_read_env_and_can_be_told_not_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("MEDHA_L1_CACHE_MAX_SIZE=7\n")
    monkeypatch.delenv("MEDHA_L1_CACHE_MAX_SIZE", raising=False)
    assert Settings().l1_cache_max_size == 7
    assert Settings(_env_file=None).l1_cache_max_size == 1000
    assert ".env" in Settings.__doc__


def test_P15_making_a_cache_loads_no_language_model():
    script = (
        "import sys\n"
        "from medha_core import HashingEmbedder, Medha, Settings\n"
        "Medha('c', HashingEmbedder(8), settings=Settings(_env_file=None))\n"
        "assert not {'spacy', 'gliner', 'torch', 'sqlglot', 'pandas', 'redis'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env=os.environ | {"MEDHA_GUARD": "balanced"})


async def test_nothing_keeps_the_event_loop_of_the_caller(tmp_path):
    """What takes long runs in threads: embedding, files, parsing, checking of many."""
    main, seen = threading.current_thread(), {}

    def embed(texts):
        seen["embedding"] = threading.current_thread()
        return [SAME] * len(texts)

    def noting(name, function):
        def noted(*args, **kwargs):
            seen[name] = threading.current_thread()
            return function(*args, **kwargs)

        return noted

    with pytest.MonkeyPatch.context() as patch:
        for place, name in (("storing", "read_entries"), ("storing", "items_of"), ("exporting", "frame_of")):
            module = f"medha_core.acts.{place}.{name}"
            patch.setattr(module, noting(name, getattr(sys.modules[f"medha_core.acts.{place}"], name)))
        patch.setattr("medha_core.writer.read_tables", noting("read_tables", lambda query, language: ()))
        async with make(embedder=CallableEmbedder(embed, 3, "noting", batch=True)) as cache:
            await cache.store("how many users", "SELECT 1")
            await cache.export_jsonl(tmp_path / "f")
            await cache.warm_from_file(tmp_path / "f")
            frame = await cache.export_to_dataframe()
            await cache.warm_from_dataframe(frame)
    assert set(seen) == {"embedding", "read_entries", "items_of", "frame_of", "read_tables"}
    assert main not in seen.values()


# what may be logged


SECRET = "what does Jane Doe earn"
SECRET_QUERY = "SELECT salary FROM staff WHERE name = 'Jane Doe'"


async def use_everything(tmp_path, **settings):
    """Every act, with what succeeds and what fails, on a secret."""

    def embed(texts):
        if any("fails" in text for text in texts):
            raise RuntimeError(f"cannot embed {texts}")
        return [SAME] * len(texts)

    embedder = CallableEmbedder(embed, 3, "m", batch=True)
    async with make(embedder=embedder, stats_persist_interval=1, **settings) as cache:
        await cache.store(SECRET, SECRET_QUERY)
        await cache.store(f"{SECRET} fails", SECRET_QUERY)
        await cache.store(" ", SECRET_QUERY)
        for question in (SECRET, f"{SECRET} fails", f"{SECRET}\0", f"{SECRET}?", SECRET * 1000):
            await cache.search(question)
        await cache.search_batch([SECRET, f"{SECRET} now"])
        await cache.feedback(SECRET, False)
        await cache.get_or_generate(f"{SECRET} and when", lambda question: SECRET_QUERY)
        await cache.export_jsonl(tmp_path / "f")
        await cache.warm_from_file(tmp_path / "f")
        await cache.invalidate_by_table("staff")
        await cache.invalidate(SECRET)
        await cache.expire()
        await cache.dedup_collection()


async def test_questions_and_queries_are_logged_at_debug_only(tmp_path, caplog):
    caplog.set_level(logging.DEBUG, "medha_core")
    await use_everything(tmp_path)
    told = [record for record in caplog.records if "Jane" in record.getMessage()]
    assert {record.levelname for record in told} == {"DEBUG"}
    assert {record.name.split(".")[0] for record in caplog.records if record.levelno >= logging.INFO} == {
        "medha_core"
    }


async def test_questions_and_queries_are_never_logged_where_that_is_turned_off(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    await use_everything(tmp_path, log_questions=False)
    assert not [record for record in caplog.records if "Jane" in record.getMessage()]
    assert [record for record in caplog.records if record.levelno == logging.WARNING]


# limits


async def test_every_growing_structure_has_a_limit(monkeypatch):
    monkeypatch.setattr("medha_core.deciding.exchanged._KEPT", 5)
    async with make(
        l1_cache_max_size=10, stats_max_latency_samples=100, learned_entries=20, max_entries=30
    ) as cache:
        for number in range(60):
            await cache.store(f"users of city {number}", f"SELECT * FROM users WHERE city = {number}")
            await cache.search(f"users of city {number}")
            await cache.search(f"users of town {number}")
        parts = cache._parts
        assert parts.l1.size <= 10
        assert len(parts.embedding._inflight) == len(cache._generating._inflight) == 0
        assert len(parts.stats._samples) <= 100
        assert len(parts.stats._pending) <= 1024
        assert (await cache.stats()).backend_count == 30
        assert len(parts.teacher._knowledge._taught) <= 20


async def test_metadata_on_a_store_that_keeps_none_is_refused():
    class Bare(InMemoryBackend):
        supports_metadata = False

    async with make(backend=Bare()) as cache:
        with pytest.raises(ConfigurationError, match="Bare keeps no metadata"):
            await cache.store("how many users", "SELECT 1", metadata={"t": 1})
        with pytest.raises(ConfigurationError, match="filters"):
            await cache.search("how many users", filters={"t": 1})
