"""The first-level cache as the waterfall and third parties use it."""

from datetime import UTC, datetime

import pytest

from medha_core import CacheHit, InMemoryL1Cache, L1CacheBackend, SearchStrategy
from medha_core.native import question_key
from medha_core.testing import L1CacheContract


def hit(query, **fields):
    return CacheHit(generated_query=query, strategy=SearchStrategy.L1_CACHE, **fields)


class DictL1(L1CacheBackend):
    """The least a third party has to write."""

    def __init__(self):
        self.kept = {}

    async def get(self, key):
        held = self.kept.get(key)
        return None if held is None or (held.expires_at and held.expires_at <= datetime.now(UTC)) else held

    async def set(self, key, value):
        self.kept[key] = value

    async def clear(self):
        self.kept.clear()

    async def invalidate(self, key):
        self.kept.pop(key, None)

    @property
    def size(self):
        return len(self.kept)


class TestInMemory(L1CacheContract):
    @pytest.fixture
    async def l1(self):
        return InMemoryL1Cache()


class TestThirdParty(L1CacheContract):
    drops_only_what_is_named = False

    @pytest.fixture
    async def l1(self):
        return DictL1()


async def test_a_hit_is_found_by_its_question_and_by_its_key():
    l1, scope = InMemoryL1Cache(), b"scope"
    key = question_key(scope, "How many users?").hex()
    await l1.set(key, hit("SELECT 1"))
    assert l1.lookup(scope, "how many  users") == await l1.get(key) == hit("SELECT 1")
    assert l1.lookup(b"other", "How many users?") is None


async def test_expiry_size_and_recency():
    clock = [100.0]
    l1 = InMemoryL1Cache(2, clock=lambda: clock[0])
    await l1.set("a", hit("a", expires_at=datetime.fromtimestamp(110, UTC)))
    await l1.set("b", hit("b"))
    await l1.get("a")
    await l1.set("c", hit("c"))
    assert [bool(await l1.get(key)) for key in "abc"] == [True, False, True]
    clock[0] = 110.0
    assert await l1.get("a") is None
    assert l1.size == 1
    assert "1/2" in repr(l1)
