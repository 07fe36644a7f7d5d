"""One SQLite connection: how it is opened, locked, and kept out of forked children."""

import ctypes
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Literal

from medha_core.concurrency.forking import rlock, unwatch, watch
from medha_core.errors import ConfigurationError, StorageError, StorageInitializationError
from medha_core.rows.schema import FORMAT, check_format, create, migrate

Mode = Literal["r", "r+", "c"]
"""Read only; read and write; read, and write into a private copy that is gone on close."""

SQLITE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""The second where SQLite's own message quotes a damaged file."""
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
Progress = Callable[[int, int], None]
_BUSY_MS = 5000
_COPIED_PAGES = 2048
_LOGGED_PAGES = 24_000
"""Pages (96 MB) after which a writer folds the log of writes into the file itself, if `fold` has not."""
_KEPT_LOG = 2**25
"""Bytes of the log's file that stay when it begins anew."""
_CACHED_KB = 32_768
"""Memory a writer may take for pages: in SQLite's 2 MB, a load in batches reads its indexes ever again."""
_STEPS = 100_000
"""Of SQLite's machine, between two looks at how far it is."""
_HEADER = 100
"""Bytes of SQLite's file header (https://www.sqlite.org/fileformat.html, section 1.3)."""


class RowsDamagedError(StorageInitializationError):
    """SQLite, or the length of the file, says that it is damaged."""


