"""The first-level cache, on the extension and on its twin."""

import gc
import threading
import weakref
from collections import OrderedDict
from math import inf, nan

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from medha_core import _twin
from medha_core.errors import ArgumentTypeError, ArgumentValueError


class Clock:
    def __init__(self):
        self.now = 1000.0
        self.reads = 0

    def __call__(self):
        self.reads += 1
        return self.now


def key(number):
    return number.to_bytes(16, "little")


def test_a_value_comes_back_until_it_is_removed(core):
    cache = core.LRUCache(2)
    value = object()
    assert cache.get(key(1)) is None
    assert cache.put(key(1), value)
    assert cache.get(key(1)) is value
    assert cache.remove(key(1))
    assert not cache.remove(key(1))
    assert cache.get(key(1)) is None
    assert (cache.hits, cache.misses, len(cache)) == (1, 2, 0)


def test_the_one_used_longest_ago_makes_place(core):
    cache = core.LRUCache(2)
    cache.put(key(1), "a")
    cache.put(key(2), "b")
    cache.get(key(1))
    cache.put(key(3), "c")
    assert [cache.get(key(n)) for n in (1, 2, 3)] == ["a", None, "c"]
    assert cache.evictions == 1


def test_replacing_refreshes_and_evicts_nothing(core):
    cache = core.LRUCache(2)
    cache.put(key(1), "a")
    cache.put(key(2), "b")
    cache.put(key(1), "A", tag=7)
    assert (len(cache), cache.evictions) == (2, 0)
    cache.put(key(3), "c")
    assert [cache.get(key(n)) for n in (1, 2, 3)] == ["A", None, "c"]
    assert cache.remove_tag(7) == 1


def test_a_record_expires_when_its_time_comes(core):
    clock = Clock()
    cache = core.LRUCache(4, clock=clock)
    cache.put(key(1), "soon", expires_at=1010)
    cache.put(key(2), "now", expires_at=1000)
    assert cache.get(key(2)) is None
    assert cache.get(key(1)) == "soon"
    clock.now = 1010
    assert cache.get(key(1)) is None
    assert len(cache) == 0


def test_the_clock_is_not_read_for_records_that_stay(core):
    clock = Clock()
    cache = core.LRUCache(4, clock=clock)
    cache.put(key(1), "for ever")
    cache.get(key(1))
    cache.get(key(2))
    assert clock.reads == 0


def test_a_tag_drops_its_records_and_no_others(core):
    cache = core.LRUCache(100)
    for number in range(30):
        cache.put(key(number), number, tag=number % 3)
    assert cache.remove_tag(2**64 - 1) == 0
    assert cache.remove_tag(1) == 10
    assert cache.remove_tag(1) == 0
    assert [n for n in range(30) if cache.get(key(n)) is not None] == [n for n in range(30) if n % 3 != 1]


def test_an_old_generation_cannot_put(core):
    cache = core.LRUCache(4)
    for forget in (cache.clear, cache.advance, lambda: cache.remove_tag(5)):
        before = cache.generation
        forget()
        assert cache.generation == before + 1
        assert not cache.put(key(1), "stale", generation=before)
        assert cache.get(key(1)) != "stale"
        assert cache.put(key(1), "fresh", generation=cache.generation)


def test_advance_drops_nothing_and_clear_everything(core):
    cache = core.LRUCache(4)
    cache.put(key(1), "a")
    cache.advance()
    assert cache.get(key(1)) == "a"
    cache.clear()
    assert len(cache) == 0
    assert cache.get(key(1)) is None


def test_size_zero_is_off(core):
    cache = core.LRUCache(0)
    assert not cache.put(key(1), "a")
    assert cache.get(key(1)) is None
    assert (len(cache), cache.max_size, cache.misses) == (0, 0, 1)


