"""No row of another tenant, whatever tenants are called and whatever is done: against dictionaries."""

import asyncio
import shutil
import tempfile
import unicodedata
import uuid

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from medha_core import (
    Chunk,
    EmbeddedChunk,
    HashingEmbedder,
    InMemoryBackend,
    InMemoryVectorStore,
    Medha,
    NativeBackend,
    NativeVectorStore,
    PgVectorStore,
    QueryTemplate,
    SearchStrategy,
    Settings,
)

DIMENSION = 4
QUIET = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}

# What a query language, a path, a key's separator or a comparison of text may take for something else.
HOSTILE = [
    "", " ", "acme", "Acme", "ACME", "acme ", " acme", "acme-eu", "acme_eu", "acme.eu", "acme:eu", "acme/eu",
    "acme\\eu", "acme|eu", "acme\x1feu", "acme\neu", "a", "aa", "v", "z", "va", "'", '"', "`", "''", "--",
    "'; DROP TABLE t; --", "$1", "{}", "%", "_", "*", "?", "[a]", "..", "../acme", "null", "None", "true",
    "1", "01", "1.0", "名", "é", "e\u0301", "ß", "SS", "ss", "ı", "i", "İ", "\u200b", "\u202eacme",
    "\ufeffacme", "a\u0308", "ﬁ", "fi", "🐮", "x" * 300, "x" * 301,
]  # fmt: skip
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
names = st.sampled_from(HOSTILE) | text


@st.composite
def tenants(draw, least=2, most=4):
    """Different names, often ones that are nearly the same."""
    name = draw(names)
    alike = [
        name.upper(),
        name.lower(),
        name.casefold(),
        name.strip(),
        f"{name} ",
        f" {name}",
        f"{name}'",
        f'"{name}"',
    ]
    alike += [unicodedata.normalize(form, name) for form in ("NFC", "NFD", "NFKC")]
    others = draw(st.lists(st.sampled_from(alike) | names, min_size=least, max_size=most))
    found = list(dict.fromkeys([name, *others]))[:most]
    return found if len(found) >= least else [*found, f"{name}/other"]


places = st.integers(0, 3)
ids = st.sampled_from(["", "a", "A", "a ", "ä", "a/b", "'", "v"])
vectors = st.lists(st.integers(-2, 2), min_size=DIMENSION, max_size=DIMENSION)
parts = st.sampled_from([0, 1, 1.0, True, "1", "", "'"])
rows = st.lists(st.tuples(ids, vectors, parts), min_size=1, max_size=5)
operations = st.one_of(
    st.tuples(st.just("upsert"), places, rows),
    st.tuples(st.just("upsert"), places, rows),
    st.tuples(st.just("delete"), places, st.lists(ids, max_size=3)),
    st.tuples(st.just("clear"), places, st.none()),
    st.tuples(st.just("reopen"), places, st.none()),
)
queries = st.tuples(vectors, parts, places)


def same(a, b):
    """Whether a value satisfies a filter: text, numbers and truth values are three worlds."""
    return a == b and isinstance(a, bool) == isinstance(b, bool) and isinstance(a, str) == isinstance(b, str)


def chunk(owner, name, vector, part):
    held = Chunk(
        id=name, document_id="d", content=f"of {owner}", position=0, metadata={"owner": owner, "part": part}
    )
    return EmbeddedChunk(chunk=held, embedding=vector, embedding_model="m", dimensions=DIMENSION)


class Memory:
    """How a kind of store is made for an example, opened again and thrown away."""

    async def make(self):
        self.store = InMemoryVectorStore(DIMENSION)

    async def reopen(self):
        pass

    async def close(self):
        pass


class Native(Memory):
    def __init__(self, on_disk, tier):
        self.on_disk, self.settings = on_disk, Settings(_env_file=None, index_tier=tier)

    async def make(self):
        self.folder = tempfile.mkdtemp() if self.on_disk else None
        self.store = NativeVectorStore(self.folder, dimensions=DIMENSION, settings=self.settings)

    async def reopen(self):
        if self.on_disk:
            await self.store.close()
            self.store = NativeVectorStore(self.folder, settings=self.settings)

    async def close(self):
        await self.store.close()
        if self.on_disk:
            shutil.rmtree(self.folder)


class Postgres(Memory):
    """One table for all examples: what one leaves behind must not be found by the next."""

    def __init__(self, server):
        self.server, self.store, self.table = server, None, f"t_{uuid.uuid4().hex[:12]}"

    async def make(self):
        if self.store is None:
            self.store = await PgVectorStore.connect(self.server.url, DIMENSION, table_name=self.table)
            await self.store.apply_migrations()
            self.names = set()

    async def close(self):
        for name in self.names:
            await self.store.delete_namespace(name)
        self.names.clear()