def is_damage(error: Exception) -> bool:
    """Whether a failure of SQLite says that its file is damaged."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, UnicodeDecodeError) or (code is not None and code & 0xFF in _DAMAGED)


def suspicion(path: Path) -> Path:
    """The mark beside a file in which damage was found while it was in use."""
    return path.with_name(f"{path.name}.suspect")


class Database:
    """A connection that any thread may use, one at a time.

    Statements take microseconds, and SQLite would serialise writers anyway.
    Every failure of SQLite is a `StorageError`; a failure to open is a
    `StorageInitializationError`.
    """

    def __init__(self, path: Path | None, mode: Mode = "r+", *, synchronous: str = "NORMAL"):
        self.path, self.mode = path, mode
        self._lock = rlock()
        self._statements, self._transaction = _Statements(self), _Transaction(self)
        self._abandoned = False
        self.taken_back: Callable[[], None] = _nothing
        """Called after a transaction that did not commit, still with the connection."""
        self._original: _Original | None = None
        try:
            self._db = _open(path, mode, synchronous)
            if mode == "r" and check_format(self._db, self.name) < FORMAT:
                self._read_a_copy()
        except (*SQLITE_ERRORS, OSError) as error:
            kind = RowsDamagedError if is_damage(error) else StorageInitializationError
            raise kind(f"cannot open the rows at {self.name}: {error}") from error
        if path is not None:
            watch(self)

    def _read_a_copy(self) -> None:
        original = _Original(self._db, self.name)
        try:
            self._db = original.copy()
        except BaseException:
            original.db.close()
            raise
        self._original = original

    @property
    def name(self) -> str:
        return str(self.path or ":memory:")

    def close(self) -> None:
        """Closing twice is harmless."""
        if not self._abandoned:
            with self._lock:
                unwatch(self)
                self._db.close()
                if self._original is not None:
                    self._original.db.close()

    def abandon(self) -> None:
        """In a forked child: never touch the connection again, not even to close it."""
        self._abandoned = True
        for kept in (self._db, self._original):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))

    def statements(self) -> "_Statements":
        """A context: the connection for one thread, with SQLite's errors translated."""
        return self._statements

    def take(self) -> sqlite3.Connection:
        """The connection, until `let_go`. A thread that has it may take it again."""
        if self._abandoned:
            raise StorageError(
                f"{self.name} was opened before process {os.getpid()} was forked: open it here again"
            )
        self._lock.acquire()
        return self._db

    def let_go(self, error: BaseException | None) -> None:
        """Give the connection back. Raises `StorageError` for an error of SQLite's."""
        try:
            if isinstance(error, SQLITE_ERRORS):
                self._note(error)
                raise StorageError(f"the rows at {self.name} failed: {error}") from error
        finally:
            self._lock.release()

    def _note(self, error: Exception) -> None:
        """Leave word for the next opening that SQLite found the file damaged."""
        if self.mode == "r+" and self.path is not None and is_damage(error):
            with suppress(OSError):
                suspicion(self.path).touch()

    def transaction(self) -> "_Transaction":
        """A context: the connection in a transaction that commits, or leaves everything as it was."""
        if self.mode == "r":
            raise ConfigurationError(
                f"{self.name} is open read-only (mode 'r'): nothing can be stored or deleted"
            )
        return self._transaction

    def begin(self) -> sqlite3.Connection:
        """The connection in a transaction, until `end`."""
        db = self.take()
        try:
            db.execute("BEGIN IMMEDIATE")
        except BaseException as error:
            self._take_back(error)
            raise
        return db

    def end(self, error: BaseException | None) -> None:
        """Commit, or take everything back where there was an error, and give the connection back."""
        try:
            if error is None:
                self._db.execute("COMMIT")
        except BaseException as refused:
            error = refused
            raise
        finally:
            self._take_back(error)

    def _take_back(self, error: BaseException | None) -> None:
        try:
            if error is not None:
                self.taken_back()
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except BaseException as failed:
            error = failed
            raise
        finally:
            self.let_go(error)

    def copy_to(self, path: Path, on_progress: Progress | None = None, *, compact: bool = False) -> None:
        """Write everything committed so far into a new file; the database stays in use meanwhile.

        The file needs no log beside it, and with `compact` has no unused pages. `on_progress(done, total)`
        counts pages.
        """
        try:
            with closing(sqlite3.connect(path, isolation_level=None)) as target, self._source() as source:
                _copy(source, target, on_progress)
                target.execute("PRAGMA journal_mode = DELETE")
                if compact:
                    target.execute("VACUUM")
        except SQLITE_ERRORS as error:
            raise StorageError(f"cannot copy {self.name} to {path}: {error}") from error

    @contextmanager
    def _source(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own to read from where there is a file, so that nobody waits; else the one."""
        with self.statements() as db:
            file = db.execute("PRAGMA database_list").fetchone()[2]
            if not file:
                yield db
                return
        with closing(_connect_read_only(Path(file))) as source:
            yield source

    def fold(self) -> None:
        """Fold the log of writes into the file, from a connection of its own: nobody waits for it."""
        if self.path is None:
            return
        try:
            with closing(_connect(f"{self.path.absolute().as_uri()}?mode=rw", uri=True)) as db:
                db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except SQLITE_ERRORS as error:
            self._note(error)
            raise StorageError(f"the log of {self.name} cannot be folded: {error}") from error

    def compact(self, on_progress: Progress | None = None) -> None:
        """Give the pages that deleted rows have left back to the system. `on_progress` counts pages written.

        Readers go on with what they see; the file is shorter once they have moved on.
        """
        if self.path is None:
            return
        with self.statements() as db:
            page, pages, unused = (
                db.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_size", "page_count", "freelist_count")
            )
            log, total = self.path.with_name(f"{self.path.name}-wal"), max(1, pages - unused)

            def look() -> None:
                if on_progress is not None and log.exists():
                    on_progress(min(log.stat().st_size // page, total), total)

            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            db.set_progress_handler(look, _STEPS)
            try:
                db.execute("VACUUM")
            finally:
                db.set_progress_handler(None, 0)
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        if on_progress is not None:
            on_progress(total, total)

    def problem(self) -> str | None:
        """What SQLite finds wrong with the file, None when nothing is."""
        with self.statements() as db:
            found: str = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
        return None if found == "ok" else found

    def data_version(self) -> int:
        """A number that changes when another connection commits, which a copy of the file then follows."""
        with self.statements() as db:
            original = self._original
            if original is None:
                return _data_version(db)
            # As it was; brought to this format by its writer; changed.
            if not original.has_changed():
                return original.copied
            if check_format(original.db, self.name) == FORMAT:
                self._db, self._original = original.db, None
            else:
                self._db = original.copy()
            db.close()
        return self.data_version()


class _Original:
    """A file in an older format, which a writer of an older version may change: readers have a copy."""

    def __init__(self, db: sqlite3.Connection, name: str):
        self.db, self._name = db, name
        self.copied = 0
        """Version of the data that the newest copy is of, or of something newer."""

    def has_changed(self) -> bool:
        return _data_version(self.db) != self.copied

    def copy(self) -> sqlite3.Connection:
        version = _data_version(self.db)
        copy = _copied(self.db, self._name)
        self.copied = version
        return copy


def _data_version(db: sqlite3.Connection) -> int:
    version: int = db.execute("PRAGMA data_version").fetchone()[0]
    return version


def _nothing() -> None:
    """Where nobody wants to hear of it."""


class _Statements:
    """One for all: entering it makes nothing, for it stands around every look-up."""

    def __init__(self, database: Database):
        self._database = database

    def __enter__(self) -> sqlite3.Connection:
        return self._database.take()

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        self._database.let_go(error)


class _Transaction:
    """One for all, too."""

    def __init__(self, database: Database):
        self._database = database

    def __enter__(self) -> sqlite3.Connection:
        return self._database.begin()

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        self._database.end(error)


def _copy(source: sqlite3.Connection, target: sqlite3.Connection, on_progress: Progress | None) -> None:
    """Copy in one read transaction, which others' commits do not disturb."""
    source.execute("BEGIN")
    try:
        if on_progress is None:
            source.backup(target)
        else:
            report = on_progress
            source.backup(
                target,
                pages=_COPIED_PAGES,
                progress=lambda _status, left, total: report(total - left, total),
            )
    finally:
        source.execute("ROLLBACK")


def _open(path: Path | None, mode: Mode, synchronous: str) -> sqlite3.Connection:
    if path is None:
        return _ready(_connect(":memory:"), ":memory:")
    if mode == "r+":
        return _open_for_writing(path, synchronous)
    _check_file(path)
    source = _connect_read_only(path)
    try:
        check_format(source, path)
        if mode == "r":
            source.execute("PRAGMA query_only = ON")
            return source
        copy = _copied(source, path)
    except BaseException:
        source.close()
        raise
    source.close()
    return copy


def _copied(source: sqlite3.Connection, where: object) -> sqlite3.Connection:
    """A copy that nobody else has, with tables of this version."""
    copy = _connect("")
    try:
        source.backup(copy)
    except BaseException:
        copy.close()
        raise
    return _ready(copy, where)


def _connect(name: str, *, uri: bool = False) -> sqlite3.Connection:
    db = sqlite3.connect(name, check_same_thread=False, isolation_level=None, cached_statements=256, uri=uri)
    try:
        for pragma in (f"busy_timeout = {_BUSY_MS}", "trusted_schema = OFF", "cell_size_check = ON"):
            db.execute(f"PRAGMA {pragma}")
    except BaseException:
        db.close()
        raise
    return db


def _ready(db: sqlite3.Connection, where: object) -> sqlite3.Connection:
    """The connection, with tables of this version; closed when that cannot be."""
    try:
        version = check_format(db, where)
        if version == 0:
            create(db)
        elif version < FORMAT:
            migrate(db, version)
    except BaseException:
        db.close()
        raise
    return db


def _open_for_writing(path: Path, synchronous: str) -> sqlite3.Connection:
    if path.exists():
        _check_file(path)
    else:
        _create(path)
    db = _connect(str(path))
    try:
        check_format(db, path)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {synchronous}")
        db.execute(f"PRAGMA wal_autocheckpoint = {_LOGGED_PAGES}")
        db.execute(f"PRAGMA journal_size_limit = {_KEPT_LOG}").fetchall()
        db.execute(f"PRAGMA cache_size = -{_CACHED_KB}")
        # What was deleted is overwritten: nobody reads it in the file, and no salvage brings it back.
        db.execute("PRAGMA secure_delete = ON").fetchall()
    except BaseException:
        db.close()
        raise
    return _ready(db, path)


def _create(path: Path) -> None:
    """Make the file under another name first: one that is empty was damaged, not just begun."""
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    _ready(_connect(str(unfinished)), unfinished).close()
    unfinished.replace(path)


def _connect_read_only(path: Path) -> sqlite3.Connection:
    uri = path.absolute().as_uri()
    try:
        return _readable(_connect(f"{uri}?mode=ro", uri=True))
    except sqlite3.OperationalError:
        # SQLite cannot make its lock file where nothing can be written. Nobody else writes there either,
        # unless a log of writes is there.
        if os.access(path.parent, os.W_OK) or path.with_name(f"{path.name}-wal").exists():
            raise
        return _readable(_connect(f"{uri}?immutable=1", uri=True))


def _readable(db: sqlite3.Connection) -> sqlite3.Connection:
    try:
        db.execute("SELECT count(*) FROM sqlite_schema")
    except BaseException:
        db.close()
        raise
    return db


def _check_file(path: Path) -> None:
    """Refuse a file shorter than it says it is, unless the log of writes holds the rest."""
    size = path.stat().st_size
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        return
    with path.open("rb") as file:
        header = file.read(_HEADER)
    page = int.from_bytes(header[16:18], "big")
    expected = (65536 if page == 1 else page) * int.from_bytes(header[28:32], "big")
    if len(header) < _HEADER or size < expected:
        raise RowsDamagedError(f"{path} is damaged: it has {size} bytes of {max(expected, _HEADER)}")