def test_lookup_finds_what_was_put_under_the_questions_key(core):
    cache = core.LRUCache(4)
    cache.put(core.question_key(b"shop", "Show me the orders of 'Paris'"), "SELECT")
    assert cache.lookup(b"shop", " show Orders of  'Paris'?") == "SELECT"
    assert cache.lookup(b"shop", "show orders of 'paris'") is None
    assert cache.lookup(b"other", "show orders of 'Paris'") is None
    with pytest.raises(ArgumentValueError, match="lone surrogates"):
        cache.lookup(b"shop", "\ud800")
    with pytest.raises(ArgumentTypeError, match="question"):
        cache.lookup(b"shop", None)


def test_the_live_state_is_shown(core):
    cache = core.LRUCache(3)
    cache.put(key(1), "a")
    cache.get(key(1))
    assert repr(cache) == "LRUCache(1 of 3, generation 0, 1 hits, 0 misses, 0 evictions)"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda c: c.get("x" * 16), ArgumentTypeError, "key: expected bytes, got str"),
        (lambda c: c.get(b"short"), ArgumentValueError, "key: expected 16 bytes"),
        (lambda c: c.put(b"", 1), ArgumentValueError, "key: expected 16 bytes"),
        (lambda c: c.put(key(1), 1, expires_at=nan), ArgumentValueError, "expires_at"),
        (lambda c: c.put(key(1), 1, tag=-1), ArgumentValueError, "tag: expected an integer from 0"),
        (lambda c: c.put(key(1), 1, tag=2**64), ArgumentValueError, "tag: expected an integer from 0"),
        (lambda c: c.remove_tag("t"), ArgumentTypeError, "tag: expected int, got str"),
        (lambda c: type(c)(-1), ArgumentValueError, "max_size"),
        (lambda c: type(c)(2**40), ArgumentValueError, "max_size"),
        (lambda c: type(c)("9"), ArgumentTypeError, "max_size"),
    ],
)
def test_bad_arguments_are_named_and_change_nothing(core, call, error, message):
    cache = core.LRUCache(3)
    with pytest.raises(error, match=message):
        call(cache)
    assert len(cache) == 0


def test_a_clock_that_fails_leaves_the_cache_whole(core):
    def clock():
        raise OSError("no clock")

    cache = core.LRUCache(3, clock=clock)
    cache.put(key(1), "a", expires_at=5)
    with pytest.raises(OSError, match="no clock"):
        cache.get(key(1))
    assert len(cache) == 1


def test_a_clock_may_change_the_cache(core):
    def clock():
        cache.clear()
        cache.put(key(2), "b")
        return 1.0

    cache = core.LRUCache(3, clock=clock)
    cache.put(key(1), "a", expires_at=5)
    assert cache.get(key(1)) is None
    assert cache.get(key(2)) == "b"


class Meddler:
    """A value whose destructor uses the cache that dropped it."""

    def __init__(self, cache, seen):
        self.cache, self.seen = cache, seen

    def __del__(self):
        self.cache.put(key(99), "from a destructor")
        self.seen.append((len(self.cache), self.cache.get(key(99))))


@pytest.mark.parametrize("how", ["replace", "remove", "remove_tag", "clear", "evict", "expire"])
def test_destructors_find_the_cache_whole(core, how):
    clock = Clock()
    cache, seen = core.LRUCache(2, clock=clock), []
    cache.put(key(1), Meddler(cache, seen), expires_at=2000, tag=1)
    if how == "replace":
        cache.put(key(1), "b")
    elif how == "evict":
        cache.put(key(2), "b")
        cache.put(key(3), "c")
    elif how == "expire":
        clock.now = 3000
        cache.get(key(1))
    else:
        getattr(cache, how)(*{"remove": [key(1)], "remove_tag": [1], "clear": []}[how])
    assert len(seen) == 1
    assert seen[0][1] == "from a destructor"
    assert cache.get(key(99)) == "from a destructor"


