"""One object at a time holds the directory of a store; who comes second is told who holds it."""

import os
from pathlib import Path

from medha_core.errors import StorageInitializationError

if os.name == "nt":
    import msvcrt

    _FAR = 2**30  # a locked byte cannot be read on Windows, so it lies behind what the file says

    def _take(descriptor: int) -> None:
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _give(descriptor: int) -> None:
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _take(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _give(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


class DirectoryLock:
    """Holds `directory` through a file `lock` in it, until `release()` or the end of the process.

    The operating system lets go when the process dies, however it dies; the
    file stays and means nothing by itself. Raises `StorageInitializationError`
    naming the process that holds it.
    """

    def __init__(self, directory: Path):
        try:
            self._file = (directory / "lock").open("a+b", buffering=0)
        except OSError as error:
            raise StorageInitializationError(f"cannot open {directory}: {error.strerror}") from error
        try:
            _take(self._file.fileno())
        except OSError as error:
            holder = self._holder()
            self._file.close()
            raise StorageInitializationError(
                f"{directory} is in use by {holder}; one process at a time may open it: close it there first"
            ) from error
        self._file.truncate(0)
        self._file.write(b"%d" % os.getpid())
        self._process = os.getpid()

    def _holder(self) -> str:
        self._file.seek(0)
        process = self._file.read(20).decode("ascii", "replace") or "another process"
        return "this process" if process == str(os.getpid()) else f"process {process}"

    def release(self) -> None:
        """Let go; in a forked process only of the copy that the fork made."""
        if self._process == os.getpid():
            _give(self._file.fileno())
        self._file.close()
