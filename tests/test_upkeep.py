"""What happens in the background of a directory in use, and what is done to one as a whole."""

import asyncio
import logging
import shutil
import threading
from datetime import UTC, datetime

import numpy as np
import pytest

from medha_core import (
    CacheEntry,
    ConfigurationError,
    DirectoryLockedError,
    EmbeddingError,
    HashingEmbedder,
    Medha,
    NativeBackend,
    Settings,
    SnapshotError,
    StorageError,
)
from medha_core.concurrency.keeper import Keeper
from medha_core.embedded.checkpoint import Checkpoints
from medha_core.embedded.maintenance import compact, load
from medha_core.embedded.reembedding import reembed
from medha_core.embedded.verification import verify
from medha_core.rows import Rows
from medha_core.snapshot import read_info

ENTRIES = 5_000
VECTORS = np.random.default_rng(0).standard_normal((ENTRIES + 1000, 8)).astype(np.float32)


def entries(first, last, **fields):
    return [
        CacheEntry(
            id=f"e{i}",
            vector=VECTORS[i],
            original_question=f"Question {i}?",
            normalized_question=f"question {i}",
            generated_query=f"SELECT {i}",
            query_hash=f"hash{i}",
            metadata={"tenant": i % 5} if i % 5 else {},
            **fields,
        )
        for i in range(first, last)
    ]


def settings(**fields):
    return Settings(_env_file=None, **fields)


async def opened(path, mode="r+", **fields):
    store = NativeBackend(path, mode=mode, settings=settings(**fields))
    await store.initialize("c", 8, model="m")
    return store


async def nearest(store, numbers):
    found = [await store.search("c", VECTORS[i].tolist(), limit=1) for i in numbers]
    return [row[0].id if row else None for row in found]


def named(numbers):
    return [f"e{i}" for i in numbers]


@pytest.fixture
async def path(tmp_path, caplog):
    """A directory with files, closed."""
    caplog.set_level(logging.INFO, "medha_core")
    store = await opened(tmp_path / "store")
    await store.upsert("c", entries(0, ENTRIES))
    await store.close()
    return tmp_path / "store"


# the thread


def test_tasks_are_done_in_order_and_once():
    keeper, done, begin = Keeper(), [], threading.Event()
    keeper.do("wait", begin.wait)
    for name in ("a", "b", "a"):
        keeper.do(name, lambda name=name: done.append(name))
    begin.set()
    keeper.wait()
    keeper.close()
    assert done == ["a", "b"]
    keeper.do("late", lambda: done.append("late"))
    assert done == ["a", "b"]


