"""The models that can be named: what they cost and take, and the embedder that runs each."""

import importlib
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from medha_core.errors import ArgumentTypeError, ConfigurationError
from medha_core.interfaces.embedder import BaseEmbedder
from medha_core.settings import Settings

__all__ = [
    "EmbeddingModelConfig",
    "EmbeddingProvider",
    "embedder_of",
    "is_named",
    "known_models",
    "make_embedder",
    "model_config",
]


class EmbeddingProvider(StrEnum):
    """What computes a model's vectors: a package in this process, or a service."""

    ONNX = "onnx"
    HASHING = "hashing"
    FASTEMBED = "fastembed"
    SENTENCE_TRANSFORMERS = "sentence-transformers"
    OPENAI = "openai"
    OPENAI_COMPATIBLE = "openai-compatible"
    COHERE = "cohere"
    GEMINI = "gemini"
    MISTRAL = "mistral"


class EmbeddingModelConfig(BaseModel):
    """What is known of a model before it is loaded.

    `max_input_length` counts tokens of one text, `max_batch_size` texts of one
    call; `cost_per_1k_tokens` is in US dollars, None for a model that costs
    nothing by the token.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    provider: EmbeddingProvider
    dimension: int
    max_batch_size: int
    max_input_length: int
    cost_per_1k_tokens: float | None = None


class _Adapter(NamedTuple):
    """Where a provider's embedder is, and the argument that takes the model's name."""

    module: str
    name: str
    argument: str | None


_ADAPTERS = {
    EmbeddingProvider.ONNX: _Adapter("onnx", "OnnxEmbedder", "model"),
    EmbeddingProvider.HASHING: _Adapter("hashing", "HashingEmbedder", None),
    EmbeddingProvider.FASTEMBED: _Adapter("fastembed_adapter", "FastEmbedAdapter", "model_name"),
    EmbeddingProvider.SENTENCE_TRANSFORMERS: _Adapter(
        "sentence_transformers_adapter", "SentenceTransformersAdapter", "model_name"
    ),
    EmbeddingProvider.OPENAI: _Adapter("openai_adapter", "OpenAIAdapter", "model_name"),
    EmbeddingProvider.OPENAI_COMPATIBLE: _Adapter(
        "openai_compatible_adapter", "OpenAICompatibleAdapter", "model"
    ),
    EmbeddingProvider.COHERE: _Adapter("cohere_adapter", "CohereAdapter", "model"),
    EmbeddingProvider.GEMINI: _Adapter("gemini_adapter", "GeminiAdapter", "model"),
    EmbeddingProvider.MISTRAL: _Adapter("mistral_adapter", "MistralAdapter", "model"),
}

# Prices as the vendors list them, converted from a million tokens to a thousand.
_TABLE: tuple[tuple[str, str, int, int, int, float | None], ...] = (
    ("text-embedding-3-small", "openai", 1536, 100, 8191, 0.00002),
    ("text-embedding-3-large", "openai", 3072, 100, 8191, 0.00013),
    ("text-embedding-ada-002", "openai", 1536, 100, 8191, 0.0001),
    ("all-MiniLM-L6-v2", "onnx", 384, 32, 256, None),
    ("all-mpnet-base-v2", "sentence-transformers", 768, 32, 384, None),
    ("nomic-embed-text-v2", "sentence-transformers", 768, 32, 512, None),
    ("nomic-embed-text-v1.5", "sentence-transformers", 768, 32, 8192, None),
    ("nomic-embed-text", "openai-compatible", 768, 20, 8192, None),
    ("bge-small-en-v1.5", "fastembed", 384, 256, 512, None),
    ("embed-multilingual-v3.0", "cohere", 1024, 96, 512, 0.0001),
    ("embed-english-v3.0", "cohere", 1024, 96, 512, 0.0001),
    ("text-embedding-004", "gemini", 768, 100, 2048, None),
    ("gemini-embedding-001", "gemini", 3072, 100, 2048, 0.00015),
    ("mistral-embed", "mistral", 1024, 50, 8192, 0.0001),
    ("hashing", "hashing", 384, 1000, 1_000_000, None),
)
_FIELDS = tuple(EmbeddingModelConfig.model_fields)
_KNOWN = {row[0]: EmbeddingModelConfig(**dict(zip(_FIELDS, row, strict=True))) for row in _TABLE}

# The names that the providers use, where they differ from ours.
_IDENTIFIERS = {
    "all-mpnet-base-v2": "sentence-transformers/all-mpnet-base-v2",
    "nomic-embed-text-v2": "nomic-ai/nomic-embed-text-v2-moe",
    "nomic-embed-text-v1.5": "nomic-ai/nomic-embed-text-v1.5",
    "bge-small-en-v1.5": "BAAI/bge-small-en-v1.5",
    "text-embedding-004": "models/text-embedding-004",
    "gemini-embedding-001": "models/gemini-embedding-001",
}
_ALIASES = {identifier: name for name, identifier in _IDENTIFIERS.items()} | {
    "ada-002": "text-embedding-ada-002",
    "sentence-transformers/all-MiniLM-L6-v2": "all-MiniLM-L6-v2",
}


def known_models() -> list[EmbeddingModelConfig]:
    """Every model that can be named, in the order of the table."""
    return list(_KNOWN.values())


def model_config(name: str) -> EmbeddingModelConfig:
    """What is known of the model `name`; its provider's own name for it is understood too.

    Raises `ConfigurationError` listing the known models for another name.
    """
    if not isinstance(name, str):
        raise ArgumentTypeError("model", "a model's name", name)
    found = _KNOWN.get(_ALIASES.get(name, name))
    if found is None:
        raise ConfigurationError(f"unknown model {name!r}: known are {', '.join(_KNOWN)}")
    return found


def is_named(name: str) -> bool:
    """Whether `make_embedder` understands `name`: a known model, or `provider:model`."""
    return _ALIASES.get(name, name) in _KNOWN or _divided(name) is not None


def make_embedder(name: str, **options: Any) -> BaseEmbedder:
    """The embedder for the model `name`; its module and packages are imported only now.

    `provider:model`, as in `openai:text-embedding-3-small`, chooses the provider
    too and takes any model that it has. `options` go to the embedder's
    constructor, for example `api_key`. Raises `ConfigurationError` for an unknown
    model, and where the package that runs it is not installed.
    """
    divided = _divided(name)
    if divided is None:
        config = model_config(name)
        divided = config.provider, config.name
    provider, model = divided
    adapter = _ADAPTERS[provider]
    module = importlib.import_module(f"medha_core.embeddings.{adapter.module}")
    if adapter.argument is not None:
        options = {adapter.argument: _IDENTIFIERS.get(model, model)} | options
    embedder: BaseEmbedder = getattr(module, adapter.name)(**options)
    return embedder


def _divided(name: object) -> tuple[EmbeddingProvider, str] | None:
    """Provider and model of `provider:model`."""
    prefix, _, model = name.partition(":") if isinstance(name, str) else ("", "", "")
    return (EmbeddingProvider(prefix), model) if model and prefix in list(EmbeddingProvider) else None


def embedder_of(settings: Settings) -> BaseEmbedder:
    """The embedder that `settings.embedder_type` names, with the settings that belong to it.

    Raises `ConfigurationError` where a key or a package is missing, and for `_noop`,
    which embeds nothing.
    """
    kind = settings.embedder_type
    if kind == "_noop":
        raise ConfigurationError("embedder_type: '_noop' embeds nothing: set MEDHA_EMBEDDER_TYPE")
    names = {
        "onnx": "onnx:all-MiniLM-L6-v2",
        "hashing": "hashing",
        "fastembed": f"fastembed:{settings.fastembed_model}",
        "sentence-transformers": "all-mpnet-base-v2",
        "openai": "text-embedding-3-small",
        "openai-compatible": f"openai-compatible:{settings.oai_compat_model}",
        "cohere": "embed-multilingual-v3.0",
        "gemini": "text-embedding-004",
        "mistral": f"mistral:{settings.mistral_model}",
    }
    takes_settings = {"settings": settings} if kind in ("openai-compatible", "mistral") else {}
    return make_embedder(names[kind], **takes_settings)
