"""The index files of a directory: mapped when it is opened, and never a reason for a wrong answer."""

import logging
import shutil

import numpy as np
import pytest

from medha_core import CacheEntry, NativeBackend

ENTRIES = 5_000
VECTORS = np.random.default_rng(0).standard_normal((ENTRIES + 100, 8)).astype(np.float32)


def entries(first, last):
    return [
        CacheEntry(
            id=f"e{i}",
            vector=VECTORS[i].tolist(),
            original_question=f"Question {i}?",
            normalized_question=f"question {i}",
            generated_query=f"SELECT {i}",
            query_hash=f"hash{i}",
            metadata={"tenant": i % 5} if i % 5 else {},
        )
        for i in range(first, last)
    ]


async def write(path, *, add=(), delete=()):
    async with NativeBackend(path) as store:
        await store.initialize("c", 8, model="m")
        if add:
            await store.upsert("c", entries(*add))
        await store.delete("c", [f"e{i}" for i in delete])


async def nearest(path, numbers):
    async with NativeBackend(path, mode="r") as store:
        await store.initialize("c", 8, model="m")
        found = [await store.search("c", VECTORS[i].tolist(), limit=1) for i in numbers]
        return [row[0].id for row in found]


@pytest.fixture
async def path(tmp_path, caplog):
    caplog.set_level(logging.INFO, "medha_core")
    await write(tmp_path / "store", add=(0, ENTRIES))
    return tmp_path / "store"


def named(numbers):
    return [f"e{i}" for i in numbers]


async def test_what_was_closed_is_mapped(path, caplog):
    assert sorted(file.name for file in (path / "index").iterdir()) == ["1-scoped.bin", "1-unscoped.bin"]
    assert await nearest(path, range(50)) == named(range(50))
    assert "index mapped, 0 changes replayed" in caplog.text


async def test_what_the_files_do_not_know_is_replayed(path, caplog):
    shutil.copytree(path / "index", path / "older")
    await write(path, add=(ENTRIES, ENTRIES + 100), delete=range(20))
    shutil.rmtree(path / "index")
    (path / "older").rename(path / "index")
    caplog.clear()
    numbers = range(ENTRIES, ENTRIES + 50)
    assert await nearest(path, numbers) == named(numbers)
    assert not set(await nearest(path, range(20))) & set(named(range(20)))
    assert "index mapped, 120 changes replayed" in caplog.text


async def test_a_damaged_file_is_a_warning(path, caplog):
    file = path / "index" / "1-scoped.bin"
    data = bytearray(file.read_bytes())
    data[40_000] ^= 1
    file.write_bytes(data)
    assert await nearest(path, range(50)) == named(range(50))
    assert [record.levelname for record in caplog.records].count("WARNING") == 1
    assert "is built anew" in caplog.text
    assert "has checksum" in caplog.text


async def test_a_missing_file_is_no_loss(path):
    (path / "index" / "1-unscoped.bin").unlink()
    assert await nearest(path, range(50)) == named(range(50))


async def test_files_of_another_directory_are_not_believed(path, tmp_path, caplog):
    async with NativeBackend(tmp_path / "other") as store:
        await store.initialize("c", 8, model="m")
        reversed_ids = entries(0, ENTRIES)[::-1]
        await store.upsert("c", reversed_ids)
    shutil.rmtree(path / "index")
    shutil.copytree(tmp_path / "other" / "index", path / "index")
    assert await nearest(path, range(50)) == named(range(50))
    assert "is built anew" in caplog.text


async def test_files_of_different_times_are_not_mixed(path, caplog):
    shutil.copy(path / "index" / "1-scoped.bin", path / "older.bin")
    await write(path, delete=range(20))
    shutil.copy(path / "older.bin", path / "index" / "1-scoped.bin")
    assert not set(await nearest(path, range(20))) & set(named(range(20)))
    assert "of different times" in caplog.text


async def test_a_dropped_collection_leaves_no_files(path):
    async with NativeBackend(path) as store:
        await store.initialize("c", 8, model="m")
        await store.drop_collection("c")
    assert list((path / "index").iterdir()) == []