def test_a_task_that_fails_is_a_warning_and_the_next_is_done(caplog):
    keeper, done = Keeper(), []
    keeper.do("fails", lambda: (_ for _ in ()).throw(StorageError("no room")))
    keeper.do("errs", lambda: 1 // 0)
    keeper.do("works", lambda: done.append(1))
    keeper.wait()
    keeper.close()
    assert done == [1]
    assert "no room" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_closing_ends_the_task_that_runs():
    keeper, begun = Keeper(), threading.Event()

    def endless():
        begun.set()
        while True:
            keeper.go_on()

    keeper.do("endless", endless)
    begun.wait()
    keeper.close()
    assert not keeper._thread.is_alive()


# files while in use


async def test_changes_reach_the_files_while_the_store_is_in_use(path, tmp_path, caplog):
    store = await opened(path, checkpoint_changes=300)
    await store.upsert("c", entries(ENTRIES, ENTRIES + 600))
    await store.delete("c", named(range(100)))
    store._upkeep.keeper.wait()
    await store.upsert("c", entries(ENTRIES + 600, ENTRIES + 650))
    # As after a kill: nothing was closed.
    shutil.copytree(path, tmp_path / "killed")
    await store.close()
    caplog.clear()
    again = await opened(tmp_path / "killed")
    replayed = again._collections["c"].replayed
    assert 50 <= replayed < 600
    assert f"index mapped, {replayed} changes replayed" in caplog.text
    assert f"'c': {ENTRIES + 550} ({replayed} changes replayed)" in repr(again)
    assert await nearest(again, range(ENTRIES, ENTRIES + 650)) == named(range(ENTRIES, ENTRIES + 650))
    assert not set(await nearest(again, range(100))) & set(named(range(100)))
    await again.close()
    verify(tmp_path / "killed")


async def test_the_log_of_writes_is_folded_into_the_file_in_the_background(tmp_path, caplog, monkeypatch):
    """The file alone, without the log beside it, has what was written before."""
    monkeypatch.setattr("medha_core.embedded.upkeep._LOGGED_PAGES", 500)
    store = await opened(tmp_path / "live")
    for first in range(0, 1000, 100):
        await store.upsert("c", entries(first, first + 100))
    store._keeper.wait()
    assert not caplog.records
    shutil.copy(tmp_path / "live" / "entries.db", tmp_path / "alone.db")
    alone = Rows(tmp_path / "alone.db", mode="r")
    assert alone.count(alone.collection("c").id) >= 400
    alone.close()
    assert await store.count("c") == 1000
    (tmp_path / "live" / "entries.db").rename(tmp_path / "away.db")
    with pytest.raises(StorageError, match="cannot be folded"):
        store.rows.database.fold()
    assert not (tmp_path / "live" / "entries.db").exists()
    (tmp_path / "away.db").rename(tmp_path / "live" / "entries.db")
    await store.close()


async def test_the_log_begins_anew_though_somebody_writes_while_it_is_folded(tmp_path, monkeypatch):
    monkeypatch.setattr("medha_core.embedded.upkeep._LOGGED_PAGES", 500)
    store = await opened(tmp_path / "live")
    fold, folded = store.rows.database.fold, []

    def fold_and_write():
        fold()
        folded.append(1)
        if len(folded) < 3:
            store._write("c", entries(900, 905), None)

    monkeypatch.setattr(store.rows.database, "fold", fold_and_write)
    await store.upsert("c", entries(0, 600))
    store._keeper.wait()
    log = tmp_path / "live" / "entries.db-wal"
    size = log.stat().st_size
    for first in (610, 620):
        await store.upsert("c", entries(first, first + 10))
    assert log.stat().st_size == size
    assert await store.count("c") == 625
    await store.close()


async def test_few_changes_do_not_write_the_files_anew(path):
    store = await opened(path, checkpoint_changes=10_000)
    before = (path / "index" / "1-scoped.bin").stat().st_mtime_ns
    await store.upsert("c", entries(ENTRIES, ENTRIES + 600))
    store._upkeep.keeper.wait()
    assert (path / "index" / "1-scoped.bin").stat().st_mtime_ns == before
    await store.close()
    assert (path / "index" / "1-scoped.bin").stat().st_mtime_ns > before


async def test_nothing_new_is_written_on_close_after_a_checkpoint(path):
    store = await opened(path, checkpoint_changes=1)
    await store.upsert("c", entries(ENTRIES, ENTRIES + 600))
    store._upkeep.keeper.wait()
    before = (path / "index" / "1-scoped.bin").stat().st_mtime_ns
    await store.close()
    assert (path / "index" / "1-scoped.bin").stat().st_mtime_ns == before


async def test_files_that_cannot_be_written_are_tried_again_later(path, caplog, monkeypatch):
    tried = []

    def fail(*_):
        tried.append(1)
        raise OSError(28, "No space left on device")

    store = await opened(path, checkpoint_changes=100)
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "write", fail)
        for first in range(ENTRIES, ENTRIES + 1000, 50):
            await store.upsert("c", entries(first, first + 50))
            store._upkeep.keeper.wait()
    assert len(tried) == 1, "a tenth of the entries must change before it is tried again"
    assert "No space left" in caplog.text
    await store.close()
    verify(path)


async def test_what_a_killed_process_left_is_cleared_away(path):
    for name in (".1-scoped.bin.77-abc", "1-scoped.bin.next"):
        (path / "index" / name).write_bytes(b"half")
    await (await opened(path, mode="r")).close()
    assert len(list((path / "index").iterdir())) == 4
    await (await opened(path)).close()
    assert len(list((path / "index").iterdir())) == 2


