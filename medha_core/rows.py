"""Rows: the entries themselves, in SQLite, on disk or in memory.

A row's `label` is its handle in the vector index. Labels are never used twice
and a changed entry gets a new one, so whatever was read under a label stays
true for as long as the row is there.
"""

import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from medha_core.errors import DimensionMismatchError, StorageError, StorageInitializationError
from medha_core.metadata import dumps_metadata, loads_metadata
from medha_core.types import CacheEntry, CacheResult, MetadataValue

_FAILURES = (sqlite3.Error, UnicodeDecodeError)
"""The second: what SQLite says of a damaged file may quote it."""
SCHEMA_VERSION = 1
_MAX_VARIABLES = 500

_SCHEMA = """
CREATE TABLE collections(
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    dimension INTEGER NOT NULL,
    model TEXT NOT NULL
);
CREATE TABLE entries(
    label INTEGER PRIMARY KEY AUTOINCREMENT,
    collection INTEGER NOT NULL,
    id TEXT NOT NULL,
    question TEXT NOT NULL,
    normalized TEXT NOT NULL,
    query TEXT NOT NULL,
    query_hash TEXT NOT NULL,
    summary TEXT,
    template TEXT,
    metadata TEXT NOT NULL,
    usage INTEGER NOT NULL,
    correct INTEGER NOT NULL,
    incorrect INTEGER NOT NULL,
    created REAL NOT NULL,
    expires REAL,
    vector BLOB NOT NULL
);
CREATE UNIQUE INDEX entries_id ON entries(collection, id);
CREATE INDEX entries_normalized ON entries(collection, normalized);
CREATE INDEX entries_query ON entries(collection, query_hash);
CREATE INDEX entries_template ON entries(collection, template) WHERE template IS NOT NULL;
CREATE INDEX entries_expires ON entries(collection, expires) WHERE expires IS NOT NULL;
CREATE TABLE entry_metadata(
    collection INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    label INTEGER NOT NULL,
    PRIMARY KEY(collection, key, value, label)
) WITHOUT ROWID;
CREATE INDEX entry_metadata_label ON entry_metadata(label);
CREATE TABLE stats(
    collection INTEGER PRIMARY KEY,
    body TEXT NOT NULL
);
"""

_COLUMNS = (
    "label, id, question, normalized, query, query_hash, summary, template, metadata, "
    "usage, correct, incorrect, created, expires"
)
_TYPES = (int, str, str, str, str, str, str | None, str | None, str, int, int, int, float, float | None)
"""Of `_COLUMNS`. SQLite keeps what it is told, and reads what stands in the file."""
_INSERT = (
    "INSERT INTO entries(collection, id, question, normalized, query, query_hash, summary, template, "
    "metadata, usage, correct, incorrect, created, expires, vector) "
    "VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
)


class Row(NamedTuple):
    """One entry as it stands in the table, without its vector."""

    label: int
    id: str
    question: str
    normalized: str
    query: str
    query_hash: str
    summary: str | None
    template: str | None
    metadata: Mapping[str, MetadataValue]
    usage: int
    correct: int
    incorrect: int
    created: float
    expires: float | None

    def result(self, score: float = 0.0) -> CacheResult:
        return CacheResult(
            id=self.id,
            score=min(1.0, max(0.0, score)),
            original_question=self.question,
            normalized_question=self.normalized,
            generated_query=self.query,
            query_hash=self.query_hash,
            response_summary=self.summary,
            template_id=self.template,
            usage_count=self.usage,
            feedback_correct=self.correct,
            feedback_incorrect=self.incorrect,
            created_at=_moment(self.created),
            expires_at=_moment(self.expires),
            metadata=dict(self.metadata),
        )


class CollectionRow(NamedTuple):
    """One collection as it stands in the table."""

    id: int
    name: str
    dimension: int
    model: str
    """Fingerprint of the embedder; "" when it was not given."""


