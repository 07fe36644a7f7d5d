"""PostgreSQL with the extension pgvector."""

import time
from collections.abc import Callable, Mapping
from typing import ClassVar

from medha_core.backends.foreign import ForeignBackend
from medha_core.backends.postgres import PostgresDriver
from medha_core.settings import Settings

__all__ = ["PgVectorBackend"]

_VECTOR_LIMIT, _HALF_LIMIT = 2000, 4000
"""Dimensions that pgvector indexes as float32 and as float16; rows hold float32 and scores are of these."""


class PgVectorDriver(PostgresDriver):
    """HNSW indexes, walked on until enough rows satisfy the condition."""

    engine = "pgvector"
    extensions = ("vector",)
    session: ClassVar[Mapping[str, str]] = {
        "hnsw.iterative_scan": "strict_order",
        "hnsw.ef_search": "100",
        "hnsw.max_scan_tuples": "2147483647",
        "hnsw.scan_mem_multiplier": "256",
    }

    def index(self, table: str, name: str, dimension: int, condition: str) -> str | None:
        if dimension > _HALF_LIMIT:
            return None  # searches compare every row
        m = self._settings.hnsw_m
        column = "embedding vector_cosine_ops"
        if dimension > _VECTOR_LIMIT:
            column = f"(embedding::halfvec({int(dimension)})) halfvec_cosine_ops"
        return (
            f"CREATE INDEX IF NOT EXISTS {name} ON {table} USING hnsw ({column}) "
            f"WITH (m = {m}, ef_construction = {max(self._settings.hnsw_ef_construct, 2 * m)}) "
            f"WHERE {condition}"
        )

    def nearness(self, dimension: int) -> str:
        if _VECTOR_LIMIT < dimension <= _HALF_LIMIT:
            half = f"halfvec({int(dimension)})"
            return f"embedding::{half} <=> query::{half}"
        return super().nearness(dimension)


class PgVectorBackend(ForeignBackend):
    """Entries in PostgreSQL, by the settings `pg_*`, `hnsw_m` and `hnsw_ef_construct`.

    Needs pgvector 0.8 for filtered searches that find all they should.
    """

    def __init__(self, settings: Settings | None = None, *, clock: Callable[[], float] = time.time):
        super().__init__(PgVectorDriver(settings or Settings()), clock=clock)
