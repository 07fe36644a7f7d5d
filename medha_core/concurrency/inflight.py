"""Work that is under way, by key, so that equal work asked for twice is done once."""

import asyncio
from collections.abc import Iterable, Set
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from medha_core.concurrency import forking
from medha_core.errors import MedhaError

K = TypeVar("K")
V = TypeVar("V")


class UnfinishedError(Exception):
    """A call that others were waiting for failed or was cancelled."""

    def __init__(self, error: BaseException, keys: Set[Any]):
        super().__init__(str(error))
        self.error = error
        self.keys = keys  # of the whole call


class InFlight(Generic[K, V]):
    """Hands each key to one claimer at a time; the others wait for its result.

    The futures belong to no event loop: claimers may be tasks of several loops
    or plain threads. Whoever is given a key to end must `settle` or `fail` it.
    """

    def __init__(self) -> None:
        self._lock = forking.lock()
        forking.watch(self)
        self._futures: dict[K, Future[V]] = {}  # changed under the lock only

    def abandon(self) -> None:
        """In a forked child: those who had claimed the keys are not here to end them."""
        self._futures = {}

    def __len__(self) -> int:
        return len(self._futures)

    def claim(self, keys: Iterable[K]) -> tuple[dict[K, "Future[V]"], dict[K, "Future[V]"]]:
        """A future for each key, and out of these the futures that the caller has to end."""
        futures: dict[K, Future[V]] = {}
        mine: dict[K, Future[V]] = {}
        with self._lock:
            for key in keys:
                future = self._futures.get(key)
                if future is None:
                    future = self._futures[key] = mine[key] = Future()
                futures[key] = future
        return futures, mine

    def settle(self, key: K, value: V) -> None:
        self._taken(key).set_result(value)

    def fail(self, mine: dict[K, "Future[V]"], error: BaseException) -> None:
        """End with `error` what the claimer of `mine` has not settled."""
        for key, future in mine.items():
            if not future.done():
                self._taken(key).set_exception(error)

    def _taken(self, key: K) -> "Future[V]":
        # Removed before it is set: who claims the key from now on starts anew.
        with self._lock:
            return self._futures.pop(key)


async def done(future: "Future[V]") -> None:
    """Wait until `future` has a result or an error; cancelling the wait leaves the future alone."""
    if future.done():
        return
    loop = asyncio.get_running_loop()
    woken = asyncio.Event()

    def wake(_: "Future[V]") -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(woken.set)

    future.add_done_callback(wake)
    await woken.wait()


def outcome(future: "Future[V]", asked: Set[Any]) -> V | None:
    """The result for one who asked for the keys `asked`, or None when the work must be done again.

    A failed call tells something about our keys only if it held no others.
    """
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, UnfinishedError) and isinstance(error.error, MedhaError) and error.keys <= asked:
        raise error.error
    return None
