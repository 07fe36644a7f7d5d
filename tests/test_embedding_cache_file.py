"""The file behind `CachedEmbedder`: bit-identical, bounded, shared, and in nobody's way when damaged."""

import asyncio
import json
import logging
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from medha_core import Medha, Settings, StorageError, StorageInitializationError
from medha_core.embedding import CachedEmbedder
from medha_core.embeddings import CallableEmbedder, HashingEmbedder
from medha_core.vectors.cache import vector_keys
from medha_core.vectors.file import VectorFile

HARNESS = Path(__file__).with_name("cache_harness.py")


class Counting(HashingEmbedder):
    """Hashed letters that say which texts were computed."""

    def __init__(self, dimension=64):
        super().__init__(dimension)
        self.computed = []

    def embed_array(self, texts, **kwargs):
        self.computed += texts
        return super().embed_array(texts)


class Clock:
    """A time that moves when it is told to."""

    now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def path(tmp_path):
    return tmp_path / "vectors" / "cache.db"


@pytest.fixture
def opened(path):
    """`opened(...)`: a cache on the file with its own counting embedder; all are closed at the end."""
    made = []

    def make(where=path, *, inner=None, **options):
        cache = CachedEmbedder(inner or Counting(), where, **options)
        made.append(cache)
        return cache

    yield make
    for cache in made:
        cache.close()


def in_file(path, statement, *arguments):
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        return db.execute(statement, arguments).fetchall()


# a miss and a hit


def test_14_a_miss_a_hit_and_a_hit_after_reopening_are_the_same_bits(opened):
    """Check 14 and E8: nothing is rounded on the way through the cache."""
    texts = ["how many orders", "river", "Ünïcode ☃"]
    first = opened()
    miss = first.embed_array(texts)
    hit = first.embed_array(texts)
    first.close()
    from_file = opened()
    later = from_file.embed_array(texts)
    assert miss.tobytes() == hit.tobytes() == later.tobytes() == Counting().embed_array(texts).tobytes()
    assert from_file.inner.computed == []
    assert from_file.stats == {"hits": 3, "misses": 0, "file_hits": 3, "computed": 0, "corrupt": 0}
    assert later.flags.writeable


async def test_a_batch_computes_only_its_unique_misses_and_keeps_the_order(opened):
    """E10, E11: duplicates are computed once, and no vector is missing or misplaced."""
    cache = opened()
    await cache.aembed_array(["b", "d"])
    again = opened()
    vectors = await again.aembed_array(["a", "b", "a", "c", "d", "b"])
    assert again.inner.computed == ["a", "c"]
    assert np.array_equal(vectors, Counting().embed_array(["a", "b", "a", "c", "d", "b"]))
    assert again.stats == {"hits": 4, "misses": 2, "file_hits": 2, "computed": 2, "corrupt": 0}


async def test_a_large_batch_is_read_off_the_event_loop(opened):
    texts = [f"text {i}" for i in range(700)]
    await opened().aembed_array(texts)
    again = opened()
    assert np.array_equal(await again.aembed_array(texts), Counting().embed_array(texts))
    assert again.inner.computed == []


def test_models_dimensions_and_roles_never_share_a_row(opened):
    """E4: one key is one vector space."""

    def ones(name, dimension=4):
        return CallableEmbedder(lambda text: [1.0] * dimension, dimension, name)

    opened(inner=ones("a")).embed_array(["text"])
    for inner in (ones("b"), ones("a", 5), ones("a:4", 4)):
        cache = opened(inner=inner)
        cache.embed_array(["text"])
        assert cache.stats["computed"] == 1
    document = opened(inner=ones("a"))
    document.embed_array(["text"], is_document=True)
    assert document.stats["computed"] == 1


def test_a_failure_is_not_kept(opened):
    failing = opened(inner=CallableEmbedder(lambda text: [float("nan")] * 3, 3, "m"))
    with pytest.raises(Exception, match="not a number"):
        failing.embed_array(["text"])
    assert failing.info()["entries"] == 0


def test_the_cache_can_be_filled_and_emptied_by_hand(opened):
    cache = opened()
    vectors = Counting().embed_array(["one", "two"])
    cache.mset(["one", "two"], vectors)
    got = opened().mget(["two", "three", "one"])
    assert got[1] is None
    assert np.array_equal(np.stack([got[2], got[0]]), vectors)
    cache.drop(["one"])
    assert [vector is None for vector in cache.mget(["one", "two"])] == [True, False]
    cache.clear()
    assert cache.mget(["two"]) == [None]
    assert cache.info()["entries"] == 0
    assert cache.inner.computed == []


