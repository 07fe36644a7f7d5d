"""Storing: pairs are checked, embedded, written, and visible in L1 last."""

import asyncio
from collections.abc import Callable, Container, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from medha_core.embedding import CachedEmbedder
from medha_core.errors import ArgumentTypeError, ArgumentValueError
from medha_core.interfaces import Candidate, L1CacheBackend, VectorStorageBackend
from medha_core.knowledge import Knowledge
from medha_core.metadata import validate_metadata
from medha_core.native import question_key
from medha_core.normalise import normalize_question, query_hash
from medha_core.scope import entry_id, make_scope
from medha_core.settings import Settings
from medha_core.types import CacheEntry, CacheHit, CacheResult, MetadataValue, SearchStrategy

_PAGE = 50
_NEIGHBOURS = 8
_NEIGHBOUR_SCORE = 0.70
"""Entries at least this near (cosine) show which differences of wording change the query."""

Progress = Callable[[int, int], None]
OnConflict = Literal["replace", "keep_both", "error"]


class _Unset:
    """The default of `ttl`: `Settings.default_ttl_seconds` decides. None means for ever."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Any = _Unset()


class Pair(NamedTuple):
    """A checked question and query, ready to be embedded and stored."""

    question: str
    query: str
    summary: str | None
    template_id: str | None
    metadata: dict[str, MetadataValue]


def check_question(question: object, settings: Settings, label: str = "question") -> str:
    """The question itself. Raises a typed error for what cannot be asked or stored."""
    if not isinstance(question, str):
        raise ArgumentTypeError(label, "str", question)
    if not question.strip():
        raise ArgumentValueError(label, "text that is not empty", question)
    if len(question) > settings.max_question_length:
        raise ArgumentValueError(
            label, f"at most max_question_length ({settings.max_question_length}) characters", len(question)
        )
    return check_text(question, label)


def check_text(text: object, label: str) -> str:
    """`text`, if it is text that can be stored and hashed."""
    if not isinstance(text, str):
        raise ArgumentTypeError(label, "str", text)
    if "\x00" in text:
        raise ArgumentValueError(label, "text without NUL characters", text)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ArgumentValueError(label, "text without lone surrogates", text) from None
    return text


def check_pair(item: Mapping[str, Any], settings: Settings, label: str = "") -> Pair:
    """The pair in a mapping with question, generated_query and optional fields."""
    if not isinstance(item, Mapping):
        raise ArgumentTypeError(label or "entry", "a mapping with question and generated_query", item)
    prefix = f"{label}." if label else ""
    for key in ("question", "generated_query"):
        if key not in item:
            raise ArgumentValueError(label or "entry", f"a key {key!r}", sorted(map(str, item)))
    query = check_text(item["generated_query"], f"{prefix}generated_query")
    if not query.strip():
        raise ArgumentValueError(f"{prefix}generated_query", "text that is not empty", query)
    optional = [
        None if item.get(key) is None else check_text(item[key], f"{prefix}{key}")
        for key in ("response_summary", "template_id")
    ]
    return Pair(
        check_question(item["question"], settings, f"{prefix}question"),
        query,
        *optional,
        validate_metadata(item.get("metadata"), label=f"{prefix}metadata"),
    )


class Writer:
    """Stores pairs in a collection. One path for one pair and for many."""

    def __init__(
        self,
        settings: Settings,
        l1: L1CacheBackend,
        store: VectorStorageBackend,
        embedding: CachedEmbedder,
        knowledge: Knowledge,
    ):
        self._settings = settings
        self._l1 = l1
        self._store = store
        self._embedding = embedding
        self._knowledge = knowledge

    async def write(
        self, collection: str, pairs: Sequence[Pair], ttl: int | None, on_conflict: OnConflict | None = None
    ) -> int:
        """Embed and store pairs; when this returns they are durable and can be found.

        `on_conflict`, by default that of the settings, decides about a pair whose
        question and metadata are stored with another query.
        """
        on_conflict = self._settings.on_conflict if on_conflict is None else on_conflict
        if on_conflict not in get_args(OnConflict):
            raise ArgumentValueError("on_conflict", "'replace', 'keep_both' or 'error'", on_conflict)
        vectors = await self._embedding.aembed_array([pair.question for pair in pairs], is_document=True)
        expires = self._expiry(ttl)
        entries = [
            self._entry(collection, pair, vector, expires, keep_both=on_conflict == "keep_both")
            for pair, vector in zip(pairs, vectors, strict=True)
        ]
        replaced = await self._store.with_ids(collection, [entry.id for entry in entries])
        generation = self._l1.advance()
        outdated: list[str] = []
        try:
            outdated = await self._store.put(collection, entries, on_conflict)
        finally:  # a write that was cancelled or failed may have changed rows before
            forgotten = list(dict.fromkeys([*outdated, *(entry.id for entry in entries)]))
            await self._l1.invalidate_entries(forgotten)
        self._knowledge.forget(collection, replaced)
        # Of a batch larger than the cache, only the end was kept.
        kept = slice(-(self._settings.max_entries or len(pairs)), None)
        for pair, entry in zip(pairs[kept], entries[kept], strict=True):
            await self._learn(collection, entry)
            await self._show(collection, pair, entry, generation + len(forgotten))
        return len(entries)

    def _expiry(self, ttl: int | None) -> datetime | None:
        seconds = self._settings.default_ttl_seconds if ttl is UNSET else ttl
        if seconds is None:
            return None
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            raise ArgumentTypeError("ttl", "seconds as a number, or None", seconds)
        if not 0 < seconds < 10**10:
            raise ArgumentValueError("ttl", "a positive number of seconds", seconds)
        return datetime.now(UTC) + timedelta(seconds=seconds)

    def _entry(
        self, collection: str, pair: Pair, vector: np.ndarray, expires: datetime | None, *, keep_both: bool
    ) -> CacheEntry:
        hashed = query_hash(pair.query)
        return CacheEntry(
            id=entry_id(collection, pair.question, pair.metadata, hashed if keep_both else ""),
            vector=vector if self._store.local else vector.tolist(),
            original_question=pair.question,
            normalized_question=normalize_question(pair.question),
            generated_query=pair.query,
            query_hash=hashed,
            response_summary=pair.summary,
            template_id=pair.template_id,
            expires_at=expires,
            metadata=pair.metadata,
        )

    async def recall(self, collection: str) -> None:
        """Teach the guard what a collection held before this object was made."""
        if self._knowledge.is_off or not self._store.local:
            return
        offset: str | None = None
        recalled: set[str] = set()
        while len(recalled) < self._settings.learned_entries:
            page, offset = await self._store.scroll(collection, _PAGE, offset, with_vectors=True)
            for row in page:
                await self._learn(collection, row, recalled)
                recalled.add(row.id)
            await asyncio.sleep(0)  # other tasks of the loop go on between pages
            if offset is None:
                return

    async def _learn(
        self, collection: str, entry: CacheEntry | CacheResult, among: Container[str] | None = None
    ) -> None:
        """Teach the guard an entry, beside those that a search finds next to it (and that are `among`)."""
        if self._knowledge.is_off or entry.vector is None:
            return
        near = await self._store.candidates(
            collection, entry.vector, _NEIGHBOURS + 1, _NEIGHBOUR_SCORE, entry.metadata
        )
        others = [one for one in near if one.id != entry.id and (among is None or one.id in among)]
        self._knowledge.learn(collection, candidate_of(entry), others[:_NEIGHBOURS])

    async def _show(self, collection: str, pair: Pair, entry: CacheEntry, generation: int) -> None:
        """Put the new entry in L1 under its own scope, unless another writer came between.

        `generation` is what this writer's own steps lead to; any other number means
        that the row may have changed again since it was written here.
        """
        hit = CacheHit(
            generated_query=entry.generated_query,
            response_summary=entry.response_summary,
            confidence=1.0,
            strategy=SearchStrategy.L1_CACHE,
            template_used=entry.template_id,
            expires_at=entry.expires_at,
            metadata=entry.metadata,
            entry_id=entry.id,
            similarity=1.0,
        )
        key = question_key(make_scope(collection, pair.metadata).key, pair.question)
        await self._l1.refill(key.hex(), hit, generation)


def candidate_of(entry: CacheEntry | CacheResult) -> Candidate:
    """An entry as a search would propose it."""
    return Candidate(
        entry.id,
        1.0,
        entry.original_question,
        entry.normalized_question,
        entry.generated_query,
        entry.metadata,
    )
