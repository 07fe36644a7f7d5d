"""New vectors join the graphs in the background: no store waits for it, and no search."""

import logging
import os
import sys
import threading
from collections.abc import Iterable

from medha_core.errors import MedhaError
from medha_core.native import VectorIndex

__all__ = ["Joiner"]

logger = logging.getLogger("medha_core")

_WORTH_A_THREAD = 4096
"""Vectors outside the graph: fewer are scanned in microseconds."""
_STEP = 64
"""Vectors joined per call, which takes some milliseconds: closing waits no longer than that."""
_NICENESS = 10


class Joiner:
    """Puts waiting vectors into the graphs of the indexes it is shown; its one thread ends with the work."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        """Held while the thread is started or forgotten."""
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def look(self, indexes: Iterable[VectorIndex]) -> None:
        """Start joining if enough vectors wait. Called after each write; costs less than a microsecond."""
        if self._thread is not None or self._stop.is_set():
            return
        waiting = [index for index in indexes if index.waiting() >= _WORTH_A_THREAD]
        if not waiting:
            return
        with self._lock:
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(
                    target=self._run, args=(waiting,), name="medha-join", daemon=True
                )
                self._thread.start()

    def _run(self, indexes: list[VectorIndex]) -> None:
        _be_nice()
        try:
            for index in indexes:
                while not self._stop.is_set() and index.join(_STEP):
                    pass
        except (MedhaError, MemoryError) as error:
            logger.warning("new vectors stay outside the graph, where searches scan them: %s", error)
            self._stop.set()
        finally:
            with self._lock:
                self._thread = None

    def close(self) -> None:
        """Stop after the present step. Vectors that still wait stay where they are."""
        self._stop.set()
        thread = self._thread
        if thread is not None:
            thread.join()


def _be_nice() -> None:
    """Leave the processor to searches where threads have priorities of their own."""
    if sys.platform == "linux":
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        except OSError as error:
            logger.debug("joining runs at the usual priority: %s", error)
