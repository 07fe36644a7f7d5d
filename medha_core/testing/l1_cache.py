"""The contract of a first-level cache, as tests to subclass.

    from medha_core.testing import L1CacheContract

    class TestMyCache(L1CacheContract):
        @pytest.fixture
        async def l1(self):
            cache = MyCache()
            yield cache
            await cache.close()

Each test gets an empty `l1` with room for at least 200 hits. Run with pytest-asyncio.
"""

import asyncio
from datetime import UTC, datetime, timedelta

from medha_core.errors import ConfigurationError

try:
    import pytest
except ImportError as error:
    raise ConfigurationError('medha_core.testing: needs pytest; pip install "medha-core[test]"') from error

from medha_core.interfaces.l1_cache import L1CacheBackend
from medha_core.types import Bound, CacheHit, SearchStrategy

__all__ = ["L1CacheContract"]

KEYS = ("k", "a" * 32, "0f" * 16, "key with spaces", "schlüssel:会社", "a*b?c[d]", "k:k", "k" * 1000)
FULL = CacheHit(
    generated_query="SELECT 'Łódź', \"x\"\n-- 🎉",
    response_summary="12 rows",
    confidence=0.875,
    strategy=SearchStrategy.PARAMETRIC_MATCH,
    template_used="cities",
    expires_at=datetime(2999, 1, 2, 3, 4, 5, tzinfo=UTC),
    metadata={"text": "Zürich", "whole": 1, "half": 0.5, "yes": True, "one": 1.0},
    entry_id="entry with spaces: ü",
    similarity=0.9375,
    parameters={"city": "Łódź"},
    bound=Bound("SELECT ?", ("Łódź", 1, 0.5)),
)


def hit(query: str, **fields: object) -> CacheHit:
    """A hit as the waterfall hands it over."""
    return CacheHit(generated_query=query, strategy=SearchStrategy.L1_CACHE, **fields)


