"""Vector stores for many tenants: chunks of documents, by namespace.

`VectorStoreError` is what such libraries call the base of their stores' errors; here that is `StorageError`.
"""

from medha_core.errors import MigrationError, StorageError
from medha_core.stores.base import VectorStore
from medha_core.stores.memory import InMemoryVectorStore
from medha_core.stores.models import Chunk, Document, EmbeddedChunk, RetrievalResult
from medha_core.stores.native import NativeVectorStore
from medha_core.stores.pg import PgVectorStore

VectorStoreError = StorageError

__all__ = [
    # stores
    "InMemoryVectorStore",
    "NativeVectorStore",
    "PgVectorStore",
    "VectorStore",
    # values
    "Chunk",
    "Document",
    "EmbeddedChunk",
    "RetrievalResult",
    # errors
    "MigrationError",
    "VectorStoreError",
]
