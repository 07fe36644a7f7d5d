"""Contract tests that implementations of our interfaces subclass; they need pytest and pytest-asyncio."""

from medha_core.testing.l1_cache import L1CacheContract
from medha_core.testing.storage import StorageContract

__all__ = ["L1CacheContract", "StorageContract"]
