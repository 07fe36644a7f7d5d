"""Forks while other threads are inside: a child never hangs, and what lives in memory is whole there."""

import asyncio
import json
import os
import select
import signal
import threading
import time

import numpy as np
import pytest

from medha_core import HashingEmbedder, Medha, MedhaError, Settings
from medha_core.concurrency import forking
from medha_core.concurrency.inflight import InFlight
from medha_core.native import VectorIndex

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]

FORKS = 40


def in_child(body, seconds=60):
    """What `body` returns in a forked child; a child that hangs is killed and is a failure."""
    hear, say = os.pipe()
    child = os.fork()
    if child == 0:
        answer = None
        try:
            answer = json.dumps(body())
        except BaseException as error:  # noqa: BLE001 - a child must never run on into the parent's tests
            answer = json.dumps(repr(error))
        finally:
            os.write(say, (answer or "null").encode())
            os._exit(0)
    os.close(say)
    ready, _, _ = select.select([hear], [], [], seconds)
    if not ready:
        os.kill(child, signal.SIGKILL)
    with os.fdopen(hear, "rb") as said:
        answer = said.read()
    os.waitpid(child, 0)
    assert ready, "the child hangs"
    return json.loads(answer)


class Busy:
    """Threads that do something over and over while the block runs."""

    def __init__(self, *acts):
        self._over = threading.Event()
        self._failures = []
        self._threads = [threading.Thread(target=self._repeat, args=(act,)) for act in acts]

    def _repeat(self, act):
        number = 0
        try:
            while not self._over.is_set():
                act(number)
                number += 1
        except MedhaError as error:
            self._failures.append(error)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        time.sleep(0.1)

    def __exit__(self, *error):
        self._over.set()
        for thread in self._threads:
            thread.join()
        assert not self._failures


@pytest.mark.parametrize("disk", [False, True])
def test_a_child_never_hangs_whatever_other_threads_are_doing(tmp_path, disk):
    path = tmp_path if disk else None
    cache = Medha("c", HashingEmbedder(32), settings=Settings(_env_file=None, path=path, substitution="off"))
    cache.start_sync()
    cache.store_sync("How many are there?", "SELECT 1")

    def use():
        hit = cache.search_sync("How many are there")
        stored = None
        if not disk:
            cache.store_many_sync([{"question": "A new one?", "generated_query": "SELECT 2"}])
            stored = cache.search_sync("A new one?").generated_query
        cache.close_sync()
        return [hit.generated_query, hit.error, stored]

    with Busy(
        lambda n: cache.store_sync(f"Where is machine {n}?", f"SELECT {n}"),
        lambda n: cache.search_sync(f"Where was machine {n % 50}?"),
        lambda n: asyncio.run(cache._backend.search("c", np.ones(32, np.float32).tolist(), 5)),
        lambda n: asyncio.run(cache._backend.delete("c", [f"e{n}"])),
    ):
        for _ in range(FORKS):
            query, error, stored = in_child(use)
            if disk:
                assert "fork" in error
            else:
                assert (query, error, stored) == ("SELECT 1", None, "SELECT 2")
            time.sleep(0.005)
    assert cache.search_sync("How many are there?").generated_query == "SELECT 1"
    cache.close_sync()


def test_a_fork_waits_for_locks_that_are_hardly_ever_free():
    locks = [forking.lock() for _ in range(6)]
    inside = [False] * len(locks)

    def change(which):
        def act(_number):
            with locks[which]:
                inside[which] = True
                time.sleep(0.02)
                inside[which] = False
            time.sleep(0.0003)

        return act

    with Busy(*map(change, range(len(locks)))):
        for _ in range(10):
            assert in_child(lambda: [inside, [one.locked() for one in locks]]) == [[False] * 6] * 2


def test_an_index_that_is_held_is_whole_and_free_in_the_child():
    index = VectorIndex(8)
    vectors = np.random.default_rng(0).standard_normal((1000, 8)).astype(np.float32)

    class Holder:
        def hold(self):
            index.hold()

        def let_go(self, in_child):
            index.let_go(in_child)

    holder = Holder()
    forking.still(holder)

    def use():
        index.add(np.arange(5000, 5010), vectors[:10])
        index.remove([5000])
        return [len(index) == len(index.labels()), 5001 in index]

    with Busy(
        lambda n: index.add(np.arange(1000), vectors),
        lambda n: index.remove(np.arange(n % 7, 1000, 7)),
        lambda n: index.search(vectors[n % 1000], 10),
    ):
        for _ in range(FORKS):
            assert in_child(use) == [True, True]
    assert index.search(vectors[0], 1)


def test_a_lock_that_another_thread_holds_is_free_in_the_child():
    ours, again = forking.lock(), forking.rlock()
    begun, over = threading.Event(), threading.Event()

    def keep():
        with ours, again:
            begun.set()
            over.wait()

    keeper = threading.Thread(target=keep)
    keeper.start()
    begun.wait()

    def use():
        with again, ours:
            return True

    assert in_child(use) is True
    over.set()
    keeper.join()
    with again:
        assert in_child(lambda: again.acquire(blocking=False)) is True


def test_what_was_under_way_in_the_parent_is_done_anew_in_the_child():
    flight = InFlight()
    flight.claim(["key"])
    assert in_child(lambda: len(flight.claim(["key"])[1])) == 1
    assert len(flight.claim(["key"])[1]) == 0
