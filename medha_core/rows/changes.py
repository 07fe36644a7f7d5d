"""What a transaction on the tables is made of; the caller holds it open."""

from collections.abc import Mapping, Sequence
from sqlite3 import Connection
from typing import Any, Literal

import numpy as np

from medha_core.errors import ConflictError, StorageError
from medha_core.metadata import filter_value
from medha_core.native import question_key
from medha_core.rows.row import (
    Gone,
    dumps_tables,
    loads_tables,
    seal_row,
    seal_vector,
    sealed_fields,
)
from medha_core.types import CacheEntry

OnConflict = Literal["replace", "keep_both", "error"]
Eviction = Literal["recency", "use"]

KEPT_REMOVALS = 100_000
"""The log of removals is this long; a reader that is further behind reads its collection anew."""
_INSERT = (
    "INSERT INTO entries(collection, id, question, normalized, query, query_hash, summary, template, "
    "metadata, role, created, expires, usage, used, correct, incorrect, seal, vector_seal, vector, tables) "
    "VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
)
_SAME_PLAIN = "normalized = ? AND metadata = ''"
_SAME_SCOPED = "normalized = ? AND metadata = +? AND metadata != ''"
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
    """Put down what `counts` gives next."""
    db.execute("UPDATE collections SET entries = ?, uses = ? WHERE id = ?", (entries, uses, collection))


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


def insert(
    db: Connection, collection: int, entry: CacheEntry, metadata: str, vector: np.ndarray, used: int
) -> list[Any]:
    """What stands in the columns of the new `Row`."""
    sealed = (
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
    )
    counters = (entry.usage_count, used, entry.feedback_correct, entry.feedback_incorrect)
    stored = vector.astype("<f4", copy=False).tobytes()
    tables = dumps_tables(entry.tables)
    seals = seal_row(*sealed_fields(sealed, tables)), seal_vector(stored)
    cursor = db.execute(_INSERT, (*sealed, *counters, *seals, stored, tables))
    label = int(cursor.lastrowid or 0)
    if entry.metadata:
        pairs = [(collection, key, filter_value(value), label) for key, value in entry.metadata.items()]
        db.executemany("INSERT INTO entry_metadata VALUES (?,?,?,?)", pairs)
    if entry.tables:
        named = [(collection, name, label) for name in set(entry.tables)]
        db.executemany("INSERT INTO entry_tables VALUES (?,?,?)", named)
    usage, _, *judged = counters
    return [label, *sealed, usage, *judged, tables]


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
    condition = _SAME_SCOPED if metadata else _SAME_PLAIN
    values = (entry.normalized_question, metadata) if metadata else (entry.normalized_question,)
    found = db.execute(
        "SELECT label, id, question, query, query_hash, expires FROM entries "  # noqa: S608
        f"WHERE collection = ? AND {condition}",
        (collection, *values),
    ).fetchall()
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


def forget(db: Connection, collection: int, gone: Sequence[Gone]) -> None:
    """Account for deleted rows in the counts and in the log."""
    held, uses = counts(db, collection)
    set_counts(db, collection, held - len(gone), uses)
    log_removals(db, collection, gone)
