"""The contract of a store over any engine's driver."""

import asyncio
import inspect
import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from medha_core.backends.driver import Driver, Where
from medha_core.backends.record import NEVER, PLAIN, Record, Row, Tag, key_of, record_of, result_of
from medha_core.bridge import bridge
from medha_core.errors import (
    ArgumentTypeError,
    ArgumentValueError,
    ConflictError,
    DimensionMismatchError,
    MedhaError,
    StorageError,
    StorageInitializationError,
)
from medha_core.interfaces import Candidate, VectorStorageBackend
from medha_core.metadata import dumps_metadata, metadata_matches, validate_metadata
from medha_core.native import as_unit_rows
from medha_core.types import CacheEntry, CacheResult, MetadataValue, PersistedStats

__all__ = ["ForeignBackend"]

_PAGE = 500
_ATTEMPTS = 2
"""How often a call is made whose connection breaks: once more finds a server that was restarted."""


class _Space(NamedTuple):
    name: str
    dimension: int
    model: str


class ForeignBackend(VectorStorageBackend):
    """A store on an engine outside this library, spoken to through its driver.

    Clocks: `clock` gives seconds since the epoch, for expiry. Usage counts and
    `Settings.max_entries` belong to the embedded store and are not kept up here.
    Safe to use from several threads and event loops.
    """

    supports_metadata: ClassVar[bool] = True

    def __init__(self, driver: Driver, *, clock: Callable[[], float] = time.time):
        self._driver = driver
        self._clock = clock
        self._spaces: dict[str, _Space] = {}
        self._is_open = False
        self._serial = threading.Lock()
        self._opening = threading.Lock()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._driver.describe()} {list(self._spaces)}>"

    # calling the driver

    async def _call(self, doing: str, name: str, *arguments: Any, again: bool = True) -> Any:
        """Call the driver's function `name`; what it raises becomes ours, a lost connection is made anew."""
        if not self._is_open:
            raise StorageError("the store is not open: call connect() first, and nothing after close()")
        function = getattr(self._driver, name)
        for left in reversed(range(_ATTEMPTS if again else 1)):
            try:
                return await self._run(function, arguments)
            except MedhaError:
                raise
            except Exception as error:
                if not left or not isinstance(error, self._driver.lost):
                    raise StorageError(
                        f"{self._driver.engine}: {doing} failed: {type(error).__name__}: {error}"
                    ) from error
                await self._run(self._driver.reconnect, ())
        raise AssertionError("unreachable")

    async def _run(self, function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
        if inspect.iscoroutinefunction(function):
            return await asyncio.wrap_future(bridge.submit(function(*arguments)))
        return await asyncio.to_thread(self._locked, function, arguments)

    def _locked(self, function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
        if not self._driver.serial:
            return function(*arguments)
        with self._serial:
            return function(*arguments)

    async def _finish(self, doing: str, name: str, *arguments: Any) -> Any:
        """`_call` for writing: a cancelled caller goes on when the engine has stopped changing."""
        work = asyncio.ensure_future(self._call(doing, name, *arguments))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work])
            raise

    # life

    async def connect(self) -> None:
        """Raises `StorageInitializationError` when the engine cannot be reached."""
        if self._is_open:
            return
        self._is_open = True
        try:
            await self._call("connecting", "open")
        except StorageError as error:
            self._is_open = False
            if isinstance(error, StorageInitializationError):
                raise
            raise StorageInitializationError(str(error)) from error
        except BaseException:
            self._is_open = False
            raise

    async def close(self) -> None:
        if self._is_open:
            try:
                await self._call("closing", "close", again=False)
            finally:
                self._is_open = False
                self._spaces.clear()

    async def initialize(self, collection_name: str, dimension: int, **kwargs: Any) -> None:
        if dimension < 1:
            raise ArgumentValueError("dimension", "at least 1", dimension)
        await self.connect()
        model = kwargs.get("model", "")
        held = await self._known(collection_name)
        if held is None:
            name = self._driver.space(collection_name)
            note = {"collection": collection_name, "dimension": dimension, "model": model, "format": 1}
            await self._finish("creating a collection", "create", name, dimension)
            await self._finish("creating a collection", "write_note", name, "collection", json.dumps(note))
            held = await self._known(collection_name)
        if held is None:
            raise StorageInitializationError(f"collection {collection_name!r} is gone as soon as it was made")
        _check_space(collection_name, held, dimension, model)

    async def collection_names(self) -> list[str]:
        """Names of all collections, sorted."""
        notes = await self._call("listing collections", "notes", "collection")
        return sorted(json.loads(note)["collection"] for note in notes)

    async def collection_space(self, collection_name: str) -> tuple[int, str]:
        """A collection's dimension and the fingerprint of its model, "" when it was not given."""
        space = await self._space(collection_name)
        return space.dimension, space.model

    async def _known(self, collection: str) -> _Space | None:
        known = self._spaces.get(collection)
        if known is not None:
            return known
        name = self._driver.space(collection)
        note = await self._call("reading a collection", "read_note", name, "collection")
        if note is None:
            return None
        body = json.loads(note)
        if body["collection"] != collection:
            raise StorageInitializationError(
                f"{name} holds collection {body['collection']!r}, not {collection!r}"
            )
        self._spaces[collection] = _Space(name, body["dimension"], body["model"])
        return self._spaces[collection]

    async def _space(self, collection: str) -> _Space:
        known = self._spaces.get(collection) or await self._known(collection)
        if known is None:
            raise StorageError(f"collection {collection!r} does not exist; initialize() creates it")
        return known

    async def drop_collection(self, collection_name: str) -> None:
        self._spaces.pop(collection_name, None)
        await self._finish("dropping a collection", "drop", self._driver.space(collection_name))

    # searching

    async def search(
        self, collection_name: str, vector: list[float], limit: int = 5, score_threshold: float = 0.0
    ) -> list[CacheResult]:
        return await self.search_filtered(collection_name, vector, limit, score_threshold)

    async def search_filtered(
        self,
        collection_name: str,
        vector: list[float],
        limit: int = 5,
        score_threshold: float = 0.0,
        filters: Mapping[str, MetadataValue] | None = None,
        overfetch: int = 10,
    ) -> list[CacheResult]:
        """The nearest entries whose metadata equals `filters`; `overfetch` is not needed here."""
        rows = await self._nearest(collection_name, vector, limit, score_threshold, filters, True)
        return [row.result for row in rows]

    async def candidates(
        self,
        collection_name: str,
        vector: Sequence[float] | np.ndarray,
        limit: int,
        score_threshold: float,
        filters: Mapping[str, MetadataValue] | None = None,
        include_scoped: bool = False,
    ) -> list[Candidate]:
        rows = await self._nearest(collection_name, vector, limit, score_threshold, filters, include_scoped)
        return [_candidate(row) for row in _latest(rows)]

    async def fetch(self, collection_name: str, candidate: Candidate) -> CacheResult | None:
        """The row came with the candidate: no second round trip."""
        row = candidate.label
        if not isinstance(row, CacheResult):
            return None
        return None if row.expires_at and row.expires_at.timestamp() <= self._clock() else row

    async def _nearest(
        self,
        collection: str,
        vector: Sequence[float] | np.ndarray,
        limit: int,
        threshold: float,
        filters: Mapping[str, MetadataValue] | None,
        include_scoped: bool,
    ) -> list[Row]:
        """Best first; of equal scores the newest first."""
        if limit < 1:
            raise ArgumentValueError("limit", "at least 1", limit)
        space = await self._space(collection)
        query = as_unit_rows(np.asarray(vector), space.dimension, argument="vector")[0]
        checked = validate_metadata(filters, label="filters")
        tags = tuple(Tag.metadata(key, value) for key, value in checked.items())
        if not tags and not include_scoped:
            tags = (PLAIN,)
        where = Where(all_of=tags, alive_at=self._clock())
        found = await self._call("searching", "nearest", space.name, query, limit, where)
        rows = [result_of(record, cosine) for record, cosine in found if cosine >= threshold]
        rows = [row for row in rows if metadata_matches(row.result.metadata, checked)]
        rows.sort(key=lambda row: (-row.result.score, -row.written))
        return rows

    # writing

    async def upsert(self, collection_name: str, entries: list[CacheEntry]) -> None:
        space = await self._space(collection_name)
        await self._write(space, self._records(space, entries))

    async def put(
        self,
        collection_name: str,
        entries: list[CacheEntry],
        on_conflict: Literal["replace", "keep_both", "error"],
    ) -> list[str]:
        """Entries are written first, and those they replace deleted then: a question is never without answer.

        Two processes that store the same question at the same time may both find nothing
        to replace; the newest answers.
        """
        space = await self._space(collection_name)
        records = self._records(space, entries)
        if not records:
            return []
        new = {record.key for record in records}
        others = await self._same(space, entries)
        if on_conflict == "error":
            self._refuse(entries, others)
        await self._write(space, records)
        ids = [row.result.id for row in others if key_of(row.result.id) not in new]
        if on_conflict != "keep_both":
            await self.delete(collection_name, ids)
        return ids

    async def _same(self, space: _Space, entries: Sequence[CacheEntry]) -> list[Row]:
        """Rows stored under the question and metadata of one of the entries."""
        tags = {Tag.same(entry.normalized_question, entry.metadata) for entry in entries}
        return await self._rows(space, Where(any_of=tuple(sorted(tags))))

    def _refuse(self, entries: Sequence[CacheEntry], others: Sequence[Row]) -> None:
        now = self._clock()
        held: dict[str, tuple[str, str]] = {
            Tag.same(row.result.normalized_question, row.result.metadata): (
                row.result.query_hash,
                row.result.generated_query,
            )
            for row in others
            if row.result.expires_at is None or row.result.expires_at.timestamp() > now
        }
        for entry in entries:
            same = Tag.same(entry.normalized_question, entry.metadata)
            stored = held.setdefault(same, (entry.query_hash, entry.generated_query))
            if stored[0] != entry.query_hash:
                raise ConflictError(entry.original_question, stored[1], entry.generated_query)

    def _records(self, space: _Space, entries: Sequence[CacheEntry]) -> list[Record]:
        """The records of entries, of the same id the last one. Raises before anything is written."""
        if not entries:
            return []
        vectors = as_unit_rows(
            [entry.vector for entry in entries], space.dimension, argument="entries[].vector"
        )
        written = time.time_ns()
        records = {
            entry.id: record_of(_checked(entry), vector, written + i)
            for i, (entry, vector) in enumerate(zip(entries, vectors, strict=True))
        }
        return list(records.values())

    async def _write(self, space: _Space, records: Sequence[Record]) -> None:
        size = self._driver.batch
        for start in range(0, len(records), size):
            await self._finish("writing", "write", space.name, records[start : start + size])

    async def delete(self, collection_name: str, ids: list[str]) -> None:
        space = await self._space(collection_name)
        keys = [key_of(entry_id) for entry_id in ids]
        for start in range(0, len(keys), _PAGE):
            await self._finish("deleting", "delete", space.name, keys[start : start + _PAGE])

    async def update_feedback(self, collection_name: str, point_id: str, correct: bool) -> int:
        space = await self._space(collection_name)
        return int(
            await self._call(
                "counting feedback", "add_feedback", space.name, key_of(point_id), correct, again=False
            )
        )

    # looking up

    async def scroll(
        self,
        collection_name: str,
        limit: int = 100,
        offset: str | None = None,
        with_vectors: bool = False,
    ) -> tuple[list[CacheResult], str | None]:
        """In an order of its own that writing does not change."""
        if limit < 1:
            raise ArgumentValueError("limit", "at least 1", limit)
        if offset is not None and not _is_key(offset):
            raise ArgumentValueError("offset", "what an earlier scroll returned", offset)
        space = await self._space(collection_name)
        where = Where(after=offset or "")
        page = await self._call("scrolling", "select", space.name, where, limit + 1, with_vectors)
        results = [result_of(record).result for record in page[:limit]]
        return results, page[limit - 1].key if len(page) > limit else None

    async def count(self, collection_name: str) -> int:
        return int(await self._call("counting", "count", (await self._space(collection_name)).name))

    async def find_expired(self, collection_name: str) -> list[str]:
        return await self._ids(collection_name, Where(expired_at=self._clock()))

    async def find_by_query_hash(self, collection_name: str, query_hash: str) -> list[str]:
        return await self._ids(collection_name, Where(all_of=(Tag.query(query_hash),)))

    async def find_by_template_id(self, collection_name: str, template_id: str) -> list[str]:
        return await self._ids(collection_name, Where(all_of=(Tag.template(template_id),)))

    async def _ids(self, collection: str, where: Where) -> list[str]:
        """Ids, in the order in which the entries were written."""
        rows = await self._rows(await self._space(collection), where)
        return [row.result.id for row in sorted(rows, key=lambda row: row.written)]

    async def _rows(self, space: _Space, where: Where) -> list[Row]:
        rows: list[Row] = []
        while True:
            page = await self._call("looking up", "select", space.name, where, _PAGE)
            rows += [result_of(record, 1.0) for record in page]
            if len(page) < _PAGE:
                return rows
            where = where._replace(after=page[-1].key)

    async def search_by_normalized_question(
        self, collection_name: str, normalized_question: str
    ) -> CacheResult | None:
        space = await self._space(collection_name)
        where = Where(all_of=(Tag.question(normalized_question),), alive_at=self._clock())
        rows = await self._rows(space, where)
        return max(rows, key=lambda row: row.written).result if rows else None

    async def with_ids(self, collection_name: str, ids: Sequence[str]) -> list[Candidate]:
        if not ids:
            return []
        space = await self._space(collection_name)
        keys = tuple(key_of(entry_id) for entry_id in ids)
        rows = await self._rows(space, Where(keys=keys, alive_at=self._clock()))
        return [_candidate(row) for row in _latest(rows)]

    async def load_stats(self, collection_name: str) -> PersistedStats | None:
        space = await self._space(collection_name)
        note = await self._call("reading statistics", "read_note", space.name, "stats")
        return PersistedStats.model_validate_json(note) if note else None

    async def save_stats(self, collection_name: str, stats: PersistedStats) -> None:
        space = await self._space(collection_name)
        text = stats.model_dump_json()
        await self._finish("writing statistics", "write_note", space.name, "stats", text)


