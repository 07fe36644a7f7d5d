"""Chooses the store that the settings name."""

from importlib import import_module

from medha_core.embedded.backend import InMemoryBackend, NativeBackend
from medha_core.errors import ConfigurationError
from medha_core.interfaces import VectorStorageBackend
from medha_core.settings import Settings

__all__ = ["ENGINES", "make_backend"]

ENGINES = {
    "qdrant": "medha_core.backends.qdrant:QdrantBackend",
    "pgvector": "medha_core.backends.pgvector:PgVectorBackend",
    "vectorchord": "medha_core.backends.vectorchord:VectorChordBackend",
    "chroma": "medha_core.backends.chroma:ChromaBackend",
    "lancedb": "medha_core.backends.lancedb:LanceDBBackend",
    "redis": "medha_core.backends.redis_vector:RedisVectorBackend",
    "elasticsearch": "medha_core.backends.elasticsearch:ElasticsearchBackend",
    "weaviate": "medha_core.backends.weaviate:WeaviateBackend",
    "azure-search": "medha_core.backends.azure_search:AzureSearchBackend",
}
"""Classes of engines outside this library by `Settings.backend_type`; each is imported when it is chosen."""


def make_backend(settings: Settings) -> VectorStorageBackend:
    """The store `settings.backend_type` names, not opened yet.

    Raises `ConfigurationError` naming the extra when the engine's client is not installed.
    """
    if settings.backend_type == "memory":
        return InMemoryBackend(settings=settings)
    if settings.backend_type == "native":
        return NativeBackend(settings.path, settings=settings)
    if settings.backend_type not in ENGINES:
        raise ConfigurationError(f"backend_type {settings.backend_type!r}: expected one of {sorted(ENGINES)}")
    module, _, name = ENGINES[settings.backend_type].partition(":")
    made: VectorStorageBackend = getattr(import_module(module), name)(settings)
    return made
