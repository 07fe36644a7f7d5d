"""Contracts of what can be exchanged: embedder, store, first-level cache."""

from medha_core.interfaces.embedder import BaseEmbedder
from medha_core.interfaces.l1_cache import L1CacheBackend
from medha_core.interfaces.storage import Candidate, VectorStorageBackend

__all__ = ["BaseEmbedder", "Candidate", "L1CacheBackend", "VectorStorageBackend"]
