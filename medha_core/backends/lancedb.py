"""LanceDB: tables in a directory or an object store, in this process."""

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import numpy as np

from medha_core.backends.driver import Driver, Nearest, Where
from medha_core.backends.foreign import ForeignBackend
from medha_core.backends.naming import digest, space_name
from medha_core.backends.record import FIELDS, Record, fields_of, record_from
from medha_core.errors import ConfigurationError
from medha_core.settings import Settings

try:
    import lancedb
    import pyarrow as pa
    from lancedb.index import HnswSq
    from lancedb.query import ColumnOrdering
except ImportError as error:
    raise ConfigurationError(
        "backend_type 'lancedb' needs lancedb: pip install 'medha-core[lancedb]'"
    ) from error

__all__ = ["LanceDBBackend"]

_COLUMNS = ["key", *FIELDS]
_TEND_EVERY = 50
"""Writes after which a table's fragments are put together: each write makes a version of its own."""
_INDEX_FROM = 100_000
"""Rows from which vectors are indexed; fewer are compared one by one, which is exact."""
_NOTE = pa.schema(
    [("key", pa.string()), ("space", pa.string()), ("kind", pa.string()), ("body", pa.string())]
)


class LanceDBDriver(Driver):
    """A table a collection."""

    engine = "lancedb"
    serial = True  # two commits at once make one of them start anew
    batch = 5000

    def __init__(self, settings: Settings):
        self._settings = settings
        self.prefix = settings.lancedb_table_prefix
        self._notes = space_name(self.prefix, "\0notes")
        self._db: Any = None
        self._tables: dict[str, Any] = {}
        self._writes: dict[str, int] = {}

    def describe(self) -> str:
        return self._settings.lancedb_uri

    def open(self) -> None:
        # Zero: what another process wrote is seen by the next read.
        self._db = lancedb.connect(self._settings.lancedb_uri, read_consistency_interval=timedelta(0))
        self._db.create_table(self._notes, schema=_NOTE, exist_ok=True)

    def close(self) -> None:
        self._db, self._tables, self._writes = None, {}, {}

    def _table(self, name: str) -> Any:
        if name not in self._tables:
            self._tables[name] = self._db.open_table(name)
        return self._tables[name]

    # notes

    def read_note(self, space: str, kind: str) -> str | None:
        key = digest(space, kind).hex()
        found = self._table(self._notes).search().where(f"key = '{key}'").limit(1).to_list()
        return found[0]["body"] if found else None

    def write_note(self, space: str, kind: str, text: str) -> None:
        note = {"key": digest(space, kind).hex(), "space": space, "kind": kind, "body": text}
        self._merge(self._notes, pa.Table.from_pylist([note], schema=_NOTE))

    def notes(self, kind: str) -> list[str]:
        table = self._table(self._notes)
        found = table.search().where(f"kind = '{kind}'").limit(table.count_rows() or 1).to_list()
        return [note["body"] for note in found]

    # spaces

    def create(self, space: str, dimension: int) -> None:
        self._db.create_table(space, schema=_schema(dimension), exist_ok=True)

    def drop(self, space: str) -> None:
        self._tables.pop(space, None)
        self._db.drop_table(space, ignore_missing=True)
        self._table(self._notes).delete(f"space = '{space}'")

    # records

    def _merge(self, name: str, rows: Any) -> None:
        merge = self._table(name).merge_insert("key")
        merge.when_matched_update_all().when_not_matched_insert_all().execute(rows)

    def write(self, space: str, records: Sequence[Record]) -> None:
        table = self._table(space)
        rows = [{"key": record.key, **fields_of(record), "vector": record.vector} for record in records]
        self._merge(space, pa.Table.from_pylist(rows, schema=table.schema))
        self._writes[space] = self._writes.get(space, 0) + 1
        if self._writes[space] % _TEND_EVERY == 0:
            self._tend(table)

    def _tend(self, table: Any) -> None:
        if table.count_rows() >= _INDEX_FROM and not table.list_indices():
            settings = self._settings
            table.create_index(
                "vector",
                config=HnswSq(
                    distance_type=settings.lancedb_metric,
                    m=settings.hnsw_m,
                    ef_construction=settings.hnsw_ef_construct,
                ),
            )
        table.optimize(cleanup_older_than=timedelta(minutes=10))

    def nearest(self, space: str, vectors: np.ndarray, limit: int, where: Where) -> list[Nearest]:
        (vector,) = vectors
        metric = self._settings.lancedb_metric
        query = self._table(space).search(vector, vector_column_name="vector").distance_type(metric)
        # Candidates of an index are compared again by their exact vectors.
        query = query.refine_factor(4).select([*_COLUMNS, "_distance"]).limit(limit)
        condition = _condition(where)
        if condition:
            query = query.where(condition, prefilter=True)
        # Of unit vectors: LanceDB gives 1 - cosine, its "dot" 1 - dot, and l2 squared.
        scale = 0.5 if metric == "l2" else 1.0
        return [[(_record(row), 1.0 - scale * row["_distance"]) for row in query.to_arrow().to_pylist()]]

    def select(self, space: str, where: Where, limit: int, with_vectors: bool = False) -> list[Record]:
        columns = [*_COLUMNS, "vector"] if with_vectors else _COLUMNS
        query = self._table(space).search().select(columns)
        condition = _condition(where)
        if condition:
            query = query.where(condition)
        query = query.order_by([ColumnOrdering(column_name="key", ascending=True)]).limit(limit)
        return [_record(row) for row in query.to_arrow().to_pylist()]

    def count(self, space: str) -> int:
        return int(self._table(space).count_rows())

    def delete(self, space: str, keys: Sequence[str]) -> None:
        if keys:
            self._table(space).delete(f"key IN ({_listed(keys)})")

    def add_feedback(self, space: str, key: str, correct: bool) -> int:
        name, table = "correct" if correct else "incorrect", self._table(space)
        table.update(where=f"key = '{key}'", values_sql={name: f"{name} + 1"})
        found = table.search().where(f"key = '{key}'").select([name]).limit(1).to_list()
        return int(found[0][name]) if found else 0


