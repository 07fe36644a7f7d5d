"""The in-memory store, under the path the Medha library gives it."""

from medha_core.native_backend import InMemoryBackend

__all__ = ["InMemoryBackend"]