async def test_a_collection_dropped_meanwhile_gets_no_files(path):
    store = await opened(path, checkpoint_changes=1)
    store._upkeep.keeper.do("wait", (begin := threading.Event()).wait)
    await store.upsert("c", entries(ENTRIES, ENTRIES + 600))
    await store.drop_collection("c")
    begin.set()
    store._upkeep.keeper.wait()
    await store.close()
    assert not list((path / "index").iterdir())


# tombstones


async def test_a_graph_with_many_tombstones_is_built_anew_beside_searches(path, caplog):
    store = await opened(path, index_tier="graph", compact_above=0.2)
    collection, missed, over = store._collections["c"], [], threading.Event()

    def ask():
        while not over.is_set():
            for number in range(4000, 4050):
                labels, _ = collection.scoped.search(VECTORS[number], 1)
                if number % 5 and not len(labels):
                    missed.append(number)

    asking = threading.Thread(target=ask)
    asking.start()
    await store.delete("c", named(range(2000)))
    await store.upsert("c", entries(0, 100))
    store._upkeep.keeper.wait()
    over.set()
    asking.join()
    assert not missed
    assert collection.tombstones() == 0
    assert "tombstones dropped" in caplog.text
    numbers = [*range(100), *range(2000, 2100)]
    assert await nearest(store, numbers) == named(numbers)
    await store.close()
    verify(path)


async def test_what_has_expired_is_not_in_an_index_built_anew(path):
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    store = NativeBackend(path, settings=settings(index_tier="graph"), clock=moment.timestamp)
    await store.initialize("c", 8, model="m")
    await store.upsert("c", entries(ENTRIES, ENTRIES + 2, expires_at=moment))
    assert await nearest(store, [0]) == ["e0"]
    collection = store._collections["c"]
    store._upkeep._compact(collection)
    assert len(collection) == ENTRIES
    assert collection.swept == moment.timestamp()
    await store.close()


# large files


@pytest.fixture
def large(monkeypatch):
    """Every file counts as too large to be verified at opening."""
    monkeypatch.setattr("medha_core.embedded.checkpoint.VERIFIED_BELOW", 1)


def damage(path, section):
    from medha_core.index_file import open_file, read_header

    with open_file(path) as file:
        where = read_header(file, path).sections[section]
    data = bytearray(path.read_bytes())
    for at in range(where.offset, where.offset + where.length, 7):
        data[at] ^= 0x5A
    path.write_bytes(data)


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
@pytest.mark.parametrize("section", [0, 1, 2, 8])
async def test_damage_in_a_large_file_gives_no_wrong_answer_and_is_found(path, caplog, large, section, mode):
    damage(path / "index" / "1-unscoped.bin", section)
    caplog.clear()
    store = NativeBackend(path, mode=mode, settings=settings())
    hold = threading.Event()
    await store.connect()
    store._upkeep.keeper.do("hold", hold.wait)
    await store.initialize("c", 8, model="m")
    for number in range(0, 200, 5):
        for row in await store.search("c", VECTORS[number].tolist(), limit=3):
            true = VECTORS[int(row.id[1:])] @ VECTORS[number]
            true /= np.linalg.norm(VECTORS[int(row.id[1:])]) * np.linalg.norm(VECTORS[number])
            assert row.score == pytest.approx(max(true, 0), abs=1e-5)
    hold.set()
    store._upkeep.keeper.wait()
    assert "is built anew" in caplog.text
    assert await nearest(store, range(0, 200, 5)) == named(range(0, 200, 5))
    assert not store._collections["c"].unverified
    await store.close()


async def test_a_sound_large_file_is_verified_in_the_background(path, caplog, large):
    store = await opened(path, mode="r")
    store._upkeep.keeper.wait()
    assert not store._collections["c"].unverified
    assert "anew" not in caplog.text
    assert await nearest(store, range(50)) == named(range(50))
    await store.close()


