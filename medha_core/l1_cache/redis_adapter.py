"""The first-level cache in Redis, under the path the Medha library gives it."""

from medha_core.l1_cache.redis import RedisL1Cache

__all__ = ["RedisL1Cache"]
