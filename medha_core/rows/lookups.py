"""What is asked of the tables; nothing here changes them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import nlargest
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from medha_core.errors import StorageError, shown
from medha_core.metadata import filter_value
from medha_core.rows import changes
from medha_core.rows.database import Database
from medha_core.rows.row import COLLECTION_COLUMNS, COLUMNS, CollectionRow, Row, logger, read_row, seal_vector
from medha_core.types import MetadataValue

_MAX_VARIABLES = 500
_FEW = 64
"""Rows of one text that are read without looking for a shorter way to those wanted."""
_TEXTS_AT_ONCE = 10_000
_TEXTS = "SELECT label, normalized FROM entries WHERE collection = ? AND label > ? ORDER BY label LIMIT ?"
_PLAIN = "SELECT label FROM entries WHERE collection = ? AND normalized = ? AND metadata = ''"
_SCOPED = "SELECT label FROM entries WHERE collection = ? AND normalized = ? AND metadata != ''"
_WITH_VALUE = "SELECT 1 FROM entry_metadata WHERE collection = ? AND key = ? AND value = ? LIMIT 10000"
_WITH_VALUE_AND_TEXT = (
    "SELECT entries.label FROM entry_metadata CROSS JOIN entries ON entries.label = entry_metadata.label "
    "WHERE entry_metadata.collection = ? AND key = ? AND value = ? AND normalized = ?"
)
HIDDEN = "\0"
"""A name that starts with it is nobody's: users' names are text without it."""


class Vectors(NamedTuple):
    """Vectors for the index."""

    labels: np.ndarray
    """uint64[n], ascending."""
    vectors: np.ndarray
    """float32[n, dimension], of length one."""
    scoped: np.ndarray
    """bool[n]: whether the entry has metadata."""


def whole(records: Iterable[Sequence[Any]]) -> list[int]:
    """The labels in records of one column; in a damaged file there may be something else."""
    return [value for (value,) in records if isinstance(value, int) and value >= 0]


def with_text(rows: Iterable[Row], collection: int, normalized: str) -> list[Row]:
    """Those of a collection that have this normalised question, newest first.

    A row is sealed, the index that led to it is not.
    """
    found = [row for row in rows if row.normalized == normalized and row.collection == collection]
    return sorted(found, key=lambda row: -row.label) if len(found) > 1 else found


class Lookups:
    """The part of `Rows` that reads."""

    def __init__(self, database: Database):
        self.database = database
        self._statements, self._transaction = database.statements, database.transaction

    # collections

    def collections(self, *, hidden: bool = False) -> list[CollectionRow]:
        """All collections, in the order they were made; `hidden` for those too that are being made."""
        with self._statements() as db:
            found = db.execute(
                f"SELECT {COLLECTION_COLUMNS} FROM collections ORDER BY id"  # noqa: S608
            ).fetchall()
        rows = [self._sound_collection(record) for record in found]
        return [row for row in rows if hidden or not row.name.startswith(HIDDEN)]

    def collection(self, name: str) -> CollectionRow | None:
        with self._statements() as db:
            found = db.execute(
                f"SELECT {COLLECTION_COLUMNS} FROM collections WHERE name = ?",  # noqa: S608
                (name,),
            ).fetchone()
        return self._sound_collection(found) if found else None

    def _sound_collection(self, record: Sequence[Any]) -> CollectionRow:
        row = CollectionRow(*record)
        texts, numbers = (row.name, row.model, row.metric, row.normalisation), (row.id, row.dimension)
        if not all(isinstance(text, str) for text in texts) or not all(
            isinstance(number, int) for number in (*numbers, row.entries)
        ):
            raise StorageError(f"{self.database.name} is damaged: a collection reads {shown(record)}")
        return row

    # entries

    def _select(self, tail: str, values: Sequence[Any]) -> list[Row]:
        with self._statements() as db:
            found = db.execute(f"SELECT {COLUMNS} FROM entries WHERE {tail}", values).fetchall()  # noqa: S608
        return [row for record in found if (row := read_row(record)) is not None]

    def by_labels(self, labels: Sequence[int]) -> dict[int, Row]:
        """The rows of these labels that are there."""
        rows: list[Row] = []
        for start in range(0, len(labels), _MAX_VARIABLES):
            part = labels[start : start + _MAX_VARIABLES]
            rows += self._select(f"label IN ({','.join('?' * len(part))})", part)
        return {row.label: row for row in rows}

    def labels_with_text(
        self,
        collection: int,
        normalized: str,
        filters: Mapping[str, MetadataValue] | None = None,
        include_scoped: bool = True,
    ) -> list[int]:
        """Labels of rows with this normalised question, which the rows must confirm (see `with_text`).

        With filters, those whose metadata may match. Of rows with metadata, without filters, the newest few.
        """
        if filters:
            return self._filtered_with_text(collection, normalized, filters)
        labels = self._with_text(_PLAIN, collection, normalized)
        if include_scoped:
            labels += nlargest(_FEW, self._with_text(_SCOPED, collection, normalized))
        return labels

    def by_normalized(
        self,
        collection: int,
        normalized: str,
        filters: Mapping[str, MetadataValue] | None = None,
        include_scoped: bool = True,
    ) -> list[Row]:
        """Rows with exactly this normalised question, newest first, of those `labels_with_text` finds."""
        labels = self.labels_with_text(collection, normalized, filters, include_scoped)
        return with_text(self.by_labels(labels).values(), collection, normalized) if labels else []

    def _with_text(self, query: str, collection: int, normalized: str) -> list[int]:
        with self._statements() as db:
            return whole(db.execute(query, (collection, normalized)).fetchall())

    def _filtered_with_text(
        self, collection: int, normalized: str, filters: Mapping[str, MetadataValue]
    ) -> list[int]:
        """From the fewer: rows with this text, or rows with the rarest of these values."""
        with self._statements() as db:
            found = db.execute(f"{_SCOPED} LIMIT {_FEW + 1}", (collection, normalized)).fetchall()
            if len(found) <= _FEW:
                return whole(found)
            pairs = [(collection, key, filter_value(value)) for key, value in filters.items()]
            rarest = min(pairs, key=lambda pair: len(db.execute(_WITH_VALUE, pair).fetchall()))
            return whole(db.execute(_WITH_VALUE_AND_TEXT, (*rarest, normalized)).fetchall())

    def texts(self, collection: int) -> tuple[list[int], list[str]]:
        """Every label of a collection, rising, and its normalised question."""
        labels: list[int] = []
        texts: list[str] = []
        last = -1
        while True:
            with self._statements() as db:
                page = db.execute(_TEXTS, (collection, last, _TEXTS_AT_ONCE)).fetchall()
            if not page:
                return labels, texts
            labels += [label for label, text in page if isinstance(text, str)]
            texts += [text for _, text in page if isinstance(text, str)]
            last = page[-1][0]

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
        wanted = list(dict.fromkeys(ids))
        rows: dict[str, Row] = {}
        for start in range(0, len(wanted), _MAX_VARIABLES - 1):
            part = wanted[start : start + _MAX_VARIABLES - 1]
            found = self._select(
                f"collection = ? AND id IN ({','.join('?' * len(part))})", (collection, *part)
            )
            rows.update((row.id, row) for row in found)
        return [rows[entry_id] for entry_id in wanted if entry_id in rows]

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

    def ids_of_tables(self, collection: int, names: Iterable[str]) -> list[str]:
        """Ids of the entries whose query reads one of these tables, in the order they were stored."""
        query = "SELECT label FROM entry_tables WHERE collection = ? AND name = ?"
        labels: set[int] = set()
        with self._statements() as db:
            for name in names:
                labels.update(whole(db.execute(query, (collection, name)).fetchall()))
        return self.ids_of(collection, sorted(labels))

    def ids_of(self, collection: int, labels: Iterable[int]) -> list[str]:
        """Ids of the entries under these labels that are there."""
        query = "SELECT id FROM entries WHERE label = ? AND collection = ?"
        with self._statements() as db:
            found = [db.execute(query, (int(label), collection)).fetchone() for label in labels]
        return [record[0] for record in found if record]

    def count(self, collection: int) -> int:
        with self._statements() as db:
            return changes.counts(db, collection)[0]

    def labels_matching(self, collection: int, filters: Mapping[str, MetadataValue]) -> np.ndarray:
        """Labels, uint64 and ascending, of the entries whose metadata equals `filters`."""
        query = "SELECT label FROM entry_metadata WHERE collection = ? AND key = ? AND value = ?"
        joined = " INTERSECT ".join([query] * len(filters)) + " ORDER BY label"
        values = [part for key, value in filters.items() for part in (collection, key, filter_value(value))]
        with self._statements() as db:
            found = db.execute(joined, values).fetchall()
        return np.array(whole(found), dtype=np.uint64)

    def expiring(self, collection: int, after: float, until: float) -> tuple[list[int], float]:
        """Labels with `after < expires <= until`, and when the next one expires (infinity if none)."""
        with self._statements() as db:
            gone = db.execute(
                "SELECT label FROM entries WHERE collection = ? AND expires > ? AND expires <= ?",
                (collection, after, until),
            ).fetchall()
            (upcoming,) = db.execute(
                "SELECT min(expires) FROM entries WHERE collection = ? AND expires > ?", (collection, until)
            ).fetchone()
        # What is no number was damaged: the rows it belongs to are left out when they are read.
        return whole(gone), float(upcoming) if isinstance(upcoming, (int, float)) else float("inf")

    def vectors(
        self, collection: int, dimension: int, *, after: int = 0, limit: int = 10_000
    ) -> tuple[Vectors, int]:
        """A page of vectors, and the last label that was looked at: 0 when there was none."""
        found = self._vectors("label > ? ORDER BY label LIMIT ?", (collection, after, limit))
        self._check_order(after, [record[0] for record in found])
        return self._sound(found, dimension), found[-1][0] if found else 0

    def vectors_of(self, collection: int, dimension: int, labels: Sequence[int]) -> Vectors:
        """The vectors of these entries, those that are there."""
        found = [record for label in labels for record in self._vectors("label = ?", (collection, label))]
        return self._sound(found, dimension)

    def vector(self, label: int) -> np.ndarray | None:
        """The vector of one entry, None when it is not there."""
        with self._statements() as db:
            found = db.execute("SELECT vector FROM entries WHERE label = ?", (label,)).fetchone()
        return np.frombuffer(found[0], dtype="<f4") if found else None

    def _check_order(self, after: int, labels: Sequence[int]) -> None:
        """Pages of a damaged file can lead back to where one came from, and would be read for ever."""
        if any(label <= before for before, label in pairwise([after, *labels])):
            raise StorageError(f"{self.database.name} is damaged: its entries are out of order")

    def _vectors(self, condition: str, values: Sequence[int]) -> list[Any]:
        with self._statements() as db:
            return db.execute(
                "SELECT label, metadata != '', vector_seal, vector FROM entries "  # noqa: S608
                f"WHERE collection = ? AND {condition}",
                values,
            ).fetchall()

    def _sound(self, records: Sequence[Any], dimension: int) -> Vectors:
        """Without those that are damaged on disk, with a warning for each."""
        sound = [record for record in records if self._is_sound(record, dimension)]
        joined = np.frombuffer(b"".join(record[3] for record in sound), dtype="<f4")
        return Vectors(
            np.array([record[0] for record in sound], dtype=np.uint64),
            joined.reshape(len(sound), dimension),
            np.array([record[1] for record in sound], dtype=bool),
        )

    def _is_sound(self, record: Sequence[Any], dimension: int) -> bool:
        label, _, seal, vector = record
        sound = isinstance(vector, bytes) and len(vector) == dimension * 4 and seal_vector(vector) == seal
        if not sound:
            logger.warning(
                "the vector of entry %s in %s is damaged: left out of searches by meaning",
                label,
                self.database.name,
            )
        return sound

    def check(
        self, expected: int, on_progress: Callable[[int, int], None] | None = None
    ) -> tuple[dict[int, int], list[int]]:
        """Read everything: the number of entries by collection, and the labels of damaged ones."""
        counted: dict[int, int] = {}
        damaged: list[int] = []
        last = 0
        while True:
            with self._statements() as db:
                found = db.execute(
                    f"SELECT vector_seal, vector, {COLUMNS} FROM entries "  # noqa: S608
                    "WHERE label > ? ORDER BY label LIMIT 1000",
                    (last,),
                ).fetchall()
            if not found:
                return counted, damaged
            self._check_order(last, [record[2] for record in found])
            for seal, vector, *record in found:
                counted[record[1]] = counted.get(record[1], 0) + 1
                if seal_vector(vector) != seal or read_row(record) is None:
                    damaged.append(record[0])
            last = found[-1][2]
            if on_progress is not None:
                on_progress(min(expected, sum(counted.values())), expected)

    # what changed

    def data_version(self) -> int:
        """A number that changes when another process has written."""
        return self.database.data_version()

    def last_removal(self) -> int:
        """Number of the newest removal, 0 when there was none."""
        with self._statements() as db:
            found = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'removals'").fetchone()
        return max(whole([found]), default=0) if found else 0

    def removals(self, collection: int, after: int) -> tuple[list[int], int] | None:
        """Labels removed since the removal numbered `after`, and the newest number.

        None when the log does not reach back that far.
        """
        with self._statements() as db:
            (oldest,) = db.execute("SELECT min(number) FROM removals").fetchone()
            if oldest is not None and oldest > after + 1:
                return None
            found = db.execute(
                "SELECT number, collection, label FROM removals WHERE number > ? ORDER BY number", (after,)
            ).fetchall()
        labels = whole((label,) for _, owner, label in found if owner == collection)
        return labels, found[-1][0] if found else after

    # statistics

    def load_stats(self, collection: int) -> str | None:
        with self._statements() as db:
            found = db.execute("SELECT body FROM stats WHERE collection = ?", (collection,)).fetchone()
        return found[0] if found else None