def test_forget_empties_the_memory_and_keeps_the_file(opened):
    cache = opened()
    cache.embed("one")
    cache.forget()
    assert len(cache) == 0
    cache.embed("one")
    assert cache.inner.computed == ["one"]


# limits


def test_the_least_recently_used_go_and_reads_count_as_use(opened, path):
    """E7: the counts of accesses are used, and are not written by each read."""
    clock = Clock()
    cache = opened(max_entries=4, memory_entries=0, clock=clock)
    for text in ("a", "b", "c", "d"):
        clock.now += 1
        cache.embed_array([text])
    clock.now += 1
    cache.embed_array(["a"])
    before = in_file(path, "SELECT sum(access_count) FROM embeddings")
    assert before == [(4,)]
    clock.now += 1
    cache.embed_array(["e", "f"])
    assert in_file(path, "SELECT max(access_count) FROM embeddings") == [(2,)]
    assert [vector is not None for vector in cache.mget(list("abcdef"))] == [1, 0, 0, 1, 1, 1]
    assert cache.info()["entries"] == 4


def test_bytes_are_limited_in_the_file_and_in_memory(opened):
    cache = opened(max_bytes=10 * 4 * 64)
    cache.embed_array([f"text {i}" for i in range(50)])
    assert cache.info()["entries"] == 10
    assert cache.info()["vector_bytes"] == 10 * 4 * 64
    assert len(cache) == 10


def test_what_has_expired_is_computed_again_and_goes_first(opened):
    clock = Clock()
    short = opened(ttl=10, clock=clock, max_entries=3)
    short.embed_array(["a", "b"])
    lasting = opened(clock=clock, max_entries=3)
    lasting.embed_array(["c"])
    clock.now += 9
    short.embed_array(["a"])
    assert short.inner.computed == ["a", "b"]
    clock.now += 2
    again = opened(ttl=10, clock=clock, max_entries=3)
    again.embed_array(["a"])
    short.embed_array(["b"])
    assert again.inner.computed == ["a"]
    assert short.inner.computed == ["a", "b", "b"]
    clock.now += 11
    lasting.embed_array(["d", "e"])
    assert [vector is not None for vector in lasting.mget(["a", "b", "c", "d", "e"])] == [0, 0, 1, 1, 1]


def test_many_reads_are_written_down_together(opened, path):
    """E7: a read is no write; memory counts too, or what is asked for most would go first."""
    clock = Clock()
    cache = opened(memory_entries=2, clock=clock)
    texts = [f"text {i}" for i in range(50)]
    for _ in range(3):
        cache.embed_array(texts)
        cache.embed_array(texts[-2:])
    assert in_file(path, "SELECT sum(access_count) FROM embeddings") == [(50,)]
    clock.now += 60
    cache.embed_array(texts[:1])
    for thread in threading.enumerate():
        if thread.name == "medha-embed-flush":
            thread.join()
    assert in_file(path, "SELECT sum(access_count) FROM embeddings") == [(50 + 2 * 50 + 3 * 2 + 1,)]
    assert in_file(path, "SELECT max(last_accessed) FROM embeddings") == [(clock.now,)]


# damage


def only_warning(caplog):
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    return record.getMessage()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE embeddings SET embedding = x'00ff'",
        "UPDATE embeddings SET embedding = zeroblob(256)",
        "UPDATE embeddings SET embedding = 'text'",
        "UPDATE embeddings SET dimension = 65",
        "UPDATE embeddings SET dtype = 'float16'",
        "UPDATE embeddings SET checksum = checksum + 1",
    ],
)
def test_15_a_damaged_row_is_computed_again_with_one_warning(opened, path, damage, caplog):
    """Check 15 and E9, the row."""
    opened().embed_array(["a", "b"])
    in_file(path, damage)
    cache = opened()
    assert np.array_equal(cache.embed_array(["a", "b"]), Counting().embed_array(["a", "b"]))
    assert cache.inner.computed == ["a", "b"]
    assert cache.stats["corrupt"] == 2
    assert "damaged row" in only_warning(caplog)
    healed = opened()
    healed.embed_array(["a", "b"])
    assert healed.inner.computed == []


