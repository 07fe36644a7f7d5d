"""Embedders that come with the library; those behind extras are imported from their own modules."""

from medha_core.embeddings.fallback import FallbackEmbedder
from medha_core.embeddings.function import CallableEmbedder
from medha_core.embeddings.hashing import HashingEmbedder
from medha_core.embeddings.onnx import OnnxEmbedder
from medha_core.embeddings.remote import RemoteEmbedder

__all__ = ["CallableEmbedder", "FallbackEmbedder", "HashingEmbedder", "OnnxEmbedder", "RemoteEmbedder"]
