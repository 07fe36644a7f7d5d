"""Exporting: everything a collection holds, as a file or a table that can be stored again."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from medha_core.acts.parts import Parts
from medha_core.files import LinesFile, allowed_path
from medha_core.frames import frame_of
from medha_core.pairs import dumps_vector
from medha_core.types import CacheResult
from medha_core.writer import Progress, check_progress

_PAGE = 500


class Exporting:
    """Reads all entries, in the order they were stored. What has expired is left out."""

    def __init__(self, parts: Parts):
        self._parts = parts

    async def export_jsonl(
        self,
        path: str | Path,
        collection_name: str | None = None,
        *,
        include_vectors: bool = True,
        on_progress: Progress | None = None,
    ) -> int:
        """Write a collection to a JSONL file; the number of entries.

        `warm_from_file` restores everything: times, counters, feedback, metadata,
        summaries, templates, and the vectors, if they are included and the embedder is
        the same. (Entries that were kept beside others of the same question need
        `on_conflict="keep_both"` there.) A file that was there stays until the new one
        is complete. `on_progress(done, total)` is called after each 500 entries. Raises
        `MedhaError` where the file cannot be written.
        """
        self._parts.check_started()
        check_progress(on_progress)
        target = await asyncio.to_thread(allowed_path, path, self._parts.settings)
        collection = await self._parts.known(collection_name)
        total = await self._parts.backend.count(collection)
        model = self._parts.embedder.fingerprint if include_vectors else None
        done = 0
        with LinesFile(target) as file:
            async for page in self._parts.backend.pages(collection, with_vectors=include_vectors, size=_PAGE):
                alive = _alive(page)
                await asyncio.to_thread(lambda rows: file.write(_item(row, model) for row in rows), alive)
                done += len(alive)
                if on_progress is not None:
                    on_progress(done, max(done, total))
        return done

    async def export_to_dataframe(
        self, collection_name: str | None = None, *, include_vectors: bool = False
    ) -> Any:
        """A collection as a `pandas.DataFrame`, one row an entry; `warm_from_dataframe` reads it back.

        Its columns are `question` and the fields of `CacheResult`; with
        `include_vectors` also `vector` (float32 arrays) and `model`. Raises
        `ConfigurationError` without the extra `pandas`.
        """
        self._parts.check_started()
        collection = await self._parts.known(collection_name)
        rows: list[CacheResult] = []
        async for page in self._parts.backend.pages(collection, with_vectors=include_vectors, size=_PAGE):
            rows += _alive(page)
            await asyncio.sleep(0)  # other tasks of the loop go on between pages
        model = self._parts.embedder.fingerprint if include_vectors else None
        return await asyncio.to_thread(lambda: frame_of(rows, model=model))


def _alive(rows: Sequence[CacheResult]) -> list[CacheResult]:
    now = datetime.now(UTC)
    return [row for row in rows if row.expires_at is None or row.expires_at > now]


def _item(row: CacheResult, model: str | None) -> dict[str, Any]:
    """One line: what `check_pair` reads."""
    item: dict[str, Any] = {
        "question": row.original_question,
        "generated_query": row.generated_query,
        "response_summary": row.response_summary,
        "template_id": row.template_id,
        "metadata": row.metadata,
        "created_at": row.created_at.isoformat() if row.created_at else None,
        "expires_at": row.expires_at.isoformat() if row.expires_at else None,
        "usage_count": row.usage_count,
        "feedback_correct": row.feedback_correct,
        "feedback_incorrect": row.feedback_incorrect,
    }
    if model is not None and row.vector is not None:
        item |= {"model": model, "vector": dumps_vector(row.vector)}
    return item
