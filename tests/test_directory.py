"""A directory and those who open it: one writer, any number of readers, no forked child."""

import asyncio
import json
import os
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import pytest

from medha_core import (
    ConfigurationError,
    DirectoryLockedError,
    HashingEmbedder,
    Medha,
    NativeBackend,
    SearchStrategy,
    Settings,
    StorageError,
    StorageInitializationError,
)

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
forked = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def writer(folder, **fields):
    given = Settings(_env_file=None, path=folder, **fields)
    return Medha("c", HashingEmbedder(32), settings=given)


def reader(folder, mode="r", **options):
    return Medha.open(folder, mode=mode, embedder=HashingEmbedder(32), **options)


def python(code, *arguments):
    """Run code in another process; its output."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


# one writer

HOLD = """
import sys, asyncio
from medha_core import HashingEmbedder, Medha
async def main():
    async with Medha.open(sys.argv[1], mode="r+", collection_name="c", embedder=HashingEmbedder(32)) as cache:
        await cache.store("How many are there?", "SELECT 1")
        print("open", flush=True)
        sys.stdin.read()
asyncio.run(main())
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that has the directory open for writing."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "open\n"
        yield process
        process.kill()


async def test_a_second_writer_is_told_who_holds_the_directory(tmp_path, holder):
    with pytest.raises(DirectoryLockedError, match=rf"process {holder.pid} on \S+ since 2\d\d\d-"):
        await writer(tmp_path).start()


async def test_the_lock_dies_with_its_holder(tmp_path, holder):
    holder.kill()
    holder.wait()
    async with writer(tmp_path) as cache:
        assert (await cache.search("How many are there?")).generated_query == "SELECT 1"


async def test_a_second_cache_of_this_process_is_refused_too(tmp_path):
    async with writer(tmp_path) as first:
        with pytest.raises(DirectoryLockedError, match=f"this process, {os.getpid()}"):
            await writer(tmp_path).start()
        assert await first.store("Still writing?", "SELECT 1")
    async with writer(tmp_path) as cache:
        assert await cache.search("Still writing?")


async def test_a_start_that_fails_lets_go_of_the_directory(tmp_path):
    async with writer(tmp_path):
        pass
    with pytest.raises(StorageError, match="dimension 32, got 64"):
        await Medha("c", HashingEmbedder(64), settings=Settings(_env_file=None, path=tmp_path)).start()
    async with writer(tmp_path) as cache:
        assert await cache.store("Is it free?", "SELECT 1")


async def test_a_lock_file_nobody_can_read_names_nobody(tmp_path, holder):
    (tmp_path / "writer.lock").write_bytes(b"\xff{")
    with pytest.raises(DirectoryLockedError, match="another process"):
        await writer(tmp_path).start()


# modes


async def test_a_reader_reads_and_refuses_to_write(tmp_path):
    async with writer(tmp_path) as cache:
        await cache.store("How many are there?", "SELECT 1")
        async with reader(tmp_path) as first, reader(tmp_path) as second:
            for one in (first, second):
                assert (await one.search("How many are there?")).generated_query == "SELECT 1"
                assert one._backend.read_only
            for refused in (
                first.store("Another", "SELECT 2"),
                first.store_many([{"question": "Another", "generated_query": "SELECT 2"}]),
                first.expire(),
            ):
                with pytest.raises(ConfigurationError, match="read-only"):
                    await refused
            with pytest.raises(ConfigurationError, match="read-only"):
                await first._backend.delete("c", ["x"])
        assert (await cache.stats()).backend_count == 1


async def test_what_is_stored_in_mode_c_is_thrown_away(tmp_path):
    async with writer(tmp_path) as cache:
        await cache.store("How many are there?", "SELECT 1")
        before = (tmp_path / "entries.db").read_bytes()
        async with reader(tmp_path, "c") as own:
            await own.store("How many are there?", "SELECT 'mine'")
            await own.store("Where are they?", "SELECT 2")
            assert (await own.search("How many are there?")).generated_query == "SELECT 'mine'"
            assert (await own.stats()).backend_count == 2
        assert (await cache.search("How many are there?")).generated_query == "SELECT 1"
    assert len(before) <= (tmp_path / "entries.db").stat().st_size
    async with reader(tmp_path) as again:
        assert (await again.stats()).backend_count == 1


@pytest.mark.parametrize("mode", ["r", "c"])
async def test_reading_creates_nothing(tmp_path, mode):
    for folder in (tmp_path / "absent", tmp_path):
        with pytest.raises(StorageInitializationError, match="no cache in"):
            await reader(folder, mode, collection_name="c").start()
    assert not list(tmp_path.iterdir())


