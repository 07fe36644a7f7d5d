"""Every async method of the cache has a synchronous twin that differs in nothing but waiting."""

import asyncio
import inspect
import threading

import pytest

from medha_core import HashingEmbedder, InMemoryBackend, Medha, Settings

ASYNC = sorted(
    name
    for name, method in inspect.getmembers(Medha)
    if inspect.iscoroutinefunction(method) and not name.startswith("_")
)


def make():
    return Medha("c", HashingEmbedder(32), InMemoryBackend(), Settings(_env_file=None))


def test_there_are_async_methods():
    assert {"start", "search", "store", "expire", "stats", "close"} <= set(ASYNC)


@pytest.mark.parametrize("name", ASYNC)
def test_each_has_a_twin_with_the_same_signature_and_words(name):
    method, twin = getattr(Medha, name), getattr(Medha, f"{name}_sync")
    assert not inspect.iscoroutinefunction(twin)
    assert inspect.signature(twin) == inspect.signature(method)
    assert twin.__name__ == f"{name}_sync"
    assert inspect.getdoc(method) in twin.__doc__
    assert twin.__doc__.startswith(f"`{name}` from any thread")


def test_no_twin_is_without_a_method():
    twins = {name for name, _ in inspect.getmembers(Medha) if name.endswith("_sync")}
    assert twins == {f"{name}_sync" for name in ASYNC}


def test_a_twin_calls_what_a_subclass_made_of_the_method():
    class Counting(Medha):
        asked = 0

        async def search(self, question, **options):
            self.asked += 1
            return await super().search(question, **options)

    cache = Counting("c", HashingEmbedder(32), InMemoryBackend(), Settings(_env_file=None))
    cache.start_sync()
    cache.search_sync("how many users")
    assert cache.asked == 1
    cache.close_sync()


async def test_a_twin_works_inside_a_running_loop():
    cache = make()
    cache.start_sync()
    assert cache.store_sync("how many users", "SELECT 1")
    assert cache.search_sync("how many users").generated_query == "SELECT 1"
    cache.close_sync()


def test_eight_threads_of_five_hundred_calls_give_no_error():
    cache = make()
    asyncio.run(cache.start())  # another loop than the one the twins run on
    for number in range(10):
        cache.store_sync(f"how many users in city {number}", f"SELECT {number}")
    wrong = []

    def ask(worker):
        for turn in range(500):
            number = (worker + turn) % 10
            question = f"how many users in city {number}" + " please" * (turn % 7 == 0) + "?" * (turn % 3)
            hit = cache.search_sync(question)
            if hit.error or (hit and hit.generated_query != f"SELECT {number}"):
                wrong.append((question, hit))

    threads = [threading.Thread(target=ask, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert cache.stats_sync().total_requests == 4000
    cache.close_sync()