async def test_damage_is_not_given_a_new_checksum(path, large):
    damage(path / "index" / "1-unscoped.bin", 1)
    store = NativeBackend(path, settings=settings())
    await store.connect()
    hold = threading.Event()
    store._upkeep.keeper.do("hold", hold.wait)
    await store.initialize("c", 8, model="m")
    await store.upsert("c", entries(ENTRIES, ENTRIES + 1))
    threading.Timer(0.2, hold.set).start()
    await store.close()
    verify(path)


# the whole directory


async def test_a_snapshot_maps_its_index_and_replays_nothing(path, tmp_path):
    store = await opened(path)
    await store.upsert("c", entries(ENTRIES, ENTRIES + 10))
    kept = await store.snapshot(tmp_path / "kept")
    await store.close()
    for mode in ("r", "c", "r+"):
        copy = await opened(kept, mode)
        collection = copy._collections["c"]
        assert (collection.replayed, len(collection)) == (0, ENTRIES + 10)
        assert len(collection.unscoped.note) > 0, "it comes from a file"
        assert await nearest(copy, range(ENTRIES, ENTRIES + 10)) == named(range(ENTRIES, ENTRIES + 10))
        await copy.close()


def forge(kept, change):
    """Rewrite the index of a snapshot, sealed as if it belonged there."""
    from medha_core.manifest import describe, read_manifest, write_manifest

    rows = Rows(kept / "entries.db", mode="r")
    files = Checkpoints(kept / "index")
    row = rows.collection("c")
    from medha_core.embedded.collection import NativeCollection

    collection = NativeCollection(row, files.maker(row.id))
    files.map(collection, rows, verify_below=float("inf"))
    change(collection)
    files.write(collection, rows, collection.last_removal)
    rows.close()
    manifest = read_manifest(kept)
    described = tuple(describe(kept, kept / file.name) for file in manifest.files)
    object.__setattr__(manifest, "files", described)
    write_manifest(kept, manifest)


FORGED = {
    "lacks the entries": lambda c: c.unscoped.remove(c.unscoped.labels()[:3]),
    "of them are in the rows": lambda c: c.unscoped.add([10**6], VECTORS[:1]),
    "another vector than the rows": lambda c: c.unscoped.add(c.unscoped.labels()[:1], VECTORS[77:78]),
    "changes behind its rows": lambda c: setattr(c, "last_label", c.last_label - 1),
}


@pytest.mark.parametrize("message", FORGED)
async def test_an_index_that_does_not_agree_with_its_rows_does_not_verify(path, tmp_path, message):
    store = await opened(path)
    kept = await store.snapshot(tmp_path / "kept")
    await store.close()
    verify(kept)
    forge(kept, FORGED[message])
    with pytest.raises(SnapshotError, match=message):
        verify(kept)


async def test_what_has_expired_may_be_absent_from_the_index(path):
    store = NativeBackend(path, settings=settings(), clock=lambda: 3e9)
    await store.initialize("c", 8, model="m")
    from datetime import UTC, datetime

    await store.upsert("c", entries(0, 50, expires_at=datetime.fromtimestamp(2e9, UTC)))
    assert await nearest(store, [0]) != ["e0"]
    await store.close()
    verify(path)


async def test_compacting_gives_the_room_of_deleted_entries_back(path, tmp_path):
    store = await opened(path)
    await store.delete("c", named(range(4_000)))
    kept = await store.snapshot(tmp_path / "kept")
    with pytest.raises(DirectoryLockedError):
        compact(path)
    await store.close()
    for folder in (path, kept):
        told = []
        done = compact(folder, lambda n, total, told=told: told.append((n, total)))
        assert done.after < done.before / 2
        assert done.info.entries == ENTRIES - 4_000
        assert told
        assert all(0 <= n <= total for n, total in told)
        assert told[-1][0] == told[-1][1]
        verify(folder)
        again = await opened(folder)
        assert await nearest(again, range(4_000, 4_050)) == named(range(4_000, 4_050))
        await again.close()


