"""The first-level cache as the waterfall and third parties use it."""

from datetime import UTC, datetime

from medha_core import CacheHit, InMemoryL1Cache, L1CacheBackend, SearchStrategy
from medha_core.native import question_key


def hit(query, **fields):
    return CacheHit(generated_query=query, strategy=SearchStrategy.L1_CACHE, **fields)


class DictL1(L1CacheBackend):
    """The least a third party has to write."""

    def __init__(self):
        self.kept = {}

    async def get(self, key):
        return self.kept.get(key)

    async def set(self, key, value):
        self.kept[key] = value

    async def clear(self):
        self.kept.clear()

    async def invalidate(self, key):
        self.kept.pop(key, None)

    @property
    def size(self):
        return len(self.kept)


async def contract(l1):
    assert await l1.get("k") is None
    await l1.set("k", hit("SELECT 1", entry_id="e1"))
    await l1.set("other", hit("SELECT 2", entry_id="e2"))
    assert (await l1.get("k")).generated_query == "SELECT 1"
    assert l1.size == 2
    await l1.invalidate("absent")
    await l1.invalidate("other")
    assert await l1.get("other") is None
    before = l1.generation
    await l1.invalidate_entries(["e1", "e9"])
    assert l1.generation == before + 2
    assert await l1.get("k") is None
    await l1.refill("k", hit("late"), before)
    assert await l1.get("k") is None
    await l1.refill("k", hit("in time"), l1.generation)
    assert (await l1.get("k")).generated_query == "in time"
    assert l1.advance() == l1.generation == before + 3
    await l1.invalidate_all()
    assert l1.size == 0
    await l1.close()


async def test_the_contract_in_memory():
    await contract(InMemoryL1Cache())


async def test_the_contract_of_a_third_party():
    await contract(DictL1())


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
