"""Entries for the contract tests: unit vectors of which every cosine is known."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from medha_core.normalise import normalize_question, query_hash
from medha_core.types import CacheEntry, CacheResult

DIMENSION = 8


def vector(axis: int = 0, cosine: float = 1.0) -> list[float]:
    """A unit vector with this cosine to the given axis; what is left lies on the next axis."""
    numbers = [0.0] * DIMENSION
    numbers[axis % DIMENSION] = cosine
    numbers[(axis + 1) % DIMENSION] = math.sqrt(1.0 - cosine * cosine)
    return numbers


def entry(name: object, **fields: Any) -> CacheEntry:
    """An entry with every field filled in from its name, except those given."""
    question = fields.pop("question", f"How many of {name}?")
    query = fields.get("generated_query", f"SELECT count(*) FROM t WHERE name = '{name}'")
    given = {
        "id": f"id-{name}",
        "vector": vector(),
        "original_question": question,
        "normalized_question": normalize_question(question),
        "generated_query": query,
        "query_hash": query_hash(query),
        **fields,
    }
    return CacheEntry(**given)


def seconds_ago(seconds: float) -> datetime:
    """A moment in the past, or, for a negative number, in the future."""
    return datetime.now(UTC) - timedelta(seconds=seconds)


def ids(rows: Sequence[CacheResult]) -> list[str]:
    """Ids in the order of the rows."""
    return [row.id for row in rows]
