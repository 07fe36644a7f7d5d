"""Snapshots: whole or not there, found again, checked, and refused by name when something is wrong."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from medha_core import (
    ConfigurationError,
    HashingEmbedder,
    Medha,
    MedhaError,
    Settings,
    SnapshotError,
    StorageError,
)
from medha_core.embedded.verification import verify
from medha_core.manifest import read_manifest, write_manifest
from medha_core.snapshot import read_info


def cache_in(folder=None, **fields):
    return Medha("shop", HashingEmbedder(32), settings=Settings(_env_file=None, path=folder, **fields))


def opened(folder, mode="r"):
    return Medha.open(folder, mode=mode, embedder=HashingEmbedder(32), collection_name="shop")


async def fill(cache, entries=20):
    pairs = [
        {
            "question": f"Where is machine {n}?",
            "generated_query": f"SELECT {n}",
            "metadata": {"n": n} if n % 2 else {},
        }
        for n in range(entries)
    ]
    await cache.store_many(pairs)


@pytest.fixture
async def snapshot(tmp_path):
    async with cache_in() as cache:
        await fill(cache)
        await cache.store("Elsewhere?", "SELECT 'other'", collection_name="Läden/2")
        return await cache.snapshot(tmp_path / "kept")


@pytest.mark.parametrize("disk", [False, True])
async def test_a_snapshot_answers_as_the_cache_did(tmp_path, disk):
    async with cache_in(tmp_path / "live" if disk else None) as cache:
        await fill(cache)
        done = []
        await cache.snapshot(tmp_path / "deep" / "kept", on_progress=lambda n, total: done.append((n, total)))
        assert done[-1][0] == done[-1][1] > 0
        questions = [f"Where is machine {n}" for n in range(22)]
        before = await cache.search_batch(questions)
        await cache.store("Where is machine 0?", "SELECT 'later'")
    shutil.move(tmp_path / "deep" / "kept", tmp_path / "elsewhere")
    for mode in ("r", "c", "r+"):
        async with opened(tmp_path / "elsewhere", mode) as copy:
            assert [hit.generated_query for hit in await copy.search_batch(questions)] == [
                hit.generated_query for hit in before
            ]


def test_the_manifest_says_what_is_there(snapshot):
    info = json.loads((snapshot / "manifest.json").read_text())
    assert [(c["name"], c["entries"], c["dimension"], c["metric"]) for c in info["collections"]] == [
        ("shop", 20, 32, "cosine"),
        ("Läden/2", 1, 32, "cosine"),
    ]
    assert info["collections"][0]["model"] == HashingEmbedder(32).fingerprint
    indexes = [f"index/{number}-{kind}.bin" for number in (1, 2) for kind in ("unscoped", "scoped")]
    assert [file["name"] for file in info["files"]] == ["entries.db", *indexes]
    there = sorted(path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*") if path.is_file())
    assert there == ["entries.db", *sorted(indexes), "manifest.json"]
    assert read_info(snapshot) == verify(snapshot)
    assert verify(snapshot).entries == 21


async def test_a_new_snapshot_takes_the_place_of_the_old_one(tmp_path, snapshot):
    async with opened(snapshot) as old, cache_in() as cache:
        await cache.store("Only this?", "SELECT 1")
        await cache.snapshot(snapshot)
        assert await old.search("Where is machine 4?"), "a reader of the old one reads on"
    assert verify(snapshot).entries == 1
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


async def test_a_snapshot_that_fails_leaves_the_old_one_and_nothing_else(tmp_path, snapshot, monkeypatch):
    for broken in ("describe", "write_manifest", "_put_in_place"):
        with monkeypatch.context() as patch:
            patch.setattr(f"medha_core.snapshot.{broken}", fail)
            async with cache_in() as cache:
                with pytest.raises(SnapshotError, match="No space left"):
                    await cache.snapshot(snapshot)
        assert verify(snapshot).entries == 21
        assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def fail(*_):
    raise OSError(28, "No space left on device")


async def test_a_death_between_the_renames_loses_neither(tmp_path, snapshot):
    snapshot.rename(tmp_path / "kept.previous")
    shutil.copytree(tmp_path / "kept.previous", tmp_path / "kept.partial")
    for mode in ("r", "c"):
        async with opened(snapshot, mode) as cache:
            assert await cache.search("Where is machine 4?")
    assert verify(snapshot).entries == 21
    async with cache_in() as cache:
        await cache.store("Only this?", "SELECT 1")
        await cache.snapshot(snapshot)
    assert verify(snapshot).entries == 1
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


async def test_writing_goes_on_from_where_a_death_left_off(tmp_path, snapshot):
    snapshot.rename(tmp_path / "kept.previous")
    async with opened(snapshot, "r+") as cache:
        assert await cache.search("Where is machine 4?")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


async def test_only_snapshots_are_replaced(tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    async with cache_in(tmp_path / "live") as cache, cache_in(tmp_path / "other"):
        for place in (precious, precious / "thesis.txt", tmp_path / "other", tmp_path / "live"):
            with pytest.raises(SnapshotError, match="choose another"):
                await cache.snapshot(place)
        with pytest.raises(SnapshotError, match="Not a directory"):
            await cache.snapshot(precious / "thesis.txt" / "kept")
    assert (precious / "thesis.txt").read_text() == "years of work"


async def test_a_snapshot_opened_for_writing_becomes_a_directory_in_daily_use(snapshot):
    async with opened(snapshot, "r+") as cache:
        await cache.store("A new one?", "SELECT 'new'")
        assert not (snapshot / "manifest.json").exists()
        with pytest.raises(SnapshotError, match="choose another"):
            async with cache_in() as other:
                await other.snapshot(snapshot)
    assert verify(snapshot).entries == 22
    async with opened(snapshot) as cache:
        assert (await cache.search("A new one?")).generated_query == "SELECT 'new'"


async def test_another_model_and_another_dimension_are_refused_with_both(snapshot):
    class Other(HashingEmbedder):
        model_name = "other-32"

    for mode in ("r", "r+", "c"):
        with pytest.raises(StorageError, match=r"'hashing-v1-32:32'.*'other-32:32'"):
            await Medha.open(snapshot, mode=mode, collection_name="shop", embedder=Other(32)).start()
        with pytest.raises(StorageError, match="expected dimension 32, got 16"):
            await Medha.open(
                snapshot, mode=mode, collection_name="shop", embedder=HashingEmbedder(16)
            ).start()


# damage


def rewritten(folder, **changes):
    """The manifest with other values, sealed as if they were true."""
    manifest = read_manifest(folder)
    for name, value in changes.items():
        object.__setattr__(manifest, name, value)
    write_manifest(folder, manifest)


def in_manifest(old, new):
    def change(folder):
        path = folder / "manifest.json"
        path.write_bytes(path.read_bytes().replace(old, new, 1))

    return change


def lengthen(path, more=b"x"):
    path.write_bytes(path.read_bytes() + more)


DAMAGE = {
    "newer": (lambda folder: rewritten(folder, format=9), r"format 9 by a newer .* up to 2"),
    "entries": (in_manifest(b'"entries": 20', b'"entries": 21'), "checksum"),
    "no JSON": (in_manifest(b"{", b"["), "manifest.json is damaged"),
    "a list": (lambda folder: (folder / "manifest.json").write_text("[]"), "expected an object, got list"),
    "not ours": (lambda folder: (folder / "manifest.json").write_text("{}"), "checksum"),
    "a blank": (lambda folder: lengthen(folder / "manifest.json", b" "), "blanks"),
    "deep": (lambda folder: (folder / "manifest.json").write_text("[" * 200_000), "damaged"),
    "empty": (lambda folder: (folder / "manifest.json").write_bytes(b""), "manifest.json is damaged"),
    "longer": (lambda folder: lengthen(folder / "entries.db"), r"expected \d+ bytes, got \d+"),
    "gone": (lambda folder: (folder / "entries.db").unlink(), "entries.db"),
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_damage_is_named_at_open(snapshot, damage):
    change, message = DAMAGE[damage]
    change(snapshot)
    for mode in ("r", "c", "r+"):
        with pytest.raises(StorageError, match=message):
            await opened(snapshot, mode).start()
    with pytest.raises(SnapshotError, match=message):
        verify(snapshot)


async def test_a_manifest_that_does_not_fit_the_rows_does_not_verify(snapshot):
    rewritten(snapshot, collections=read_manifest(snapshot).collections[:1])
    with pytest.raises(SnapshotError, match="the manifest lists"):
        verify(snapshot)


async def test_a_count_that_is_wrong_does_not_verify(tmp_path):
    async with cache_in(tmp_path / "live") as cache:
        await fill(cache)
    with sqlite3.connect(tmp_path / "live" / "entries.db") as db:
        db.execute("UPDATE collections SET entries = 7")
    db.close()
    with pytest.raises(SnapshotError, match="'shop' has 20 entries of 7"):
        verify(tmp_path / "live")


def test_what_is_no_snapshot_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(SnapshotError, match="holds no snapshot"):
            verify(folder)


async def test_a_store_of_another_kind_writes_no_snapshots(tmp_path, monkeypatch):
    async with cache_in() as cache:
        monkeypatch.setattr(cache._parts, "backend", object())
        with pytest.raises(ConfigurationError, match="embedded store"):
            await cache.snapshot(tmp_path / "kept")
        monkeypatch.undo()


def test_the_synchronous_form(tmp_path):
    cache = cache_in(tmp_path / "live")
    cache.start_sync()
    cache.store_sync("Where is machine 4?", "SELECT 4")
    assert cache.snapshot_sync(tmp_path / "kept") == Path(tmp_path / "kept")
    assert cache.expire_sync() == 0
    assert cache.refresh_sync() is False
    cache.close_sync()
    with pytest.raises(MedhaError, match="closed"):
        cache.expire_sync()