@pytest.mark.asyncio
class L1CacheContract:
    """Every promise of `L1CacheBackend`. A subclass provides the fixture `l1`."""

    drops_only_what_is_named = True
    """False for a cache that drops everything where it is asked to drop some."""

    async def test_an_unknown_key_has_no_hit(self, l1: L1CacheBackend) -> None:
        assert await l1.get("k") is None

    async def test_what_is_set_is_got_under_its_key_alone(self, l1: L1CacheBackend) -> None:
        for key in KEYS:
            await l1.set(key, hit(key))
        for key in KEYS:
            assert (await l1.get(key)).generated_query == key
        assert await l1.get("unset") is None
        assert l1.size == len(KEYS)

    async def test_a_hit_comes_back_as_it_was(self, l1: L1CacheBackend) -> None:
        await l1.set("k", FULL)
        got = await l1.get("k")
        assert got == FULL
        assert list(map(type, got.metadata.values())) == list(map(type, FULL.metadata.values()))

    async def test_the_last_hit_of_a_key_wins(self, l1: L1CacheBackend) -> None:
        await l1.set("k", hit("old", entry_id="e1"))
        await l1.set("k", hit("new", entry_id="e2"))
        assert (await l1.get("k")).generated_query == "new"
        assert l1.size == 1

    async def test_an_expired_hit_is_none(self, l1: L1CacheBackend) -> None:
        now = datetime.now(UTC)
        await l1.set("over", hit("over", expires_at=now - timedelta(seconds=1)))
        await l1.set("soon", hit("soon", expires_at=now + timedelta(seconds=0.3)))
        await l1.set("later", hit("later", expires_at=now + timedelta(hours=1)))
        assert await l1.get("over") is None
        await asyncio.sleep(0.35)
        assert await l1.get("soon") is None
        assert await l1.get("later") is not None

    async def test_invalidate_drops_one_key(self, l1: L1CacheBackend) -> None:
        await l1.set("k", hit("k"))
        await l1.set("other", hit("other"))
        await l1.invalidate("absent")
        await l1.invalidate("k")
        assert await l1.get("k") is None
        assert await l1.get("other") is not None

    async def test_every_key_that_serves_an_entry_is_dropped_with_it(self, l1: L1CacheBackend) -> None:
        for i in range(150):
            await l1.set(f"paraphrase {i}", hit("q", entry_id="e"))
        await l1.set("longer", hit("q", entry_id="e e"))
        await l1.set("other", hit("q", entry_id="f"))
        await l1.set("none", hit("q"))
        before = l1.generation
        await l1.invalidate_entries(["e", "absent"])
        assert l1.generation == before + 2
        assert [await l1.get(f"paraphrase {i}") for i in range(150)] == [None] * 150
        if self.drops_only_what_is_named:
            assert None not in [await l1.get(key) for key in ("longer", "other", "none")]

    async def test_a_key_that_serves_another_entry_by_now_stays(self, l1: L1CacheBackend) -> None:
        await l1.set("k", hit("old", entry_id="e1"))
        await l1.set("k", hit("new", entry_id="e2"))
        await l1.invalidate_entries(["e1"])
        if self.drops_only_what_is_named:
            assert (await l1.get("k")).generated_query == "new"
        await l1.invalidate_entries(["e2"])
        assert await l1.get("k") is None

    async def test_a_slow_search_cannot_bring_back_what_was_forgotten(self, l1: L1CacheBackend) -> None:
        await l1.get("k")
        before = l1.generation
        await l1.invalidate_entries(["e"])
        await l1.refill("k", hit("late", entry_id="e"), before)
        assert await l1.get("k") is None
        await l1.refill("k", hit("in time", entry_id="e"), l1.generation)
        assert (await l1.get("k")).generated_query == "in time"

    async def test_a_new_generation_alone_drops_nothing(self, l1: L1CacheBackend) -> None:
        await l1.set("k", hit("k"))
        before = l1.generation
        assert l1.advance() == l1.generation == before + 1
        await l1.refill("late", hit("late"), before)
        assert await l1.get("late") is None
        assert await l1.get("k") is not None
        assert l1.generation == before + 1

    async def test_a_writer_shows_what_it_wrote_unless_another_came_between(self, l1: L1CacheBackend) -> None:
        await l1.get("k")
        generation = l1.advance()
        await l1.invalidate_entries(["e1", "e2"])
        await l1.refill("mine", hit("mine"), generation + 2)
        assert await l1.get("mine") is not None
        generation = l1.advance()
        await l1.invalidate_entries(["e1"])
        await l1.invalidate_entries(["another"])
        await l1.refill("theirs", hit("theirs"), generation + 1)
        assert await l1.get("theirs") is None

    async def test_invalidate_prefix_drops_what_begins_so(self, l1: L1CacheBackend) -> None:
        keys = ("ab:1", "ab:2", "abc", "b:ab", "a*b")
        for key in keys:
            await l1.set(key, hit(key))
        await l1.invalidate_prefix("ab")
        left = [key for key in keys if await l1.get(key)]
        assert left in (["b:ab", "a*b"], [])  # a cache that hashes its keys drops everything

    async def test_nothing_is_left_after_invalidate_all(self, l1: L1CacheBackend) -> None:
        await l1.get("k")
        before = l1.generation
        for i in range(150):
            await l1.set(str(i), hit("q", entry_id=f"e{i}"))
        await l1.invalidate_all()
        assert [await l1.get(str(i)) for i in range(150)] == [None] * 150
        assert l1.size == 0
        assert l1.generation > before

    async def test_clear_drops_everything(self, l1: L1CacheBackend) -> None:
        await l1.set("k", hit("k"))
        await l1.clear()
        assert await l1.get("k") is None
        assert l1.size == 0
        await l1.set("k", hit("again"))
        assert await l1.get("k") is not None

    async def test_tasks_and_threads_with_loops_of_their_own_may_share_it(self, l1: L1CacheBackend) -> None:
        async def use(name: str) -> list[str]:
            await asyncio.gather(*(l1.set(f"{name}{i}", hit(f"{name}{i}")) for i in range(25)))
            got = await asyncio.gather(*(l1.get(f"{name}{i}") for i in range(25)))
            return [one.generated_query for one in got]

        threads = [asyncio.to_thread(asyncio.run, use(name)) for name in ("a", "b", "c")]
        for name, got in zip("dabc", await asyncio.gather(use("d"), *threads), strict=True):
            assert got == [f"{name}{i}" for i in range(25)]

    async def test_closing_twice_is_harmless(self, l1: L1CacheBackend) -> None:
        await l1.set("k", hit("k"))
        await l1.close()
        await l1.close()
