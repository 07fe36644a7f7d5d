"""Vectors kept in one SQLite file that several processes share.

A cache: what cannot be read is computed again, so a damaged row counts as absent and a damaged file is
set aside under another name. Nothing here raises for damage once the file is open.
"""

import itertools
import logging
import math
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xxhash

from medha_core.concurrency.forking import leave_open, unwatch, watch
from medha_core.errors import StorageError, StorageInitializationError
from medha_core.vectors.schema import OldCacheError, connect, expanded, strange

__all__ = ["StoredVector", "VectorFile"]

logger = logging.getLogger("medha_core")

_FLUSH_EVERY = 10.0
"""Seconds of uses that are written down together, in a thread of their own: no reader waits for that."""
_MOST_TOUCHED = 50_000
"""Vectors whose uses are written down at once, however little time has passed."""

_READ = """
SELECT dimension, dtype, embedding, checksum, expires_at FROM embeddings WHERE cache_key = ?
"""
_WRITE = """
INSERT INTO embeddings(cache_key, model, dimension, dtype, role, embedding, checksum, created_at, expires_at,
                       last_accessed)
    VALUES (?, ?, ?, 'float32', ?, ?, ?, ?, ?, ?)
    ON CONFLICT(cache_key) DO UPDATE SET
        dimension = excluded.dimension, dtype = excluded.dtype, embedding = excluded.embedding,
        checksum = excluded.checksum, created_at = excluded.created_at, expires_at = excluded.expires_at,
        last_accessed = excluded.last_accessed
"""
_TOUCH = """
UPDATE embeddings SET access_count = access_count + ?, last_accessed = max(last_accessed, ?)
    WHERE cache_key = ?
"""


_EXPIRED = "SELECT rowid, length(embedding) FROM embeddings WHERE expires_at <= ?"
_OLDEST = """
SELECT rowid, length(embedding) FROM embeddings WHERE expires_at IS NULL OR expires_at > ?
    ORDER BY last_accessed, rowid
"""
_MIGRATED = "SELECT DISTINCT model FROM embeddings WHERE role = 'migrated'"
_PAGE = """
SELECT rowid, cache_key, model, role, created_at, access_count, dimension, dtype, embedding, checksum,
       expires_at
    FROM embeddings WHERE rowid > ? ORDER BY rowid LIMIT 500
"""


class StoredVector(NamedTuple):
    """A vector as it was written, float32 and read-only, and when it stops being valid."""

    vector: np.ndarray
    expires_at: float | None