def check_space(collection: CollectionRow, dimension: int, model: str) -> None:
    """Refuse vectors that cannot be compared with those of the collection."""
    if collection.dimension != dimension:
        raise DimensionMismatchError(collection.dimension, dimension, f"collection {collection.name!r}")
    if model and collection.model and collection.model != model:
        raise StorageInitializationError(
            f"collection {collection.name!r} holds vectors of {collection.model!r}, and the embedder "
            f"gives those of {model!r}: they cannot be compared"
        )


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _row(record: Sequence[Any]) -> Row:
    if all(map(isinstance, record, _TYPES)) and all(_is_moment(seconds) for seconds in record[12:14]):
        metadata = loads_metadata(record[8])
        if bool(metadata) == bool(record[8]):  # unreadable metadata must not open a scoped entry to all
            return Row(*record[:8], metadata, *record[9:])
    raise StorageError(f"the row {record[0]} is damaged")


def _is_moment(seconds: float | None) -> bool:
    return seconds is None or -62_135_596_800 <= seconds < 253_402_300_800  # the years 1 to 9999


def _filter_value(value: MetadataValue) -> str:
    """One spelling for equal values: 10.0 is 10, True is not 1."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, ensure_ascii=False)


class Rows:
    """The table of entries of all collections.

    One connection guarded by a lock: statements take microseconds, and SQLite
    would serialise writers anyway. Every failure of SQLite is a `StorageError`.
    """

    def __init__(self, path: Path | None = None, *, synchronous: str = "NORMAL"):
        self.path = path
        self._process = os.getpid()
        self._lock = threading.RLock()
        try:
            self._db = sqlite3.connect(
                path or ":memory:", check_same_thread=False, isolation_level=None, cached_statements=256
            )
            with ExitStack() as unprepared:
                unprepared.callback(self._db.close)
                self._prepare(synchronous)
                unprepared.pop_all()
        except _FAILURES as error:
            raise StorageInitializationError(
                f"cannot open the rows at {path or ':memory:'}: {error}"
            ) from error

    def _prepare(self, synchronous: str) -> None:
        self._db.execute("PRAGMA busy_timeout = 5000")
        if self.path is not None:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute(f"PRAGMA synchronous = {synchronous}")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            self._db.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )
        elif version != SCHEMA_VERSION:
            raise StorageInitializationError(
                f"{self.path} was written in format {version}; this version reads format {SCHEMA_VERSION}"
            )

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def _statements(self) -> Iterator[sqlite3.Connection]:
        if self.path is not None and self._process != os.getpid():
            # Two processes writing through one connection destroy the file.
            raise StorageError(
                f"{self.path} was opened by process {self._process}, which forked: "
                "close the cache here, and open another one that the first process does not hold"
            )
        with self._lock:
            try:
                yield self._db
            except _FAILURES as error:
                raise StorageError(f"the rows at {self.path or ':memory:'} failed: {error}") from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._statements() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    # collections

    def collection(self, name: str) -> CollectionRow | None:
        with self._statements() as db:
            found = db.execute(
                "SELECT id, name, dimension, model FROM collections WHERE name = ?", (name,)
            ).fetchone()
        return CollectionRow(*found) if found else None

    def create_collection(self, name: str, dimension: int, model: str = "") -> CollectionRow:
        """The collection, made if it is not there.

        Raises `DimensionMismatchError` or `StorageInitializationError` if it holds
        vectors of another dimension or of another model.
        """
        with self._transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO collections(name, dimension, model) VALUES (?, ?, ?)",
                (name, dimension, model),
            )
        found = self.collection(name)
        if found is None:
            raise StorageInitializationError(f"collection {name!r} vanished while it was created")
        check_space(found, dimension, model)
        return found

    def drop_collection(self, collection: int) -> None:
        with self._transaction() as db:
            for table in ("entries", "entry_metadata", "stats"):
                db.execute(f"DELETE FROM {table} WHERE collection = ?", (collection,))  # noqa: S608
            db.execute("DELETE FROM collections WHERE id = ?", (collection,))

    # writing

    def replace(
        self, collection: int, entries: Sequence[CacheEntry], vectors: np.ndarray
    ) -> tuple[list[int], list[int]]:
        """Insert entries (distinct ids), replacing those with the same id, in one transaction.

        Returns the new labels, in order, and the labels that are gone.
        """
        added: list[int] = []
        gone: list[int] = []
        with self._transaction() as db:
            for entry, vector in zip(entries, vectors, strict=True):
                gone += self._delete(db, collection, "id = ?", (entry.id,))
                added.append(self._insert(db, collection, entry, vector))
        return added, gone

    def _insert(self, db: sqlite3.Connection, collection: int, entry: CacheEntry, vector: np.ndarray) -> int:
        cursor = db.execute(
            _INSERT,
            (
                collection,
                entry.id,
                entry.original_question,
                entry.normalized_question,
                entry.generated_query,
                entry.query_hash,
                entry.response_summary,
                entry.template_id,
                dumps_metadata(entry.metadata),
                entry.usage_count,
                entry.feedback_correct,
                entry.feedback_incorrect,
                entry.created_at.timestamp(),
                entry.expires_at.timestamp() if entry.expires_at else None,
                vector.astype("<f4", copy=False).tobytes(),
            ),
        )
        label = int(cursor.lastrowid or 0)
        if entry.metadata:
            pairs = [(collection, key, _filter_value(value), label) for key, value in entry.metadata.items()]
            db.executemany("INSERT INTO entry_metadata VALUES (?,?,?,?)", pairs)
        return label

    def _delete(
        self, db: sqlite3.Connection, collection: int, condition: str, values: Sequence[Any]
    ) -> list[int]:
        found = db.execute(
            f"SELECT label, metadata != '' FROM entries WHERE collection = ? AND {condition}",  # noqa: S608
            (collection, *values),
        ).fetchall()
        for label, scoped in found:
            db.execute("DELETE FROM entries WHERE label = ?", (label,))
            if scoped:
                db.execute("DELETE FROM entry_metadata WHERE label = ?", (label,))
        return [label for label, _ in found]

    def delete(self, collection: int, ids: Iterable[str]) -> list[int]:
        """Delete entries by id; the labels that are gone."""
        gone: list[int] = []
        with self._transaction() as db:
            for entry_id in ids:
                gone += self._delete(db, collection, "id = ?", (entry_id,))
        return gone

    def add_feedback(self, collection: int, entry_id: str, correct: bool) -> int:
        """Count one judgement; the counter's new value, 0 when the entry is unknown."""
        column = "correct" if correct else "incorrect"
        with self._statements() as db:
            found = db.execute(
                f"UPDATE entries SET {column} = {column} + 1 "  # noqa: S608
                f"WHERE collection = ? AND id = ? RETURNING {column}",
                (collection, entry_id),
            ).fetchall()
        return found[0][0] if found else 0

    # reading

    def _select(self, tail: str, values: Sequence[Any]) -> list[Row]:
        with self._statements() as db:
            found = db.execute(f"SELECT {_COLUMNS} FROM entries WHERE {tail}", values).fetchall()  # noqa: S608
        return [_row(record) for record in found]

    def by_labels(self, labels: Sequence[int]) -> dict[int, Row]:
        """The rows of these labels that are there."""
        rows: list[Row] = []
        for start in range(0, len(labels), _MAX_VARIABLES):
            part = labels[start : start + _MAX_VARIABLES]
            rows += self._select(f"label IN ({','.join('?' * len(part))})", part)
        return {row.label: row for row in rows}

    def by_normalized(self, collection: int, normalized: str) -> list[Row]:
        """Rows with exactly this normalised question, newest first."""
        return self._select("collection = ? AND normalized = ? ORDER BY label DESC", (collection, normalized))

    def labels(self, collection: int, ids: Iterable[str]) -> list[int]:
        """Labels of the entries with these ids that are there."""
        with self._statements() as db:
            found = [
                db.execute(
                    "SELECT label FROM entries WHERE collection = ? AND id = ?", (collection, entry_id)
                ).fetchone()
                for entry_id in ids
            ]
        return [record[0] for record in found if record]

    def by_ids(self, collection: int, ids: Iterable[str]) -> list[Row]:
        """The rows of these ids that are there, in the order of `ids`."""
        rows = []
        for entry_id in ids:
            rows += self._select("collection = ? AND id = ?", (collection, entry_id))
        return rows

    def page(self, collection: int, after: int, limit: int) -> list[Row]:
        """Rows in the order they were stored, from the first label above `after`."""
        return self._select("collection = ? AND label > ? ORDER BY label LIMIT ?", (collection, after, limit))

    def ids(self, collection: int, condition: str, values: Sequence[Any]) -> list[str]:
        """Ids of the rows that satisfy a condition over indexed columns."""
        with self._statements() as db:
            found = db.execute(
                f"SELECT id FROM entries WHERE collection = ? AND {condition} ORDER BY label",  # noqa: S608
                (collection, *values),
            ).fetchall()
        return [entry_id for (entry_id,) in found]

    def count(self, collection: int) -> int:
        with self._statements() as db:
            return db.execute("SELECT count(*) FROM entries WHERE collection = ?", (collection,)).fetchone()[
                0
            ]

    def labels_matching(self, collection: int, filters: Mapping[str, MetadataValue]) -> np.ndarray:
        """Labels, uint64 and ascending, of the entries whose metadata equals `filters`."""
        query = "SELECT label FROM entry_metadata WHERE collection = ? AND key = ? AND value = ?"
        joined = " INTERSECT ".join([query] * len(filters)) + " ORDER BY label"
        values = [part for key, value in filters.items() for part in (collection, key, _filter_value(value))]
        with self._statements() as db:
            found = db.execute(joined, values).fetchall()
        return np.array([label for (label,) in found], dtype=np.uint64)

    def expiring(self, collection: int, after: float, until: float) -> tuple[list[int], float]:
        """Labels with `after <= expires <= until`, and when the next one expires (infinity if none)."""
        with self._statements() as db:
            gone = db.execute(
                "SELECT label FROM entries WHERE collection = ? AND expires >= ? AND expires <= ?",
                (collection, after, until),
            ).fetchall()
            (upcoming,) = db.execute(
                "SELECT min(expires) FROM entries WHERE collection = ? AND expires > ?", (collection, until)
            ).fetchone()
        return [label for (label,) in gone], float("inf") if upcoming is None else upcoming

    def vectors(
        self, collection: int, dimension: int, *, after: int = 0, limit: int = 10_000
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A page of labels (uint64), vectors (float32, `(n, dimension)`) and whether each is scoped."""
        with self._statements() as db:
            found = db.execute(
                "SELECT label, metadata != '', vector FROM entries "
                "WHERE collection = ? AND label > ? ORDER BY label LIMIT ?",
                (collection, after, limit),
            ).fetchall()
        labels = np.array([record[0] for record in found], dtype=np.uint64)
        scoped = np.array([record[1] for record in found], dtype=bool)
        size = dimension * 4
        if not all(isinstance(record[2], bytes) and len(record[2]) == size for record in found):
            raise StorageError(
                f"a stored vector of {self.path or ':memory:'} does not have {dimension} numbers"
            )
        joined = b"".join(record[2] for record in found)
        return labels, np.frombuffer(joined, dtype="<f4").reshape(len(found), dimension), scoped

    def vector(self, label: int) -> np.ndarray | None:
        with self._statements() as db:
            found = db.execute("SELECT vector FROM entries WHERE label = ?", (label,)).fetchone()
        return np.frombuffer(found[0], dtype="<f4") if found else None

    # statistics

    def load_stats(self, collection: int) -> str | None:
        with self._statements() as db:
            found = db.execute("SELECT body FROM stats WHERE collection = ?", (collection,)).fetchone()
        return found[0] if found else None

    def save_stats(self, collection: int, body: str) -> None:
        with self._statements() as db:
            db.execute("INSERT OR REPLACE INTO stats VALUES (?, ?)", (collection, body))
