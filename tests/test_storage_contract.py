"""The embedded stores keep the contract that foreign stores are held to."""

import pytest

from medha_core import InMemoryBackend, NativeBackend, VectorStorageBackend
from medha_core.metadata import metadata_matches
from medha_core.testing.storage import StorageContract


class TestInMemoryBackend(StorageContract):
    @pytest.fixture
    async def backend(self):
        async with InMemoryBackend() as store:
            yield store


class TestNativeBackend(StorageContract):
    @pytest.fixture
    async def backend(self, tmp_path):
        async with NativeBackend(tmp_path) as store:
            yield store


DEFAULTS = (
    "has_collection",
    "get",
    "find_by_filters",
    "find_by_tables",
    "find_unread",
    "expire",
    "add_stats",
    "put",
    "candidates",
    "fetch",
    "with_ids",
)


class Plain(InMemoryBackend):
    """Has of its own what the interface leaves open only; everything else is the interface's default."""

    local = False
    for _name in DEFAULTS:
        locals()[_name] = getattr(VectorStorageBackend, _name)


class TestTheDefaultsOfTheInterface(StorageContract):
    @pytest.fixture
    async def backend(self):
        async with Plain() as store:
            yield store

    async def test_candidates_without_filters_leave_scoped_entries_out(self, backend):
        """The default asks for more and leaves out afterwards: what it shows is right, if not complete."""
        await self.filled(backend)
        found = await backend.candidates("c", [1.0] + [0.0] * 7, 5, 0.5)
        assert all(metadata_matches(one.metadata, None) and not one.metadata for one in found)