async def test_the_only_collection_needs_no_name(tmp_path):
    async with writer(tmp_path) as cache:
        await cache.store("How many are there?", "SELECT 1")
    assert reader(tmp_path).collection_name == "c"
    with pytest.raises(StorageInitializationError, match=r"no collection 'd'; it has \['c'\]"):
        await reader(tmp_path, collection_name="d").start()
    async with writer(tmp_path) as cache:
        await cache.store("How many are there?", "SELECT 1", collection_name="d")
    with pytest.raises(ConfigurationError, match=r"choose one of \['c', 'd'\]"):
        reader(tmp_path)
    with pytest.raises(ValueError, match="mode"):
        reader(tmp_path, "w", collection_name="c")


# readers follow


async def answered(cache, question):
    return (await cache.search(question)).generated_query


async def test_a_reader_sees_every_kind_of_change_on_refresh(tmp_path):
    async with writer(tmp_path) as cache:
        await cache.store("How many are there?", "SELECT 1")
        async with reader(tmp_path) as follower:
            assert await follower.refresh() is False
            await cache.store("How many are there?", "SELECT 2")
            await cache.store("Who has the key?", "SELECT 3", metadata={"tenant": 1})
            assert await follower.refresh() is True
            assert await answered(follower, "How many are there?") == "SELECT 2"
            hit = await follower.search("Who has the key?", filters={"tenant": 1})
            assert hit.generated_query == "SELECT 3"
            await cache._backend.delete("c", [hit.entry_id])
            assert await follower.refresh() is True
            assert not await follower.search("Who has the key?", filters={"tenant": 1})
            assert (await follower.stats()).backend_count == 1
            assert await follower.refresh() is False


async def test_a_number_moves_for_readers_when_something_is_forgotten(tmp_path):
    async with writer(tmp_path) as cache:
        await cache.store("How many are there?", "SELECT 1")
        store = cache._backend
        async with reader(tmp_path) as first, reader(tmp_path, "c") as own:
            numbers = lambda: (first._backend.generation, store.generation)  # noqa: E731
            before = numbers()
            assert before == numbers()
            for change in (
                cache.store("How many are there?", "SELECT 2"),
                store.update_feedback("c", "x", False),
                store.delete("c", ["x"]),
                store.drop_collection("c"),
            ):
                await change
                after = numbers()
                assert after[0] > before[0]
                assert after[1] > before[1]
                before = after
            assert own._backend.generation == 0
            assert not await store.has_collection("c")
            assert await own._backend.has_collection("c")


async def test_a_reader_that_was_there_before_the_writer_sees_the_number_move(tmp_path):
    async with writer(tmp_path) as cache:
        await cache.store("How many are there?", "SELECT 1")
    (tmp_path / "generation").unlink()
    async with reader(tmp_path) as follower:
        assert follower._backend.generation == 0
        async with writer(tmp_path) as cache:
            await cache.store("How many are there?", "SELECT 2")
            await follower.refresh()
            before = follower._backend.generation
            await cache.store("How many are there?", "SELECT 3")
            assert follower._backend.generation > before


async def test_a_reader_sees_changes_by_itself(tmp_path):
    async with writer(tmp_path) as cache:
        await cache.store("How many are there?", "SELECT 1")
        async with reader(tmp_path) as follower:
            assert await answered(follower, "How many are there?") == "SELECT 1"
            await cache.store("How many are there?", "SELECT 2")
            promised = time.monotonic() + 1
            while (seen := await answered(follower, "How many are there?")) == "SELECT 1":
                assert time.monotonic() < promised + 30
                await asyncio.sleep(0.05)
            assert seen == "SELECT 2"


async def test_a_reader_that_was_away_for_long_reads_anew(tmp_path, monkeypatch):
    monkeypatch.setattr("medha_core.rows.changes.KEPT_REMOVALS", 5)
    async with writer(tmp_path) as cache:
        for number in range(30):
            await cache.store(f"Where is machine {number}?", f"SELECT {number}")
        async with reader(tmp_path) as follower:
            for number in range(0, 30, 2):
                await cache.store(f"Where is machine {number}?", f"SELECT {number} + 1")
            await follower.refresh()
            for number in range(30):
                expected = f"SELECT {number}" if number % 2 else f"SELECT {number} + 1"
                assert await answered(follower, f"Where is machine {number}?") == expected
            assert len(follower._backend._collections["c"]) == 30


async def test_a_collection_that_was_dropped_is_gone_for_readers(tmp_path):
    async with writer(tmp_path) as cache:
        await cache.store("How many are there?", "SELECT 1")
        async with reader(tmp_path) as follower:
            await cache._backend.drop_collection("c")
            await follower.refresh()
            assert (await follower.search("How many are there?")).strategy is SearchStrategy.ERROR
            await cache._backend.initialize("c", 32)
            await cache.store("Where are they?", "SELECT 2")
            await follower.refresh()
            assert not await follower.search("How many are there?")
            assert await answered(follower, "Where are they?") == "SELECT 2"


