"""Chunks in PostgreSQL with pgvector."""

import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from medha_core.errors import ConfigurationError, MedhaError, MigrationError, StorageError
from medha_core.stores.base import (
    RETRIEVER,
    Vector,
    check_chunks,
    check_dimensions,
    check_filter,
    check_limit,
    check_namespace,
    check_query,
)
from medha_core.stores.models import Chunk, EmbeddedChunk, RetrievalResult
from medha_core.stores.pg_migrations import Layout, migrate, quoted
from medha_core.stores.pg_pool import open_pool
from medha_core.types import MetadataValue

if TYPE_CHECKING:
    import asyncpg

__all__ = ["PgVectorStore"]

logger = logging.getLogger("medha_core")

_FEW = 2000
"""Matches up to which all are compared: exact, and faster than walking the graph past other tenants."""
_PAGE = 200
_COLUMNS = "id, document_id, content, position, metadata, content_hash"


class PgVectorStore:
    """A `VectorStore` in a table of PostgreSQL, for any number of processes.

    A search compares a namespace's chunks one by one while few satisfy it, and walks
    the HNSW index, as far as it must, where many do: a small tenant gets all its
    rows. Call `apply_migrations` once before the first use.

    Args:
        pool: a pool of asyncpg; `connect` makes one.
        dimensions: of all vectors.
        table_name: the table, or `schema.table`.
        hnsw_m, hnsw_ef_construction: of the index, when it is made.
        hnsw_ef_search: candidates that a search keeps; None is the server's own.
    """

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        dimensions: int,
        *,
        table_name: str = "cenote_chunks",
        hnsw_m: int = 16,
        hnsw_ef_construction: int = 64,
        hnsw_ef_search: int | None = None,
    ):
        check_dimensions(dimensions, hnsw_m=hnsw_m, hnsw_ef_construction=hnsw_ef_construction)
        check_dimensions(1 if hnsw_ef_search is None else hnsw_ef_search)
        if not isinstance(table_name, str) or not all(table_name.split(".")) or "\0" in table_name:
            raise ConfigurationError(f"table_name: expected a table or schema.table, got {table_name!r}")
        if any(len(part.encode()) > 63 for part in table_name.split(".")):
            raise ConfigurationError(f"table_name: PostgreSQL's names have at most 63 bytes: {table_name!r}")
        self._pool = pool
        self._layout = Layout(table_name, dimensions, hnsw_m, hnsw_ef_construction)
        self._ef_search = hnsw_ef_search
        self._table = quoted(table_name)

    def __repr__(self) -> str:
        return f"<PgVectorStore {self._layout.table}, {self._layout.dimensions} dimensions>"

    # life

    @classmethod
    async def connect(
        cls,
        dsn: str,
        dimensions: int,
        *,
        min_size: int = 1,
        max_size: int = 10,
        startup_retries: int = 5,
        startup_backoff_seconds: float = 1.0,
        **store_kwargs: Any,
    ) -> Self:
        """A store with a pool of its own.

        A server that cannot be reached yet is tried again `startup_retries` times, after
        `startup_backoff_seconds`, twice as long, four times ... Raises
        `StorageInitializationError`, at once for a wrong password or database.
        """
        check_dimensions(dimensions)
        pool = await open_pool(dsn, min_size, max_size, startup_retries, startup_backoff_seconds)
        try:
            return cls(pool, dimensions, **store_kwargs)
        except BaseException:
            await pool.close()
            raise

    async def close(self) -> None:
        """Close the pool."""
        await self._pool.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await self.close()

    async def apply_migrations(self) -> None:
        """Make the table, or bring it up to date; twice, and by several processes, is harmless.

        Raises `DimensionMismatchError` when it holds vectors of another dimension, else `MigrationError`.
        """
        try:
            async with self._connection("migrating") as connection:
                applied = await migrate(connection, self._layout)
        except MigrationError:
            raise
        except StorageError as error:
            if error.__cause__ is None:
                raise
            raise MigrationError(str(error)) from error.__cause__
        if applied:
            logger.info("table %s: applied %s", self._layout.table, ", ".join(applied))

    @asynccontextmanager
    async def _connection(self, doing: str) -> AsyncIterator[Any]:
        """A connection of the pool; what it raises becomes `StorageError`."""
        try:
            async with self._pool.acquire() as connection:
                yield connection
        except MedhaError:
            raise
        except Exception as error:
            raise StorageError(
                f"PostgreSQL: {doing} in {self._layout.table} failed: {type(error).__name__}: {error}"
            ) from error

    # writing

    async def upsert(self, embedded_chunks: list[EmbeddedChunk], namespace: str) -> None:
        """Insert or replace by id, in one transaction."""
        check_namespace(namespace)
        checked = check_chunks(embedded_chunks, self._layout.dimensions)
        if not checked.chunks:
            return
        rows = [
            _row(one, vector, namespace) for one, vector in zip(checked.chunks, checked.vectors, strict=True)
        ]
        # In the order of ids, so that two writers of the same rows wait for each other and do not lock up.
        rows.sort(key=lambda row: row[0])
        async with self._connection("writing") as connection, connection.transaction():
            await connection.executemany(
                f"INSERT INTO {self._table} (id, namespace, document_id, content, position, metadata, "  # noqa: S608
                "content_hash, embedding, embedding_model) "
                "VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7, $8::text::vector, $9) "
                "ON CONFLICT (namespace, id) DO UPDATE SET document_id = EXCLUDED.document_id, "
                "content = EXCLUDED.content, position = EXCLUDED.position, metadata = EXCLUDED.metadata, "
                "content_hash = EXCLUDED.content_hash, embedding = EXCLUDED.embedding, "
                "embedding_model = EXCLUDED.embedding_model",
                rows,
            )

    async def delete(self, chunk_ids: list[str], namespace: str) -> None:
        """Delete by id."""
        check_namespace(namespace)
        if chunk_ids:
            async with self._connection("deleting") as connection:
                await connection.execute(
                    f"DELETE FROM {self._table} WHERE namespace = $1 AND id = ANY($2)",  # noqa: S608
                    namespace,
                    list(chunk_ids),
                )

    async def delete_namespace(self, namespace: str) -> None:
        """Delete everything in a namespace."""
        check_namespace(namespace)
        async with self._connection("deleting") as connection:
            await connection.execute(f"DELETE FROM {self._table} WHERE namespace = $1", namespace)  # noqa: S608

    # reading

    async def search(
        self,
        query_vector: Vector,
        namespace: str,
        limit: int = 10,
        filter: dict[str, MetadataValue] | None = None,
    ) -> list[RetrievalResult]:
        """The nearest chunks, best first; one statement."""
        check_namespace(namespace)
        check_limit(limit)
        query, wanted = check_query(query_vector, self._layout.dimensions), check_filter(filter)
        if not query.any():
            return []
        statement, arguments = self._nearest(query, namespace, limit, wanted)
        async with self._connection("searching") as connection, connection.transaction(readonly=True):
            # Only inside a transaction does SET LOCAL last.
            await connection.execute(self._session())
            rows = await connection.fetch(statement, *arguments)
        return [
            RetrievalResult(
                chunk=_chunk(row), score=min(1.0, max(-1.0, 1.0 - row["distance"])), retriever=RETRIEVER
            )
            for row in rows
        ]

    def _session(self) -> str:
        """Settings of one search, sent together."""
        settings = [
            "SET LOCAL hnsw.iterative_scan = strict_order",
            "SET LOCAL hnsw.max_scan_tuples = 2147483647",
            "SET LOCAL hnsw.scan_mem_multiplier = 256",
            # Whether an index helps depends on the tenant at hand.
            "SET LOCAL plan_cache_mode = force_custom_plan",
        ]
        if self._ef_search is not None:
            settings.append(f"SET LOCAL hnsw.ef_search = {int(self._ef_search)}")
        return "; ".join(settings)

    def _nearest(
        self, query: np.ndarray, namespace: str, limit: int, wanted: Mapping[str, MetadataValue]
    ) -> tuple[str, list[Any]]:
        """The statement of a search: cases are few matches, compared one by one, and many."""
        arguments: list[Any] = [namespace, _literal(query)]
        condition = "namespace = $1"
        if wanted:
            arguments.append(json.dumps(wanted))
            condition += " AND metadata @> $3::text::jsonb"
        vector = "embedding <=> $2::text::vector"
        # The distance to a zero vector is not a number.
        columns = f"{_COLUMNS}, {vector} AS distance"
        near = self._layout.nearness.replace("$2", "$2::text")
        statement = (
            f"WITH few AS MATERIALIZED (SELECT {columns} FROM {self._table} "  # noqa: S608
            f"WHERE {condition} LIMIT {_FEW + 1}), "
            "matches AS MATERIALIZED (SELECT count(*) AS number FROM few) "
            "SELECT * FROM ("
            f"(SELECT * FROM few WHERE (SELECT number FROM matches) <= {_FEW}) UNION ALL "
            f"(SELECT {columns} FROM {self._table} WHERE (SELECT number FROM matches) > {_FEW} "
            f"AND {condition} ORDER BY {near} LIMIT {int(limit)})"
            f") AS found WHERE distance <> 'NaN' ORDER BY distance LIMIT {int(limit)}"
        )
        return statement, arguments

    async def get_all_chunks(
        self,
        namespace: str,
        filter: dict[str, MetadataValue] | None = None,
    ) -> AsyncIterator[Chunk]:
        """Every chunk, by id. Pages are read one by one: no transaction is open while the caller works."""
        check_namespace(namespace)
        wanted = check_filter(filter)
        last: str | None = None
        while True:
            rows = await self._page(namespace, wanted, last)
            for row in rows:
                yield _chunk(row)
            if len(rows) < _PAGE:
                return
            last = rows[-1]["id"]

    async def _page(
        self, namespace: str, wanted: Mapping[str, MetadataValue], last: str | None
    ) -> Sequence[Any]:
        conditions, arguments = ["namespace = $1"], [namespace]
        for condition, value in (
            ("id > ${}", last),
            ("metadata @> ${}::text::jsonb", json.dumps(wanted) if wanted else None),
        ):
            if value is not None:
                arguments.append(value)
                conditions.append(condition.format(len(arguments)))
        async with self._connection("reading") as connection:
            rows: Sequence[Any] = await connection.fetch(
                f"SELECT {_COLUMNS} FROM {self._table} WHERE {' AND '.join(conditions)} "  # noqa: S608
                f"ORDER BY id LIMIT {_PAGE}",
                *arguments,
            )
        return rows


def _literal(vector: np.ndarray) -> str:
    """A vector as pgvector reads it; nine digits tell any two float32 apart."""
    return f"[{','.join(f'{number:.9g}' for number in vector.tolist())}]"


def _row(one: EmbeddedChunk, vector: np.ndarray, namespace: str) -> tuple[Any, ...]:
    chunk = one.chunk
    return (
        chunk.id,
        namespace,
        chunk.document_id,
        chunk.content,
        chunk.position,
        json.dumps(chunk.metadata),
        chunk.content_hash,
        _literal(vector),
        one.embedding_model,
    )


def _chunk(row: Mapping[str, Any]) -> Chunk:
    held = row["metadata"]
    return Chunk(
        id=row["id"],
        document_id=row["document_id"],
        content=row["content"],
        position=row["position"],
        metadata=json.loads(held) if isinstance(held, str) else held,
        content_hash=row["content_hash"],
    )
