"""Implementations of the vector store."""

from medha_core.embedded.backend import InMemoryBackend, NativeBackend

__all__ = ["InMemoryBackend", "NativeBackend"]
