"""Embedders that come with the library; those behind extras are imported when they are looked at."""

import importlib
import typing

from medha_core.embeddings.fallback import FallbackEmbedder
from medha_core.embeddings.function import CallableEmbedder
from medha_core.embeddings.hashing import HashingEmbedder
from medha_core.embeddings.onnx import OnnxEmbedder
from medha_core.embeddings.remote import RemoteEmbedder

__all__ = ["CallableEmbedder", "FallbackEmbedder", "HashingEmbedder", "OnnxEmbedder", "RemoteEmbedder"]

_MODULES = {
    "CohereAdapter": "cohere_adapter",
    "FastEmbedAdapter": "fastembed_adapter",
    "GeminiAdapter": "gemini_adapter",
    "MistralAdapter": "mistral_adapter",
    "OpenAIAdapter": "openai_adapter",
    "OpenAICompatibleAdapter": "openai_compatible_adapter",
}


def __getattr__(name: str) -> typing.Any:
    """An adapter behind an extra, imported at the first look at it."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