def test_15_a_row_under_anothers_key_is_not_believed(opened, path):
    opened().embed_array(["a", "b"])
    (first, second) = in_file(path, "SELECT cache_key FROM embeddings")
    in_file(path, "UPDATE embeddings SET cache_key = 'x' WHERE cache_key = ?", *first)
    in_file(path, "UPDATE embeddings SET cache_key = ? WHERE cache_key = ?", *first, *second)
    cache = opened()
    assert np.array_equal(cache.embed_array(["a", "b"]), Counting().embed_array(["a", "b"]))
    assert cache.stats["corrupt"] == 1


@pytest.mark.parametrize(
    "content",
    [b"no database at all" * 500, json.dumps({"5d41402abc4b2a76b9719d911017c592": [0.1, 0.2]}).encode()],
    ids=["rubbish", "JSON of the Medha library"],
)
def test_15_a_file_that_is_no_cache_is_set_aside(opened, path, content, caplog):
    """Check 15 and E9, the file: kept under another name, and the cache works."""
    path.parent.mkdir()
    path.write_bytes(content)
    cache = opened()
    cache.embed_array(["a"])
    assert path.with_name("cache.db.aside-1").read_bytes() == content
    assert "cache.db.aside-1" in only_warning(caplog)
    again = opened()
    again.embed_array(["a"])
    assert again.inner.computed == []


def test_15_pages_of_rubbish_are_noticed_and_set_aside(opened, path, caplog):
    texts = [f"text {i}" for i in range(200)]
    opened(memory_entries=0).embed_array(texts)
    in_file(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    cache = opened(memory_entries=0)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))
    assert np.array_equal(cache.embed_array(texts), Counting().embed_array(texts))
    cache.embed_array(["more"])
    assert np.array_equal(cache.embed_array(texts), Counting().embed_array(texts))
    assert path.with_name("cache.db.aside-1").exists()
    assert not path.with_name("cache.db.aside-2").exists()
    assert "damaged" in only_warning(caplog)
    cache.embed_array(["kept"])
    later = opened()
    later.embed_array(["kept"])
    assert later.inner.computed == []


def test_a_cut_file_is_set_aside(opened, path):
    opened(memory_entries=0).embed_array([f"text {i}" for i in range(200)])
    in_file(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    os.truncate(path, 5000)
    cache = opened()
    assert np.array_equal(cache.embed_array(["text 7"]), Counting().embed_array(["text 7"]))


def test_a_damaged_file_that_cannot_be_replaced_costs_no_answer(opened, path, caplog):
    texts = [f"text {i}" for i in range(200)]
    cache = opened(memory_entries=0)
    cache.embed_array(texts)
    in_file(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))
    path.parent.rename(path.parent.with_name("moved"))
    path.parent.write_text("a file where the folder was")
    for _ in range(2):
        assert np.array_equal(cache.embed_array(texts), Counting().embed_array(texts))
    assert "kept no more" in only_warning(caplog)


def test_a_full_disk_costs_no_answer(opened, caplog):
    cache = opened(memory_entries=0)
    cache.embed_array(["a"])
    cache._cache.file._writer.execute("PRAGMA max_page_count = 20")  # SQLite's own "disk is full"
    texts = [f"text {i}" for i in range(500)]
    for _ in range(2):
        assert np.array_equal(cache.embed_array(texts), Counting().embed_array(texts))
    assert "full" in only_warning(caplog)
    assert cache.mget(["a"])[0] is not None


def test_an_empty_file_becomes_a_cache(opened, path):
    path.parent.mkdir()
    path.touch()
    opened().embed_array(["a"])
    assert opened().mget(["a"])[0] is not None


def test_another_programs_database_is_refused_and_untouched(opened, path):
    path.parent.mkdir()
    in_file(path, "CREATE TABLE mine(x)")
    with pytest.raises(StorageInitializationError, match="another program"):
        opened()
    assert in_file(path, "SELECT name FROM sqlite_schema") == [("mine",)]


def test_a_newer_format_is_refused(opened, path):
    opened().embed_array(["a"])
    in_file(path, "PRAGMA user_version = 99")
    with pytest.raises(StorageInitializationError, match="format 99 by a newer"):
        opened()


