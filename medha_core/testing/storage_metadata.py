"""The part of a vector store's contract that is about metadata and filters."""

from medha_core.errors import ConfigurationError

try:
    import pytest
except ImportError as error:
    raise ConfigurationError('medha_core.testing: needs pytest; pip install "medha-core[test]"') from error

from medha_core.interfaces.storage import VectorStorageBackend
from medha_core.testing.entries import DIMENSION, entry, ids, vector

__all__ = ["VALUES", "MetadataContract"]

VALUES = {"text": "Zürich, 'old' town", "whole": 7, "half": 0.5, "flag": True, "dotted.key-1": "x"}
"""A value of every type that metadata may have."""


@pytest.mark.asyncio
class MetadataContract:
    """Filters compare whole values, type by type, inside the search. `StorageContract` includes it."""

    async def filled(self, backend: VectorStorageBackend, *entries: object) -> VectorStorageBackend:
        """The backend with collection "c", holding these entries."""
        await backend.initialize("c", DIMENSION, model="m1")
        if entries:
            await backend.upsert("c", list(entries))  # type: ignore[arg-type]
        return backend

    def needs_metadata(self, backend: VectorStorageBackend) -> None:
        if not backend.supports_metadata:
            pytest.skip("this store keeps no metadata")

    @pytest.mark.parametrize("key", VALUES)
    async def test_filters_of_every_type(self, backend, key):
        self.needs_metadata(backend)
        other = {"text": "Bern", "whole": 8, "half": 0.25, "flag": False, "dotted.key-1": "y"}
        store = await self.filled(
            backend,
            entry(1, metadata=VALUES),
            entry(2, metadata=VALUES | {key: other[key]}),
            entry(3, metadata={k: v for k, v in VALUES.items() if k != key}),
            entry(4),
        )
        assert ids(await store.search_filtered("c", vector(), filters={key: VALUES[key]})) == ["id-1"]
        both = {key: VALUES[key], "unknown": 1}
        assert await store.search_filtered("c", vector(), filters=both) == []
        assert len(await store.search_filtered("c", vector(), limit=9, filters={})) == 4

    async def test_truth_is_not_one_and_ten_is_ten_point_zero(self, backend):
        self.needs_metadata(backend)
        store = await self.filled(
            backend,
            entry("true", metadata={"v": True}),
            entry("one", metadata={"v": 1}),
            entry("text", metadata={"v": "1"}),
            entry("ten", metadata={"v": 10}),
            entry("ten.0", metadata={"v": 10.0}),
        )

        async def found(value: object) -> set[str]:
            return set(ids(await store.search_filtered("c", vector(), limit=9, filters={"v": value})))

        assert await found(True) == {"id-true"}
        assert await found(1) == {"id-one"}
        assert await found("1") == {"id-text"}
        assert await found(10) == await found(10.0) == {"id-ten", "id-ten.0"}

    async def test_letters_of_values_count(self, backend):
        self.needs_metadata(backend)
        store = await self.filled(
            backend, entry(1, metadata={"tenant": "Acme"}), entry(2, metadata={"tenant": "acme"})
        )
        assert ids(await store.search_filtered("c", vector(), filters={"tenant": "acme"})) == ["id-2"]

    async def test_a_small_tenant_among_many_gets_its_rows(self, backend):
        self.needs_metadata(backend)
        crowd = [entry(f"crowd-{n}", metadata={"tenant": "big"}) for n in range(600)]
        few = [entry(f"few-{n}", vector=vector(0, 0.7), metadata={"tenant": "small"}) for n in range(10)]
        store = await self.filled(backend)
        for start in range(0, len(crowd), 100):
            await store.upsert("c", crowd[start : start + 100])
        await store.upsert("c", few)
        rows = await store.search_filtered("c", vector(), limit=10, filters={"tenant": "small"})
        assert sorted(ids(rows)) == sorted(one.id for one in few)

    async def test_candidates_without_filters_leave_scoped_entries_out(self, backend):
        self.needs_metadata(backend)
        store = await self.filled(
            backend, *[entry(f"scoped-{n}", metadata={"n": n}) for n in range(30)], entry("open")
        )

        async def seen(**options: object) -> list[str]:
            return [one.id for one in await store.candidates("c", vector(), 5, 0.5, **options)]

        assert await seen() == ["id-open"]
        assert await seen(filters={"n": 3}) == ["id-scoped-3"]
        assert len(await seen(include_scoped=True)) == 5
