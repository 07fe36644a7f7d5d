"""Implementations of the first-level cache."""

from medha_core.l1 import InMemoryL1Cache

__all__ = ["InMemoryL1Cache"]