def test_a_folder_in_the_way_is_one_error(opened, path):
    path.mkdir(parents=True)
    with pytest.raises(StorageInitializationError, match="cannot open the embedding cache"):
        opened()


def test_a_file_that_cannot_be_written_costs_no_answer(opened, path, caplog, monkeypatch):
    monkeypatch.setattr("medha_core.vectors.schema._BUSY_MS", 20)
    cache = opened()
    cache.embed_array(["a"])
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert np.array_equal(cache.embed_array(["b"]), Counting().embed_array(["b"]))
        assert cache.mget(["a", "b"])[0] is not None  # readers wait for no writer
        cache.embed_array(["c"])
        assert "locked" in only_warning(caplog)
        other.execute("ROLLBACK")
    cache.embed_array(["d"])
    assert opened().mget(["d"])[0] is not None


async def test_a_slow_disk_is_no_slow_embedder_and_keeps_only_its_owner_waiting(opened, path, caplog):
    cache = opened(timeout=0.2)
    await cache.aembed("a")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        owner = asyncio.create_task(cache.aembed("b"))
        while "b" not in cache.inner.computed:
            await asyncio.sleep(0.001)
        assert await cache.aembed("b") == Counting().embed("b")
        await asyncio.sleep(0.4)
        assert not owner.done()
        other.execute("ROLLBACK")
    assert await owner == Counting().embed("b")
    assert cache.inner.computed == ["a", "b"]
    assert opened().mget(["b"])[0] is not None
    assert not caplog.records


def test_a_closed_cache_says_so(opened):
    cache = opened()
    cache.close()
    cache.close()
    with pytest.raises(StorageError, match="closed"):
        cache.embed_array(["a"])


# threads, tasks, processes


async def test_many_tasks_and_threads_compute_each_text_once(opened):
    cache = opened()
    texts = [f"text {i}" for i in range(20)]
    expected = Counting().embed_array(texts)
    wrong = []

    def ask(seed):
        for row in np.random.default_rng(seed).permutation(20):
            if not np.array_equal(cache.embed_array([texts[row]])[0], expected[row]):
                wrong.append(row)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for answer in await asyncio.gather(*(cache.aembed_array(texts) for _ in range(4))):
        assert np.array_equal(answer, expected)
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert not wrong
    assert sorted(cache.inner.computed) == sorted(texts)


async def test_a_synchronous_call_inside_a_loop_does_not_wait_for_that_loop(opened):
    gate = asyncio.Event()

    async def slow(text):
        await gate.wait()
        return [1.0, 2.0]

    cache = opened(inner=CallableEmbedder(slow, 2, "slow"))
    task = asyncio.create_task(cache.aembed_array(["a"]))
    await asyncio.sleep(0.01)
    asyncio.get_running_loop().call_later(0.05, gate.set)
    quick = opened(inner=CallableEmbedder(lambda text: [1.0, 2.0], 2, "slow"))
    quick._inflight = cache._inflight  # the same work is under way on this very loop
    assert quick.embed_array(["a"]).shape == (1, 2)
    gate.set()
    assert (await task).shape == (1, 2)


def test_several_processes_fill_one_file(opened, path):
    command = [sys.executable, str(HARNESS), str(path)]
    processes = [
        subprocess.Popen([*command, str(seed)], stdout=subprocess.PIPE, text=True) for seed in range(3)
    ]
    try:
        done = []
        for process in processes:
            for _ in range(15):
                last = process.stdout.readline()
            done.append(int(last))
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    cache = opened()
    for seed, count in enumerate(done):
        texts = [f"text {seed} {i}" for i in range(count)]
        assert np.array_equal(cache.embed_array(texts), Counting().embed_array(texts))
    assert cache.inner.computed == []


