"""The embedded store: rows in SQLite, vectors in the native index, in this process.

Writing goes rows, then index; forgetting goes index, then rows. So a search
never finds what is not durable, and never what is being forgotten.
"""

import time
from collections.abc import Callable

from medha_core.embedded.reading import NativeReading
from medha_core.embedded.writing import NativeWriting
from medha_core.settings import Settings

__all__ = ["InMemoryBackend", "NativeBackend"]


class NativeBackend(NativeReading, NativeWriting):
    """The embedded vector store, the default of `Medha`.

    Args:
        path: directory of the store; None keeps everything in memory.
        mode: "r+" reads and writes, and is for one store at a time; "r" reads, beside
            any number of others and the writer; "c" keeps what it writes to itself
            and forgets it on close.
        settings: index and storage settings; the arguments above win over them.
        clock: seconds since the epoch, for expiry.

    Safe to use from several threads, and not in a child forked while it is open.
    """


class InMemoryBackend(NativeBackend):
    """The embedded store without a path: the same code, nothing on disk."""

    def __init__(self, *, settings: Settings | None = None, clock: Callable[[], float] = time.time):
        super().__init__(None, settings=settings, clock=clock)