def _schema(dimension: int) -> Any:
    return pa.schema(
        [
            pa.field("key", pa.string(), nullable=False),
            pa.field("tags", pa.list_(pa.string())),
            pa.field("expires", pa.float64()),
            pa.field("body", pa.string()),
            pa.field("correct", pa.int64()),
            pa.field("incorrect", pa.int64()),
            pa.field("vector", pa.list_(pa.float32(), dimension)),
        ]
    )


def _listed(values: Sequence[str]) -> str:
    """Keys and tags are letters and digits: there is nothing to quote."""
    return ", ".join(f"'{value}'" for value in values)


def _condition(where: Where) -> str:
    parts = [f"array_has(tags, '{tag}')" for tag in where.all_of]
    if where.any_of:
        parts.append(f"array_has_any(tags, make_array({_listed(where.any_of)}))")
    if where.keys:
        parts.append(f"key IN ({_listed(where.keys)})")
    if where.after:
        parts.append(f"key > '{where.after}'")
    if where.alive_at is not None:
        parts.append(f"expires > {float(where.alive_at)!r}")
    if where.expired_at is not None:
        parts.append(f"expires <= {float(where.expired_at)!r}")
    return " AND ".join(parts)


def _record(row: dict[str, Any]) -> Record:
    return record_from(row["key"], row, row.get("vector"))


class LanceDBBackend(ForeignBackend):
    """Entries in LanceDB, by the settings `lancedb_*` and, for large collections, `hnsw_*`."""

    def __init__(self, settings: Settings | None = None, *, clock: Callable[[], float] = time.time):
        super().__init__(LanceDBDriver(settings or Settings()), clock=clock)
