"""The contract of a vector store, as tests to subclass.

    from medha_core.testing.storage import StorageContract

    class TestMyStore(StorageContract):
        @pytest.fixture
        async def backend(self):
            async with MyStore() as store:
                yield store

Each test gets a connected `backend` without collections. Run with pytest-asyncio.
"""

import asyncio
import inspect

from medha_core.errors import ConfigurationError

try:
    import pytest
except ImportError as error:
    raise ConfigurationError('medha_core.testing: needs pytest; pip install "medha-core[test]"') from error

from medha_core.errors import DimensionMismatchError, MedhaError, StorageError
from medha_core.interfaces.storage import VectorStorageBackend
from medha_core.testing.entries import DIMENSION, entry, ids, seconds_ago, vector
from medha_core.testing.storage_metadata import VALUES, MetadataContract
from medha_core.types import CacheResult, PersistedStats

__all__ = ["StorageContract"]

NAMES = (
    "acme-eu",
    "acme_eu",
    "ACME_eu",
    "acme.eu",
    "acme eu",
    "acméeu",
    "会社",
    "x" * 100 + "1",
    "x" * 100 + "2",
    "__c",
)
TEXTS = (
    "Wie viele Größen führt Café Ünïcødé?",
    "有多少订单？",
    "كم عدد الطلبات؟",
    "emoji 🎉 and combining é",
    "quotes ' \" ` and a \\ backslash",
    "two\nlines\tand a tab",
    "'; DROP TABLE entries; --",
    "{curly} [square] (round) $dollar :colon *star | pipe",
    "long " * 500,
)


async def collected(backend: VectorStorageBackend, size: int, **options: bool) -> list[CacheResult]:
    """All entries of collection "c", read in pages of `size`."""
    rows: list[CacheResult] = []
    offset: str | None = None
    while True:
        page, offset = await backend.scroll("c", size, offset, **options)
        assert len(page) <= size
        rows += page
        if offset is None:
            return rows


