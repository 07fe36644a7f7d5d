"""The contract of a vector store that holds the cache's entries."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, Self

from medha_core.errors import ConfigurationError, StorageError
from medha_core.metadata import filter_fetch_size, metadata_matches, verify_filters
from medha_core.types import CacheEntry, CacheResult, MetadataValue, PersistedStats

_PAGE = 500


class Candidate(NamedTuple):
    """What the tiers and the guard need to know of an entry before it is chosen.

    `score` is the cosine similarity, 0..1. `label` is the store's own handle.
    """

    id: str
    score: float
    question: str
    normalized_question: str
    query: str
    metadata: Mapping[str, MetadataValue]
    label: Any = None


class Fetched(Protocol):
    """What an answer is made of: a `CacheResult`, or anything that says as much of an entry."""

    @property
    def id(self) -> str: ...

    @property
    def generated_query(self) -> str: ...

    @property
    def response_summary(self) -> str | None: ...

    @property
    def template_id(self) -> str | None: ...

    @property
    def expires_at(self) -> datetime | None: ...

    @property
    def metadata(self) -> Mapping[str, MetadataValue]: ...

    @property
    def feedback_correct(self) -> int: ...

    @property
    def feedback_incorrect(self) -> int: ...


class VectorStorageBackend(ABC):
    """Keeps `CacheEntry` rows by collection and finds them by vector, text or hash.

    Scores are cosine similarities clipped to 0..1. Collection names are kept
    exactly as given. Failures are `StorageError`.
    """

    supports_metadata: ClassVar[bool] = False
    """Whether metadata is stored and filters are applied inside the search."""
    overfetch: int = 10
    """How many times what is wanted is fetched where filters are applied after a search. A cache sets
    it to `Settings.metadata_filter_overfetch`; stores that filter inside their search do not need it."""
    read_only: bool = False
    """Whether writing is refused, and another process may be the one that writes."""
    local: ClassVar[bool] = False
    """Whether the store lives in this process: it takes float32 arrays as vectors and answers `with_text`.
    Unless it is read-only, its `candidates` and `with_ids` are there at once: their coroutines never wait."""

    @abstractmethod
    async def initialize(self, collection_name: str, dimension: int, **kwargs: Any) -> None:
        """Create the collection if it is not there. Calling it twice changes nothing.

        Raises `StorageInitializationError`; `DimensionMismatchError` when the
        collection exists with another dimension.
        """

    @abstractmethod
    async def search(
        self,
        collection_name: str,
        vector: list[float],
        limit: int = 5,
        score_threshold: float = 0.0,
    ) -> list[CacheResult]:
        """The entries nearest to `vector`, best first, none below the threshold and none that expired."""

    @abstractmethod
    async def upsert(self, collection_name: str, entries: list[CacheEntry]) -> None:
        """Insert or replace entries by id: all of them, or none and an error."""

    @abstractmethod
    async def scroll(
        self,
        collection_name: str,
        limit: int = 100,
        offset: str | None = None,
        with_vectors: bool = False,
    ) -> tuple[list[CacheResult], str | None]:
        """One page of all entries, expired ones too, and the offset of the next page, None after the last.

        An entry that is there from the first page to the last is on exactly one of them,
        whatever is written meanwhile.
        """

    @abstractmethod
    async def count(self, collection_name: str) -> int:
        """Number of entries."""

    @abstractmethod
    async def delete(self, collection_name: str, ids: list[str]) -> None:
        """Delete entries by id; unknown ids are ignored."""

    @abstractmethod
    async def find_expired(self, collection_name: str) -> list[str]:
        """Ids of entries whose `expires_at` has passed."""

    @abstractmethod
    async def search_by_normalized_question(
        self, collection_name: str, normalized_question: str
    ) -> CacheResult | None:
        """One entry with exactly this normalised question, the newest if there are several."""

    @abstractmethod
    async def find_by_query_hash(self, collection_name: str, query_hash: str) -> list[str]:
        """Ids of entries whose query has this hash."""

    @abstractmethod
    async def find_by_template_id(self, collection_name: str, template_id: str) -> list[str]:
        """Ids of entries that were made from this template."""

    @abstractmethod
    async def drop_collection(self, collection_name: str) -> None:
        """Delete the collection and everything in it."""

    @abstractmethod
    async def update_feedback(self, collection_name: str, point_id: str, correct: bool) -> int:
        """Add one to the entry's feedback counter; the new value, 0 when there is no such entry."""

    @abstractmethod
    async def close(self) -> None:
        """Release what is held. Closing twice is harmless."""

    async def connect(self) -> None:
        """Open connections. Nothing by default."""

    @property
    def generation(self) -> int:
        """A number that moves when other processes or objects may have changed entries; cheap to read.

        Asked before each answer from memory. This default, for stores that cannot
        tell, never moves.
        """
        return 0

    async def has_collection(self, collection_name: str) -> bool:
        """Whether the collection exists. This default counts its entries."""
        try:
            await self.count(collection_name)
        except StorageError:
            return False
        return True

    async def pages(
        self, collection_name: str, *, with_vectors: bool = False, size: int = _PAGE
    ) -> AsyncIterator[list[CacheResult]]:
        """All entries, a page at a time, see `scroll`."""
        offset: str | None = None
        while True:
            page, offset = await self.scroll(collection_name, size, offset, with_vectors=with_vectors)
            yield page
            if offset is None:
                return

    async def get(self, collection_name: str, ids: Sequence[str]) -> list[CacheResult]:
        """The entries with these ids that are there, expired ones too. This default reads all entries."""
        wanted = set(ids)
        return [row async for page in self.pages(collection_name) for row in page if row.id in wanted]

    async def search_by_query_hash(self, collection_name: str, query_hash: str) -> CacheResult | None:
        """An entry, not expired, whose query has this hash; of several any one."""
        now = datetime.now(UTC)
        rows = await self.get(collection_name, await self.find_by_query_hash(collection_name, query_hash))
        return next((row for row in rows if row.expires_at is None or row.expires_at > now), None)

    async def update_usage_count(self, collection_name: str, point_id: str) -> None:
        """`touch`, for programs that await it."""
        self.touch(collection_name, point_id)

    async def find_by_filters(self, collection_name: str, filters: Mapping[str, MetadataValue]) -> list[str]:
        """Ids of all entries whose metadata equals `filters`, expired ones too.

        This default reads all entries.
        """
        return [
            row.id
            async for page in self.pages(collection_name)
            for row in page
            if metadata_matches(row.metadata, filters)
        ]

    async def find_by_tables(self, collection_name: str, names: Sequence[str]) -> list[str] | None:
        """Ids of entries with one of `names` among `CacheEntry.tables`; None where tables are not kept."""
        return None

    async def find_unread(self, collection_name: str) -> list[str]:
        """Ids of entries that were stored without `CacheEntry.tables`, where tables are kept."""
        return []

    async def put(
        self,
        collection_name: str,
        entries: list[CacheEntry],
        on_conflict: Literal["replace", "keep_both", "error"],
    ) -> list[str]:
        """`upsert` that decides about entries stored under the same question and metadata.

        Returns the ids of entries that must no longer be answered from memory:
        replaced, evicted, or kept behind a newer one. Raises `ConflictError`. This
        default relies on such entries having the same id, so it can only replace.
        """
        if on_conflict != "replace":
            raise ConfigurationError(
                f"on_conflict: {type(self).__name__} can only 'replace', got {on_conflict!r}"
            )
        await self.upsert(collection_name, entries)
        return []

    async def expire(self, collection_name: str) -> list[str]:
        """Delete what has expired; the ids."""
        ids = await self.find_expired(collection_name)
        await self.delete(collection_name, ids)
        return ids

    async def refresh(self) -> bool:
        """See what another process has written; whether there may be anything new. Nothing by default."""
        return False

    def touch(self, collection_name: str, entry_id: str) -> None:
        """Count one use of an entry, at once or later. Nothing by default."""

    async def search_filtered(
        self,
        collection_name: str,
        vector: list[float],
        limit: int = 5,
        score_threshold: float = 0.0,
        filters: Mapping[str, MetadataValue] | None = None,
        overfetch: int = 10,
    ) -> list[CacheResult]:
        """`search` among entries whose metadata equals `filters`.

        This default fetches more and filters afterwards, so it can miss entries
        that a store which filters inside its search would find.
        """
        fetch = filter_fetch_size(limit, filters, overfetch)
        found = await self.search(collection_name, vector, fetch, score_threshold)
        return verify_filters(found, filters, limit)

    async def candidates(
        self,
        collection_name: str,
        vector: Sequence[float],
        limit: int,
        score_threshold: float,
        filters: Mapping[str, MetadataValue] | None = None,
        include_scoped: bool = False,
    ) -> list[Candidate]:
        """What the waterfall weighs: the nearest entries that this caller may see.

        Without filters, entries that carry metadata are left out unless
        `include_scoped`.
        """
        plain = [float(number) for number in vector]
        if filters or include_scoped:
            rows = await self.search_filtered(
                collection_name, plain, limit, score_threshold, filters, self.overfetch
            )
        else:
            fetch = filter_fetch_size(limit, None, self.overfetch, always=self.supports_metadata)
            rows = await self.search(collection_name, plain, fetch, score_threshold)
            rows = [row for row in rows if not row.metadata][:limit]
        return [
            Candidate(
                row.id,
                row.score,
                row.original_question,
                row.normalized_question,
                row.generated_query,
                row.metadata,
                row,
            )
            for row in rows
            if not _has_expired(row)
        ]

    async def with_text(
        self,
        collection_name: str,
        normalized_question: str,
        filters: Mapping[str, MetadataValue] | None = None,
        include_scoped: bool = True,
    ) -> list[Candidate]:
        """The live entries with exactly this normalised question that a caller may see, newest first.

        `filters` and `include_scoped` as for `candidates`; of scoped entries without filters a
        store may leave out all but some of the newest.

        Asked before each embedding, so only a store that answers in microseconds
        should; this default knows of none.
        """
        return []

    async def spelled_like(
        self,
        collection_name: str,
        normalized_question: str,
        least: float,
        limit: int,
        filters: Mapping[str, MetadataValue] | None = None,
        include_scoped: bool = False,
    ) -> list[Candidate]:
        """Up to `limit` live entries whose normalised questions are spelt like this one, best first.

        The `score` of such a candidate is `rapidfuzz.fuzz.ratio`, 0..100, and at least `least`;
        `filters` and `include_scoped` as for `candidates`. Asked when there is no vector to
        search with. Like `with_text`, only local stores answer.
        """
        return []

    async def with_ids(self, collection_name: str, ids: Sequence[str]) -> list[Candidate]:
        """The live entries among `ids`. Like `with_text`, only local stores answer."""
        return []

    async def fetch(self, collection_name: str, candidate: Candidate) -> Fetched | None:
        """The whole row of a candidate, or None when it is gone or expired by now."""
        row = candidate.label
        return row if isinstance(row, CacheResult) and not _has_expired(row) else None

    async def load_stats(self, collection_name: str) -> PersistedStats | None:
        """Statistics kept with the collection, or None."""
        return None

    async def save_stats(self, collection_name: str, stats: PersistedStats) -> None:
        """Keep statistics with the collection, in place of those kept before. Nothing by default."""

    async def add_stats(self, collection_name: str, delta: PersistedStats) -> PersistedStats:
        """Add to the statistics kept with the collection; the new sum.

        Several processes add to one another's. This default reads and writes back,
        so of two that do so at the same moment one may be lost.
        """
        total = (await self.load_stats(collection_name) or PersistedStats()) + delta
        await self.save_stats(collection_name, total)
        return total

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool:
        await self.close()
        return False


def _has_expired(row: CacheResult) -> bool:
    return row.expires_at is not None and row.expires_at <= datetime.now(UTC)
