"""The whole cache against a plain dict: whatever was stored, replaced, expired, cleared or reopened."""

import shutil
import tempfile
import time

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from medha_core import HashingEmbedder, InMemoryL1Cache, Medha, NativeBackend, Settings
from medha_core.metadata import canonical_json, metadata_matches

NOUNS = ("users", "orders placed by new customers", "invoices", "shops", "returns")
SPELLINGS = (
    "How many {} are in region {}?",
    "please how many {} are in  region {}",
    "How Many {} Are in Region {}?!",
)

numbers = st.integers(0, 9)
spellings = st.sampled_from(SPELLINGS)
collections = st.sampled_from([None, "b", "B"])
times_to_live = st.sampled_from([None, 1_000, 100_000])
metadata = st.fixed_dictionaries(
    {}, optional={"tenant": st.sampled_from(["a", "b", 1, 1.0, True]), "language": st.just("sql")}
)


def question(number: int, spelling: str = SPELLINGS[0]) -> str:
    """A number decides the noun, so that no two of these questions may answer each other."""
    return spelling.format(NOUNS[number % len(NOUNS)], number)


class CacheMachine(RuleBasedStateMachine):
    """`entries`: (collection, number, metadata as text) -> query, metadata, moment of expiry."""

    @initialize(tier=st.sampled_from(["scan", "graph"]), on_disk=st.booleans())
    def start(self, tier, on_disk):
        self.directory = tempfile.mkdtemp() if on_disk else None
        self.settings = Settings(
            substitution="off",
            _env_file=None,
            path=self.directory,
            index_tier=tier,
            l1_cache_max_size=4,
            batch_size=3,
        )
        self.ahead = 0.0
        self.entries = {}
        self.stored = 0
        self.open()

    def open(self):
        backend = NativeBackend(self.directory, settings=self.settings, clock=self.clock)
        l1 = InMemoryL1Cache(4, clock=self.clock)
        self.cache = Medha("a", HashingEmbedder(64), backend, self.settings, l1_backend=l1)
        self.cache.start_sync()
        for name in ("b", "B"):
            self.cache.store_sync(question(10), "other", collection_name=name)

    def teardown(self):
        self.cache.close_sync()
        if self.directory:
            shutil.rmtree(self.directory)

    def clock(self):
        return time.time() + self.ahead

    def note(self, collection, number, metadata, time_to_live):
        """A new query for the question, and its place in the dict; time to live counts from the real time."""
        self.stored += 1
        query = f"SELECT {self.stored}"
        expires = time.time() + time_to_live if time_to_live else float("inf")
        self.entries[collection or "a", number, canonical_json(metadata)] = (query, metadata, expires)
        return query

    def right(self, collection, number, filters, include_scoped):
        """The queries of which any may answer."""
        return {
            query
            for (name, stored, _), (query, metadata, expires) in self.entries.items()
            if (name, stored) == (collection or "a", number)
            and expires > self.clock()
            and (filters or include_scoped or not metadata)
            and metadata_matches(metadata, filters)
        }

    def check(self, hit, right):
        assert not hit.error
        assert (hit.generated_query in right) if right else not hit

    @rule(number=numbers, spelling=spellings, metadata=metadata, ttl=times_to_live, collection=collections)
    def store(self, number, spelling, metadata, ttl, collection):
        query = self.note(collection, number, metadata, ttl)
        text = question(number, spelling)
        assert self.cache.store_sync(text, query, ttl=ttl, metadata=metadata, collection_name=collection)

    @rule(chosen=st.lists(st.tuples(numbers, metadata), max_size=40), collection=collections)
    def store_many(self, chosen, collection):
        entries = [
            {"question": question(n), "generated_query": self.note(collection, n, m, None), "metadata": m}
            for n, m in chosen
        ]
        assert self.cache.store_many_sync(entries, collection_name=collection) == len(chosen)

    @rule(
        number=numbers, spelling=spellings, filters=metadata, everyone=st.booleans(), collection=collections
    )
    def search(self, number, spelling, filters, everyone, collection):
        hit = self.cache.search_sync(
            question(number, spelling), filters=filters, include_scoped=everyone, collection_name=collection
        )
        self.check(hit, self.right(collection, number, filters, everyone))

    @rule(
        chosen=st.lists(st.tuples(numbers, spellings), max_size=8), filters=metadata, collection=collections
    )
    def search_batch(self, chosen, filters, collection):
        hits = self.cache.search_batch_sync(
            [question(*one) for one in chosen], filters=filters, collection_name=collection
        )
        for (number, _), hit in zip(chosen, hits, strict=True):
            self.check(hit, self.right(collection, number, filters, False))

    @rule(number=numbers, spelling=spellings)
    def peek(self, number, spelling):
        hit = self.cache.peek(question(number, spelling))
        assert hit is None or hit.generated_query in self.right(None, number, {}, False)

    @rule(seconds=st.sampled_from([5_000.0, 200_000.0]))
    def wait(self, seconds):
        self.ahead += seconds

    @rule()
    def clear_caches(self):
        self.cache.clear_caches_sync()

    @rule()
    def reopen(self):
        if self.directory:
            self.cache.close_sync()
            self.open()

    @invariant()
    def every_row_is_counted(self):
        for name in ("a", "b", "B"):
            rows = sum(key[0] == name for key in self.entries) + (name != "a")
            assert self.cache.stats_sync(name).backend_count == rows


TestCache = CacheMachine.TestCase
TestCache.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
