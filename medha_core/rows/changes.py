"""What a transaction on the tables is made of; the caller holds it open."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain
from sqlite3 import Connection
from typing import Any, Literal

import numpy as np

from medha_core.errors import ConflictError, StorageError
from medha_core.metadata import filter_value
from medha_core.native import question_key
from medha_core.rows.row import (
    Gone,
    Row,
    dumps_tables,
    loads_tables,
    seal_columns,
    seal_vector,
    stored_row,
)
from medha_core.types import CacheEntry

OnConflict = Literal["replace", "keep_both", "error"]
Eviction = Literal["recency", "use"]

KEPT_REMOVALS = 100_000
"""The log of removals is this long; a reader that is further behind reads its collection anew."""
_WRITTEN = (*Row._fields, "used", "seal", "vector_seal", "vector")
_INSERT = f"INSERT INTO entries({', '.join(_WRITTEN)}) VALUES ({', '.join('?' * len(_WRITTEN))})"  # noqa: S608
_INSERT_IF_NEW = f"{_INSERT} ON CONFLICT(collection, id) DO NOTHING"
"""Nothing is looked up first: nearly every entry is new."""
_AT_ONCE = 50
"""Rows of metadata or tables in one statement."""
_SAME = (
    "SELECT label, id, question, query, query_hash, expires FROM entries "
    "WHERE collection = ? AND normalized = ? AND "
)
_SAME_PLAIN = f"{_SAME} metadata = ''"
_SAME_SCOPED = f"{_SAME} metadata = +? AND metadata != ''"
"""Each has an index, which SQLite takes only where the statement itself says which rows it is for. The sign
keeps SQLite from planning anew for every value, in the hope that it says so too: eight times the time."""
_LEAST = {"recency": "used", "use": "usage, used"}


def counts(db: Connection, collection: int) -> tuple[int, int]:
    """Number of entries, and of uses so far: the next use is numbered one higher."""
    found: tuple[int, int] | None = db.execute(
        "SELECT entries, uses FROM collections WHERE id = ?", (collection,)
    ).fetchone()
    if found is not None and not all(isinstance(number, int) for number in found):
        raise StorageError(f"the counts of collection {collection} are damaged: {found}")
    return found or (0, 0)


def set_counts(db: Connection, collection: int, entries: int, uses: int) -> None:
    """Put down what `counts` gives next. Raises `StorageError` for entries of a collection that is gone."""
    values = (entries, uses, collection)
    changed = db.execute("UPDATE collections SET entries = ?, uses = ? WHERE id = ?", values)
    if entries and not changed.rowcount:
        raise StorageError(f"collection {collection} was dropped meanwhile: nothing is stored in it")


def last_label(db: Connection) -> int:
    """The highest label that was ever given, or is reserved."""
    found = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'").fetchone()
    (newest,) = db.execute("SELECT max(label) FROM entries").fetchone()
    numbers = [number for number in (newest, *(found or ())) if isinstance(number, int)]
    return max([*numbers, 0])


def set_last_label(db: Connection, label: int) -> None:
    """Reserve the labels up to this one: SQLite gives none of them either, and leaves the number alone."""
    changed = db.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'entries'", (label,))
    if not changed.rowcount:
        db.execute("INSERT INTO sqlite_sequence(name, seq) VALUES ('entries', ?)", (label,))


def count_uses(db: Connection, collection: int, uses: Mapping[str, int], counter: int) -> int:
    """Add uses by id, oldest first; the new counter."""
    if not uses:
        return counter
    numbered = [
        (times, counter + place, collection, entry_id)
        for place, (entry_id, times) in enumerate(uses.items(), start=1)
    ]
    db.executemany("UPDATE entries SET usage = usage + ?, used = ? WHERE collection = ? AND id = ?", numbered)
    return counter + len(numbered)


def put(
    db: Connection,
    collection: int,
    label: int,
    entry: CacheEntry,
    metadata: str,
    vector: np.ndarray,
    used: int,
) -> tuple[Row, list[Gone]]:
    """Insert an entry in the place of one with its id, if there is one: the new row, and what is gone."""
    columns = [
        label,
        collection,
        entry.id,
        entry.original_question,
        entry.normalized_question,
        entry.generated_query,
        entry.query_hash,
        entry.response_summary,
        entry.template_id,
        metadata,
        int(entry.role),
        entry.created_at.timestamp(),
        entry.expires_at.timestamp() if entry.expires_at else None,
        entry.usage_count,
        entry.feedback_correct,
        entry.feedback_incorrect,
        dumps_tables(entry.tables),
    ]
    stored = vector.astype("<f4", copy=False).tobytes()
    values = (*columns, used, seal_columns(columns), seal_vector(stored), stored)
    gone: list[Gone] = []
    if not db.execute(_INSERT_IF_NEW, values).rowcount:
        gone = delete(db, collection, "id = ?", (entry.id,))
        db.execute(_INSERT, values)
    pairs = [(collection, key, filter_value(value), label) for key, value in entry.metadata.items()]
    _insert(db, "entry_metadata", pairs)
    _insert(db, "entry_tables", [(collection, name, label) for name in set(entry.tables or ())])
    return stored_row(columns), gone


def _insert(db: Connection, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows by one statement if they are few, else in parts: SQLite limits the variables of one."""
    for start in range(0, len(rows), _AT_ONCE):
        part = rows[start : start + _AT_ONCE]
        db.execute(_into(table, len(part[0]), len(part)), tuple(chain.from_iterable(part)))