@pytest.mark.skipif(os.name == "nt", reason="kills with a signal")
def test_a_killed_process_leaves_a_whole_file_with_all_it_kept(opened, path):
    for seed in range(5):
        process = subprocess.Popen(
            [sys.executable, str(HARNESS), str(path), str(seed)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3 + seed):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        rest = process.communicate()[0].split()
        count = int(rest[-1]) if rest else 8 * (3 + seed)
        cache = opened()
        texts = [f"text {seed} {i}" for i in range(count)]
        assert np.array_equal(cache.embed_array(texts), Counting().embed_array(texts))
        assert cache.inner.computed == []
        assert in_file(path, "PRAGMA integrity_check") == [("ok",)]
        assert in_file(path, "SELECT entries, bytes FROM totals") == in_file(
            path, "SELECT count(*), sum(length(embedding)) FROM embeddings"
        )
        cache.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_forked_child_opens_the_file_for_itself(opened):
    cache = opened()
    cache.embed_array(["a"])
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(
        target=lambda: answers.put((cache.mget(["a"])[0].tolist(), cache.embed("b"), cache.stats["computed"]))
    )
    child.start()
    old, new, computed = answers.get(timeout=30)
    child.join(30)
    assert child.exitcode == 0
    assert (old, computed) == (Counting().embed("a"), 1)
    cache.forget()
    assert cache.embed("b") == new
    assert cache.inner.computed == ["a"]


# under Medha


async def test_medha_keeps_its_vectors_in_the_file_its_setting_names(path):
    first, second = Counting(), Counting()
    settings = Settings(_env_file=None, embedding_cache_path=str(path))
    async with Medha("c", first, settings=settings) as cache:
        await cache.store("How many orders are there?", "SELECT count(*) FROM orders")
        await cache.search("What is the longest river?")
    async with Medha("c", second, settings=settings) as cache:
        await cache.store("How many orders are there?", "SELECT count(*) FROM orders")
        await cache.clear_caches()
        await cache.search("What is the longest river?")
    assert len(first.computed) == 2
    assert second.computed == []


async def test_medha_starts_beside_a_json_cache_of_the_medha_library(path, caplog):
    path.parent.mkdir()
    path.write_text(json.dumps({"0" * 32: [0.5] * 64}))
    settings = Settings(_env_file=None, embedding_cache_path=str(path))
    async with Medha("c", Counting(), settings=settings) as cache:
        assert await cache.store("How many orders are there?", "SELECT 1")
    assert "JSON file" in caplog.text


# against a dictionary


class AgainstADictionary(RuleBasedStateMachine):
    """The file holds what a dictionary with lifetimes holds, through anything but a limit."""

    keys = st.sampled_from([f"{number:064x}" for number in range(8)])

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.expected = {}
        self.open()

    def open(self):
        self.file = VectorFile(Path(self.folder.name) / "cache.db", clock=self.clock)

    @rule(key=keys, number=st.integers(1, 9), ttl=st.none() | st.integers(1, 5))
    def put(self, key, number, ttl):
        self.file.put({key: np.full(4, number, np.float32)}, model="m", role="query", ttl=ttl)
        self.expected[key] = (number, np.inf if ttl is None else self.clock.now + ttl)

    @rule(asked=st.lists(keys, max_size=4))
    def drop(self, asked):
        self.file.drop(asked)
        for key in asked:
            self.expected.pop(key, None)

    @rule(seconds=st.integers(1, 3))
    def wait(self, seconds):
        self.clock.now += seconds

    @rule()
    def clear(self):
        self.file.clear()
        self.expected = {}

    @rule()
    def reopen(self):
        self.file.close()
        self.open()

    @invariant()
    def holds_the_same(self):
        every = [f"{number:064x}" for number in range(8)]
        found = {key: stored.vector.tolist() for key, stored in self.file.get(every).items()}
        living = {key: number for key, (number, until) in self.expected.items() if until > self.clock.now}
        assert found == {key: [number] * 4 for key, number in living.items()}
        info = self.file.info()
        assert (info["entries"], info["vector_bytes"]) == (len(self.expected), 16 * len(self.expected))

    def teardown(self):
        self.file.close()
        self.folder.cleanup()


TestAgainstADictionary = AgainstADictionary.TestCase
TestAgainstADictionary.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)

PARTS = st.tuples(
    st.text(max_size=4), st.integers(1, 300), st.sampled_from(["query", "document"]), st.text(max_size=4)
)


@given(PARTS, PARTS)
def test_keys_are_equal_only_for_equal_parts(first, second):
    """Nothing runs from one part into the next: "a" + "bc" is not "ab" + "c"."""

    def key(fingerprint, dimension, role, text):
        return vector_keys([text], fingerprint=fingerprint, dimension=dimension, role=role)[0]

    assert (key(*first) == key(*second)) == (first == second)
    assert len(key(*first)) == 32
