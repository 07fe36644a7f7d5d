"""Implementations of the vector store."""

from medha_core.native_backend import InMemoryBackend, NativeBackend

__all__ = ["InMemoryBackend", "NativeBackend"]
