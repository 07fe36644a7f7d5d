"""Requests and answers of the routes `/cache/...`."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from medha_core.service.schemas import Body
from medha_core.types import MetadataValue

Collection = Annotated[
    str | None,
    Field(description="The server's, or the only one of the key, without.", min_length=1, max_length=200),
]
Question = Annotated[str, Field(description="What the user asked.")]
Filters = dict[str, MetadataValue] | None


class SearchRequest(Body):
    question: Question
    filters: Filters = None
    include_scoped: bool = False
    explain: bool = False
    collection: Collection = None


class SearchBatchRequest(Body):
    questions: list[Question]
    filters: Filters = None
    include_scoped: bool = False
    explain: bool = False
    collection: Collection = None


class StoreRequest(Body):
    question: Question
    generated_query: str
    response_summary: str | None = None
    template_id: str | None = None
    ttl: int | None = Field(None, ge=1, le=10**9, description="Seconds; null keeps it for ever.")
    metadata: Filters = None
    on_conflict: Literal["replace", "keep_both", "error"] | None = None
    collection: Collection = None


class InvalidateRequest(Body):
    """What is forgotten: exactly one of all but the last.

    `table` means the entries whose query reads it, `filters` those whose metadata
    holds these values, `all` the whole collection.
    """

    question: Question | None = None
    query_hash: str | None = None
    template_id: str | None = None
    table: str | None = None
    filters: Filters = None
    all: bool = False
    collection: Collection = None


class FeedbackRequest(Body):
    question: Question
    correct: bool
    entry_id: str | None = None
    collection: Collection = None


class HitAnswer(BaseModel):
    hit: bool
    generated_query: str
    response_summary: str | None
    confidence: float
    strategy: str
    template_used: str | None
    expires_at: datetime | None
    metadata: dict[str, MetadataValue]
    entry_id: str | None
    similarity: float | None
    parameters: dict[str, str]
    bound: Any
    error: str | None
    explanation: Any = None


class HitsAnswer(BaseModel):
    hits: list[HitAnswer]


class StoreAnswer(BaseModel):
    stored: bool


class InvalidateAnswer(BaseModel):
    invalidated: int


class FeedbackAnswer(BaseModel):
    counted: bool


class StatsAnswer(BaseModel):
    collection: str
    entries: int
    requests: int
    hits: int
    misses: int
    errors: int
    hit_rate: float
    server: dict[str, Any] | None
    """Everything the cache counts, for keys that are bound to no collection."""
