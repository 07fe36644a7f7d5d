"""The folder of a store: one writer at a time, named to whoever comes second."""

import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from medha_core.concurrency.forking import unwatch, watch
from medha_core.errors import DirectoryLockedError, StorageInitializationError

try:
    import fcntl
except ImportError:
    import msvcrt

ENTRIES = "entries.db"
MANIFEST = "manifest.json"
LOCK = "writer.lock"
INDEX = "index"
"""Folder of the index files."""
_LOCKED_BYTE = 1 << 30
"""On Windows a locked byte cannot be read, so it lies far behind the holder's name."""


class WriterLock:
    """Held by the one cache that may write in a directory; the system frees it when its process dies."""

    def __init__(self, directory: Path):
        self.path = directory / LOCK
        self._file: IO[bytes] | None = None

    def acquire(self) -> None:
        """Raises `DirectoryLockedError` naming the holder, or `StorageInitializationError`."""
        try:
            file = self.path.open("ab+")
        except OSError as error:
            raise StorageInitializationError(
                f"cannot write in {self.path.parent}: {error.strerror}"
            ) from error
        try:
            _lock(file)
        except OSError:
            holder = self._holder()
            file.close()
            raise DirectoryLockedError(
                f"{self.path.parent} is in use by {holder}; one cache at a time may write there, "
                "others can read it with Medha.open(directory, mode='r')"
            ) from None
        self._file = file
        watch(self)
        self._sign(file)

    def _sign(self, file: IO[bytes]) -> None:
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        file.truncate(0)
        file.write(json.dumps(holder).encode())
        file.flush()

    def _holder(self) -> str:
        try:
            holder = json.loads(self.path.read_bytes())
            ours = (holder["pid"], holder["host"]) == (os.getpid(), socket.gethostname())
            who = "another cache of this process," if ours else "process"
            return f"{who} {holder['pid']} on {holder['host']} since {holder['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process that has not said which"

    def release(self) -> None:
        """Releasing twice is harmless."""
        if self._file is not None:
            unwatch(self)
            self._file.truncate(0)
            _unlock(self._file)
            self._close()

    def abandon(self) -> None:
        """In a forked child: close the inherited file; the parent keeps the lock."""
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _lock(file: IO[bytes]) -> None:
    if os.name == "nt":
        file.seek(_LOCKED_BYTE)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _unlock(file: IO[bytes]) -> None:
    if os.name == "nt":
        file.seek(_LOCKED_BYTE)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_UN)


def existing(directory: Path) -> Path:
    """Where the store of a directory lies: beside it when putting another in its place was cut off."""
    if not directory.exists():
        previous = previous_of(directory)
        if (previous / ENTRIES).is_file():
            return previous
    return directory


def previous_of(directory: Path) -> Path:
    """Where a snapshot waits while another takes its place."""
    return directory.with_name(f"{directory.name}.previous")