@pytest.mark.asyncio
class StorageContract(MetadataContract):
    """Every promise of `VectorStorageBackend`. A subclass provides the fixture `backend`."""

    # collections

    async def test_initialize_twice_changes_nothing(self, backend):
        store = await self.filled(backend, entry(1))
        await store.initialize("c", DIMENSION, model="m1")
        assert await store.count("c") == 1
        assert await store.has_collection("c")
        assert not await store.has_collection("never made")

    async def test_another_dimension_is_refused_even_while_empty(self, backend):
        await self.filled(backend)
        with pytest.raises(DimensionMismatchError):
            await backend.initialize("c", DIMENSION + 1, model="m1")

    async def test_another_model_is_refused(self, backend):
        await self.filled(backend, entry(1))
        with pytest.raises(StorageError, match="m2"):
            await backend.initialize("c", DIMENSION, model="m2")

    async def test_names_are_kept_distinct(self, backend):
        for number, name in enumerate(NAMES):
            await backend.initialize(name, DIMENSION)
            await backend.upsert(name, [entry(number, id="same")])
        for number, name in enumerate(NAMES):
            assert await backend.count(name) == 1, name
            (row,) = await backend.search(name, vector())
            assert row.original_question == f"How many of {number}?", name
        await backend.drop_collection(NAMES[0])
        assert [await backend.count(name) for name in NAMES[1:]] == [1] * (len(NAMES) - 1)

    async def test_drop_takes_everything_and_the_name_is_free(self, backend):
        store = await self.filled(backend, entry(1), entry(2))
        await store.save_stats("c", PersistedStats(total_requests=3))
        await store.drop_collection("c")
        assert not await store.has_collection("c")
        await store.initialize("c", DIMENSION + 2, model="m2")
        assert await store.count("c") == 0
        assert (await store.load_stats("c") or PersistedStats()).total_requests == 0
        assert await store.search("c", [1.0, *[0.0] * (DIMENSION + 1)]) == []

    async def test_dropping_what_is_not_there_is_harmless(self, backend):
        await backend.drop_collection("never made")

    async def test_a_collection_that_is_not_there_is_a_storage_error(self, backend):
        with pytest.raises(StorageError):
            await backend.count("never made")
        with pytest.raises(StorageError):
            await backend.search("never made", vector())

    # search

    async def test_search_gives_cosines_best_first(self, backend):
        cosines = [0.5, 0.99, 0.8, 0.95, 0.1]
        store = await self.filled(backend, *[entry(c, vector=vector(0, c)) for c in cosines])
        rows = await store.search("c", vector(), limit=5)
        assert [row.score for row in rows] == pytest.approx(sorted(cosines, reverse=True), abs=2e-3)
        assert ids(rows)[:2] == ["id-0.99", "id-0.95"]

    async def test_search_keeps_to_limit_and_threshold(self, backend):
        store = await self.filled(backend, *[entry(n, vector=vector(0, n / 10)) for n in range(10)])
        assert ids(await store.search("c", vector(), limit=2)) == ["id-9", "id-8"]
        above = await store.search("c", vector(), limit=10, score_threshold=0.75)
        assert ids(above) == ["id-9", "id-8"]
        assert await store.search("c", vector(), limit=10, score_threshold=0.95) == []

    async def test_scores_lie_between_zero_and_one(self, backend):
        opposite = [-number for number in vector()]
        store = await self.filled(backend, entry("same"), entry("opposite", vector=opposite))
        scores = {row.id: row.score for row in await store.search("c", vector(), limit=5)}
        assert scores["id-same"] == pytest.approx(1.0, abs=1e-3)
        assert all(0.0 <= score <= 1.0 for score in scores.values())

    async def test_the_length_of_a_vector_says_nothing(self, backend):
        store = await self.filled(backend, entry("long", vector=[3.0 * n for n in vector(0, 0.6)]))
        (row,) = await store.search("c", [0.5 * number for number in vector()])
        assert row.score == pytest.approx(0.6, abs=2e-3)

    async def test_an_empty_collection_finds_nothing(self, backend):
        store = await self.filled(backend)
        assert await store.search("c", vector()) == []
        assert await store.scroll("c") == ([], None)

    async def test_a_query_of_another_dimension_is_refused(self, backend):
        store = await self.filled(backend, entry(1))
        with pytest.raises((StorageError, ValueError)):
            await store.search("c", [1.0] * (DIMENSION + 1))

    # writing

    async def test_upsert_replaces_by_id(self, backend):
        store = await self.filled(backend, entry(1), entry(2))
        await store.upsert("c", [entry(1, generated_query="SELECT 'new'", vector=vector(3))])
        assert await store.count("c") == 2
        (row,) = await store.search("c", vector(3), limit=1)
        assert (row.id, row.generated_query) == ("id-1", "SELECT 'new'")
        assert ids(await store.search("c", vector(), limit=5, score_threshold=0.5)) == ["id-2"]

    async def test_upserting_nothing_is_harmless(self, backend):
        store = await self.filled(backend, entry(1))
        await store.upsert("c", [])
        assert await store.count("c") == 1

    async def test_a_bad_vector_stores_nothing_of_its_batch(self, backend):
        store = await self.filled(backend, entry(1))
        for bad in ([1.0] * (DIMENSION - 1), [float("nan")] * DIMENSION, [float("inf")] * DIMENSION):
            with pytest.raises((MedhaError, ValueError)):
                await store.upsert("c", [entry(2), entry(3, vector=bad), entry(4)])
        assert ids(await collected(store, 10)) == ["id-1"]

    async def test_every_field_comes_back(self, backend):
        until = seconds_ago(-3600)
        stored = entry(
            1,
            response_summary="one row",
            template_id="t-1",
            usage_count=4,
            feedback_correct=2,
            feedback_incorrect=1,
            created_at=seconds_ago(5000),
            expires_at=until,
            metadata=VALUES if backend.supports_metadata else {},
        )
        store = await self.filled(backend, stored)
        (found,) = await store.search("c", vector())
        ((scrolled,), _) = await store.scroll("c", with_vectors=True)
        (got,) = await store.get("c", [stored.id])
        skipped = {"vector", "role", "tables", "created_at", "expires_at"}
        for row in (found, scrolled, got):
            for name in set(type(stored).model_fields) - skipped:
                assert getattr(row, name) == getattr(stored, name), name
            assert abs((row.expires_at - until).total_seconds()) < 0.01
            assert abs((row.created_at - stored.created_at).total_seconds()) < 0.01
        assert list(scrolled.vector) == pytest.approx(vector(), abs=1e-6)
        assert {k: type(v) for k, v in scrolled.metadata.items()} == {
            k: type(v) for k, v in stored.metadata.items()
        }

    @pytest.mark.parametrize("text", TEXTS)
    async def test_any_text_is_kept(self, backend, text):
        store = await self.filled(
            backend, entry(1, id=text[:40], question=text, generated_query=text, template_id=text[:40])
        )
        await store.upsert("c", [entry("other", vector=vector(4))])
        (row,) = await store.search("c", vector(), limit=1)
        assert (row.original_question, row.generated_query) == (text, text)
        found = await store.search_by_normalized_question("c", row.normalized_question)
        assert found.id == text[:40]
        assert await store.find_by_query_hash("c", row.query_hash) == [text[:40]]
        assert await store.find_by_template_id("c", text[:40]) == [text[:40]]
        await store.delete("c", [text[:40]])
        assert ids(await collected(store, 10)) == ["id-other"]

    async def test_delete_takes_what_is_named(self, backend):
        store = await self.filled(backend, *[entry(n, vector=vector(n)) for n in range(4)])
        await store.delete("c", ["id-1", "id-3", "unknown"])
        await store.delete("c", [])
        assert await store.count("c") == 2
        assert sorted(ids(await collected(store, 10))) == ["id-0", "id-2"]
        assert await store.search("c", vector(1), score_threshold=0.9) == []
        assert await store.search_by_normalized_question("c", entry(1).normalized_question) is None

    # looking up

    async def test_scroll_gives_each_entry_once(self, backend):
        store = await self.filled(backend, *[entry(n, vector=vector(n, 0.9)) for n in range(23)])
        whole = ids(await collected(store, 100))
        assert sorted(whole) == sorted(f"id-{n}" for n in range(23))
        for size in (1, 5, 23):
            assert sorted(ids(await collected(store, size))) == sorted(whole)
        assert all(row.vector is None for row in await collected(store, 10))

    async def test_scroll_under_writes_neither_repeats_nor_skips(self, backend):
        store = await self.filled(backend, *[entry(n, vector=vector(n, 0.9)) for n in range(20)])
        seen: list[str] = []
        offset, turn = None, 0
        while True:
            page, offset = await store.scroll("c", 4, offset)
            seen += ids(page)
            turn += 1
            await store.upsert("c", [entry(f"new-{turn}", vector=vector(5))])
            await store.delete("c", ["id-0"] if turn == 2 else [f"id-new-{turn - 1}"])
            if offset is None or turn > 30:
                break
        assert len(seen) == len(set(seen))
        assert {f"id-{n}" for n in range(1, 20)} <= set(seen)

    async def test_exact_question_hash_and_template(self, backend):
        store = await self.filled(
            backend,
            entry(1, query_hash="h1", template_id="t"),
            entry(2, query_hash="h1"),
            entry(3, query_hash="h2", template_id="t"),
        )
        assert sorted(await store.find_by_query_hash("c", "h1")) == ["id-1", "id-2"]
        assert sorted(await store.find_by_template_id("c", "t")) == ["id-1", "id-3"]
        assert await store.find_by_query_hash("c", "none") == []
        assert await store.find_by_template_id("c", "none") == []
        assert (await store.search_by_query_hash("c", "h2")).id == "id-3"
        assert await store.search_by_query_hash("c", "none") is None
        await store.update_usage_count("c", "id-3")
        await store.update_usage_count("c", "unknown")
        found = await store.search_by_normalized_question("c", entry(2).normalized_question)
        assert found.id == "id-2"
        assert await store.search_by_normalized_question("c", "how many") is None

    async def test_get_and_find_by_filters(self, backend):
        store = await self.filled(backend, *[entry(n, vector=vector(n)) for n in range(4)])
        assert sorted(ids(await store.get("c", ["id-3", "id-0", "unknown"]))) == ["id-0", "id-3"]
        if backend.supports_metadata:
            await store.upsert("c", [entry(5, metadata={"tenant": "a"}), entry(6, metadata={"tenant": "b"})])
            assert await store.find_by_filters("c", {"tenant": "a"}) == ["id-5"]

    # expiry

    async def test_expired_entries_answer_nothing_and_are_deleted(self, backend):
        store = await self.filled(
            backend,
            entry("gone", expires_at=seconds_ago(5)),
            entry("alive", vector=vector(0, 0.9), expires_at=seconds_ago(-3600)),
            entry("for ever", vector=vector(0, 0.8)),
        )
        assert await store.find_expired("c") == ["id-gone"]
        assert ids(await store.search("c", vector(), limit=1)) == ["id-alive"]
        assert ids(await store.search("c", vector(), limit=9)) == ["id-alive", "id-for ever"]
        assert await store.search_by_query_hash("c", entry("gone").query_hash) is None
        assert await store.expire("c") == ["id-gone"]
        assert await store.expire("c") == []
        assert await store.count("c") == 2

    # feedback

    async def test_feedback_counts(self, backend):
        store = await self.filled(backend, entry(1), entry(2, vector=vector(3)))
        assert [await store.update_feedback("c", "id-1", True) for _ in range(3)] == [1, 2, 3]
        assert await store.update_feedback("c", "id-1", False) == 1
        assert await store.update_feedback("c", "unknown", True) == 0
        (row,) = await store.search("c", vector(), limit=1)
        assert (row.feedback_correct, row.feedback_incorrect) == (3, 1)
        (other,) = await store.get("c", ["id-2"])
        assert (other.feedback_correct, other.feedback_incorrect) == (0, 0)

    # statistics

    async def test_statistics_are_kept_and_added_to(self, backend):
        store = await self.filled(backend)
        if type(store).save_stats is VectorStorageBackend.save_stats:
            pytest.skip("this store keeps no statistics")
        assert await store.load_stats("c") is None
        first = PersistedStats(
            total_requests=3, total_hits=2, total_misses=1, hits_by_strategy={"l1_cache": 2}
        )
        await store.save_stats("c", first)
        assert await store.load_stats("c") == first
        second = PersistedStats(total_requests=2, total_hits=2, hits_by_strategy={"exact_match": 2})
        total = await store.add_stats("c", second)
        assert total == await store.load_stats("c") == first + second
        assert (total.total_requests, total.hits_by_strategy) == (5, {"l1_cache": 2, "exact_match": 2})

    # many at once

    async def test_writers_at_once_lose_nothing(self, backend):
        store = await self.filled(backend)

        async def write(worker: int) -> None:
            for turn in range(5):
                await store.upsert("c", [entry(f"{worker}-{turn}", vector=vector(worker, 0.9))])

        await asyncio.gather(*(write(worker) for worker in range(6)))
        assert await store.count("c") == 30
        await asyncio.gather(*(store.update_feedback("c", "id-0-0", True) for _ in range(10)))
        (row,) = await store.get("c", ["id-0-0"])
        assert row.feedback_correct == 10

    async def test_searches_go_on_while_others_write(self, backend):
        store = await self.filled(backend, entry("stays"))

        async def search() -> None:
            for _ in range(10):
                assert "id-stays" in ids(await store.search("c", vector(), limit=5))

        async def write() -> None:
            for turn in range(10):
                await store.upsert("c", [entry(f"new-{turn}", vector=vector(3))])
                await store.delete("c", [f"id-new-{turn}"])

        await asyncio.gather(search(), write(), search())

    # the end

    async def test_closing_twice_is_harmless(self, backend):
        await self.filled(backend, entry(1))
        await backend.close()
        await backend.close()

    async def test_methods_are_async(self, backend):
        for name in VectorStorageBackend.__abstractmethods__:
            assert inspect.iscoroutinefunction(getattr(backend, name)), name