class VectorFile:
    """Vectors by key; of more than `max_entries` or `max_bytes`, those used longest ago go.

    Safe from several threads, processes and forked children. Readers wait for
    nobody: they have a connection of their own, and the file a write-ahead log.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_entries: int | None = None,
        max_bytes: int | None = None,
        clock: Callable[[], float] = time.time,
    ):
        """Raises `StorageInitializationError` if `path` cannot be opened or is another program's database."""
        self.path = expanded(path)
        self.max_entries, self.max_bytes = max_entries, max_bytes
        self.corrupt_rows = 0
        self._clock = clock
        self._warned: set[str] = set()
        self._closed = False
        self._begin()
        self._open()

    def _begin(self) -> None:
        self._writing = threading.Lock()  # guards the writer; taken before _reading where both are
        self._reading = threading.Lock()  # guards the reader and what is to be written about reads
        self._touched: dict[str, tuple[int, float]] = {}
        self._flushing: threading.Thread | None = None
        self._flush_at = self._clock() + _FLUSH_EVERY
        self._is_open = False

    # life

    def _open(self) -> None:
        self._inode = _inode(self.path)
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            problem = strange(self.path)
            if problem is not None:
                self._set_aside(problem)
            try:
                self._connect()
            except OldCacheError as error:
                self._set_aside(str(error))
                self._connect()
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                self._set_aside(f"is damaged ({error})")
                self._connect()
        except (sqlite3.Error, OSError) as error:
            raise StorageInitializationError(
                f"cannot open the embedding cache at {self.path}: {error}"
            ) from error
        self._inode = _inode(self.path)
        self._is_open = True
        watch(self)

    def _connect(self) -> None:
        self._writer = connect(self.path)
        try:
            self._reader = connect(self.path)
        except BaseException:
            self._writer.close()
            raise

    def _set_aside(self, problem: str) -> None:
        """Keep the file under another name, unless another process has made a new one already."""
        if _inode(self.path) != self._inode:
            return
        names = (self.path.with_name(f"{self.path.name}.aside-{number}") for number in itertools.count(1))
        target = next(name for name in names if not name.exists())
        # The log first: left behind, it would be taken for that of the new file.
        for suffix in ("-wal", "-shm", ""):
            with suppress(FileNotFoundError):
                self.path.with_name(self.path.name + suffix).rename(target.with_name(target.name + suffix))
        logger.warning(
            "%s %s: it is now %s, and the embedding cache starts anew", self.path, problem, target.name
        )

    def close(self) -> None:
        """Write down what was read, and release the file. Closing twice is harmless."""
        if self._is_open and not self._closed:
            self.flush()
            with self._writing, self._reading:
                self._writer.close()
                self._reader.close()
        self._closed = True
        unwatch(self)

    def __del__(self) -> None:
        if getattr(self, "_is_open", False):
            self.close()

    def abandon(self) -> None:
        """In a forked child: leave the parent's connections alone; the next use opens others."""
        if not self._closed:
            leave_open(self._reader)
            leave_open(self._writer)
            self._begin()

    # reading

    def get(self, keys: Iterable[str]) -> dict[str, StoredVector]:
        """The vectors that are there, whole and not expired."""
        found = {}
        now = self._clock()
        with self._forgiving("read"):
            for key in keys:
                with self._reading:  # one at a time: a large batch makes no single text wait
                    row = self._reader.execute(_READ, (key,)).fetchone()
                    stored = None if row is None else self._checked(key, row, now)
                if stored is not None:
                    found[key] = stored
        self.touch(found)
        return found

    def touch(self, keys: Iterable[str]) -> None:
        """Count a use of the vectors of these keys, which keeps them from going first."""
        now = self._clock()
        with self._reading:
            for key in keys:
                count, _ = self._touched.get(key, (0, 0.0))
                self._touched[key] = (count + 1, now)
        if self._touched and (now >= self._flush_at or len(self._touched) >= _MOST_TOUCHED):
            self._flush_soon(now)

    def _flush_soon(self, now: float) -> None:
        with self._reading:
            self._flush_at = now + _FLUSH_EVERY
            if self._flushing is None:
                self._flushing = threading.Thread(target=self._flush_behind, name="medha-embed-flush")
                self._flushing.start()

    def _flush_behind(self) -> None:
        try:
            self.flush()
        except StorageError:
            pass  # closed in the meantime, which has written everything
        finally:
            self._flushing = None

    def _checked(self, key: str, row: tuple[Any, ...], now: float) -> StoredVector | None:
        dimension, dtype, blob, checksum, expires_at = row
        if expires_at is not None and expires_at <= now:
            return None
        whole = isinstance(blob, bytes) and dtype == "float32" and len(blob) == 4 * dimension
        if not whole or checksum != _checksum(key, blob):
            self.corrupt_rows += 1
            self._warn("row", "the embedding cache at %s has a damaged row: it is computed again", self.path)
            return None
        return StoredVector(np.frombuffer(blob, "<f4"), expires_at)

    # writing

    def put(
        self, vectors: Mapping[str, np.ndarray], *, model: str, role: str, ttl: float | None = None
    ) -> None:
        """Keep float32 vectors; those that are there are replaced."""
        now = self._clock()
        expires_at = None if ttl is None else now + ttl
        rows = []
        for key, vector in vectors.items():
            blob = np.ascontiguousarray(vector, "<f4").tobytes()
            rows.append((key, model, len(vector), role, blob, _checksum(key, blob), now, expires_at, now))

        def write(db: sqlite3.Connection) -> None:
            db.executemany(_WRITE, rows)
            self._evict(db, now)

        self._write("written", write)

    def drop(self, keys: Iterable[str]) -> None:
        """Forget the vectors of these keys."""
        rows = [(key,) for key in keys]
        self._write("written", lambda db: db.executemany("DELETE FROM embeddings WHERE cache_key = ?", rows))

    def clear(self) -> None:
        """Forget everything, and give the room back to the file system."""
        self._write("cleared", lambda db: db.execute("DELETE FROM embeddings"))
        with self._forgiving("cleared"), self._writing:
            self._writer.execute("VACUUM")

    def flush(self) -> None:
        """Write down which vectors were read, how often and when."""
        if self._touched:
            self._write("written", lambda db: None)

    def _write(self, what: str, work: Callable[[sqlite3.Connection], object]) -> None:
        """Run `work` in a transaction; what was read until now is written down first."""
        with self._forgiving(what), self._writing:
            with self._reading:
                touched, self._touched = self._touched, {}
            db = self._writer
            db.execute("BEGIN IMMEDIATE")
            try:
                db.executemany(_TOUCH, [(count, at, key) for key, (count, at) in touched.items()])
                work(db)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def _evict(self, db: sqlite3.Connection, now: float) -> None:
        """Delete what is over the limits: first what has expired, then what was used longest ago."""
        entries, size = db.execute("SELECT entries, bytes FROM totals").fetchone()
        too_many = 0 if self.max_entries is None else entries - self.max_entries
        too_large = 0 if self.max_bytes is None else size - self.max_bytes
        if too_many <= 0 and too_large <= 0:
            return
        gone = []
        for row, length in itertools.chain(db.execute(_EXPIRED, (now,)), db.execute(_OLDEST, (now,))):
            if too_many <= 0 and too_large <= 0:
                break
            gone.append((row,))
            too_many, too_large = too_many - 1, too_large - length
        db.executemany("DELETE FROM embeddings WHERE rowid = ?", gone)

    # trouble

    @contextmanager
    def _forgiving(self, what: str) -> Iterator[None]:
        """A failure of the file costs the cached vectors, never an answer."""
        if self._closed:
            raise StorageError(f"the embedding cache at {self.path} is closed")
        if not self._is_open:
            self._reopen()
        reader = self._reader
        try:
            yield
        except sqlite3.Error as error:
            if _is_damage(error):
                self._replace(reader, error)
            else:
                self._warn(
                    what,
                    "the embedding cache at %s cannot be %s (%s): vectors are computed as without it",
                    self.path,
                    what,
                    error,
                )

    def _reopen(self) -> None:
        with self._writing, self._reading:
            if not self._is_open:
                self._open()

    def _replace(self, reader: sqlite3.Connection, error: sqlite3.Error) -> None:
        with self._writing, self._reading:
            if self._reader is reader:  # no other thread was faster
                self._writer.close()
                self._reader.close()
                try:
                    self._set_aside(f"is damaged ({error})")
                    self._open()
                except (OSError, StorageInitializationError) as failure:
                    self._warn("replace", "the embedding cache is kept no more: %s", failure)
                    # Two empty databases: nothing is found, and what is written is lost.
                    self._reader, self._writer = connect(Path(":memory:")), connect(Path(":memory:"))
                    self._is_open = True

    def _warn(self, kind: str, message: str, *arguments: object) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            logger.warning(message, *arguments)

    # looking from outside

    def info(self) -> dict[str, Any]:
        """Entries, bytes of vectors, size of the file, and entries by model. Raises `StorageError`."""
        self.flush()
        try:
            with self._reading:
                entries, size = self._reader.execute("SELECT entries, bytes FROM totals").fetchone()
                models = self._reader.execute(
                    "SELECT model, dimension, role, count(*), sum(access_count) FROM embeddings "
                    "GROUP BY model, dimension, role ORDER BY model, role"
                ).fetchall()
        except sqlite3.Error as error:
            raise StorageError(f"cannot read the embedding cache at {self.path}: {error}") from error
        columns = ("model", "dimension", "role", "entries", "accesses")
        return {
            "path": str(self.path),
            "entries": entries,
            "vector_bytes": size,
            "file_bytes": self.path.stat().st_size,
            "models": [dict(zip(columns, row, strict=True)) for row in models],
        }

    def migrated_models(self) -> list[str]:
        """The models, by their old names, of the vectors that were taken over from another cache."""
        with self._forgiving("read"), self._reading:
            return [model for (model,) in self._reader.execute(_MIGRATED)]
        return []

    def rows(self) -> Iterator[dict[str, Any]]:
        """Every whole row, with its vector, oldest first."""
        last = 0
        while page := self._page(last):
            for last, key, model, role, created_at, accesses, *stored in page:  # noqa: B007 (where the next page starts)
                whole = self._checked(key, tuple(stored), -math.inf)
                if whole is not None:
                    yield {
                        "cache_key": key,
                        "model": model,
                        "role": role,
                        "created_at": created_at,
                        "expires_at": whole.expires_at,
                        "access_count": accesses,
                        "embedding": whole.vector,
                    }

    def _page(self, last: int) -> list[tuple[Any, ...]]:
        with self._reading:
            return self._reader.execute(_PAGE, (last,)).fetchall()


def _checksum(key: str, blob: bytes) -> int:
    # SQLite's integers are signed.
    return xxhash.xxh3_64_intdigest(key.encode() + blob) - 2**63


def _is_damage(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None
