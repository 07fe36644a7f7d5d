"""The table of entries of all collections.

A row's `label` is its handle in the vector index. Labels are never used twice
and a changed entry gets a new one, so whatever was read under a label stays
true for as long as the row is there.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from sqlite3 import Connection

import numpy as np

from medha_core.errors import StorageInitializationError
from medha_core.manifest import METRIC, NORMALISATION
from medha_core.metadata import dumps_metadata
from medha_core.rows import changes
from medha_core.rows.changes import Eviction, OnConflict
from medha_core.rows.counters import Counters
from medha_core.rows.database import Database, Mode
from medha_core.rows.lookups import Lookups
from medha_core.rows.row import (
    CollectionRow,
    Gone,
    Row,
    Written,
    check_space,
)
from medha_core.rows.schema import EVICTION_INDEXES
from medha_core.types import CacheEntry

_PORTION = 1000
"""Rows that expire in one transaction, so that nobody waits long for the next."""


class Rows(Lookups):
    """Reads and writes the tables; every method is one transaction."""

    def __init__(self, path: Path | None = None, *, mode: Mode = "r+", synchronous: str = "NORMAL"):
        super().__init__(Database(path, mode, synchronous=synchronous))
        self._counters = Counters()
        self.database.taken_back = self._counters.forget

    def close(self) -> None:
        self.database.close()

    # collections

    def create_collection(self, name: str, dimension: int, model: str = "") -> CollectionRow:
        """The collection, made if it is not there.

        Raises `DimensionMismatchError` or `StorageInitializationError` if it holds
        vectors of another dimension or of another model.
        """
        found = self.collection(name)
        if found is None:
            with self._transaction() as db:
                db.execute(
                    "INSERT INTO collections(name, dimension, model, entries, uses, metric, normalisation) "
                    "VALUES (?, ?, ?, 0, 0, ?, ?)",
                    (name, dimension, model, METRIC, NORMALISATION),
                )
            found = self.collection(name)
        if found is None:
            raise StorageInitializationError(f"collection {name!r} vanished while it was created")
        check_space(found, dimension, model)
        return found

    def drop_collection(self, collection: int) -> None:
        with self._transaction() as db:
            changes.drop_collection(db, collection)
            self._counters.forget()

    def take_place(self, collection: int, other: int) -> None:
        """Drop another collection, whose name, statistics and order of use this one has from then on."""
        with self._transaction() as db:
            (name,) = db.execute("SELECT name FROM collections WHERE id = ?", (other,)).fetchone()
            db.execute(
                "UPDATE collections SET uses = (SELECT uses FROM collections WHERE id = ?) WHERE id = ?",
                (other, collection),
            )
            db.execute(
                "UPDATE entries SET used = coalesce((SELECT used FROM entries AS same "
                "WHERE same.collection = ? AND same.id = entries.id), used) WHERE collection = ?",
                (other, collection),
            )
            db.execute("UPDATE OR REPLACE stats SET collection = ? WHERE collection = ?", (collection, other))
            changes.drop_collection(db, other)
            db.execute("UPDATE collections SET name = ? WHERE id = ?", (name, collection))
            self._counters.forget()

    def index_for_eviction(self, policy: Eviction) -> None:
        """Make evicting cost what it evicts."""
        with self._transaction() as db:
            db.execute(EVICTION_INDEXES[policy])

    # writing

    def write(
        self,
        collection: int,
        entries: Sequence[CacheEntry],
        vectors: np.ndarray,
        *,
        on_conflict: OnConflict | None = None,
        now: float = 0.0,
        uses: Mapping[str, int] | None = None,
        max_entries: int | None = None,
        eviction: Eviction = "recency",
    ) -> Written:
        """Insert entries, replacing those with the same id, in one transaction.

        Args:
            on_conflict: what becomes of rows with the same question and metadata
                under other ids; None leaves them alone. Raises `ConflictError`
                for "error" if one that is alive at `now` has another query.
            uses: uses by id to count first, oldest first, for eviction to know.
            max_entries: evict older entries above this number.
        """
        new: list[Row] = []
        gone: list[Gone] = []
        outdated: list[str] = []
        with self._transaction() as db:
            before, counter = self._counters.counts(db, collection)
            counter = changes.count_uses(db, collection, uses or {}, counter)
            labels = self._counters.labels(db, len(entries))
            for label, entry, vector in zip(labels, entries, vectors, strict=True):
                metadata = dumps_metadata(entry.metadata)
                if on_conflict is not None:
                    replaced, older = changes.resolve(db, collection, entry, metadata, on_conflict, now)
                    gone += replaced
                    outdated += older
                counter += 1
                row, replaced = changes.put(db, collection, label, entry, metadata, vector, counter)
                new.append(row)
                gone += replaced
            held = before + len(new) - len(gone)
            if max_entries is not None and held > max_entries:
                gone += changes.evict(db, collection, held - max_entries, now, eviction, labels[0])
            self._counters.set_counts(db, collection, before + len(new) - len(gone), counter)
            changes.log_removals(db, collection, gone)
        return Written(new, gone, outdated)

    def delete(self, collection: int, ids: Iterable[str]) -> list[Gone]:
        """Delete entries by id; those that were there."""
        with self._transaction() as db:
            gone = [one for entry_id in ids for one in changes.delete(db, collection, "id = ?", (entry_id,))]
            self._account(db, collection, gone)
        return gone

    def expire(self, collection: int, now: float) -> list[Gone]:
        """Delete a portion of the entries that have expired; empty when none is left."""
        with self._transaction() as db:
            gone = changes.delete_expired(db, collection, now, _PORTION)
            self._account(db, collection, gone)
        return gone

    def _account(self, db: Connection, collection: int, gone: Sequence[Gone]) -> None:
        """For deleted rows, in the counts and in the log."""
        held, uses = self._counters.counts(db, collection)
        self._counters.set_counts(db, collection, held - len(gone), uses)
        changes.log_removals(db, collection, gone)

    def count_uses(self, collection: int, uses: Mapping[str, int]) -> None:
        """Add uses by id, oldest first; ids that are gone are ignored."""
        with self._transaction() as db:
            held, counter = self._counters.counts(db, collection)
            counter = changes.count_uses(db, collection, uses, counter)
            self._counters.set_counts(db, collection, held, counter)

    def add_feedback(self, collection: int, entry_id: str, correct: bool) -> int:
        """Count one judgement; the counter's new value, 0 when the entry is unknown."""
        column = "correct" if correct else "incorrect"
        with self._transaction() as db:
            found = db.execute(
                f"UPDATE entries SET {column} = {column} + 1 "  # noqa: S608
                f"WHERE collection = ? AND id = ? RETURNING {column}",
                (collection, entry_id),
            ).fetchall()
        return found[0][0] if found else 0

    def change_stats(self, collection: int, change: Callable[[str | None], str]) -> str:
        """Put what `change` makes of the statistics in their place, in one transaction; what it made."""
        with self._transaction() as db:
            found = db.execute("SELECT body FROM stats WHERE collection = ?", (collection,)).fetchone()
            body = change(found[0] if found else None)
            db.execute("INSERT OR REPLACE INTO stats VALUES (?, ?)", (collection, body))
        return body