def expected(held, query, wanted):
    """Ids and cosines of what a search has to find."""
    found = {}
    for name, one in held.items():
        vector = np.array(one.embedding, dtype=float)
        if vector.any() and all(same(one.chunk.metadata[key], value) for key, value in wanted.items()):
            found[name] = vector @ query / np.linalg.norm(vector) / np.linalg.norm(query)
    return found


async def check(store, model, owner, question):
    """One tenant's searches and its listing."""
    held = model[owner]
    vector, part, other = question
    query = np.array(vector, dtype=float)
    stranger = list(model)[other % len(model)]
    for wanted in ({}, {"part": part}, {"owner": stranger}, {"owner": owner, "part": part}):
        found = await store.search(vector, owner, limit=50, filter=wanted or None)
        right = expected(held, query, wanted) if query.any() else {}
        assert {one.chunk.id: pytest.approx(one.score, abs=1e-3) for one in found} == right
        assert [one.chunk for one in found] == [held[one.chunk.id].chunk for one in found]
        listed = [one async for one in store.get_all_chunks(owner, filter=wanted or None)]
        assert len(listed) == len({one.id for one in listed})
        assert {one.id: one for one in listed} == {
            name: one.chunk
            for name, one in held.items()
            if all(same(one.chunk.metadata[key], value) for key, value in wanted.items())
        }


async def replay(kind, owners, steps, questions):
    model = {name: {} for name in owners}
    await kind.make()
    if isinstance(kind, Postgres):
        kind.names.update(owners)
    try:
        for (what, place, given), question in zip(steps, questions, strict=False):
            owner = owners[place % len(owners)]
            if what == "upsert":
                batch = [chunk(owner, *one) for one in given]
                await kind.store.upsert(batch, owner)
                model[owner].update({one.chunk.id: one for one in batch})
            elif what == "delete":
                await kind.store.delete(given, owner)
                for name in given:
                    model[owner].pop(name, None)
            elif what == "clear":
                await kind.store.delete_namespace(owner)
                model[owner].clear()
            else:
                await kind.reopen()
            await check(kind.store, model, owner, question)
        for owner in owners:
            await check(kind.store, model, owner, questions[-1])
    finally:
        await kind.close()


def hold(kind, examples):
    """Runs the property in one event loop: a pool of connections belongs to its loop."""
    with asyncio.Runner() as runner:

        @settings(max_examples=examples, **QUIET)
        @given(
            tenants(),
            st.lists(operations, min_size=1, max_size=10),
            st.lists(queries, min_size=10, max_size=10),
        )
        def property_holds(owners, steps, questions):
            runner.run(replay(kind, owners, steps, questions))

        try:
            property_holds()
        finally:
            store = getattr(kind, "store", None)
            if isinstance(store, PgVectorStore):
                runner.run(store.close())


class TestStores:
    def test_in_memory(self):
        hold(Memory(), 100)

    @pytest.mark.parametrize("tier", ["scan", "graph"])
    @pytest.mark.parametrize(("on_disk", "examples"), [(False, 60), (True, 15)])
    def test_the_embedded_engine(self, on_disk, examples, tier):
        hold(Native(on_disk, tier), examples)

    def test_postgresql(self, postgres):
        hold(Postgres(postgres), 40)


QUESTIONS = (
    "How many users are in region {}?",
    "how many  users are in region {}",
    "please how many users are in region {}",
    "How many usres are in region {}?",
)
"""As it was stored, spelt with other signs, said with more words, mistyped."""
regions = st.integers(1, 2)
acts = st.one_of(
    st.tuples(st.sampled_from(["store", "store", "many"]), places, places, regions),
    st.tuples(st.sampled_from(["forget", "reopen", "fresh"]), places, places, regions),
)


FOR_TEMPLATE = "List the planes of hangar 4"


def template(owner):
    return QueryTemplate(
        intent="planes",
        template_text="List the planes of hangar {number}",
        query_template=f"SELECT * FROM planes_{owner} WHERE hangar = {{number}}",
        parameters=["number"],
    )


