"""Embeddings as a service: in this process with `EmbedderService`, over HTTP with `create_app`."""

from medha_core.service.cache import ServiceCache
from medha_core.service.results import BatchEmbeddingResult, EmbeddingResult
from medha_core.service.service import EmbedderService
from medha_core.service.shared import close_embedder_service, get_embedder_service

__all__ = [
    "BatchEmbeddingResult",
    "EmbedderService",
    "EmbeddingResult",
    "ServiceCache",
    "close_embedder_service",
    "get_embedder_service",
]
