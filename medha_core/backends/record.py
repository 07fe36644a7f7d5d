"""An entry as engines keep it: a vector, tags to look it up by, its expiry, and the rest as one text.

Every lookup of the contract is "has all of these tags": metadata, hash, template and
question are hashed into tags of fixed length. So one filter language serves all
engines, and no value of a user ever becomes part of an engine's query.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

from medha_core.backends.naming import digest
from medha_core.errors import ArgumentValueError, StorageError
from medha_core.metadata import dumps_metadata, filter_value, validate_metadata
from medha_core.native import question_key
from medha_core.types import CacheEntry, CacheResult, MetadataValue, VectorRole

__all__ = [
    "NEVER",
    "FIELDS",
    "PLAIN",
    "SCOPED",
    "Record",
    "fields_of",
    "numbers",
    "packed",
    "record_from",
    "unpacked",
    "UNREAD",
    "entry_of",
    "Tag",
    "key_of",
    "record_of",
    "result_of",
]

NEVER = 253_402_300_800.0
"""The expiry, in seconds since the epoch, of what does not expire: the end of the year 9999."""
PLAIN, SCOPED = "s0", "s1"
"""Tags of entries without and with metadata."""
UNREAD = "u1"
"""The tag of entries whose tables are not known."""


FIELDS = ["tags", "expires", "body", "correct", "incorrect"]
"""What engines keep of a record beside its key and its vector."""


class Record(NamedTuple):
    """What engines read and write."""

    key: str
    """32 hexadecimal digits, from the entry's id; pages are in the order of keys."""
    tags: tuple[str, ...]
    expires: float
    body: str
    correct: int
    incorrect: int
    vector: np.ndarray | None = None
    """float32, of length 1."""


def fields_of(record: Record) -> dict[str, Any]:
    """The fields of a record, by name."""
    return {
        "tags": list(record.tags),
        "expires": float(record.expires),
        "body": record.body,
        "correct": record.correct,
        "incorrect": record.incorrect,
    }


def record_from(key: str, held: Mapping[str, Any], vector: Any = None) -> Record:
    """The record whose fields an engine gives back; `vector` is a sequence of numbers, or None."""
    return Record(
        key,
        tuple(held["tags"]),
        held["expires"],
        held["body"],
        int(held["correct"]),
        int(held["incorrect"]),
        None if vector is None else np.asarray(vector, dtype=np.float32),
    )


def numbers(vector: np.ndarray | None) -> list[float]:
    """A vector as clients take it."""
    return [] if vector is None else list(vector.tolist())


def packed(vector: np.ndarray | None) -> str:
    """A vector as text, for engines that give their own vectors back rounded or not at all."""
    return b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode()


def unpacked(text: str | None) -> np.ndarray | None:
    """The vector that was packed, bit for bit."""
    return None if text is None else np.frombuffer(b64decode(text), dtype="<f4")


class Tag:
    """Makes tags: a letter and 32 hexadecimal digits."""

    @staticmethod
    def query(query_hash: str) -> str:
        return f"q{digest(query_hash).hex()}"

    @staticmethod
    def template(template_id: str) -> str:
        return f"t{digest(template_id).hex()}"

    @staticmethod
    def question(normalized_question: str) -> str:
        return f"n{digest(normalized_question).hex()}"

    @staticmethod
    def same(question: str, metadata: Mapping[str, MetadataValue]) -> str:
        """Of entries stored under the same question, as it was asked, and metadata."""
        return f"b{digest(question_key(b'', question).hex(), dumps_metadata(metadata)).hex()}"

    @staticmethod
    def table(name: str) -> str:
        return f"k{digest(name).hex()}"

    @staticmethod
    def metadata(key: str, value: MetadataValue) -> str:
        return f"m{digest(key, filter_value(value)).hex()}"


def key_of(entry_id: str) -> str:
    """The key of an entry."""
    return digest(entry_id).hex()


def record_of(entry: CacheEntry, vector: np.ndarray, written: int) -> Record:
    """The record of a checked entry; `written` orders records that are equally near."""
    metadata = validate_metadata(entry.metadata)
    body = {
        "id": entry.id,
        "question": entry.original_question,
        "normalized": entry.normalized_question,
        "query": entry.generated_query,
        "query_hash": entry.query_hash,
        "summary": entry.response_summary,
        "template": entry.template_id,
        "metadata": metadata,
        "usage": entry.usage_count,
        "tables": entry.tables,
        "role": int(entry.role),
        "created": entry.created_at.timestamp(),
        "expires": None if entry.expires_at is None else entry.expires_at.timestamp(),
        "written": written,
    }
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ArgumentValueError("entries", "text without lone surrogates", entry.id) from None
    return Record(
        key_of(entry.id),
        _tags(entry, metadata),
        NEVER if body["expires"] is None else body["expires"],
        text,
        entry.feedback_correct,
        entry.feedback_incorrect,
        vector,
    )


def _tags(entry: CacheEntry, metadata: Mapping[str, MetadataValue]) -> tuple[str, ...]:
    tags = [
        SCOPED if metadata else PLAIN,
        Tag.question(entry.normalized_question),
        Tag.same(entry.original_question, metadata),
        Tag.query(entry.query_hash),
    ]
    if entry.template_id is not None:
        tags.append(Tag.template(entry.template_id))
    tags += [UNREAD] if entry.tables is None else [Tag.table(name) for name in set(entry.tables)]
    return (*tags, *(Tag.metadata(key, value) for key, value in metadata.items()))


class Row(NamedTuple):
    """A record, read: the result it makes and what results do not carry."""

    result: CacheResult
    written: int
    role: VectorRole
    tables: tuple[str, ...] | None


def result_of(record: Record, score: float = 0.0) -> Row:
    """The row in a record. Raises `StorageError` for a body that is not what was written."""
    try:
        body = json.loads(record.body)
        tables = body["tables"]
        return Row(
            _result(record, body, score),
            body["written"],
            VectorRole(body["role"]),
            None if tables is None else tuple(tables),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(f"the entry under key {record.key} is damaged: {error!r}") from error


def entry_of(record: Record) -> CacheEntry:
    """The entry that was made into a record."""
    row = result_of(record)
    held = row.result.model_dump(exclude={"score", "vector"})
    return CacheEntry(**held, vector=record.vector, role=row.role, tables=row.tables)


def _result(record: Record, body: Mapping[str, Any], score: float) -> CacheResult:
    return CacheResult(
        id=body["id"],
        score=min(1.0, max(0.0, score)),
        original_question=body["question"],
        normalized_question=body["normalized"],
        generated_query=body["query"],
        query_hash=body["query_hash"],
        response_summary=body["summary"],
        template_id=body["template"],
        usage_count=body["usage"],
        feedback_correct=record.correct,
        feedback_incorrect=record.incorrect,
        created_at=_moment(body["created"]),
        expires_at=_moment(body["expires"]),
        metadata=body["metadata"],
        vector=record.vector,
    )


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