async def test_a_snapshot_is_loaded_whole_or_not_at_all(path, tmp_path, monkeypatch):
    store = await opened(path)
    kept = await store.snapshot(tmp_path / "kept")
    await store.close()
    told = []
    load(kept, tmp_path / "new", on_progress=lambda n, total: told.append((n, total)))
    assert told[-1][0] == told[-1][1] > 0
    verify(tmp_path / "new")
    assert not read_info(tmp_path / "new").files, "it is a directory for daily use"
    with pytest.raises(SnapshotError, match="--replace"):
        load(kept, path)
    store = await opened(path)
    await store.delete("c", named(range(10)))
    with pytest.raises(DirectoryLockedError):
        load(kept, path, replace=True)
    await store.close()
    with monkeypatch.context() as patch:
        patch.setattr(
            "medha_core.embedded.maintenance.force", lambda _: (_ for _ in ()).throw(OSError(28, "No space"))
        )
        with pytest.raises(SnapshotError, match="No space"):
            load(kept, path, replace=True)
    assert read_info(path).entries == ENTRIES - 10
    load(kept, path, replace=True)
    assert read_info(path).entries == ENTRIES
    assert sorted(p.name for p in tmp_path.iterdir()) == ["kept", "new", "store"]


async def test_a_damaged_snapshot_is_not_loaded(path, tmp_path):
    store = await opened(path)
    kept = await store.snapshot(tmp_path / "kept")
    await store.close()
    damage(kept / "index" / "1-scoped.bin", 1)
    with pytest.raises(SnapshotError, match="checksum"):
        load(kept, tmp_path / "new")
    assert not (tmp_path / "new").exists()


async def test_a_death_between_the_renames_of_a_load_loses_neither(path):
    path.rename(path.with_name("store.previous"))
    for mode in ("r", "c", "r+"):
        store = await opened(path, mode)
        assert await nearest(store, range(10)) == named(range(10))
        await store.close()
    assert path.is_dir()


# another model

QUESTIONS = [f"Where is machine {n} of hall {n * 3}?" for n in range(60)]


class Larger(HashingEmbedder):
    """Another space, that can be told to stop."""

    model_name = "larger"
    left = 10**9

    async def aembed_array(self, texts, **kwargs):
        if self.left < len(texts):
            raise RuntimeError("unplugged")
        self.left -= len(texts)
        return await super().aembed_array(texts, **kwargs)


def cache(folder, embedder, **fields):
    return Medha("c", embedder, settings=settings(path=folder, **fields))


async def fill(folder):
    async with cache(folder, HashingEmbedder(32), substitution="off") as shop:
        for number, text in enumerate(QUESTIONS):
            filters = {"tenant": number % 4} if number % 3 == 0 else None
            await shop.store(text, f"SELECT {number}", metadata=filters, ttl=10**8 if number % 2 else None)
        await shop.feedback(QUESTIONS[1], True)
        await shop.store("Elsewhere?", "SELECT 'other'", collection_name="d")


async def rows_of(folder):
    rows = Rows(folder / "entries.db", mode="r")
    collection = rows.collection("c")
    found = [row._replace(label=0, collection=0) for row in rows.page(collection.id, 0, 1000)]
    rows.close()
    return collection, found


async def test_a_collection_gets_the_vectors_of_another_model(tmp_path):
    await fill(tmp_path)
    _, before = await rows_of(tmp_path)
    told = []
    done = await reembed(
        tmp_path, Larger(64), "c", batch_size=7, on_progress=lambda n, total: told.append((n, total))
    )
    assert done == ("c", 60, 0, "hashing-v1-32:32", "larger:64")
    assert told[-1] == (60, 60)
    collection, after = await rows_of(tmp_path)
    assert (collection.dimension, collection.model, collection.entries) == (64, "larger:64", 60)
    assert after == before
    verify(tmp_path)
    async with cache(tmp_path, Larger(64), substitution="off") as shop:
        for number, text in enumerate(QUESTIONS):
            filters = {"tenant": number % 4} if number % 3 == 0 else None
            assert (await shop.search(text, filters=filters)).generated_query == f"SELECT {number}"
    with pytest.raises(StorageError, match="expected dimension 64, got 32"):
        await cache(tmp_path, HashingEmbedder(32)).start()
    assert (await reembed(tmp_path, Larger(64), "c")).resumed == 60


