"""Another model for a collection: its vectors are made anew beside the old ones, then take their place.

What is done is kept, batch by batch, in a collection with a hidden name, so that whoever is interrupted
goes on from there. Only the last transaction changes what a search finds.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from medha_core.directory import INDEX, MANIFEST
from medha_core.embedded.checkpoint import Checkpoints
from medha_core.embedded.opening import open_store
from medha_core.errors import ConfigurationError, EmbeddingError, MedhaError, shown
from medha_core.interfaces import BaseEmbedder
from medha_core.manifest import Progress
from medha_core.native import as_unit_rows
from medha_core.rows import CollectionRow, Row, Rows
from medha_core.rows.lookups import HIDDEN
from medha_core.rows.row import loads_tables
from medha_core.types import CacheEntry, VectorRole

__all__ = ["Reembedded", "reembed"]


class Reembedded(NamedTuple):
    """What `reembed` did."""

    collection: str
    entries: int
    resumed: int
    """Of these, entries that an earlier run had done."""
    before: str
    """Fingerprint of the model whose vectors were there."""
    after: str


async def reembed(
    directory: Path,
    embedder: BaseEmbedder,
    collection_name: str,
    *,
    batch_size: int = 100,
    on_progress: Progress | None = None,
) -> Reembedded:
    """Replace the vectors of a collection by those of another model.

    The directory must have no other writer; readers go on with the old vectors until the end, and
    refuse to search afterwards, for their embedder is another. `on_progress(done, total)` counts entries.
    Interrupted, it goes on from the last batch when it is called again with the same model. Raises
    `ConfigurationError` for an unknown collection and for a snapshot, `EmbeddingError`, `StorageError`.
    """
    if (directory / MANIFEST).exists():
        raise ConfigurationError(
            f"{directory} is a snapshot: make a directory of it with medha snapshot load"
        )
    with closing(open_store(directory, "r+", "NORMAL")) as opened:
        rows = opened.rows
        old = rows.collection(collection_name)
        if old is None:
            names = [row.name for row in rows.collections()]
            raise ConfigurationError(f"collection_name: {directory} has {names}, not {collection_name!r}")
        if old.model == embedder.fingerprint:
            return Reembedded(old.name, old.entries, old.entries, old.model, old.model)
        work = _Work(rows, old, embedder)
        resumed = await work.run(batch_size, on_progress)
        Checkpoints(directory / INDEX).forget(old.id)
        return Reembedded(old.name, old.entries, resumed, old.model, embedder.fingerprint)


class _Work:
    """One run, over entries in the order they were stored."""

    def __init__(self, rows: Rows, old: CollectionRow, embedder: BaseEmbedder):
        self._rows, self._old, self._embedder = rows, old, embedder
        self._name = f"{HIDDEN}{old.id}{HIDDEN}{embedder.fingerprint}"
        self._made = rows.collection(self._name)

    async def run(self, batch_size: int, on_progress: Progress | None) -> int:
        """Number of entries whose vectors an earlier run had made."""
        done = resumed = 0
        for page in self._pages(self._old.id, batch_size):
            resumed += await self._take(page)
            done += len(page)
            if on_progress is not None:
                on_progress(done, self._old.entries)
        made = self._into(self._embedder.dimension if self._made is None else self._made.dimension)
        for page in self._pages(made.id, batch_size):  # deleted since an earlier run
            kept = {row.id for row in self._rows.by_ids(self._old.id, [row.id for row in page])}
            self._rows.delete(made.id, [row.id for row in page if row.id not in kept])
        self._rows.take_place(made.id, self._old.id)
        return resumed

    def _pages(self, collection: int, size: int) -> Iterator[list[Row]]:
        after = 0
        while page := self._rows.page(collection, after, size):
            yield page
            after = page[-1].label

    def _into(self, dimension: int) -> CollectionRow:
        self._made = self._rows.create_collection(self._name, dimension, self._embedder.fingerprint)
        return self._made

    async def _take(self, page: Sequence[Row]) -> int:
        """Bring the entries of a page to the new collection; how many had a vector there."""
        there = (
            {}
            if self._made is None
            else {r.id: r for r in self._rows.by_ids(self._made.id, [r.id for r in page])}
        )
        known = {
            row.id: vector
            for row in page
            if (other := there.get(row.id)) is not None
            and (other.question, other.role) == (row.question, row.role)
            and (vector := self._rows.vector(other.label)) is not None
        }
        vectors = known | await self._vectors([row for row in page if row.id not in known])
        changed = [row for row in page if row.id not in known or _content(there[row.id]) != _content(row)]
        if changed:
            rows = np.array([vectors[row.id] for row in changed], np.float32)
            self._rows.write(self._into(rows.shape[1]).id, [_entry(row) for row in changed], rows)
        return len(known)

    async def _vectors(self, rows: Sequence[Row]) -> dict[str, np.ndarray]:
        """Unit vectors by id. Questions and documents are embedded apart."""
        found: dict[str, np.ndarray] = {}
        for role in VectorRole:
            chosen = [row for row in rows if row.role == role]
            if chosen:
                texts, is_document = [row.question for row in chosen], role is VectorRole.DOCUMENT
                try:
                    vectors = await self._embedder.aembed_array(texts, is_document=is_document)
                except MedhaError:
                    raise
                except Exception as error:  # an embedder may raise anything
                    raise EmbeddingError(
                        f"the embedder {self._embedder.model_name} raised {shown(error, 500)}"
                    ) from error
                units = as_unit_rows(vectors, vectors.shape[1], argument="vectors of the embedder")
                found |= zip((row.id for row in chosen), units, strict=True)
        return found


def _content(row: Row) -> Row:
    return row._replace(label=0, collection=0)


def _entry(row: Row) -> CacheEntry:
    """What was handed in when the row was stored, but for its vector."""
    return CacheEntry(
        id=row.id,
        vector=[],
        original_question=row.question,
        normalized_question=row.normalized,
        generated_query=row.query,
        query_hash=row.query_hash,
        response_summary=row.summary,
        template_id=row.template,
        usage_count=row.usage,
        feedback_correct=row.correct,
        feedback_incorrect=row.incorrect,
        role=VectorRole(row.role),
        tables=None if row.tables is None else tuple(loads_tables(row.tables)),
        created_at=datetime.fromtimestamp(row.created, UTC),
        expires_at=None if row.expires is None else datetime.fromtimestamp(row.expires, UTC),
        metadata=dict(row.metadata),
    )
