"""Brings the tables of a `PgVectorStore` up to date, once for each table and dimension."""

from hashlib import blake2b
from importlib import resources
from typing import Any, NamedTuple

from medha_core.errors import DimensionMismatchError, MigrationError

__all__ = ["Layout", "migrate", "quoted"]

_TRACKED = "medha_schema_migrations"
_VECTOR_LIMIT, _HALF_LIMIT = 2000, 4000
"""Dimensions that pgvector indexes as float32 and as float16; rows hold float32."""


class Layout(NamedTuple):
    """What a store's table is like."""

    table: str
    dimensions: int
    hnsw_m: int
    hnsw_ef_construction: int

    @property
    def nearness(self) -> str:
        """The expression to order by, of the column and a vector named `$2`."""
        if self.dimensions <= _VECTOR_LIMIT:
            return "embedding <=> $2::vector"
        half = f"halfvec({self.dimensions})"
        return f"embedding::{half} <=> $2::{half}"

    def placeholders(self) -> dict[str, str]:
        code = blake2b(self.table.encode(), digest_size=10).hexdigest()
        half = self.dimensions > _VECTOR_LIMIT
        return {
            "{TABLE}": quoted(self.table),
            "{TABLE_TEXT}": quoted(self.table).replace("'", "''"),
            "{DIMENSIONS}": str(self.dimensions),
            "{HNSW_M}": str(self.hnsw_m),
            "{HNSW_EF_CONSTRUCTION}": str(self.hnsw_ef_construction),
            "{INDEX_DOCUMENT}": f"ix_document_{code}",
            "{INDEX_METADATA}": f"ix_metadata_{code}",
            "{INDEX_EMBEDDING}": f"ix_embedding_{code}",
            "{INDEXED}": f"(embedding::halfvec({self.dimensions}))" if half else "embedding",
            "{OPERATORS}": "halfvec_cosine_ops" if half else "vector_cosine_ops",
        }


def quoted(name: str) -> str:
    """A table's name, `schema.table` too, as SQL takes it literally."""
    parts = (part.replace('"', '""') for part in name.split("."))
    return ".".join(f'"{part}"' for part in parts)


async def migrate(connection: Any, layout: Layout) -> list[str]:
    """Apply what is missing, in one transaction; the versions applied.

    Of several processes that do so at once, one works and the others wait for it.
    """
    async with connection.transaction():
        # One key for all: the tracking table itself is made under it.
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", _TRACKED)
        await connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        await connection.execute(
            f"CREATE TABLE IF NOT EXISTS {_TRACKED} (table_name text, dimensions integer, version text, "
            "applied_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (table_name, dimensions, version))"
        )
        await _check_dimension(connection, layout)
        done = await connection.fetch(
            f"SELECT version FROM {_TRACKED} WHERE table_name = $1 AND dimensions = $2",  # noqa: S608
            layout.table,
            layout.dimensions,
        )
        missing = sorted(set(_scripts()) - {row["version"] for row in done})
        for version in missing:
            await connection.execute(_filled(_scripts()[version], layout))
            await connection.execute(
                f"INSERT INTO {_TRACKED} (table_name, dimensions, version) VALUES ($1, $2, $3)",  # noqa: S608
                layout.table,
                layout.dimensions,
                version,
            )
        return missing


async def _check_dimension(connection: Any, layout: Layout) -> None:
    """Refuse a table that is there with vectors of another dimension."""
    held = await connection.fetchval(
        "SELECT atttypmod FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = 'embedding'",
        quoted(layout.table),
    )
    if held is not None and held not in (-1, layout.dimensions):
        raise DimensionMismatchError(held, layout.dimensions, f"table {layout.table}")


def _scripts() -> dict[str, str]:
    """SQL by version."""
    folder = resources.files("medha_core.stores").joinpath("migrations")
    return {
        file.name.removesuffix(".sql"): file.read_text("utf-8")
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    }


def _filled(script: str, layout: Layout) -> str:
    if layout.dimensions > _HALF_LIMIT:
        raise MigrationError(f"pgvector indexes at most {_HALF_LIMIT} dimensions, got {layout.dimensions}")
    for name, value in layout.placeholders().items():
        script = script.replace(name, value)
    return script
