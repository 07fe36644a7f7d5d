"""Storing: pairs of question and query, one or many, from the program, a file or a table."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from medha_core.acts.parts import Parts
from medha_core.errors import ArgumentTypeError, ArgumentValueError, EmbeddingError, StorageError
from medha_core.files import FileEntry, read_entries
from medha_core.frames import items_of
from medha_core.logs import said
from medha_core.pairs import UNSET, Pair, check_pair, is_blank
from medha_core.types import MetadataValue
from medha_core.writer import OnConflict, Progress, check_progress

logger = logging.getLogger("medha_core")

Entries = Sequence[Mapping[str, Any]]

_INLINE_PAIRS = 32
"""Up to this many pairs are checked on the caller's thread: it takes less than a millisecond."""


class Storing:
    """Stores pairs, all on one path."""

    def __init__(self, parts: Parts):
        self._parts = parts

    async def store(
        self,
        question: str,
        generated_query: str,
        response_summary: str | None = None,
        template_id: str | None = None,
        ttl: int | None = UNSET,
        *,
        metadata: Mapping[str, MetadataValue] | None = None,
        collection_name: str | None = None,
        on_conflict: OnConflict | None = None,
    ) -> bool:
        """Store the query for a question; a pair stored before under the same question is replaced.

        Args:
            ttl: seconds until it expires; None for ever; left out,
                `Settings.default_ttl_seconds`.
            metadata: makes the entry scoped: only searches whose filters match get it.
            on_conflict: when another query is stored for the question under the same
                metadata: "replace" it, "keep_both" and answer with the newest, or
                "error", which raises `ConflictError`; left out, `Settings.on_conflict`.

        Returns whether it was stored: True means it is durable and will be found.
        An empty question or query, a failing embedder or store give False and a
        warning; a question that is too long, a wrong type, invalid metadata and a
        cache that is open read-only raise.
        """
        item = {
            "question": question,
            "generated_query": generated_query,
            "response_summary": response_summary,
            "template_id": template_id,
            "metadata": metadata,
        }
        return await self._try([item], "", ttl, collection_name, on_conflict)

    async def store_batch(
        self,
        entries: Entries,
        *,
        ttl: int | None = UNSET,
        collection_name: str | None = None,
        on_conflict: OnConflict | None = None,
    ) -> bool:
        """Store pairs in one transaction; whether it was done.

        Entries as for `store_many`; those with an empty question or query are left
        out with a warning. True also for an empty list, False where no entry is left,
        or where the embedder or the store failed: then none is stored.
        """
        _check_entries(entries)
        if not entries:
            self._parts.check_started()
            return True
        return await self._try(entries, "entries", ttl, collection_name, on_conflict)

    async def _try(
        self,
        entries: Entries,
        label: str,
        ttl: int | None,
        collection_name: str | None,
        on_conflict: OnConflict | None,
    ) -> bool:
        """Store in one transaction what is not blank; whether anything was stored. Failures are warnings."""
        self._parts.check_started()
        pairs = await self._checked(entries, label, skip_blank=True)
        if len(pairs) < len(entries):
            logger.warning(
                "%d entries were not stored: their question or query is empty", len(entries) - len(pairs)
            )
        if not pairs:
            return False
        try:
            collection = await self._prepared(collection_name, pairs)
            vectors = await self._parts.writer.embed(pairs)
            return bool(await self._parts.writer.write(collection, pairs, vectors, ttl, on_conflict))
        except (EmbeddingError, StorageError) as error:
            logger.warning("not stored: %s", said(error, self._parts.settings))
            return False

    async def store_many(
        self,
        entries: Entries,
        *,
        batch_size: int | None = None,
        on_progress: Progress | None = None,
        ttl: int | None = UNSET,
        collection_name: str | None = None,
        on_conflict: OnConflict | None = None,
    ) -> int:
        """Store many pairs; the number stored.

        Args:
            entries: mappings with `question` and `generated_query`, optionally
                `response_summary`, `template_id`, `metadata`, and what an export adds:
                `created_at`, `expires_at` (which a `ttl` given here overrules),
                `usage_count`, `feedback_correct`, `feedback_incorrect`, and `vector`
                with the `model` it is of; one of another model is computed anew.
            batch_size: pairs in one transaction and in one call of the embedder.
            on_progress: called as `on_progress(done, total)` after each batch.

        All are checked before the first is stored: `ValueError` names the faulty one.
        What has expired already is left out. `EmbeddingError`, `StorageError` and
        `ConflictError` leave the batches before them stored.
        """
        self._parts.check_started()
        _check_entries(entries)
        check_progress(on_progress)
        size = self._batch_size(batch_size)
        pairs = await self._checked(entries, "entries")
        if ttl is UNSET:
            now = datetime.now(UTC)
            pairs = [pair for pair in pairs if pair.expires_at in (UNSET, None) or pair.expires_at > now]
        self._parts.writer.expiry(ttl)
        collection = await self._prepared(collection_name, pairs)
        done = 0
        at_once = size * self._parts.settings.batch_embed_concurrency
        for start in range(0, len(pairs), at_once):
            batches = [pairs[i : i + size] for i in range(start, min(start + at_once, len(pairs)), size)]
            embedded = await asyncio.gather(*(self._parts.writer.embed(batch) for batch in batches))
            for batch, vectors in zip(batches, embedded, strict=True):
                done += await self._parts.writer.write(collection, batch, vectors, ttl, on_conflict)
                if on_progress is not None:
                    on_progress(done, len(pairs))
        return done

    async def warm_from_file(
        self,
        path: str | Path,
        batch_size: int | None = None,
        on_progress: Progress | None = None,
        *,
        ttl: int | None = UNSET,
        collection_name: str | None = None,
        on_conflict: OnConflict | None = None,
    ) -> int:
        """`store_many` of the pairs in a JSON array or JSONL file, such as `export_jsonl` writes.

        Returns the number stored. Raises `MedhaError` naming the file, and the line
        where one is at fault; then nothing is stored.
        """
        self._parts.check_started()
        entries = await asyncio.to_thread(read_entries, path, self._parts.settings)
        return await self.store_many(
            entries,
            batch_size=batch_size,
            on_progress=on_progress,
            ttl=ttl,
            collection_name=collection_name,
            on_conflict=on_conflict,
        )

    async def warm_from_dataframe(
        self,
        df: Any,
        *,
        question_col: str = "question",
        query_col: str = "generated_query",
        response_col: str = "response_summary",
        template_col: str | None = None,
        metadata_cols: Sequence[str] | None = None,
        batch_size: int | None = None,
        on_progress: Progress | None = None,
        ttl: int | None = UNSET,
        collection_name: str | None = None,
        on_conflict: OnConflict | None = None,
    ) -> int:
        """`store_many` of the rows of a `pandas.DataFrame`; the number stored.

        Args:
            template_col: None takes the column `template_id` where there is one.
            metadata_cols: columns that become metadata under their names; None takes
                the column `metadata`, of mappings, where there is one.

        Empty cells (None, NaN, NaT) count as absent. What `export_to_dataframe` adds
        is read back where `store_many` reads it. Raises `ConfigurationError` without
        the extra `pandas`, `ValueError` naming a column that is not there.
        """
        self._parts.check_started()
        columns = {"question": question_col, "generated_query": query_col, "response_summary": response_col}
        entries = await asyncio.to_thread(items_of, df, columns, template_col, metadata_cols)
        return await self.store_many(
            entries,
            batch_size=batch_size,
            on_progress=on_progress,
            ttl=ttl,
            collection_name=collection_name,
            on_conflict=on_conflict,
        )

    def _batch_size(self, batch_size: int | None) -> int:
        size = self._parts.settings.batch_size if batch_size is None else batch_size
        if not isinstance(size, int) or isinstance(size, bool):
            raise ArgumentTypeError("batch_size", "int", batch_size)
        if size < 1:
            raise ArgumentValueError("batch_size", "at least 1", batch_size)
        return size

    async def _checked(self, entries: Entries, label: str, *, skip_blank: bool = False) -> list[Pair]:
        """The pairs in order. Checking many takes a thread."""
        if len(entries) <= _INLINE_PAIRS:
            return self._check(entries, label, skip_blank)
        return await asyncio.to_thread(self._check, entries, label, skip_blank)

    def _check(self, entries: Entries, label: str, skip_blank: bool) -> list[Pair]:
        settings, model = self._parts.settings, self._parts.embedder.fingerprint
        return [
            check_pair(entry, settings, _place(entry, label, i), model=model)
            for i, entry in enumerate(entries)
            if not (skip_blank and _is_blank(entry))
        ]

    async def _prepared(self, collection_name: str | None, pairs: Sequence[Pair]) -> str:
        """The collection to store into, made if it is not there."""
        self._parts.check_writable()
        for pair in pairs:
            self._parts.check_metadata(pair.metadata, "metadata")
        collection = self._parts.collection(collection_name)
        if collection != self._parts.scope.collection:
            await self._parts.initialize(collection)
        return collection


def _check_entries(entries: object) -> None:
    if isinstance(entries, (str, bytes)) or not isinstance(entries, Sequence):
        raise ArgumentTypeError("entries", "a list of mappings", entries)


def _place(entry: object, label: str, i: int) -> str:
    """What stands before the name of a field that is at fault."""
    if isinstance(entry, FileEntry):
        return f"{entry.where}: entry"
    return f"{label}[{i}]" if label else ""


def _is_blank(entry: object) -> bool:
    return isinstance(entry, Mapping) and (
        is_blank(entry.get("question")) or is_blank(entry.get("generated_query"))
    )
