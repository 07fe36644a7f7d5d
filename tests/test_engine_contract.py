"""One contract, every engine: what `VectorStorageBackend` promises, asked of each of them."""

import asyncio
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from engine_harness import HARNESSES, client_of

from medha_core import (
    ArgumentValueError,
    CacheEntry,
    ConflictError,
    DimensionMismatchError,
    HashingEmbedder,
    InMemoryBackend,
    Medha,
    MedhaError,
    PersistedStats,
    SearchStrategy,
    Settings,
    StorageError,
    StorageInitializationError,
    VectorRole,
)
from medha_core.testing.storage import StorageContract

DIMENSION, ROWS = 16, 10_000
NAMES = [
    "acme-eu",
    "acme.eu",
    "acme_eu",
    "ACME_eu",
    "Ünïcode 名",
    "quote'\"`;--",
    "",
    " ",
    "a" * 300,
    "a" * 301,
]


def axis(number):
    vector = np.zeros(DIMENSION, dtype=np.float32)
    vector[number % DIMENSION] = 1.0
    vector[(number + 1) % DIMENSION] = 0.1 * (number // DIMENSION)
    return vector.tolist()


def entry(number, **fields):
    given = {
        "id": f"e{number}",
        "vector": axis(number),
        "original_question": f"Question {number}?",
        "normalized_question": f"question {number}",
        "generated_query": f"SELECT {number}",
        "query_hash": f"hash{number % 3}",
        **fields,
    }
    return CacheEntry(**given)


def random_entries(count, seed=7, dimension=DIMENSION):
    numbers = np.random.default_rng(seed)
    vectors = numbers.normal(size=(count, dimension)).astype(np.float32)
    return [entry(i, vector=vector.tolist()) for i, vector in enumerate(vectors)]


@pytest.fixture(params=list(HARNESSES))
async def engine(request, tmp_path, require):
    kind, server = HARNESSES[request.param]
    require(*client_of(kind))
    harness = kind(request.getfixturevalue(server) if server else None, tmp_path)
    yield harness
    await harness.clean()


@pytest.fixture
async def store(engine):
    async with engine.make() as store:
        await store.initialize("c", DIMENSION)
        yield store


class TestContract(StorageContract):
    """The contract that every store is held to, also those that are not ours."""

    @pytest.fixture
    async def backend(self, engine):
        async with engine.make() as backend:
            yield backend


async def all_pages(store, limit=10, **options):
    seen, offset = [], None
    while True:
        page, offset = await store.scroll("c", limit=limit, offset=offset, **options)
        assert len(page) <= limit
        seen += page
        if offset is None:
            return seen


class TestSearching:
    async def test_the_nearest_come_first(self, store):
        await store.upsert("c", [entry(i) for i in range(40)])
        found = await store.search("c", axis(17), limit=3)
        assert [row.id for row in found] == ["e17", "e33", "e1"]
        assert found[0].score == pytest.approx(1.0, abs=1e-5)
        assert [row.id for row in await store.search("c", axis(17), limit=3, score_threshold=0.9999)] == [
            "e17"
        ]
        for limit, count in ((1, 1), (40, 40), (500, 40)):
            assert len(await store.search("c", axis(17), limit=limit, score_threshold=0.0)) == count

    async def test_scores_are_those_of_the_embedded_store(self, store):
        entries = random_entries(300)
        await store.upsert("c", entries)
        async with InMemoryBackend(settings=Settings(_env_file=None)) as native:
            await native.initialize("c", DIMENSION)
            await native.upsert("c", entries)
            for question in random_entries(20, seed=8):
                ours = {row.id: row.score for row in await store.search("c", question.vector, limit=10)}
                theirs = {row.id: row.score for row in await native.search("c", question.vector, limit=10)}
                assert len(ours.keys() & theirs.keys()) >= 9
                for name in ours.keys() & theirs.keys():
                    assert ours[name] == pytest.approx(theirs[name], abs=1e-3)
                    assert 0.0 <= ours[name] <= 1.0

    async def test_lengths_of_vectors_do_not_matter(self, store):
        await store.upsert("c", [entry(1, vector=(1e-3 * np.array(axis(1))).tolist()), entry(2)])
        found = await store.search("c", (1e4 * np.array(axis(1))).tolist(), limit=1)
        assert (found[0].id, round(found[0].score, 4)) == ("e1", 1.0)

    async def test_an_opposite_vector_scores_nothing_below_zero(self, store):
        await store.upsert("c", [entry(1)])
        found = await store.search("c", (-np.array(axis(1))).tolist(), limit=5, score_threshold=-1.0)
        assert [row.score for row in found] == [0.0]
        assert await store.search("c", (-np.array(axis(1))).tolist(), limit=5) == []

    async def test_an_empty_collection_and_bad_arguments(self, store):
        assert await store.search("c", axis(1)) == []
        assert await store.count("c") == 0
        assert await store.scroll("c") == ([], None)
        with pytest.raises(DimensionMismatchError):
            await store.search("c", [1.0] * (DIMENSION + 1))
        with pytest.raises(ArgumentValueError, match="limit"):
            await store.search("c", axis(1), limit=0)
        with pytest.raises(ArgumentValueError):
            await store.search("c", [0.0] * DIMENSION)
        with pytest.raises(StorageError, match="absent"):
            await store.search("absent", axis(1))


class TestFilters:
    VALUES = [
        "t1",
        "T1",
        "1",
        "",
        "ä 名'\"\\",
        True,
        False,
        0,
        1,
        10,
        1.5,
        -3,
        2**53 + 1,
        2**62,
        "true",
        "x" * 256,
    ]

    async def test_every_type_of_value_matches_itself_alone(self, store):
        await store.upsert(
            "c", [entry(i, vector=axis(0), metadata={"k": value}) for i, value in enumerate(self.VALUES)]
        )
        for i, value in enumerate(self.VALUES):
            found = await store.search_filtered("c", axis(0), limit=50, filters={"k": value})
            assert [row.id for row in found] == [f"e{i}"], value
            assert found[0].metadata == {"k": value}
            assert type(found[0].metadata["k"]) is type(value)

    async def test_numbers_are_equal_whatever_their_type(self, store):
        await store.upsert("c", [entry(1, metadata={"n": 10}), entry(2, metadata={"n": 10.0, "b": True})])
        found = await store.search_filtered("c", axis(1), limit=9, filters={"n": 10.0})
        assert sorted(row.id for row in found) == ["e1", "e2"]
        assert await store.search_filtered("c", axis(1), limit=9, filters={"b": 1}) == []

    async def test_all_keys_must_match_and_missing_ones_do_not(self, store):
        await store.upsert(
            "c",
            [
                entry(1, metadata={"tenant": "a", "lang": "de", "more": 1}),
                entry(2, metadata={"tenant": "a"}),
                entry(3),
            ],
        )
        for filters, ids in (
            ({"tenant": "a"}, ["e1", "e2"]),
            ({"tenant": "a", "lang": "de"}, ["e1"]),
            ({"lang": "en"}, []),
            ({"absent": "a"}, []),
            ({}, ["e1", "e2", "e3"]),
            (None, ["e1", "e2", "e3"]),
        ):
            found = await store.search_filtered("c", axis(1), limit=9, score_threshold=-1.0, filters=filters)
            assert sorted(row.id for row in found) == ids, filters
        with pytest.raises(ValueError, match="filters"):
            await store.search_filtered("c", axis(1), filters={"tenant": ["a"]})

    async def test_a_small_tenant_finds_its_rows_among_many_that_are_nearer(self, store):
        near = [entry(i, vector=axis(0), metadata={"tenant": "big"}) for i in range(1500)]
        far = [entry(5000 + i, vector=axis(3), metadata={"tenant": "small"}) for i in range(3)]
        await store.upsert("c", near + far)
        found = await store.search_filtered(
            "c", axis(0), limit=5, score_threshold=-1.0, filters={"tenant": "small"}
        )
        assert sorted(row.id for row in found) == ["e5000", "e5001", "e5002"]
        found = await store.candidates("c", axis(0), 5, -1.0, {"tenant": "small"})
        assert sorted(row.id for row in found) == ["e5000", "e5001", "e5002"]

    async def test_entries_with_metadata_are_seen_only_by_who_asks_for_them(self, store):
        await store.upsert("c", [entry(i, vector=axis(0), metadata={"t": i}) for i in range(50)])
        await store.upsert("c", [entry(99, vector=axis(1))])
        assert [one.id for one in await store.candidates("c", axis(0), 5, -1.0)] == ["e99"]
        assert len(await store.candidates("c", axis(0), 60, -1.0, include_scoped=True)) == 51


class TestWriting:
    async def test_upsert_replaces_by_id_and_the_last_of_a_batch_wins(self, store):
        await store.upsert("c", [entry(1), entry(2)])
        await store.upsert(
            "c", [entry(1, generated_query="SELECT 'new'"), entry(1, generated_query="SELECT 'last'")]
        )
        assert await store.count("c") == 2
        assert (await store.search("c", axis(1), limit=1))[0].generated_query == "SELECT 'last'"
        await store.upsert(
            "c", [entry(1, vector=axis(5), metadata={"k": "v"}, query_hash="other", template_id="t")]
        )
        assert (await store.search("c", axis(5), limit=1))[0].id == "e1"
        assert "e1" not in [row.id for row in await store.search("c", axis(1), limit=5, score_threshold=0.5)]
        assert await store.find_by_query_hash("c", "hash1") == []
        assert await store.find_by_query_hash("c", "other") == ["e1"]
        await store.upsert("c", [])

    async def test_a_bad_entry_in_a_batch_writes_nothing(self, store):
        await store.upsert("c", [entry(1)])
        bad = [{"vector": vector} for vector in ([1.0] * 7, [0.0] * DIMENSION, [math.nan] * DIMENSION, None)]
        bad += [{"metadata": {"k": "x" * 300}}, {"generated_query": "\ud800"}]
        for fields in bad:
            with pytest.raises((MedhaError, ValueError, TypeError)):
                await store.upsert("c", [entry(1, generated_query="SELECT 0"), entry(2, **fields)])
        assert await store.count("c") == 1
        assert (await store.search("c", axis(1), limit=1))[0].generated_query == "SELECT 1"

    async def test_an_entry_comes_back_whole(self, store):
        created = datetime(2024, 2, 29, 12, 30, 15, 123456, UTC)
        given = entry(
            1,
            original_question="Wie viele Kühe — 牛? \U0001f42e\n",
            normalized_question="wie viele kühe",
            generated_query="SELECT 'O''Brien' -- \\ \"x\"",
            query_hash="h",
            response_summary="42 \t牛\u0000",
            template_id="t'1",
            usage_count=7,
            feedback_correct=3,
            feedback_incorrect=2,
            role=VectorRole.QUESTION,
            created_at=created,
            expires_at=created + timedelta(days=36500),
            tables=("orders", "kühe"),
            metadata={"s": "ä", "i": 3, "f": 0.1, "b": False, "dots.and-dashes_": "v"},
        )
        await store.upsert("c", [given])
        (row,) = await all_pages(store, with_vectors=True)
        same = set(type(row).model_fields) & set(CacheEntry.model_fields) - {"vector"}
        assert {name: getattr(row, name) for name in same} == {name: getattr(given, name) for name in same}
        assert np.allclose(row.vector, given.vector, atol=1e-6)
        (found,) = await store.candidates("c", axis(1), 1, 0.5, {"b": False})
        assert (await store.fetch("c", found)).response_summary == "42 \t牛\u0000"

    async def test_entries_are_found_by_the_tables_they_read(self, store):
        await store.upsert(
            "c", [entry(1, tables=("a", "b")), entry(2, tables=("b",)), entry(3, tables=()), entry(4)]
        )
        assert await store.find_by_tables("c", ["b", "x"]) == ["e1", "e2"]
        assert await store.find_by_tables("c", ["a"]) == ["e1"]
        assert await store.find_by_tables("c", []) == []
        assert await store.find_unread("c") == ["e4"]

    async def test_delete_and_lookups(self, store):
        await store.upsert("c", [entry(i, template_id="t" if i < 2 else None) for i in range(6)])
        assert await store.find_by_query_hash("c", "hash1") == ["e1", "e4"]
        assert await store.find_by_template_id("c", "t") == ["e0", "e1"]
        assert await store.find_by_template_id("c", "") == []
        await store.delete("c", ["e1", "unknown"])
        await store.delete("c", [])
        assert await store.find_by_query_hash("c", "hash1") == ["e4"]
        assert await store.search_by_normalized_question("c", "question 1") is None
        assert (await store.search_by_normalized_question("c", "question 4")).id == "e4"
        assert await store.search_by_normalized_question("c", "question") is None
        assert "e1" not in [row.id for row in await store.search("c", axis(1), limit=6)]
        assert [one.id for one in await store.with_ids("c", ["e1", "e2", "nobody"])] == ["e2"]
        assert await store.count("c") == 5

    async def test_the_newest_of_several_answers(self, store):
        same = {"vector": axis(1), "original_question": "Same?", "normalized_question": "same"}
        await store.upsert("c", [entry(1, **same)])
        await store.upsert("c", [entry(2, **same)])
        assert (await store.search_by_normalized_question("c", "same")).id == "e2"
        assert [one.id for one in await store.candidates("c", axis(1), 5, 0.0)] == ["e2"]
        assert [row.id for row in await store.search("c", axis(1), limit=2)] == ["e2", "e1"]

    async def test_conflicts(self, store):
        first, second = (
            entry(1, original_question="Same?", normalized_question="same"),
            entry(2, original_question="Same?", normalized_question="same", query_hash="x"),
        )
        assert await store.put("c", [first], "replace") == []
        with pytest.raises(ConflictError, match="SELECT 1"):
            await store.put("c", [second], "error")
        assert await store.count("c") == 1
        assert await store.put("c", [second], "keep_both") == ["e1"]
        assert await store.count("c") == 2
        third = entry(3, original_question="Same?", normalized_question="same", query_hash="y")
        assert sorted(await store.put("c", [third], "replace")) == ["e1", "e2"]
        assert [row.id for row in await all_pages(store)] == ["e3"]
        other = entry(4, original_question="Same?", normalized_question="same", metadata={"t": 1})
        assert await store.put("c", [other], "error") == []
        assert await store.put("c", [], "replace") == []

    async def test_feedback_is_counted(self, store):
        await store.upsert("c", [entry(1), entry(2)])
        assert await store.update_feedback("c", "e1", True) == 1
        assert await store.update_feedback("c", "e1", True) == 2
        assert await store.update_feedback("c", "e1", False) == 1
        assert await store.update_feedback("c", "absent", True) == 0
        row = (await store.search("c", axis(1), limit=1))[0]
        assert (row.feedback_correct, row.feedback_incorrect) == (2, 1)
        assert row.generated_query == "SELECT 1"
        await asyncio.gather(*[store.update_feedback("c", "e2", True) for _ in range(20)])
        assert await store.update_feedback("c", "e2", True) == 21
        assert (await store.get("c", ["e2", "e1", "nobody"]))[0].feedback_correct == 21
        assert await store.count("c") == 2


class TestTheRest:
    """Methods that the interface has a default for."""

    async def test_pages_hold_every_entry_once(self, store):
        await store.upsert("c", [entry(i) for i in range(25)])
        pages = [page async for page in store.pages("c", with_vectors=True, size=10)]
        assert [len(page) for page in pages] == [10, 10, 5]
        assert {row.id for page in pages for row in page} == {f"e{i}" for i in range(25)}
        assert all(len(row.vector) == DIMENSION for page in pages for row in page)

    async def test_what_only_a_store_in_this_process_answers_is_left_out(self, store):
        await store.upsert("c", [entry(1)])
        assert not store.local
        assert await store.with_text("c", "question 1") == []
        assert await store.spelled_like("c", "question 1", 80.0, 5) == []
        assert store.generation == 0
        assert await store.refresh() is False
        store.touch("c", "e1")
        await store.update_usage_count("c", "e1")
        assert (await store.get("c", ["e1"]))[0].usage_count == 1

    async def test_by_the_hash_of_a_query(self, store):
        await store.upsert("c", [entry(1), entry(2)])
        assert (await store.search_by_query_hash("c", "hash2")).id == "e2"
        assert await store.search_by_query_hash("c", "hash0") is None


class TestExpiry:
    async def test_no_read_finds_what_has_expired(self, engine):
        clock = [2_000_000_000.0]
        async with engine.make(clock=lambda: clock[0]) as store:
            await store.initialize("c", DIMENSION)
            soon = datetime.fromtimestamp(clock[0] + 10, UTC)
            same = {"vector": axis(1), "query_hash": "h", "metadata": {"k": 1}}
            await store.upsert(
                "c",
                [
                    entry(1, expires_at=soon, **same),
                    entry(2, **same),
                    entry(3, expires_at=soon + timedelta(1), **same),
                ],
            )
            (candidate,) = [c for c in await store.candidates("c", axis(1), 5, 0.0, {"k": 1}) if c.id == "e1"]
            assert await store.find_expired("c") == []
            clock[0] += 10
            assert await store.find_expired("c") == ["e1"]
            assert await store.fetch("c", candidate) is None
            assert await store.search_by_normalized_question("c", "question 1") is None
            assert await store.with_ids("c", ["e1"]) == []
            for rows in (
                await store.search("c", axis(1), limit=9),
                await store.search_filtered("c", axis(1), limit=9, filters={"k": 1}),
                await store.candidates("c", axis(1), 9, 0.0, {"k": 1}),
            ):
                assert sorted(row.id for row in rows) == ["e2", "e3"]
            assert await store.expire("c") == ["e1"]
            assert await store.count("c") == 2
            assert await store.expire("c") == []


class TestPaging:
    async def test_each_entry_is_reached_once_while_others_write_and_delete(self, store):
        await store.upsert("c", [entry(i) for i in range(60)])
        seen, offset = [], None
        while True:
            page, offset = await store.scroll("c", limit=7, offset=offset)
            seen += [row.id for row in page]
            await store.upsert("c", [entry(100 + len(seen)), entry(59, response_summary=str(len(seen)))])
            await store.delete("c", [f"e{len(seen) % 40}"])
            if offset is None:
                break
        assert len(seen) == len(set(seen))
        assert {f"e{i}" for i in range(40, 60)} <= set(seen)

    async def test_the_order_stays(self, store):
        await store.upsert("c", [entry(i) for i in range(30)])
        first = [row.id for row in await all_pages(store, limit=4)]
        await store.upsert("c", [entry(3, response_summary="changed")])
        assert [row.id for row in await all_pages(store, limit=30)] == first
        assert [row.id for row in await all_pages(store, limit=1)] == first
        for bad in ({"limit": 0}, {"offset": "x"}):
            with pytest.raises(ArgumentValueError):
                await store.scroll("c", **bad)


class TestCollections:
    async def test_names_are_kept_apart_and_exactly(self, store):
        for i, name in enumerate(NAMES):
            await store.initialize(name, DIMENSION)
            await store.initialize(name, DIMENSION)
            await store.upsert(name, [entry(i)])
        for i, name in enumerate(NAMES):
            rows = await store.search(name, axis(i), limit=9, score_threshold=-1.0)
            assert [row.id for row in rows] == [f"e{i}"]
        assert await store.collection_names() == sorted([*NAMES, "c"])
        await store.drop_collection("acme_eu")
        await store.drop_collection("never there")
        with pytest.raises(StorageError, match="acme_eu"):
            await store.count("acme_eu")
        assert await store.count("acme-eu") == await store.count("ACME_eu") == 1
        await store.initialize("acme_eu", DIMENSION)
        assert await store.count("acme_eu") == 0
        for bad in ("\ud800", "\0notes"):
            for call in (lambda name: store.initialize(name, DIMENSION), store.drop_collection, store.count):
                with pytest.raises(ArgumentValueError, match="collection_name"):
                    await call(bad)

    async def test_another_dimension_or_model_is_refused(self, store):
        await store.initialize("m", DIMENSION, model="one")
        with pytest.raises(DimensionMismatchError):
            await store.initialize("c", DIMENSION + 1)
        with pytest.raises(StorageInitializationError, match="one"):
            await store.initialize("m", DIMENSION, model="two")
        with pytest.raises(ArgumentValueError, match="dimension"):
            await store.initialize("d", 0)

    async def test_statistics_are_kept_with_the_collection(self, store):
        assert await store.load_stats("c") is None
        await store.save_stats("c", PersistedStats(total_requests=4, total_hits=3))
        await store.save_stats("c", PersistedStats(total_requests=8, total_hits=6))
        assert (await store.load_stats("c")).total_requests == 8
        await store.drop_collection("c")
        await store.initialize("c", DIMENSION)
        assert await store.load_stats("c") is None

    async def test_use_after_close(self, engine):
        store = engine.make()
        with pytest.raises(StorageError, match="not open"):
            await store.count("c")
        await store.connect()
        await store.initialize("c", DIMENSION)
        await store.close()
        await store.close()
        with pytest.raises(StorageError, match="not open"):
            await store.count("c")


class TestAtScale:
    async def test_many_rows(self, store):
        entries = random_entries(ROWS)
        await store.upsert("c", entries)
        assert await store.count("c") == ROWS
        matrix = np.array([one.vector for one in entries])
        matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
        hits = 0
        for question in random_entries(20, seed=8):
            unit = np.array(question.vector) / np.linalg.norm(question.vector)
            cosines = matrix @ unit
            best = {f"e{i}" for i in np.argsort(-cosines)[:10]}
            found = await store.search("c", question.vector, limit=10)
            hits += len(best & {row.id for row in found})
            assert all(abs(row.score - cosines[int(row.id[1:])]) < 1e-3 for row in found)
        assert hits >= 190
        assert len({row.id for row in await all_pages(store, limit=2000)}) == ROWS

    async def test_concurrent_writers(self, engine, store):
        other = engine.make() if engine.shared else store
        await other.connect()
        try:
            await asyncio.gather(
                *[
                    one.upsert("c", [entry(100 * n + i) for i in range(50)])
                    for n, one in enumerate([store, other] * 3)
                ],
                *[
                    one.upsert("c", [entry(i, response_summary=str(n)) for i in range(50)])
                    for n, one in enumerate([store, other] * 2)
                ],
                *[store.search("c", axis(i), limit=3) for i in range(20)],
            )
            assert await other.count("c") == await store.count("c") == 300
            assert len({row.id for row in await all_pages(store)}) == 300
        finally:
            if other is not store:
                await other.close()

    async def test_another_store_finds_what_was_written(self, engine, store):
        if not engine.shared:
            pytest.skip(f"{engine.name}: one store at a time")
        await store.upsert("c", [entry(1)])
        async with engine.make() as other:
            assert (await other.search("c", axis(1)))[0].id == "e1"
            await other.delete("c", ["e1"])
        assert await store.search("c", axis(1)) == []

    async def test_a_dropped_connection_is_made_anew(self, engine, store):
        await store.upsert("c", [entry(1)])
        await engine.break_connections()
        assert (await store.search("c", axis(1), limit=1))[0].id == "e1"
        await engine.break_connections()
        await store.upsert("c", [entry(2)])
        assert await store.count("c") == 2


class TestAsACache:
    async def test_a_cache_answers_from_it(self, engine):
        async with Medha("shop – 店", HashingEmbedder(), engine.make(), Settings(_env_file=None)) as cache:
            assert await cache.store("How many users are there?", "SELECT count(*) FROM users", metadata=None)
            assert await cache.store(
                "How many orders did Acme place?", "SELECT 1", metadata={"tenant": "acme"}
            )
            await cache.clear_caches()
            hit = await cache.search("how many users are there")
            assert (hit.strategy, hit.generated_query) == (
                SearchStrategy.EXACT_MATCH,
                "SELECT count(*) FROM users",
            )
            await cache.clear_caches()
            hit = await cache.search("How many users are there please?")
            assert hit.generated_query == "SELECT count(*) FROM users"
            assert not await cache.search("How many orders did Acme place?")
            assert (
                await cache.search("How many orders did Acme place?", filters={"tenant": "acme"})
            ).entry_id
            assert not await cache.search("How many orders did Acme place?", filters={"tenant": "other"})
            assert await cache.store("How many users are there?", "SELECT count(id) FROM users")
            await cache.clear_caches()
            assert (
                await cache.search("How many users are there?")
            ).generated_query == "SELECT count(id) FROM users"
            assert await cache.feedback("How many users are there?", True)
            assert (await cache.stats()).backend_count == 2
