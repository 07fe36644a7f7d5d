"""Requests and answers over HTTP, with the names of the systems whose clients already exist."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from medha_core.service.models import ServedModel

Model = Annotated[
    str | None, Field(description="A model's name; the server's default without.", max_length=200)
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


# state


class StateAnswer(BaseModel):
    status: str
    checks: dict[str, str] = Field(default_factory=dict)
