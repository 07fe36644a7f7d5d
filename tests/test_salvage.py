"""A damaged file of rows: what is sound in it is never lost, and what was deleted never comes back."""

import random
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from medha_core import CacheEntry, NativeBackend, Settings, StorageError
from medha_core.embedded.verification import verify
from medha_core.rows import Rows
from medha_core.rows.pages import records
from medha_core.rows.salvage import salvage

FORMATS = Path(__file__).parent / "data" / "formats"
VECTORS = np.random.default_rng(0).standard_normal((400, 16)).astype(np.float32)


def entry(number, **fields):
    return CacheEntry(
        id=f"e{number}",
        vector=VECTORS[number],
        original_question=f"Question {number}?",
        normalized_question=f"question {number}",
        generated_query=f"SELECT {number} -- {'long ' * (number % 7 * 300)}",
        query_hash=f"hash{number}",
        metadata={"tenant": number % 5} if number % 2 else {},
        tables=("orders",) if number % 3 else None,
        **fields,
    )


async def opened(path, mode="r+"):
    store = NativeBackend(path, mode=mode, settings=Settings(_env_file=None))
    await store.initialize("Läden", 16, model="m")
    return store


@pytest.fixture
async def path(tmp_path):
    """300 entries, a third of them deleted, some replaced, records longer than a page among them."""
    store = await opened(tmp_path / "store")
    await store.upsert("Läden", [entry(number) for number in range(300)])
    await store.delete("Läden", [f"e{number}" for number in range(0, 300, 3)])
    await store.upsert("Läden", [entry(number, response_summary="later") for number in range(1, 300, 30)])
    await store.close()
    return tmp_path / "store"


def alive(number):
    return number % 3 != 0


async def contents(store):
    found, _ = await store.scroll("Läden", limit=1000)
    return {row.id: (row.generated_query, row.response_summary, row.metadata) for row in found}


def test_every_record_of_a_sound_file_is_read(path):
    rows = Rows(path / "entries.db", mode="r")
    with rows.database.statements() as db:
        expected = {record[0]: record[1:] for record in db.execute("SELECT * FROM entries")}
    rows.close()
    read = {
        record.rowid: record.values[1:] for record in records(path / "entries.db") if len(record.values) == 21
    }
    assert {label: values for label, values in read.items() if label in expected} == expected


@pytest.mark.parametrize("ending", [b"", b"not a database, but it was one once" * 30])
async def test_a_file_whose_beginning_is_lost_is_saved(path, caplog, ending):
    before = await _before(path)
    file = path / "entries.db"
    data = bytearray(file.read_bytes())
    data[:4096] = ending.ljust(4096, b"\0")[:4096]
    file.write_bytes(data)
    with pytest.raises(StorageError):
        await opened(path, "r")
    store = await opened(path)
    # The list of unused pages is lost with the beginning; the log of removals says what was deleted.
    assert await contents(store) == before
    assert len(await store.find_by_filters("Läden", {"tenant": 1})) == sum(
        alive(n) and n % 2 and n % 5 == 1 for n in range(300)
    )
    assert await store.find_by_tables("Läden", ["orders"]) != []
    assert (await store.search("Läden", VECTORS[7].tolist(), limit=1))[0].id == "e7"
    labels = [row.label for row in store.rows.page(1, 0, 1000)]
    await store.upsert("Läden", [entry(0)])
    assert store.rows.labels(1, ["e0"])[0] > max(labels), "no label is used twice"
    await store.close()
    verify(path)
    assert [record.levelname for record in caplog.records].count("WARNING") == 1
    assert len(list(path.glob("entries.db.damaged-*"))) == 1


async def _before(path):
    store = await opened(path, "r")
    before = await contents(store)
    await store.close()
    assert len(before) == 200
    return before


async def test_a_file_that_was_cut_off_keeps_what_is_left(path):
    before = await _before(path)
    file = path / "entries.db"
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    store = await opened(path)
    saved = await contents(store)
    assert 50 < len(saved) < 200
    assert saved.items() <= before.items()
    await store.close()
    verify(path)


@pytest.mark.parametrize("version", ["entries-2", "entries-3"])
def test_a_file_of_an_older_format_is_saved_in_this_one(tmp_path, version):
    saved = []
    for name in ("sound", "damaged"):
        shutil.copytree(FORMATS / version, tmp_path / name)
        file = tmp_path / name / "entries.db"
        if name == "damaged":
            file.write_bytes(bytes(4096) + file.read_bytes()[4096:])
            assert salvage(file) == len(saved[0])
        rows = Rows(file)
        saved.append([row for one in rows.collections() for row in rows.page(one.id, 0, 1000)])
        rows.close()
    assert saved[0] == saved[1]
    assert len(saved[0]) > 3


async def test_damage_that_is_found_in_use_is_mended_at_the_next_opening(path, caplog):
    before = await _before(path)
    file = path / "entries.db"
    with sqlite3.connect(file) as db:
        (root,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'entries'").fetchone()
    db.close()
    data = bytearray(file.read_bytes())
    data[(root - 1) * 4096 : root * 4096] = bytes(4096)
    file.write_bytes(data)
    store = NativeBackend(path, settings=Settings(_env_file=None))
    with pytest.raises(StorageError):
        await store.initialize("Läden", 16, model="m")
    await store.close()
    store = await opened(path)
    assert await contents(store) == before
    await store.close()
    verify(path)
    assert "entries were saved" in caplog.text
    assert not list(path.glob("*.suspect"))


@pytest.mark.parametrize("seed", range(12))
async def test_random_damage_loses_only_what_it_hit(path, seed):
    """Whole pages are overwritten, the first of them always."""
    before = await _before(path)
    chance, file = random.Random(seed), path / "entries.db"
    data = bytearray(file.read_bytes())
    pages = len(data) // 4096
    hit = {0, *chance.sample(range(pages), 3)}
    for page in hit:
        data[page * 4096 : (page + 1) * 4096] = chance.randbytes(4096)
    file.write_bytes(data)
    salvage(file)
    rows = Rows(file)
    (collection,) = rows.collections()
    saved = {row.id: (row.query, row.summary, row.metadata) for row in rows.page(collection.id, 0, 1000)}
    rows.close()
    known = {name for name, values in before.items() if saved.get(name) == values}
    assert len(known) >= len(before) - 10 * len(hit)
    assert saved.keys() <= before.keys(), "what was deleted stays away"
    assert collection.name in ("Läden", "recovered 1")


async def test_what_the_log_of_writes_holds_is_saved_too(tmp_path):
    store = await opened(tmp_path / "live")
    await store.upsert("Läden", [entry(number) for number in range(100)])
    copied = tmp_path / "killed"
    copied.mkdir()
    for name in ("entries.db", "entries.db-wal"):
        (copied / name).write_bytes((tmp_path / "live" / name).read_bytes())
    await store.close()
    assert (copied / "entries.db-wal").stat().st_size > 100_000
    assert salvage(copied / "entries.db") == 100


def test_what_holds_no_entry_is_left_alone(tmp_path):
    file = tmp_path / "entries.db"
    file.write_bytes(b"a diary, not a cache" * 1000)
    assert salvage(file) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["entries.db"]
