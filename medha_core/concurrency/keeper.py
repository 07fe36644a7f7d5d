"""One thread beside a store, for work that nobody waits for."""

import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Hashable

from medha_core.concurrency.forking import rlock
from medha_core.errors import MedhaError

__all__ = ["Keeper", "Stopped"]

logger = logging.getLogger("medha_core")

_NICENESS = 10


class Stopped(Exception):  # noqa: N818 - a signal from the keeper to its own work, never an error
    """Raised by `Keeper.go_on` inside a task, to end it because the store is being closed."""


class Keeper:
    """Does tasks one after the other in a thread that starts with the first and ends with `close`.

    A task that fails is a warning.
    """

    def __init__(self) -> None:
        self._tasks: deque[tuple[Hashable, Callable[[], None]]] = deque()
        self._thread: threading.Thread | None = None
        self._busy = False
        self._changed = threading.Condition(rlock())
        self._closing = False

    def do(self, name: Hashable, task: Callable[[], None]) -> None:
        """Do a task when those before it are done, unless one of this name is waiting already."""
        with self._changed:
            if self._closing or any(name == waiting for waiting, _ in self._tasks):
                return
            self._tasks.append((name, task))
            if self._thread is None or not self._thread.is_alive():  # not alive: in a forked child
                self._busy = False
                self._thread = threading.Thread(target=self._run, name="medha-keeper", daemon=True)
                self._thread.start()
            self._changed.notify()

    def go_on(self, *_: object) -> None:
        """For tasks to call now and then: raises `Stopped` once the store is being closed."""
        if self._closing:
            raise Stopped

    def wait(self) -> None:
        """Wait until all tasks are done."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._tasks or self._busy) or self._closing)

    def close(self) -> None:
        """Drop the tasks that wait, and wait for the end of the one that runs."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        _be_nice()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._tasks or self._closing)
                if self._closing:
                    return
                _, task = self._tasks.popleft()
                self._busy = True
            try:
                task()
            except Stopped:
                return
            except (MedhaError, OSError, MemoryError) as error:
                logger.warning("background work was given up: %s", error)
            except Exception as error:  # noqa: BLE001 - one task's mistake must not end the others' thread
                logger.warning("background work failed: %r", error)
            with self._changed:
                self._busy = False
                self._changed.notify_all()


def _be_nice() -> None:
    """Leave the processor to searches where threads have priorities of their own."""
    if sys.platform == "linux":
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        except OSError as error:
            logger.debug("background work runs at the usual priority: %s", error)
