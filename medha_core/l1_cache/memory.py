"""The in-memory first-level cache, under the path the Medha library gives it."""

from medha_core.l1 import InMemoryL1Cache

__all__ = ["InMemoryL1Cache"]
