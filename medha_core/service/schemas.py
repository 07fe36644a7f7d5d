"""Requests and answers over HTTP, with the names of the systems whose clients already exist."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from medha_core.service.models import ServedModel
from medha_core.types import MetadataValue

Model = Annotated[
    str | None, Field(description="A model's name; the server's default without.", max_length=200)
]
Collection = Annotated[
    str | None,
    Field(description="The server's, or the only one of the key, without.", min_length=1, max_length=200),
]
Vector = list[float]


class Body(BaseModel):
    """A request: a name it does not know is a mistake, and is told."""

    model_config = ConfigDict(extra="forbid")


class ErrorDetail(BaseModel):
    type: str
    message: str
    param: str | None


class ErrorBody(BaseModel):
    """What every error looks like."""

    error: ErrorDetail


# embeddings


class TextRequest(Body):
    text: str
    model: Model = None
    use_cache: bool = True


class QueryRequest(Body):
    query: str
    model: Model = None
    use_cache: bool = True


class BatchRequest(Body):
    texts: list[str]
    """Empty ones are left out."""
    model: Model = None
    batch_size: int | None = Field(None, ge=1)
    use_cache: bool = True


class WarmRequest(Body):
    texts: list[str]
    model: Model = None


class EmbeddingAnswer(BaseModel):
    embedding: Vector
    dimension: int
    model: str
    cached: bool
    cost: float


class BatchAnswer(BaseModel):
    embeddings: list[Vector]
    dimension: int
    model: str
    total_embeddings: int
    cached_count: int
    total_cost: float


class WarmAnswer(BaseModel):
    model: str
    total_embeddings: int
    cached_count: int
    total_cost: float


class ModelInfo(ServedModel):
    loaded: bool


class ModelsAnswer(BaseModel):
    models: list[ModelInfo]
    default: str


class MetricsAnswer(BaseModel):
    metrics: dict[str, Any]


class ResetAnswer(BaseModel):
    status: str
    message: str


class HealthAnswer(BaseModel):
    status: str
    service: str
    default_model: str
    caching_enabled: bool
    models_loaded: int
    redis: str


# the protocol of the embedding cache's clients


class WireRequest(Body):
    texts: list[str] = Field(min_length=1)
    model: Model = None
    normalized: bool = False
    """Whether the client has normalised the texts. They are embedded as they are either way."""
    role: Literal["query", "document"] = "query"


class WireAnswer(BaseModel):
    embeddings: list[Vector]
    cache_hits: list[bool]
    model: str
    dimensions: int
    fingerprint: str


# the OpenAI protocol


class OpenAIRequest(BaseModel):
    """Fields it does not know are ignored, as clients of this protocol expect."""

    input: Any = Field(
        json_schema_extra={
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
            ]
        },
        description="A text or a list of texts. Arrays of tokens are refused: send the text.",
    )
    model: str = Field(max_length=200)
    encoding_format: Literal["float", "base64"] | None = None
    """`float` without."""
    dimensions: int | None = Field(None, ge=1)
    user: str | None = None


class OpenAIEmbedding(BaseModel):
    object: Literal["embedding"]
    index: int
    embedding: Vector | str


class OpenAIUsage(BaseModel):
    prompt_tokens: int
    total_tokens: int


class OpenAIAnswer(BaseModel):
    object: Literal["list"]
    data: list[OpenAIEmbedding]
    model: str
    usage: OpenAIUsage


class OpenAIModel(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class OpenAIModels(BaseModel):
    object: Literal["list"] = "list"
    data: list[OpenAIModel]


# the semantic cache

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


class StateAnswer(BaseModel):
    status: str
    checks: dict[str, str] = Field(default_factory=dict)