def _check_space(collection: str, held: _Space, dimension: int, model: str) -> None:
    """Refuse vectors that cannot be compared with those of the collection."""
    if held.dimension != dimension:
        raise DimensionMismatchError(held.dimension, dimension, f"collection {collection!r}")
    if model and held.model and held.model != model:
        raise StorageInitializationError(
            f"collection {collection!r} holds vectors of {held.model!r}, and the embedder "
            f"gives those of {model!r}: they cannot be compared"
        )


def _checked(entry: CacheEntry) -> CacheEntry:
    if not isinstance(entry, CacheEntry):
        raise ArgumentTypeError("entries", "a list of CacheEntry", entry)
    if entry.expires_at is not None and entry.expires_at.timestamp() >= NEVER:
        raise ArgumentValueError("entries[].expires_at", "a time before the year 10000", entry.expires_at)
    return entry


def _is_key(text: str) -> bool:
    return len(text) == 32 and not set(text) - set("0123456789abcdef")


def _candidate(row: Row) -> Candidate:
    found = row.result
    return Candidate(
        found.id,
        found.score,
        found.original_question,
        found.normalized_question,
        found.generated_query,
        found.metadata,
        found,
        row.features,
    )


def _latest(rows: Iterable[Row]) -> list[Row]:
    """Without those that stand behind a newer entry for the same question and metadata."""
    newest: dict[tuple[str, str], Row] = {}
    for row in rows:
        same = row.result.normalized_question, dumps_metadata(row.result.metadata)
        held = newest.get(same)
        if held is None or held.written < row.written:
            newest[same] = row
    return list(newest.values())