@lru_cache
def _into(table: str, columns: int, rows: int) -> str:
    """The statement that inserts so many rows at once."""
    row = f"({','.join('?' * columns)})"
    return f"INSERT INTO {table} VALUES {','.join([row] * rows)}"  # noqa: S608


def drop_collection(db: Connection, collection: int) -> None:
    """Delete a collection and everything in it."""
    for table in ("entries", "entry_metadata", "entry_tables", "stats"):
        db.execute(f"DELETE FROM {table} WHERE collection = ?", (collection,))  # noqa: S608
    db.execute("DELETE FROM collections WHERE id = ?", (collection,))


def delete(db: Connection, collection: int, condition: str, values: Sequence[Any]) -> list[Gone]:
    """Delete the rows that satisfy a condition over indexed columns."""
    found = db.execute(
        f"SELECT label, id, metadata != '', tables FROM entries "  # noqa: S608
        f"WHERE collection = ? AND {condition}",
        (collection, *values),
    ).fetchall()
    for label, _, scoped, tables in found:
        db.execute("DELETE FROM entries WHERE label = ?", (label,))
        if scoped:
            db.execute("DELETE FROM entry_metadata WHERE label = ?", (label,))
        if tables:
            named = [(collection, name, label) for name in loads_tables(tables)]
            db.executemany("DELETE FROM entry_tables WHERE collection = ? AND name = ? AND label = ?", named)
    return [Gone(label, entry_id) for label, entry_id, _, _ in found]


def delete_expired(db: Connection, collection: int, now: float, limit: int) -> list[Gone]:
    """Delete what has expired, the longest ago first."""
    return delete(db, collection, "expires <= ? ORDER BY expires LIMIT ?", (now, limit))


def resolve(
    db: Connection, collection: int, entry: CacheEntry, metadata: str, on_conflict: OnConflict, now: float
) -> tuple[list[Gone], list[str]]:
    """Deal with rows that have the question of a new entry: those deleted, and ids of those outdated."""
    same = _same_question(db, collection, entry, metadata)
    if on_conflict == "keep_both":
        return [], [entry_id for _, entry_id, *_ in same if entry_id != entry.id]
    if on_conflict == "error":
        for _, _, _, query, hashed, expires in same:
            if hashed != entry.query_hash and (expires is None or expires > now):
                raise ConflictError(entry.original_question, query, entry.generated_query)
    return [gone for label, *_ in same for gone in delete(db, collection, "label = ?", (label,))], []


def _same_question(db: Connection, collection: int, entry: CacheEntry, metadata: str) -> list[Any]:
    """Rows with the question and the metadata of an entry: label, id, question, query, its hash, expiry.

    One normalised text can stand for several questions, for in quotes the case of letters counts.
    """
    values = (collection, entry.normalized_question)
    if metadata:
        found = db.execute(_SAME_SCOPED, (*values, metadata)).fetchall()
    else:
        found = db.execute(_SAME_PLAIN, values).fetchall()
    if not found:
        return []
    key = question_key(b"", entry.original_question)
    return [row for row in found if isinstance(row[2], str) and question_key(b"", row[2]) == key]


def evict(
    db: Connection, collection: int, excess: int, now: float, policy: Eviction, first_new: int
) -> list[Gone]:
    """Delete `excess` rows: the expired, then the least used or least recently used, the new ones last."""
    gone = delete_expired(db, collection, now, excess)
    # The sign keeps SQLite from finding rows by label, and then sorting them all.
    for newness in ("+label < ?", "+label >= ?"):
        if len(gone) < excess:
            least = f"{newness} ORDER BY {_LEAST[policy]} LIMIT ?"
            gone += delete(db, collection, least, (first_new, excess - len(gone)))
    return gone


def log_removals(db: Connection, collection: int, gone: Sequence[Gone]) -> None:
    """Let readers in other processes, and an index file that is behind, know what is gone."""
    if gone:
        labels = [(collection, one.label) for one in gone]
        db.executemany("INSERT INTO removals(collection, label) VALUES (?, ?)", labels)
        db.execute(
            "DELETE FROM removals WHERE number <= (SELECT max(number) FROM removals) - ?", (KEPT_REMOVALS,)
        )
