"""Work that is under way, by key, so that equal work asked for twice is done once."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence, Set
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
    """A result to come, which belongs to no event loop. What waiting takes is made when somebody waits.

    `InFlight` alone ends it, with the lock held.
    """

    __slots__ = ("_lock", "ended", "error", "value", "waiting")

    def __init__(self, lock: threading.Lock):
        self._lock = lock
        self.ended = False
        self.value: V | None = None
        self.error: BaseException | None = None
        self.waiting: Sequence[Callable[[Any], object]] = ()

    def done(self) -> bool:
        """Whether there is a result or an error."""
        return self.ended

    def add_done_callback(self, call: Callable[[Any], object]) -> None:
        """Call with this once it is done, from the thread that ends it; at once when it is."""
        with self._lock:
            if not self.ended:
                self.waiting = (*self.waiting, call)
                return
        call(self)

    def exception(self) -> BaseException | None:
        """The error, None when there is a result; blocks the thread until it is done."""
        if not self.ended:
            woken = threading.Event()
            self.add_done_callback(lambda _: woken.set())
            woken.wait()
        return self.error

    def result(self) -> V:
        """The result; blocks the thread until it is done, and raises the error when it is one."""
        error = self.exception()
        if error is not None:
            raise error
        return self.value  # type: ignore[return-value]


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
        self._end(key, value, None)

    def fail(self, mine: dict[K, Pending[V]], error: BaseException) -> None:
        """End with `error` what the claimer of `mine` has not settled."""
        for key, pending in mine.items():
            if not pending.done():
                self._end(key, None, error)

    def _end(self, key: K, value: V | None, error: BaseException | None) -> None:
        with self._lock:
            # Who claims the key from now on starts anew.
            pending = self._pending.pop(key)
            pending.value, pending.error, pending.ended = value, error, True
            waiting, pending.waiting = pending.waiting, ()
        for call in waiting:
            call(pending)


async def done(pending: Pending[V]) -> None:
    """Wait until there is a result or an error; cancelling the wait changes nothing for others."""
    if pending.done():
        return
    loop = asyncio.get_running_loop()
    woken = asyncio.Event()

    def wake(_: object) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(woken.set)

    pending.add_done_callback(wake)
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
