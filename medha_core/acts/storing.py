"""Storing: pairs of question and query, one or many, from the program or from a file."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medha_core.acts.parts import Parts
from medha_core.errors import ArgumentTypeError, ArgumentValueError, EmbeddingError, StorageError
from medha_core.files import read_entries
from medha_core.types import MetadataValue
from medha_core.writer import UNSET, OnConflict, Pair, Progress, check_pair, check_text

logger = logging.getLogger("medha_core")


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
        self._parts.check_started()
        if _is_blank(question) or _is_blank(generated_query):
            logger.warning("not stored: the question or the query is empty")
            return False
        item = {
            "question": question,
            "generated_query": generated_query,
            "response_summary": response_summary,
            "template_id": template_id,
            "metadata": metadata,
        }
        pairs = [check_pair(item, self._parts.settings)]
        try:
            return await self._write(pairs, ttl, collection_name, on_conflict) == 1
        except (EmbeddingError, StorageError) as error:
            logger.warning("not stored: %s", error)
            return False

    async def store_many(
        self,
        entries: Sequence[Mapping[str, Any]],
        *,
        batch_size: int | None = None,
        on_progress: Progress | None = None,
        ttl: int | None = UNSET,
        collection_name: str | None = None,
        on_conflict: OnConflict | None = None,
    ) -> int:
        """Store many pairs; the number stored.

        Each entry is a mapping with `question` and `generated_query`, optionally
        `response_summary`, `template_id`, `metadata`. All are checked before the
        first is stored: `ValueError` names the faulty one. `on_progress(done, total)`
        is called after each batch, which is one transaction. `EmbeddingError`,
        `StorageError` and `ConflictError` leave the batches before them stored.
        """
        self._parts.check_started()
        if isinstance(entries, (str, bytes, Mapping)) or not isinstance(entries, Sequence):
            raise ArgumentTypeError("entries", "a list of mappings", entries)
        size = self._parts.settings.batch_size if batch_size is None else batch_size
        if not isinstance(size, int):
            raise ArgumentTypeError("batch_size", "int", batch_size)
        if size < 1:
            raise ArgumentValueError("batch_size", "at least 1", batch_size)
        pairs = [check_pair(entry, self._parts.settings, f"entries[{i}]") for i, entry in enumerate(entries)]
        done = 0
        for start in range(0, len(pairs), size):
            done += await self._write(pairs[start : start + size], ttl, collection_name, on_conflict)
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
        """`store_many` of the pairs in a JSON array or JSONL file; the number stored.

        Raises `MedhaError` naming the file, and the line where one is at fault;
        then nothing is stored.
        """
        self._parts.check_started()
        entries = read_entries(path, self._parts.settings)
        return await self.store_many(
            entries,
            batch_size=batch_size,
            on_progress=on_progress,
            ttl=ttl,
            collection_name=collection_name,
            on_conflict=on_conflict,
        )

    async def _write(
        self,
        pairs: Sequence[Pair],
        ttl: int | None,
        collection_name: str | None,
        on_conflict: OnConflict | None,
    ) -> int:
        self._parts.check_writable()
        collection = self._parts.scope.collection
        if collection_name is not None and collection_name != collection:
            collection = check_text(collection_name, "collection_name")
            await self._parts.initialize(collection)
        return await self._parts.writer.write(collection, pairs, ttl, on_conflict)


def _is_blank(text: object) -> bool:
    return isinstance(text, str) and not text.strip()
