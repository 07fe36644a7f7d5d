"""Work that is under way: one does it, the others wait for it."""

import asyncio
import threading

import pytest

from medha_core.concurrency.inflight import InFlight, UnfinishedError, done, outcome
from medha_core.errors import EmbeddingError


@pytest.fixture
def flight():
    return InFlight()


def test_a_key_is_given_to_one_claimer_at_a_time(flight):
    first, mine = flight.claim(["a", "b"])
    second, other = flight.claim(["b", "c"])
    assert (set(mine), set(other)) == ({"a", "b"}, {"c"})
    assert second["b"] is first["b"]
    flight.settle("b", 2)
    assert second["b"].done()
    assert second["b"].result() == 2
    assert set(flight.claim(["b"])[1]) == {"b"}
    assert len(flight) == 3


async def test_who_waits_is_woken_with_the_result_or_the_error(flight):
    pending, mine = flight.claim(["a", "b"])

    def end():
        flight.settle("a", 1)
        flight.fail(mine, OSError("gone"))

    threading.Timer(0.02, end).start()
    await asyncio.gather(*map(done, pending.values()))
    await asyncio.gather(*map(done, pending.values()))  # again: at once
    assert pending["a"].result() == 1
    assert isinstance(pending["b"].exception(), OSError)
    with pytest.raises(OSError, match="gone"):
        pending["b"].result()


def test_a_thread_may_wait_too(flight):
    pending, _ = flight.claim(["a"])
    found = []
    threads = [threading.Thread(target=lambda: found.append(pending["a"].result())) for _ in range(3)]
    for thread in threads:
        thread.start()
    flight.settle("a", 7)
    for thread in threads:
        thread.join(10)
    assert found == [7, 7, 7]


def test_what_is_called_when_it_is_done_is_called_once(flight):
    pending, _ = flight.claim(["a"])
    called = []
    pending["a"].add_done_callback(called.append)
    assert called == []
    flight.settle("a", 1)
    pending["a"].add_done_callback(called.append)
    assert called == [pending["a"]] * 2


def test_failing_leaves_what_was_settled_alone(flight):
    pending, mine = flight.claim(["a", "b"])
    flight.settle("a", 1)
    flight.fail(mine, UnfinishedError(EmbeddingError("no"), frozenset("ab")))
    assert outcome(pending["a"], {"a"}) == 1
    assert (
        outcome(pending["b"], {"b"}) is None
    )  # the call held another key, so its failure says nothing of ours
    with pytest.raises(EmbeddingError, match="no"):
        outcome(pending["b"], {"a", "b"})
    assert len(flight) == 0
