"""Embedders that come with the library."""

from medha_core.embeddings.function import CallableEmbedder
from medha_core.embeddings.hashing import HashingEmbedder
from medha_core.embeddings.onnx import OnnxEmbedder

__all__ = ["CallableEmbedder", "HashingEmbedder", "OnnxEmbedder"]
