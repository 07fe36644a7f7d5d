"""An in-process semantic cache: a question in, the query already written for it out."""

import importlib
import typing

__version__ = "0.1.0"

# The public names by the module they live in, which only the first look at one of them imports: a program
# waits for what it uses. Type checkers read __init__.pyi.
_HOMES = {
    "medha_core.medha": "Medha",
    "medha_core.settings": "Settings",
    "medha_core.types": (
        "Bound CacheEntry CacheHit CacheResult CacheStats GuardStats MetadataDict MetadataValue "
        "PersistedStats QueryTemplate SearchStrategy StrategyStats VectorRole"
    ),
    "medha_core.interfaces": "BaseEmbedder Candidate L1CacheBackend VectorStorageBackend",
    "medha_core.backends": "InMemoryBackend NativeBackend",
    "medha_core.l1_cache": "InMemoryL1Cache RedisL1Cache",
    "medha_core.embeddings": (
        "CallableEmbedder FallbackEmbedder HashingEmbedder OnnxEmbedder RemoteEmbedder"
    ),
    "medha_core.embeddings.registry": "EmbeddingModelConfig EmbeddingProvider",
    "medha_core.embedding": "CachedEmbedder",
    "medha_core.embedding_cache": "EmbeddingCache embed",
    "medha_core.service": (
        "BatchEmbeddingResult EmbedderService EmbeddingResult ServiceCache close_embedder_service "
        "get_embedder_service"
    ),
    "medha_core.stores": (
        "Chunk Document EmbeddedChunk InMemoryVectorStore NativeVectorStore PgVectorStore RetrievalResult "
        "VectorStore VectorStoreError"
    ),
    "medha_core.parameters": "ParameterExtractor",
    "medha_core.normalise": "keyword_overlap_score normalize_question query_hash question_hash",
    "medha_core.logging_setup": "setup_logging",
    "medha_core.errors": (
        "ArgumentTypeError ArgumentValueError ConfigurationError ConflictError DimensionMismatchError "
        "DirectoryLockedError EmbeddingError MedhaError MigrationError ParameterExtractionError "
        "ProvidersFailedError SnapshotError StorageError StorageInitializationError TemplateError"
    ),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = [*_HOME_OF]

# Public as well, but behind extras: `import *` and dir() leave them out, for not all of them can be imported.
_HOME_OF |= {
    "AzureSearchBackend": "medha_core.backends.azure_search",
    "ChromaBackend": "medha_core.backends.chroma",
    "CohereAdapter": "medha_core.embeddings.cohere_adapter",
    "ElasticsearchBackend": "medha_core.backends.elasticsearch",
    "GeminiAdapter": "medha_core.embeddings.gemini_adapter",
    "LanceDBBackend": "medha_core.backends.lancedb",
    "MistralAdapter": "medha_core.embeddings.mistral_adapter",
    "OpenAICompatibleAdapter": "medha_core.embeddings.openai_compatible_adapter",
    "PgVectorBackend": "medha_core.backends.pgvector",
    "QdrantBackend": "medha_core.backends.qdrant",
    "RedisVectorBackend": "medha_core.backends.redis_vector",
    "VectorChordBackend": "medha_core.backends.vectorchord",
    "WeaviateBackend": "medha_core.backends.weaviate",
}


def __getattr__(name: str) -> typing.Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(home), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