async def test_what_was_interrupted_goes_on_where_it_was(tmp_path):
    await fill(tmp_path)
    model = Larger(64)
    model.left = 35
    with pytest.raises(EmbeddingError, match="unplugged"):
        await reembed(tmp_path, model, "c", batch_size=10)
    async with cache(tmp_path, HashingEmbedder(32), substitution="off") as shop:
        assert await shop._backend.collection_names() == ["c", "d"]
        assert (await shop.search(QUESTIONS[1])).generated_query == "SELECT 1"
        await shop.store(QUESTIONS[2], "SELECT 'later'")
        hit = await shop.search(QUESTIONS[4])
        await shop._backend.delete("c", [hit.entry_id])
    verify(tmp_path)
    model.left = 40
    done = await reembed(tmp_path, model, "c", batch_size=10)
    assert done.entries == 59
    assert done.resumed == 29, "all of the 30 but the one that is gone"
    verify(tmp_path)
    async with cache(tmp_path, model, substitution="off") as shop:
        assert (await shop.search(QUESTIONS[2])).generated_query == "SELECT 'later'"
        assert not await shop.search(QUESTIONS[4])
        assert (await shop.stats()).backend_count == 59


async def test_a_reader_of_the_old_model_is_refused_afterwards(tmp_path):
    await fill(tmp_path)
    async with Medha.open(tmp_path, embedder=HashingEmbedder(32), collection_name="c") as reader:
        assert await reader.search(QUESTIONS[1])

        class Same(HashingEmbedder):
            model_name = "same-size"

        await reembed(tmp_path, Same(32), "c")
        await reader.refresh()
        hit = await reader.search("Where is machine 1 of hall three?")
        assert "hashing-v1-32:32" in hit.error
        assert "same-size:32" in hit.error


async def test_what_cannot_be_reembedded_is_named(tmp_path):
    await fill(tmp_path / "live")
    with pytest.raises(ConfigurationError, match=r"has \['c', 'd'\], not 'x'"):
        await reembed(tmp_path / "live", Larger(64), "x")
    async with cache(tmp_path / "live", HashingEmbedder(32)) as shop:
        await shop.snapshot(tmp_path / "kept")
        with pytest.raises(DirectoryLockedError):
            await reembed(tmp_path / "live", Larger(64), "c")
    with pytest.raises(ConfigurationError, match="medha snapshot load"):
        await reembed(tmp_path / "kept", Larger(64), "c")
    assert (tmp_path / "kept" / "manifest.json").exists()


def test_a_store_that_is_closed_has_no_thread(path):
    before = threading.active_count()
    store = asyncio.run(opened(path, checkpoint_changes=1))
    asyncio.run(store.upsert("c", entries(ENTRIES, ENTRIES + 600)))
    asyncio.run(store.close())
    assert threading.active_count() <= before + 1
    assert not [thread for thread in threading.enumerate() if thread.name == "medha-keeper"]


@pytest.mark.parametrize("change", ["cut", "gone"])
async def test_a_snapshot_without_a_sound_index_opens_and_does_not_verify(path, tmp_path, caplog, change):
    store = await opened(path)
    kept = await store.snapshot(tmp_path / "kept")
    await store.close()
    file = kept / "index" / "1-unscoped.bin"
    file.unlink() if change == "gone" else file.write_bytes(file.read_bytes()[:50_000])
    copy = await opened(kept, "r")
    assert await nearest(copy, range(0, 50, 5)) == named(range(0, 50, 5))
    await copy.close()
    assert ("is built anew" in caplog.text) is (change == "cut")
    with pytest.raises(SnapshotError, match="1-unscoped"):
        verify(kept)
