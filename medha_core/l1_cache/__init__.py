"""Implementations of the first-level cache."""

from medha_core.l1 import InMemoryL1Cache
from medha_core.l1_cache.redis import RedisL1Cache

__all__ = ["InMemoryL1Cache", "RedisL1Cache"]
