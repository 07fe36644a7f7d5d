"""What the engines that live in PostgreSQL have in common: a table a collection."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from medha_core.backends.driver import Driver, Nearest, Where
from medha_core.backends.naming import space_name
from medha_core.backends.pg_codec import encode_vector, prepare_connection, vector_schema
from medha_core.backends.record import PLAIN, Record
from medha_core.errors import ConfigurationError, StorageInitializationError
from medha_core.settings import Settings

try:
    import asyncpg
except ImportError as error:
    raise ConfigurationError(
        "backend_type 'pgvector' and 'vectorchord' need asyncpg: pip install 'medha-core[pgvector]'"
    ) from error

__all__ = ["PostgresDriver", "quoted"]

_COLUMNS = "key, tags, expires, body, correct, incorrect"
_FEW = 2000
"""Matches of a filter up to which all are compared: exact, and faster than walking the graph past others."""
_TIMEOUT = 60.0
"""Seconds a statement may take; asyncpg itself would wait for ever."""
_LOCK = 0x6D65646861  # "medha": one key for whatever changes tables


def quoted(identifier: str) -> str:
    """An identifier as SQL takes it literally."""
    doubled = identifier.replace('"', '""')
    return f'"{doubled}"'


class PostgresDriver(Driver):
    """Tables and statements; what is left to an engine is its index and its session settings."""

    extensions: ClassVar[tuple[str, ...]]
    together = 100
    session: Mapping[str, str]
    """Settings of each session."""
    lost = (
        OSError,
        asyncpg.PostgresConnectionError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
        asyncpg.AdminShutdownError,
        asyncpg.CannotConnectNowError,
        asyncpg.exceptions.InvalidCachedStatementError,
    )

    def __init__(self, settings: Settings):
        self._settings = settings
        self._pool: Any = None
        self.prefix = settings.pg_table_prefix
        # The hash in a space's name covers the schema too: index names are made of it.
        self._notes = self._table(space_name(self.prefix, "\0notes"))

    def describe(self) -> str:
        settings = self._settings
        return "dsn" if settings.pg_dsn else f"{settings.pg_host}:{settings.pg_port}/{settings.pg_database}"

    def _table(self, name: str) -> str:
        return f"{quoted(self._settings.pg_schema)}.{quoted(name)}"

    # life

    def _where_to(self) -> dict[str, Any]:
        settings = self._settings
        if settings.pg_dsn is not None:
            return {"dsn": settings.pg_dsn.get_secret_value()}
        password = settings.pg_password
        return {
            "host": settings.pg_host,
            "port": settings.pg_port,
            "database": settings.pg_database,
            "user": settings.pg_user,
            "password": password.get_secret_value() if password else None,
        }

    async def open(self) -> None:
        # The types are made before the pool, whose connections look them up.
        connection = await asyncpg.connect(**self._where_to())
        try:
            async with connection.transaction():
                await connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
                await self._install(connection)
        finally:
            await connection.close()
        self._pool = await asyncpg.create_pool(
            **self._where_to(),
            min_size=self._settings.pg_pool_min_size,
            max_size=self._settings.pg_pool_max_size,
            init=prepare_connection,
            reset=_as_it_is,
            command_timeout=_TIMEOUT,
            # Plans are made for the values at hand: whether an index helps depends on them.
            server_settings={"plan_cache_mode": "force_custom_plan", **self.session},
        )

    async def _install(self, connection: Any) -> None:
        for extension in self.extensions:
            await connection.execute(f"CREATE EXTENSION IF NOT EXISTS {quoted(extension)}")
        if await vector_schema(connection) is None:
            raise StorageInitializationError("PostgreSQL: the extension vector is not there")
        await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(self._settings.pg_schema)}")
        await connection.execute(
            f"CREATE TABLE IF NOT EXISTS {self._notes} "
            "(space text, kind text, body text NOT NULL, PRIMARY KEY (space, kind))"
        )

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    async def reconnect(self) -> None:
        if self._pool is not None:
            await self._pool.expire_connections()

    # notes

    async def read_note(self, space: str, kind: str) -> str | None:
        found: str | None = await self._pool.fetchval(
            f"SELECT body FROM {self._notes} WHERE space = $1 AND kind = $2",  # noqa: S608
            space,
            kind,
        )
        return found

    async def write_note(self, space: str, kind: str, text: str) -> None:
        await self._pool.execute(
            f"INSERT INTO {self._notes} VALUES ($1, $2, $3) "  # noqa: S608
            "ON CONFLICT (space, kind) DO UPDATE SET body = EXCLUDED.body",
            space,
            kind,
            text,
        )

    async def notes(self, kind: str) -> list[str]:
        found = await self._pool.fetch(f"SELECT body FROM {self._notes} WHERE kind = $1", kind)  # noqa: S608
        return [row["body"] for row in found]

    # spaces

    @abstractmethod
    def index(self, table: str, name: str, dimension: int, condition: str) -> str | None:
        """The statement that indexes the vectors of the rows that satisfy a condition."""

    def nearness(self, dimension: int) -> str:
        """The expression to order by, of the column and what is asked for."""
        return "embedding <=> query"

    async def create(self, space: str, dimension: int) -> None:
        table, code = self._table(space), space[-32:]
        statements = [
            f'CREATE TABLE IF NOT EXISTS {table} (key text COLLATE "C" PRIMARY KEY, tags text[] NOT NULL, '
            "scoped boolean NOT NULL, expires double precision NOT NULL, body text NOT NULL, "
            "correct integer NOT NULL, incorrect integer NOT NULL, "
            f"embedding vector({int(dimension)}) NOT NULL)",
            f"CREATE INDEX IF NOT EXISTS ix_tags_{code} ON {table} USING gin (tags)",
            f"CREATE INDEX IF NOT EXISTS ix_expires_{code} ON {table} (expires)",
            # A search without filters must not see entries with metadata: each kind has its own index.
            self.index(table, f"ix_plain_{code}", dimension, "NOT scoped"),
            self.index(table, f"ix_scoped_{code}", dimension, "scoped"),
        ]
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
            for statement in statements:
                if statement is not None:
                    await connection.execute(statement)

    async def drop(self, space: str) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
            await connection.execute(f"DROP TABLE IF EXISTS {self._table(space)}")
            await connection.execute(f"DELETE FROM {self._notes} WHERE space = $1", space)  # noqa: S608

    # records

    async def write(self, space: str, records: Sequence[Record]) -> None:
        statement = (
            f"INSERT INTO {self._table(space)} "  # noqa: S608
            f"({_COLUMNS}, scoped, embedding) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) "
            "ON CONFLICT (key) DO UPDATE SET tags = EXCLUDED.tags, expires = EXCLUDED.expires, "
            "body = EXCLUDED.body, correct = EXCLUDED.correct, incorrect = EXCLUDED.incorrect, "
            "scoped = EXCLUDED.scoped, embedding = EXCLUDED.embedding"
        )
        # In the order of keys, so that two writers of the same rows wait for each other and do not lock up.
        rows = [
            (r.key, list(r.tags), r.expires, r.body, r.correct, r.incorrect, PLAIN not in r.tags, r.vector)
            for r in sorted(records, key=lambda record: record.key)
        ]
        await self._pool.executemany(statement, rows)  # all or nothing

    async def nearest(self, space: str, vectors: np.ndarray, limit: int, where: Where) -> list[Nearest]:
        statement, arguments = self.nearest_statement(space, vectors, limit, where)
        near: list[Nearest] = [[] for _ in vectors]
        for row in await self._pool.fetch(statement, *arguments):
            near[row["place"] - 1].append((_record(row), 1.0 - row["distance"]))
        return near

    def nearest_statement(
        self, space: str, vectors: np.ndarray, limit: int, where: Where
    ) -> tuple[str, list[Any]]:
        """The one statement of some searches, and its arguments.

        Cases: entries without metadata; entries of both kinds; entries of which the
        filter lets few pass (compared one by one); of which it lets many pass.
        """
        table, near = self._table(space), self.nearness(vectors.shape[1])
        arguments = [[encode_vector(vector) for vector in vectors], where.alive_at]
        columns, few = f"{_COLUMNS}, embedding <=> query AS distance", ""

        def nearest(condition: str) -> str:
            return (
                f"(SELECT {columns} FROM {table} WHERE {condition} AND expires > $2 "  # noqa: S608
                f"ORDER BY {near} LIMIT {int(limit)})"
            )

        if where.all_of == (PLAIN,):
            statement = nearest("NOT scoped")
        elif not where.all_of:
            statement = f"{nearest('NOT scoped')} UNION ALL {nearest('scoped')}"
        else:
            arguments.append(list(where.all_of))
            few = (
                f"WITH few AS MATERIALIZED (SELECT {_COLUMNS}, embedding FROM {table} "  # noqa: S608
                f"WHERE tags @> $3 AND expires > $2 LIMIT {_FEW + 1}), "
                "matches AS MATERIALIZED (SELECT count(*) AS number FROM few) "
            )
            statement = (
                f"(SELECT {columns} FROM few WHERE (SELECT number FROM matches) <= {_FEW}) UNION ALL "  # noqa: S608
                + nearest(f"(SELECT number FROM matches) > {_FEW} AND scoped AND tags @> $3")  # noqa: S608
            )
        nearest_of_one = f"SELECT * FROM ({statement}) AS either ORDER BY distance LIMIT {int(limit)}"  # noqa: S608
        return (
            f"{few}SELECT place, found.* FROM unnest($1::vector[]) WITH ORDINALITY AS asked (query, place) "  # noqa: S608
            f"CROSS JOIN LATERAL ({nearest_of_one}) AS found ORDER BY place, distance"
        ), arguments

    async def select(self, space: str, where: Where, limit: int, with_vectors: bool = False) -> list[Record]:
        conditions, arguments = ["key > $1"], [where.after]
        parts = (
            ("tags @> ${}", list(where.all_of)),
            ("tags && ${}", list(where.any_of)),
            ("key = ANY(${})", list(where.keys)),
            ("expires > ${}", where.alive_at),
            ("expires <= ${}", where.expired_at),
        )
        for condition, value in parts:
            if value not in (None, []):
                arguments.append(value)
                conditions.append(condition.format(len(arguments)))
        columns = f"{_COLUMNS}, embedding" if with_vectors else _COLUMNS
        found = await self._pool.fetch(
            f"SELECT {columns} FROM {self._table(space)} WHERE {' AND '.join(conditions)} "  # noqa: S608
            f"ORDER BY key LIMIT {int(limit)}",
            *arguments,
        )
        return [_record(row, row["embedding"] if with_vectors else None) for row in found]

    async def count(self, space: str) -> int:
        return int(await self._pool.fetchval(f"SELECT count(*) FROM {self._table(space)}"))  # noqa: S608

    async def delete(self, space: str, keys: Sequence[str]) -> None:
        await self._pool.execute(
            f"DELETE FROM {self._table(space)} WHERE key = ANY($1)",  # noqa: S608
            list(keys),
        )

    async def add_feedback(self, space: str, key: str, correct: bool) -> int:
        column = "correct" if correct else "incorrect"
        found = await self._pool.fetchval(
            f"UPDATE {self._table(space)} SET {column} = {column} + 1 "  # noqa: S608
            f"WHERE key = $1 RETURNING {column}",
            key,
        )
        return int(found or 0)


async def _as_it_is(_connection: Any) -> None:
    """Done to a connection before its next use: its state never changes, and asking is a round trip."""


def _record(row: Any, vector: np.ndarray | None = None) -> Record:
    return Record(
        row["key"],
        tuple(row["tags"]),
        row["expires"],
        row["body"],
        row["correct"],
        row["incorrect"],
        vector,
    )