class Caches:
    """One cache: an owner is a tenant (None: entries without metadata) in a collection."""

    def __init__(self, collections, labels, tier, thresholds):
        self.folder = tempfile.mkdtemp()
        self.owners = [(name, label) for name in collections for label in (None, *labels)]
        self.held = {owner: set() for owner in self.owners}
        self.seen = set()
        self.settings = Settings(_env_file=None, index_tier=tier, substitution="any", **thresholds)

    async def open(self):
        backend = NativeBackend(self.folder, settings=self.settings)
        self.cache = Medha("first", HashingEmbedder(64), backend, self.settings, templates=[template("all")])
        await self.cache.start()
        for name in {name for name, _ in self.owners}:
            await self.cache.store(f"of nobody {uuid.uuid4()}", "SELECT 0", collection_name=name)

    async def close(self):
        await self.cache.close()

    def query(self, owner, region):
        return f"SELECT count(*) FROM users_{self.owners.index(owner)} WHERE region = {region}"

    async def act(self, what, owner, region):
        name, label = owner
        metadata = None if label is None else {"tenant": label}
        if what == "reopen":
            await self.close()
            await self.open()
        elif what == "fresh":
            await self.cache.clear_caches()
        elif what == "forget":
            if label is not None:
                await self.cache.invalidate_where({"tenant": label}, collection_name=name)
                self.held[owner].clear()
        else:
            text, query = QUESTIONS[0].format(region), self.query(owner, region)
            given = {"question": text, "generated_query": query, "metadata": metadata}
            if what == "many":
                await self.cache.store_many([given], collection_name=name)
            else:
                await self.cache.store(text, query, metadata=metadata, collection_name=name)
            self.held[owner].add(region)

    async def ask(self):
        """Every owner asks everything; what was stored is found, and what answers is the owner's own."""
        for owner in self.owners:
            name, label = owner
            filters = None if label is None else {"tenant": label}
            for region in range(1, 4):
                for spelling in QUESTIONS:
                    text = spelling.format(region)
                    hit = await self.cache.search(text, filters=filters, collection_name=name)
                    assert not hit.error
                    self.seen.add(hit.strategy)
                    if hit:
                        assert self.held[owner]
                        assert hit.generated_query == self.query(owner, region)
                    elif spelling == QUESTIONS[0]:
                        assert region not in self.held[owner]
            await self.ask_template(name, filters)

    async def ask_template(self, collection, filters):
        """A template is nobody's entry: who asks for a tenant's entries gets none, from L1 neither."""
        hit = await self.cache.search(FOR_TEMPLATE, filters=filters, collection_name=collection)
        assert hit.generated_query == ("" if filters else "SELECT * FROM planes_all WHERE hangar = 4")
        self.seen.add(hit.strategy)


async def live(caches, steps):
    await caches.open()
    try:
        for what, collection, label, region in steps:
            name = caches.owners[collection % len(caches.owners)][0]
            mine = [owner for owner in caches.owners if owner[0] == name]
            await caches.act(what, mine[label % len(mine)], region)
        await caches.ask()
        await caches.ask()
    finally:
        await caches.close()
        shutil.rmtree(caches.folder)


STRICT = {"score_threshold_semantic": 0.99, "score_threshold_exact": 0.999}
"""So high that a mistyped question is left to the fuzzy tier."""


@pytest.mark.parametrize(
    ("tier", "thresholds", "last"),
    [("scan", {}, SearchStrategy.SEMANTIC_MATCH), ("graph", STRICT, SearchStrategy.FUZZY_MATCH)],
)
def test_no_tier_of_a_cache_answers_with_another_tenants_query(tier, thresholds, last):
    seen = set()
    labels = tenants(most=2).filter(lambda found: all(len(name) <= 256 for name in found))

    @settings(max_examples=12, **QUIET)
    @example(["a", "A"], ["t", "T"], [("store", 0, place, 1) for place in (0, 1)])
    @given(tenants(most=2), labels, st.lists(acts, min_size=4, max_size=12))
    def property_holds(collections, tenants_of_each, steps):
        caches = Caches(collections, tenants_of_each, tier, thresholds)
        asyncio.run(live(caches, steps))
        seen.update(caches.seen)

    property_holds()
    assert seen >= {
        SearchStrategy.L1_CACHE,
        SearchStrategy.TEMPLATE_MATCH,
        SearchStrategy.EXACT_MATCH,
        SearchStrategy.PARAMETRIC_MATCH,
        last,
        SearchStrategy.NO_MATCH,
    }


async def each_with_templates(names, steps):
    """A cache for each tenant, all over one store: whose templates answer, after each change of some."""
    backend, seen = InMemoryBackend(settings=Settings(_env_file=None)), set()
    await backend.connect()
    given = Settings(_env_file=None, collect_stats=False)
    caches = [Medha(name, HashingEmbedder(64), backend, given) for name in names]
    has = [False] * len(names)
    for cache in caches:
        await cache.start()
    try:
        for place, given_some in steps:
            place %= len(names)
            has[place] = given_some
            await caches[place].load_templates([template(place)] if given_some else [])
            for owner, cache in enumerate(caches):
                hit = await cache.search(FOR_TEMPLATE)
                right = f"SELECT * FROM planes_{owner} WHERE hangar = 4" if has[owner] else ""
                assert hit.generated_query == right
                seen.add(hit.strategy)
    finally:
        for cache in caches:
            await cache.close()
    return seen


def test_no_template_answers_for_another_tenants_cache():
    seen = set()

    @settings(max_examples=20, **QUIET)
    @given(tenants().filter(all), st.lists(st.tuples(places, st.booleans()), min_size=1, max_size=8))
    def property_holds(names, steps):
        seen.update(asyncio.run(each_with_templates(names, steps)))

    property_holds()
    assert seen == {SearchStrategy.TEMPLATE_MATCH, SearchStrategy.L1_CACHE, SearchStrategy.NO_MATCH}
