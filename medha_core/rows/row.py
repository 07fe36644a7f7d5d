"""The values that rows are handed in and out as."""

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from xxhash import xxh3_64_intdigest

from medha_core.errors import DimensionMismatchError, StorageInitializationError
from medha_core.manifest import METRIC, NORMALISATION, CollectionInfo
from medha_core.metadata import loads_metadata
from medha_core.types import CacheResult, MetadataValue

logger = logging.getLogger("medha_core")

_SIGNED = 2**63 - 1
"""SQLite's integers have a sign; seals do not need the bit."""

_FORMER_FIELD = 10
"""Where rows of before format 4 have a field more among the sealed ones: what was read of the question."""


def seal_row(*fields: object) -> int:
    """A checksum of what an entry says, so that damage on disk becomes a missing entry, never a wrong one.

    The field that rows had before format 4 counts as empty, as it was in nearly all: their seals hold.
    """
    parts = ["\1" if field is None else str(field) for field in fields]
    parts.insert(_FORMER_FIELD, "\1")
    return _seal(parts)


def seal_anew(fields: Sequence[object], tables: str | None, seal: int) -> int:
    """The seal of a row that loses the field it had before format 4; `fields` has it yet.

    A seal that is not right stays as it is.
    """
    parts = [
        "\1" if field is None else field.hex() if isinstance(field, bytes) else str(field)
        for field in sealed_fields(fields, tables)
    ]
    if _seal(parts) != seal:
        return seal
    return seal_row(*sealed_fields((*fields[:_FORMER_FIELD], *fields[_FORMER_FIELD + 1 :]), tables))


def _seal(parts: Sequence[str]) -> int:
    return xxh3_64_intdigest("\0".join(parts).encode()) & _SIGNED


def sealed_fields(fields: Sequence[object], tables: str | None) -> Sequence[object]:
    """What the seal of a row covers; rows of before there were tables have the seal they were given."""
    return fields if tables is None else (*fields, tables)


def seal_vector(vector: bytes) -> int:
    """The checksum of a stored vector."""
    return xxh3_64_intdigest(vector) & _SIGNED


class Row(NamedTuple):
    """One entry as it stands in the table, without its vector.

    The counters change after it was stored; everything else but the label is sealed.
    """

    label: int
    collection: int
    id: str
    question: str
    normalized: str
    query: str
    query_hash: str
    summary: str | None
    template: str | None
    metadata: Mapping[str, MetadataValue]
    role: int
    created: float
    expires: float | None
    usage: int
    correct: int
    incorrect: int
    tables: str | None
    """`dumps_tables` of the tables that the query reads; None when it was not read."""

    # What an answer is made of, by the names of `Fetched` (see medha_core.interfaces.storage).

    @property
    def generated_query(self) -> str:
        return self.query

    @property
    def response_summary(self) -> str | None:
        return self.summary

    @property
    def template_id(self) -> str | None:
        return self.template

    @property
    def expires_at(self) -> datetime | None:
        return _moment(self.expires)

    @property
    def feedback_correct(self) -> int:
        return self.correct

    @property
    def feedback_incorrect(self) -> int:
        return self.incorrect

    def result(self, score: float = 0.0) -> CacheResult:
        return CacheResult(
            id=self.id,
            score=min(1.0, max(0.0, score)),
            original_question=self.question,
            normalized_question=self.normalized,
            generated_query=self.query,
            query_hash=self.query_hash,
            response_summary=self.summary,
            template_id=self.template,
            usage_count=self.usage,
            feedback_correct=self.correct,
            feedback_incorrect=self.incorrect,
            created_at=_moment(self.created),
            expires_at=_moment(self.expires),
            metadata=dict(self.metadata),
        )


_SEALED = slice(1, 13)
_COUNTERS = slice(13, 16)
_TABLES = Row._fields.index("tables")
_METADATA = Row._fields.index("metadata")
COLUMNS = ", ".join([*Row._fields, "seal"])


def seal_columns(columns: Sequence[object]) -> int:
    """The seal of a row whose columns have these values."""
    return seal_row(*sealed_fields(columns[_SEALED], columns[_TABLES]))


def read_row(record: Sequence[Any]) -> Row | None:
    """The row in a record of `COLUMNS`; None, with a warning, when it is not what was written."""
    *fields, seal = record
    if seal_columns(fields) != seal or not all(isinstance(count, int) for count in fields[_COUNTERS]):
        logger.warning("entry %s is damaged on disk and is left out", fields[0])
        return None
    return stored_row(fields)


def stored_row(columns: list[Any]) -> Row:
    """The row whose columns have these values; the list is used up."""
    columns[_METADATA] = loads_metadata(columns[_METADATA])
    return Row._make(columns)


@lru_cache(maxsize=1024)
def dumps_tables(tables: tuple[str, ...] | None) -> str | None:
    """The form in which a row keeps the names of tables."""
    return None if tables is None else json.dumps(list(tables), ensure_ascii=False)


def loads_tables(text: object) -> list[str]:
    """The names that `dumps_tables` wrote; none for anything else."""
    try:
        found = json.loads(text) if isinstance(text, str) else []
    except ValueError:
        return []
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


class Gone(NamedTuple):
    """An entry that was deleted."""

    label: int
    id: str


class Written(NamedTuple):
    """What one write did."""

    rows: list[Row]
    """The new ones, in the order of the entries."""
    gone: list[Gone]
    """Replaced or evicted."""
    outdated: list[str]
    """Ids of older entries for the same questions that were kept."""

    @property
    def labels(self) -> list[int]:
        """Of the new rows."""
        return [row.label for row in self.rows]


class CollectionRow(NamedTuple):
    """One collection as it stands in the table."""

    id: int
    name: str
    dimension: int
    model: str
    """Fingerprint of the embedder; "" when it was not given."""
    entries: int
    metric: str = METRIC
    normalisation: str = NORMALISATION

    def info(self) -> CollectionInfo:
        """What a manifest says of it."""
        return CollectionInfo(
            self.name, self.model, self.dimension, self.entries, self.metric, self.normalisation
        )


COLLECTION_COLUMNS = ", ".join(CollectionRow._fields)


def check_space(collection: CollectionRow, dimension: int, model: str) -> None:
    """Refuse vectors that cannot be compared with those of the collection."""
    if collection.dimension != dimension:
        raise DimensionMismatchError(collection.dimension, dimension, f"collection {collection.name!r}")
    if model and collection.model and collection.model != model:
        raise StorageInitializationError(
            f"collection {collection.name!r} holds vectors of {collection.model!r}, and the embedder "
            f"gives those of {model!r}: they cannot be compared (medha reembed makes them anew)"
        )
    for name, stored, ours in (
        ("metric", collection.metric, METRIC),
        ("normalisation", collection.normalisation, NORMALISATION),
    ):
        if stored != ours:
            raise StorageInitializationError(
                f"collection {collection.name!r} was written with {name} {stored!r}, and this version "
                f"works with {ours!r}"
            )


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
