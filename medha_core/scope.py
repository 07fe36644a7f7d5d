"""The scope of a question: what besides its words decides the answer. Part of every key."""

from collections.abc import Mapping
from typing import NamedTuple

from medha_core.metadata import dumps_metadata
from medha_core.native import hash_parts, question_key
from medha_core.types import MetadataValue


class Scope(NamedTuple):
    """The collection asked, the filters, and whether scoped entries may answer without filters."""

    collection: str
    filters: Mapping[str, MetadataValue]
    include_scoped: bool
    key: bytes


def make_scope(
    collection: str, filters: Mapping[str, MetadataValue] | None = None, include_scoped: bool = False
) -> Scope:
    """A scope with its 128-bit key; `filters` must be valid metadata."""
    filters = filters or {}
    return Scope(collection, filters, include_scoped, _key(collection, filters, include_scoped))


def asked_key(collection: str, question: str, filters: Mapping[str, MetadataValue]) -> bytes:
    """The key that a question has when it is asked with exactly these filters."""
    return question_key(_key(collection, filters, False), question)


def _key(collection: str, filters: Mapping[str, MetadataValue], include_scoped: bool) -> bytes:
    return hash_parts(collection, dumps_metadata(filters), "all" if include_scoped else "")


def entry_id(
    collection: str, question: str, metadata: Mapping[str, MetadataValue], query_hash: str = ""
) -> str:
    """The id of the entry for a question in its scope: storing it again replaces it.

    With a hash of the query, each query for the question has an id of its own.
    """
    parts = [collection, dumps_metadata(metadata)] + [query_hash] * bool(query_hash)
    return question_key(hash_parts(*parts), question).hex()
