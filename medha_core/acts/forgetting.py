"""Forgetting: entries that must no longer answer, by whatever they are known by.

What is forgotten answers nothing any more: no other wording, no first-level
record, no exchange of values, no guard's evidence, and no other process that
has the same directory open.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from medha_core.acts.parts import Parts
from medha_core.errors import ArgumentValueError, ConfigurationError
from medha_core.metadata import dumps_metadata, validate_metadata
from medha_core.pairs import check_question, check_text
from medha_core.tables import keys_of, read_tables
from medha_core.types import CacheResult, MetadataValue

_PAGE = 500

DedupStrategy = Literal["keep_latest", "keep_first"]


class Forgetting:
    """Finds the ids of what is to be forgotten, and has them forgotten."""

    def __init__(self, parts: Parts):
        self._parts = parts

    async def invalidate(self, question: str, *, collection_name: str | None = None) -> bool:
        """Forget every entry stored under a question, whatever its metadata; whether there was one."""
        check_question(question, self._parts.settings)
        collection = await self._open(collection_name)
        return await self._parts.forgetter.forget_question(collection, question) > 0

    async def invalidate_by_query_hash(self, query_hash: str, *, collection_name: str | None = None) -> int:
        """Forget the entries whose query has this hash, see `medha_core.query_hash`; their number."""
        check_text(query_hash, "query_hash")
        collection = await self._open(collection_name)
        ids = await self._parts.backend.find_by_query_hash(collection, query_hash)
        return await self._parts.forgetter.forget(collection, ids)

    async def invalidate_by_template(self, template_id: str, *, collection_name: str | None = None) -> int:
        """Forget the entries stored with this `template_id`; their number."""
        check_text(template_id, "template_id")
        collection = await self._open(collection_name)
        ids = await self._parts.backend.find_by_template_id(collection, template_id)
        return await self._parts.forgetter.forget(collection, ids)

    async def invalidate_where(
        self, filters: Mapping[str, MetadataValue], *, collection_name: str | None = None
    ) -> int:
        """Forget the entries whose metadata holds all these values; their number.

        Raises `ValueError` for filters that are empty: `invalidate_collection` forgets everything.
        """
        checked = validate_metadata(filters, label="filters")
        if not checked:
            raise ArgumentValueError(
                "filters", "at least one key; invalidate_collection() forgets everything", filters
            )
        collection = await self._open(collection_name)
        ids = await self._parts.backend.find_by_filters(collection, checked)
        return await self._parts.forgetter.forget(collection, ids)

    async def invalidate_by_table(self, name: str, *, collection_name: str | None = None) -> int:
        """Forget the entries whose query reads or writes a table; their number.

        Args:
            name: "orders" means a table of this name in any schema; "public.orders"
                means those and queries that say "orders" alone. Case and quotes do not
                count. For Cypher a label or a relationship's type, for GraphQL a root field.

        Subqueries and common table expressions are looked into, and the name of a
        common table expression is no table. A query that cannot be parsed counts for
        every name in it. Tables are read from a query when it is stored, and here from
        those that could not be read then. For SQL this needs the extra `sql`: without
        it, `ConfigurationError` is raised where an entry has not been read, and
        nothing is forgotten.
        """
        keys = keys_of(check_text(name, "name"))
        collection = await self._open(collection_name)
        backend = self._parts.backend
        found = await backend.find_by_tables(collection, keys)
        ids = list(found or [])
        if found is None:
            async for page in backend.pages(collection):
                ids += await asyncio.to_thread(self._reading, page, keys)
        else:
            unread = await backend.find_unread(collection)
            for start in range(0, len(unread), _PAGE):
                rows = await backend.get(collection, unread[start : start + _PAGE])
                ids += await asyncio.to_thread(self._reading, rows, keys)
        return await self._parts.forgetter.forget(collection, ids)

    def _reading(self, rows: Sequence[CacheResult], keys: Sequence[str]) -> list[str]:
        """Ids of the entries with a query that one of the keys is of."""
        ids = []
        for row in rows:
            tables = read_tables(row.generated_query, self._parts.settings.query_language, bounded=False)
            if tables is None:
                raise ConfigurationError(
                    "invalidate_by_table: the tables of SQL are read with sqlglot: "
                    'pip install "medha-core[sql]"'
                )
            if not set(keys).isdisjoint(tables):
                ids.append(row.id)
        return ids

    async def invalidate_collection(self, collection_name: str | None = None) -> int:
        """Forget everything in a collection, its persisted statistics too; the number of entries."""
        collection = await self._open(collection_name)
        count = await self._parts.backend.count(collection)
        await self._parts.forgetter.forget_all(collection)
        await self._parts.initialize(collection)
        return count

    async def expire(self, collection_name: str | None = None) -> int:
        """Delete the entries that have expired; their number. It costs what it deletes, not what is stored.

        Expired entries answer nothing, deleted or not: this frees their room. With
        `Settings.cleanup_interval_seconds` it happens by itself.
        """
        return await self._parts.forgetter.expire(await self._open(collection_name))

    async def dedup_collection(
        self, collection_name: str | None = None, *, strategy: DedupStrategy = "keep_latest"
    ) -> int:
        """Keep one of the entries that have the same query and metadata; the number of the others.

        The questions of the others are forgotten with them. `strategy` is
        "keep_latest" or "keep_first", by the time an entry was created.
        """
        if strategy not in get_args(DedupStrategy):
            raise ArgumentValueError("strategy", "'keep_latest' or 'keep_first'", strategy)
        collection = await self._open(collection_name)
        kept: dict[tuple[str, str], tuple[float, int, str]] = {}
        doubles: list[str] = []
        place = 0
        async for page in self._parts.backend.pages(collection):
            for row in page:
                place += 1
                key = row.query_hash, dumps_metadata(row.metadata)
                one = (row.created_at.timestamp() if row.created_at else 0.0, place, row.id)
                older, newer = sorted([kept.get(key, one), one])
                kept[key], double = (newer, older) if strategy == "keep_latest" else (older, newer)
                if older is not newer:
                    doubles.append(double[2])
        return await self._parts.forgetter.forget(collection, doubles)

    async def _open(self, collection_name: str | None) -> str:
        """The collection meant, which must be there, in a cache that can be written to."""
        self._parts.check_started()
        self._parts.check_writable()
        return await self._parts.known(collection_name)
