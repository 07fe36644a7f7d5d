"""Work that is under way, by key, so that equal work asked for twice is done once."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Set
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


class Pending(Generic[V]):
    """A result to come, of no event loop. Most come before anybody waits: what waiting takes is made then."""

    __slots__ = ("_ended", "_error", "_lock", "_value", "_waiting")

    def __init__(self, lock: "threading.Lock"):
        self._lock = lock
        """Held while the result is set, and while somebody begins to wait."""
        self._ended = False
        self._value: V | None = None
        self._error: BaseException | None = None
        self._waiting: list[Callable[[], None]] | None = None

    def done(self) -> bool:
        """Whether there is a result or an error."""
        return self._ended

    def when_done(self, call: Callable[[], None]) -> None:
        """Call once it is done, from the thread that ends it; at once when it is."""
        with self._lock:
            if not self._ended:
                self._waiting = self._waiting or []
                self._waiting.append(call)
                return
        call()

    def exception(self) -> BaseException | None:
        """The error, None when there is a result; blocks the thread until it is done."""
        if not self._ended:
            woken = threading.Event()
            self.when_done(woken.set)
            woken.wait()
        return self._error

    def result(self) -> V:
        """The result; blocks the thread until it is done, and raises the error when it is one."""
        error = self.exception()
        if error is not None:
            raise error
        return self._value  # type: ignore[return-value]

    def end(self, value: V | None, error: BaseException | None = None) -> None:
        """Set what it ends with, and wake who waits."""
        with self._lock:
            self._value, self._error, self._ended = value, error, True
            waiting, self._waiting = self._waiting, None
        for call in waiting or ():
            call()


class InFlight(Generic[K, V]):
    """Hands each key to one claimer at a time; the others wait for its result.

    What they wait for belongs to no event loop: claimers may be tasks of several loops
    or plain threads. Whoever is given a key to end must `settle` or `fail` it.
    """

    def __init__(self) -> None:
        self._lock = forking.lock()
        forking.watch(self)
        self._pending: dict[K, Pending[V]] = {}  # changed under the lock only

    def abandon(self) -> None:
        """In a forked child: those who had claimed the keys are not here to end them."""
        self._pending = {}

    def __len__(self) -> int:
        return len(self._pending)

    def claim(self, keys: Iterable[K]) -> tuple[dict[K, Pending[V]], dict[K, Pending[V]]]:
        """What to wait for by key, and out of these what the caller has to end."""
        found: dict[K, Pending[V]] = {}
        mine: dict[K, Pending[V]] = {}
        with self._lock:
            for key in keys:
                pending = self._pending.get(key)
                if pending is None:
                    pending = self._pending[key] = mine[key] = Pending(self._lock)
                found[key] = pending
        return found, mine

    def settle(self, key: K, value: V) -> None:
        self._taken(key).end(value)

    def fail(self, mine: dict[K, Pending[V]], error: BaseException) -> None:
        """End with `error` what the claimer of `mine` has not settled."""
        for key, pending in mine.items():
            if not pending.done():
                self._taken(key).end(None, error)

    def _taken(self, key: K) -> Pending[V]:
        # Removed before it is set: who claims the key from now on starts anew.
        with self._lock:
            return self._pending.pop(key)


async def done(pending: Pending[V]) -> None:
    """Wait until there is a result or an error; cancelling the wait changes nothing for others."""
    if pending.done():
        return
    loop = asyncio.get_running_loop()
    woken = asyncio.Event()

    def wake() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(woken.set)

    pending.when_done(wake)
    await woken.wait()


def outcome(pending: Pending[V], asked: Set[Any]) -> V | None:
    """The result for one who asked for the keys `asked`, or None when the work must be done again.

    A failed call tells something about our keys only if it held no others.
    """
    error = pending.exception()
    if error is None:
        return pending.result()
    if isinstance(error, UnfinishedError) and isinstance(error.error, MedhaError) and error.keys <= asked:
        raise error.error
    return None