def test_values_are_released_and_cycles_collected(core):
    class Value:
        pass

    cache = core.LRUCache(10)
    references = []
    for number in range(4):
        value = Value()
        value.cache = cache
        references.append(weakref.ref(value))
        cache.put(key(number), value, tag=number)
        del value
    cache.remove(key(0))
    cache.remove_tag(1)
    assert [r() is None for r in references] == [True, True, False, False]
    del cache
    gc.collect()
    assert all(r() is None for r in references)


def test_threads_share_a_cache(core):
    cache = core.LRUCache(64)
    failures = []

    def work(seed):
        for step in range(3000):
            number = (step * 31 + seed * 17) % 200
            found = cache.get(key(number))
            if found not in (None, number):
                failures.append((number, found))
            cache.put(key(number), number, tag=number % 7, expires_at=inf if step % 2 else 1e12)
            if step % 97 == 0:
                cache.remove_tag(step % 7)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(cache) <= 64
    assert cache.hits + cache.misses == 4 * 3000


class Machine(RuleBasedStateMachine):
    """Random calls against an ordered dict that holds the same records."""

    core = _twin
    size = 5
    keys = st.integers(0, 11).map(key)
    tags = st.integers(0, 3) | st.just(2**64 - 1)

    def __init__(self):
        super().__init__()
        self.clock = Clock()
        self.cache = self.core.LRUCache(self.size, clock=self.clock)
        self.model = OrderedDict()
        self.generation = self.hits = self.misses = self.evictions = 0

    @rule(key=keys, value=st.integers(), ttl=st.sampled_from([inf, 1, 5, 0]), tag=tags)
    def put(self, key, value, ttl, tag):
        assert self.cache.put(key, value, expires_at=self.clock.now + ttl, tag=tag)
        if key not in self.model and len(self.model) == self.size:
            self.model.popitem(last=False)
            self.evictions += 1
        self.model[key] = (value, self.clock.now + ttl, tag)
        self.model.move_to_end(key)

    @rule(key=keys)
    def get(self, key):
        value, expires_at, _ = self.model.get(key, (None, inf, 0))
        if key in self.model and expires_at <= self.clock.now:
            del self.model[key]
        if key not in self.model:
            self.misses += 1
            assert self.cache.get(key) is None
            return
        self.hits += 1
        self.model.move_to_end(key)
        assert self.cache.get(key) == value

    @rule(key=keys)
    def remove(self, key):
        assert self.cache.remove(key) is (self.model.pop(key, None) is not None)

    @rule(tag=tags)
    def remove_tag(self, tag):
        gone = [key for key, record in self.model.items() if record[2] == tag]
        assert self.cache.remove_tag(tag) == len(gone)
        for key in gone:
            del self.model[key]
        self.generation += 1

    @rule()
    def clear(self):
        self.cache.clear()
        self.model.clear()
        self.generation += 1

    @precondition(lambda self: self.generation)
    @rule(key=keys, age=st.integers(1, 3))
    def put_late(self, key, age):
        assert not self.cache.put(key, "late", generation=self.generation - age)

    @rule()
    def advance(self):
        self.cache.advance()
        self.generation += 1

    @rule(seconds=st.integers(1, 4))
    def wait(self, seconds):
        self.clock.now += seconds

    @invariant()
    def counts_agree(self):
        cache = self.cache
        assert len(cache) == len(self.model)
        assert cache.generation == self.generation
        assert (cache.hits, cache.misses, cache.evictions) == (self.hits, self.misses, self.evictions)


@pytest.mark.parametrize("size", [1, 5, 9])
def test_random_calls_follow_the_model(core, size):
    machine = type("SizedMachine", (Machine,), {"core": core, "size": size})
    machine.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
    machine.TestCase("runTest").debug()


def test_many_keys_that_differ_in_a_few_bits(core):
    cache = core.LRUCache(3000)
    keys = [(n << shift).to_bytes(16, "big") for shift in (0, 40, 64, 100) for n in range(1, 1000)]
    for k in keys:
        cache.put(k, k)
    kept = keys[-3000:]
    assert [cache.get(k) for k in kept] == kept
    assert cache.evictions == len(set(keys)) - 3000
