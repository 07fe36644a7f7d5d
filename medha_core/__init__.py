"""An in-process semantic cache: a question in, the query already written for it out."""

from medha_core.backends import InMemoryBackend, NativeBackend
from medha_core.embedding import CachedEmbedder
from medha_core.embedding_cache import EmbeddingCache, embed
from medha_core.embeddings import (
    CallableEmbedder,
    FallbackEmbedder,
    HashingEmbedder,
    OnnxEmbedder,
    RemoteEmbedder,
)
from medha_core.errors import (
    ArgumentTypeError,
    ArgumentValueError,
    ConfigurationError,
    ConflictError,
    DimensionMismatchError,
    DirectoryLockedError,
    EmbeddingError,
    MedhaError,
    ParameterExtractionError,
    ProvidersFailedError,
    SnapshotError,
    StorageError,
    StorageInitializationError,
    TemplateError,
)
from medha_core.interfaces import BaseEmbedder, Candidate, L1CacheBackend, VectorStorageBackend
from medha_core.l1_cache import InMemoryL1Cache
from medha_core.medha import Medha
from medha_core.normalise import keyword_overlap_score, normalize_question, query_hash, question_hash
from medha_core.parameters import ParameterExtractor
from medha_core.settings import Settings
from medha_core.types import (
    Bound,
    CacheEntry,
    CacheHit,
    CacheResult,
    CacheStats,
    GuardStats,
    PersistedStats,
    QueryTemplate,
    SearchStrategy,
    StrategyStats,
    VectorRole,
)

__version__ = "0.1.0"

__all__ = [
    # the cache
    "Medha",
    "Settings",
    # its values
    "Bound",
    "CacheEntry",
    "CacheHit",
    "CacheResult",
    "CacheStats",
    "GuardStats",
    "PersistedStats",
    "QueryTemplate",
    "SearchStrategy",
    "StrategyStats",
    "VectorRole",
    # contracts
    "BaseEmbedder",
    "Candidate",
    "L1CacheBackend",
    "VectorStorageBackend",
    # embedding without a cache of queries
    "EmbeddingCache",
    "embed",
    # implementations
    "CachedEmbedder",
    "CallableEmbedder",
    "FallbackEmbedder",
    "HashingEmbedder",
    "InMemoryBackend",
    "InMemoryL1Cache",
    "NativeBackend",
    "OnnxEmbedder",
    "RemoteEmbedder",
    # helpers
    "ParameterExtractor",
    "keyword_overlap_score",
    "normalize_question",
    "query_hash",
    "question_hash",
    # errors
    "ArgumentTypeError",
    "ArgumentValueError",
    "ConfigurationError",
    "ConflictError",
    "DimensionMismatchError",
    "DirectoryLockedError",
    "EmbeddingError",
    "MedhaError",
    "ParameterExtractionError",
    "ProvidersFailedError",
    "SnapshotError",
    "StorageError",
    "StorageInitializationError",
    "TemplateError",
]
