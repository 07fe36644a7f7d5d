"""The tables of a file of vectors: how they are made, and how a file that is none of ours is known."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from medha_core.errors import StorageInitializationError

FORMAT = 1
"""Version of the table, in SQLite's `user_version`."""
APPLICATION = 0x4D454456
"""SQLite's `application_id` of these files."""
_MAGIC = b"SQLite format 3\0"
_BUSY_MS = 5000

# The totals are kept by the database itself, so that all processes agree on them.
SCHEMA = """
CREATE TABLE embeddings(
    cache_key TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    dimension INTEGER NOT NULL,
    dtype TEXT NOT NULL,
    role TEXT NOT NULL,
    embedding BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    created_at REAL NOT NULL,
    expires_at REAL,
    access_count INTEGER NOT NULL DEFAULT 1,
    last_accessed REAL NOT NULL
);
CREATE INDEX embeddings_used ON embeddings(last_accessed);
CREATE INDEX embeddings_expires ON embeddings(expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX embeddings_migrated ON embeddings(model) WHERE role = 'migrated';
CREATE TABLE totals(entries INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT INTO totals VALUES (0, 0);
CREATE TRIGGER embeddings_added AFTER INSERT ON embeddings BEGIN
    UPDATE totals SET entries = entries + 1, bytes = bytes + length(NEW.embedding);
END;
CREATE TRIGGER embeddings_removed AFTER DELETE ON embeddings BEGIN
    UPDATE totals SET entries = entries - 1, bytes = bytes - length(OLD.embedding);
END;
CREATE TRIGGER embeddings_changed AFTER UPDATE OF embedding ON embeddings BEGIN
    UPDATE totals SET bytes = bytes + length(NEW.embedding) - length(OLD.embedding);
END;
"""


class OldCacheError(StorageInitializationError):
    """The file is a cache of the kind that ours replaces."""


def strange(path: Path) -> str | None:
    """Why a file that is there cannot be ours and should make room, None when it can be."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        start = file.read(len(_MAGIC))
    # nothing in it yet; a database; the Medha library's cache, whose keys name no model; anything else
    if not start or start == _MAGIC:
        return None
    if start.lstrip().startswith(b"{"):
        return "is a JSON file of another library, whose vectors do not say which model they are of"
    return "is no embedding cache"


def connect(path: Path) -> sqlite3.Connection:
    """A connection to the file at `path`, made and given its tables if need be.

    Raises `OldCacheError`, `StorageInitializationError` for another program's database, and what
    SQLite raises.
    """
    db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=_BUSY_MS / 1000)
    try:
        for pragma in ("trusted_schema = OFF", "cell_size_check = ON"):
            db.execute(f"PRAGMA {pragma}")
        if _format(db, path) == 0:
            _create(db, path)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        db.close()
        raise
    return db


def _format(db: sqlite3.Connection, path: Path) -> int:
    """Our version of the table, 0 for an empty database; refuses what is not ours."""
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (objects,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application == APPLICATION and version > FORMAT:
        raise StorageInitializationError(
            f"{path} was written in format {version} by a newer medha_core; this version reads up to {FORMAT}"
        )
    if application != APPLICATION and _is_old_cache(db):
        raise OldCacheError("is an embedding cache of another library (medha embed-cache migrate reads it)")
    if (application != APPLICATION and objects) or (application == 0 and version):
        raise StorageInitializationError(f"{path} is a database of another program")
    return version if application == APPLICATION else 0


def _is_old_cache(db: sqlite3.Connection) -> bool:
    columns = {row[1] for row in db.execute("PRAGMA table_info(embeddings)")}
    return {"cache_key", "model", "embedding", "access_count", "last_accessed"} <= columns


def _create(db: sqlite3.Connection, path: Path) -> None:
    """Make the tables, unless another process does so first."""
    db.execute("BEGIN IMMEDIATE")
    try:
        if _format(db, path) == 0:
            for statement in _statements(SCHEMA):
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION}")
            db.execute(f"PRAGMA user_version = {FORMAT}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _statements(script: str) -> Iterator[str]:
    """The statements of a script whose triggers hold semicolons."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def expanded(path: str | os.PathLike[str]) -> Path:
    """The absolute path of a cache, `~` expanded. Raises `StorageInitializationError`."""
    try:
        if "\0" in os.fspath(path):
            raise StorageInitializationError(
                f"the embedding cache cannot be at {str(path)!r}: a NUL character"
            )
        return Path(path).expanduser().absolute()
    except RuntimeError as error:  # `~` of a user that is not known
        raise StorageInitializationError(
            f"the embedding cache cannot be at {str(path)!r}: {error}"
        ) from error
