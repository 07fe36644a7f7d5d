"""The in-memory store, under the path the Medha library gives it."""

from medha_core.embedded.backend import InMemoryBackend

__all__ = ["InMemoryBackend"]