async def test_an_index_that_stands_still_catches_up_with_the_rows(tmp_path):
    async with NativeBackend(tmp_path) as store:
        await store.initialize("c", 32)
    async with writer(tmp_path) as cache, reader(tmp_path) as follower:
        collection = follower._backend._collections["c"]
        for number in range(5):
            await cache.store(f"Where is machine {number % 3}?", f"SELECT {number}")
        assert collection.catch_up(follower._backend.rows) == 3 + 2
        assert collection.catch_up(follower._backend.rows) == 0


# a writer and readers in processes of their own


def start_reader(folder, until):
    """A process that asks until the time is up."""
    command = [sys.executable, str(Path(__file__).with_name("reader_harness.py")), str(folder), str(until)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


async def write_on(folder, until, readers):
    """Write until the time is up, with readers from the first round on; the readers and the rounds."""
    processes = []
    async with writer(folder) as cache:
        for rounds in count():
            for number in range(10):
                await cache.store(f"Where is machine {number}?", f"SELECT {number} -- {time.time()}")
            if rounds == 0:
                processes = [start_reader(folder, until) for _ in range(readers)]
            if time.time() > until:
                break
            await asyncio.sleep(0.01)
    return processes, rounds


def run_together(folder, seconds, readers):
    """One writer here and readers in other processes; what the readers say, and the rounds written."""
    processes, rounds = asyncio.run(write_on(folder, time.time() + seconds, readers))
    said = []
    for process in processes:
        out, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        said.append(json.loads(out))
    return said, rounds


def test_a_writer_with_readers_in_other_processes(tmp_path):
    """MEDHA_TEST_SECONDS=60 runs the large form, with four readers."""
    seconds = float(os.environ.get("MEDHA_TEST_SECONDS", "4"))
    said, rounds = run_together(tmp_path, seconds, 4 if seconds > 30 else 2)
    assert rounds > 10
    for one in said:
        assert one["faults"] == []
        assert one["asked"] > 0


# forks


def in_child(body):
    """What `body` returns in a forked child."""
    hear, say = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(say, json.dumps(body()).encode())
        finally:
            os._exit(0)
    os.close(say)
    with os.fdopen(hear, "rb") as said:
        answer = said.read()
    os.waitpid(child, 0)
    return json.loads(answer)


@needs_fork
@forked
@pytest.mark.parametrize("mode", ["r+", "r", "c"])
def test_a_forked_child_is_refused_and_the_parent_goes_on(tmp_path, mode):
    with_entry = writer(tmp_path)
    with_entry.start_sync()
    with_entry.store_sync("How many are there?", "SELECT 1")
    with_entry.close_sync()
    cache = reader(tmp_path, mode)
    cache.start_sync()
    assert cache.search_sync("How many are there?")

    def use():
        hit = cache.search_sync("How many are there?")
        try:
            cache.store_sync("Another", "SELECT 2")
        except ConfigurationError as error:
            refused = str(error)
        try:
            asyncio.run(cache._backend.count("c"))
        except StorageError as error:
            below = str(error)
        cache.close_sync()
        return [hit.strategy.value, hit.error, refused, below]

    strategy, *errors = in_child(use)
    assert strategy == "error"
    assert all("fork" in error for error in errors)
    assert cache.search_sync("How many are there?").generated_query == "SELECT 1"
    if mode != "r":
        assert cache.store_sync("Another", "SELECT 2")
        with pytest.raises(DirectoryLockedError) if mode == "r+" else pytest.raises(ConfigurationError):
            writer(tmp_path).start_sync() if mode == "r+" else reader(tmp_path).store_sync("x", "y")
    cache.close_sync()


@needs_fork
@forked
def test_a_child_may_open_the_directory_for_itself(tmp_path):
    cache = writer(tmp_path)
    cache.start_sync()
    cache.store_sync("How many are there?", "SELECT 1")

    def use():
        own = reader(tmp_path)
        own.start_sync()
        return own.search_sync("How many are there?").generated_query

    assert in_child(use) == "SELECT 1"
    cache.close_sync()


FORK_AND_LEAVE = """
import os, sys
from medha_core import HashingEmbedder, Medha
cache = Medha.open(sys.argv[1], mode="r+", collection_name="c", embedder=HashingEmbedder(32))
cache.start_sync()
cache.store_sync("How many are there?", "SELECT 1")
if os.fork() == 0:
    sys.exit(0)
os.wait()
assert cache.store_sync("And after the child has gone?", "SELECT 2")
os._exit(0)
"""


@needs_fork
async def test_a_child_that_ends_takes_nothing_with_it(tmp_path):
    done = python(FORK_AND_LEAVE, tmp_path)
    assert done.returncode == 0, done.stderr
    async with writer(tmp_path) as cache:
        assert await answered(cache, "And after the child has gone?") == "SELECT 2"


@needs_fork
@forked
def test_a_cache_in_memory_may_be_forked():
    cache = Medha("c", HashingEmbedder(32), settings=Settings(_env_file=None))
    cache.start_sync()
    cache.store_sync("How many are there?", "SELECT 1")
    assert in_child(lambda: cache.search_sync("How many are there?").generated_query) == "SELECT 1"
    cache.close_sync()
