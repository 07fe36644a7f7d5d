"""Choosing an engine, engines that are not there, and what a cache does while its engine is away."""

import asyncio
import subprocess
import sys
import tomllib
import uuid
from pathlib import Path

import numpy as np
import pytest
from engine_harness import HARNESSES, client_of

from medha_core import (
    CacheEntry,
    ConfigurationError,
    InMemoryBackend,
    NativeBackend,
    Settings,
    StorageError,
    StorageInitializationError,
)
from medha_core.backends.driver import Where
from medha_core.backends.naming import space_name
from medha_core.backends.paging import order_of, page_by_ranges
from medha_core.backends.qdrant import QdrantBackend
from medha_core.backends.record import PLAIN, Record
from medha_core.backends.redis_vector import RedisVectorBackend
from medha_core.backends.vectorchord import VectorChordDriver
from medha_core.concurrency.bridge import bridge
from medha_core.engines import ENGINES, make_backend


def settings(**given):
    return Settings(_env_file=None, **given)


class TestChoosing:
    def test_every_engine_of_the_settings_has_a_class(self):
        kinds = Settings.model_fields["backend_type"].annotation.__args__
        assert set(kinds) == {"native", "memory", *ENGINES}
        for name in ENGINES:
            made = make_backend(settings(backend_type=name))
            assert type(made).__name__ == ENGINES[name].partition(":")[2]
            assert made.supports_metadata
            assert not made.local
        assert isinstance(make_backend(settings()), NativeBackend)
        assert isinstance(make_backend(settings(backend_type="memory")), InMemoryBackend)

    def test_every_engine_has_an_extra(self, repository):
        extras = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"][
            "optional-dependencies"
        ]
        assert set(ENGINES) | {"engines"} <= set(extras)
        assert "engines" not in "".join(extras["all"])

    @pytest.mark.parametrize(
        ("name", "module"),
        [
            ("qdrant", "qdrant_client"),
            ("pgvector", "asyncpg"),
            ("vectorchord", "asyncpg"),
            ("chroma", "chromadb"),
            ("lancedb", "lancedb"),
            ("redis", "redis"),
            ("elasticsearch", "elasticsearch"),
            ("weaviate", "weaviate"),
            ("azure-search", "azure.search.documents"),
        ],
    )
    def test_a_missing_client_is_one_clear_sentence(self, name, module):
        code = (
            f"import sys; sys.modules[{module!r}] = None\n"
            "from medha_core import Settings\nfrom medha_core.engines import make_backend\n"
            f"make_backend(Settings(_env_file=None, backend_type={name!r}))"
        )
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False
        )
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith("medha_core.errors.ConfigurationError: backend_type")
        assert f"pip install 'medha-core[{name if name != 'vectorchord' else 'pgvector'}]'" in last

    def test_importing_the_package_loads_no_engine(self):
        code = (
            "import sys, medha_core; heavy = {'qdrant_client', 'asyncpg', 'chromadb', 'lancedb', 'pyarrow', 'redis',"
            " 'elasticsearch', 'weaviate', 'grpc', 'azure'} & set(sys.modules); assert not heavy, heavy"
        )
        subprocess.run([sys.executable, "-c", code], check=True)


class TestNames:
    def test_names_are_encoded_without_collisions(self):
        names = ["a", "A", "a ", "a-b", "a_b", "a.b", "", "名", "x" * 400, "x" * 401, "'", '"', "a\0b"]
        for separator, limit in (("_", 63), ("-", 120)):
            spaces = [space_name("medha", name, separator=separator, limit=limit) for name in names]
            assert len(set(spaces)) == len(names)
            for space in spaces:
                assert len(space) <= limit
                assert space[0].isalpha()
                assert set(space) <= set(f"abcdefghijklmnopqrstuvwxyz0123456789{separator}")
        assert space_name("ab", "c") != space_name("a", "bc")
        assert space_name("medha", "Shop eu").startswith("medha_shop_eu_")

    def test_pages_from_ranges(self):
        keys = sorted(f"{i * 7919 % 2**32:08x}" + "0" * 24 for i in range(500))
        records = [Record(key, (), 0.0, "", 0, 0) for key in keys]

        def between(low, high):
            return [one for one in reversed(records) if low <= order_of(one.key) < high]

        seen, after = [], ""
        while page := page_by_ranges(between, after, 37, 500):
            assert len(page) <= 37
            seen += [one.key for one in page]
            after = seen[-1]
        assert seen == keys
        assert page_by_ranges(between, "", 1000, 0) == records


class TestEngines:
    async def test_a_redis_that_cannot_search_is_refused(self, redis):
        with pytest.raises(StorageInitializationError, match="neither vector sets"):
            await RedisVectorBackend(settings(redis_url=redis.url)).connect()

    async def test_which_way_redis_searches_is_said(self, vector_redis, stand_in_redisearch):
        for server, way in ((vector_redis, "vector sets"), (stand_in_redisearch, "the search module")):
            store = RedisVectorBackend(settings(redis_url=f"redis://127.0.0.1:{server.port}/0"))
            async with store:
                assert way in repr(store)

    @pytest.mark.parametrize(
        "name", [name for name in ENGINES if name not in ("qdrant", "lancedb", "chroma")]
    )
    async def test_an_engine_that_is_not_there(self, name):
        given = {
            "pg_dsn": "postgresql://u@127.0.0.1:1/d",
            "redis_url": "redis://127.0.0.1:1/0",
            "es_hosts": ["http://127.0.0.1:1"],
            "weaviate_http_port": 1,
            "weaviate_grpc_port": 2,
            "azure_search_endpoint": "http://127.0.0.1:1",
            "azure_search_api_key": "k",
        }
        store = make_backend(settings(backend_type=name, **given))
        with pytest.raises(StorageInitializationError, match=name):
            await store.connect()
        with pytest.raises(StorageError, match="not open"):
            await store.count("c")

    @pytest.mark.parametrize("metric", ["cosine", "l2", "dot"])
    async def test_W10_lancedb_gives_cosines_whatever_its_metric(self, metric, tmp_path):
        given = settings(backend_type="lancedb", lancedb_uri=str(tmp_path), lancedb_metric=metric)
        async with make_backend(given) as store:
            await store.initialize("c", 2)
            fields = {"normalized_question": "q", "generated_query": "SELECT 1", "query_hash": "h"}
            vectors = {"a": [1.0, 0.0], "b": [0.9, 0.19**0.5], "c": [0.0, 1.0]}
            await store.upsert(
                "c", [CacheEntry(id=k, vector=v, original_question=k, **fields) for k, v in vectors.items()]
            )
            found = await store.search("c", [2.0, 0.0], limit=3)
            assert [row.id for row in found] == ["a", "b", "c"]
            assert [row.score for row in found] == pytest.approx([1.0, 0.9, 0.0], abs=1e-3)

    async def test_qdrant_in_memory_is_empty_each_time(self):
        for _ in range(2):
            async with QdrantBackend(settings()) as store:
                assert await store.collection_names() == []

    async def test_settings_that_contradict_each_other(self):
        for given in (
            {"backend_type": "qdrant", "qdrant_mode": "cloud"},
            {"backend_type": "weaviate", "weaviate_mode": "cloud"},
            {"backend_type": "redis", "redis_mode": "sentinel"},
            {"backend_type": "redis", "redis_mode": "sentinel", "redis_sentinel_hosts": ["nowhere"]},
            {"backend_type": "azure-search"},
        ):
            with pytest.raises(ConfigurationError):
                await make_backend(settings(**given)).connect()

    def test_vectorchord_is_told_lists_and_probes_of_one_length(self):
        driver = VectorChordDriver(settings(vc_lists=[100, 4000], vc_residual_quantization=False))
        statement = driver.index("t", "i", 8, "NOT scoped")
        options = tomllib.loads(statement.split("$options$")[1])
        assert options == {"residual_quantization": False, "build": {"internal": {"lists": [100, 4000]}}}
        assert "USING vchordrq (embedding vector_cosine_ops)" in statement
        assert driver.session["vchordrq.probes"] == "10,400"


def near(count, dimension, seed=3):
    """Entries in groups, so that each question has some that are near."""
    numbers = np.random.default_rng(seed)
    centres = numbers.normal(size=(20, dimension))
    vectors = (centres[np.arange(count) % 20] + 0.6 * numbers.normal(size=(count, dimension))).astype("f4")
    entries = [
        CacheEntry(
            id=f"e{i}",
            vector=vector.tolist(),
            original_question=f"q{i}",
            normalized_question=f"q{i}",
            generated_query="SELECT 1",
            query_hash="h",
        )
        for i, vector in enumerate(vectors)
    ]
    return entries, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


async def farthest_from_exact(store, count, dimension):
    """The largest difference of a score from the exact cosine."""
    entries, vectors = near(count, dimension)
    await store.initialize("c", dimension)
    await store.upsert("c", entries)
    if isinstance(store, NativeBackend):
        for index in store._collections["c"].indexes:
            index.join()  # so few would be compared one by one
    worst = 0.0
    for question in vectors[:20]:
        found = await store.search("c", question.tolist(), limit=10)
        assert len(found) == 10
        exact = {row.id: float(vectors[int(row.id[1:])].astype(float) @ question) for row in found}
        worst = max(worst, *(abs(row.score - exact[row.id]) for row in found))
    return worst


async def test_searches_side_by_side_walk_the_indexes_of_postgresql(postgres):
    schema = f"t{uuid.uuid4().hex[:12]}"
    async with make_backend(
        settings(backend_type="pgvector", pg_dsn=postgres.url, pg_schema=schema, pg_pool_min_size=1)
    ) as store:
        await store.initialize("c", 8)
        await store.upsert("c", near(1500, 8)[0])
        driver, where = store._driver, Where(all_of=(PLAIN,), alive_at=0.0)
        statement, arguments = driver.nearest_statement(driver.space("c"), near(3, 8)[1], 5, where)
        explained = driver._pool.fetch(f"EXPLAIN {statement}", *arguments)
        plan = "\n".join(row[0] for row in await asyncio.wrap_future(bridge.submit(explained)))
        assert "Index Scan using ix_plain_" in plan
        await asyncio.wrap_future(bridge.submit(driver._pool.execute(f"DROP SCHEMA {schema} CASCADE")))


class TestScoresOfCodes:
    """Candidates found by codes of 8 bits are compared again by their vectors.

    The embedded engine always does so; Qdrant does not where `quantization_rescore` is off.
    """

    def made(self, engine, tmp_path, rescore):
        if engine == "native":
            return NativeBackend(
                tmp_path, settings=settings(index_tier="graph", quantization_rescore=rescore)
            )
        return make_backend(
            settings(
                backend_type="qdrant",
                qdrant_mode="edge",
                qdrant_path=str(tmp_path),
                quantization_rescore=rescore,
            )
        )

    @pytest.mark.parametrize("engine", ["native", "qdrant-edge"])
    async def test_they_are_those_of_the_vectors(self, engine, tmp_path, monkeypatch, require):
        if engine == "qdrant-edge":
            require(*client_of(HARNESSES[engine][0]))
            from medha_core.backends import qdrant_edge

            monkeypatch.setattr(qdrant_edge, "_TEND_EVERY", 2000)
        async with self.made(engine, tmp_path / "a", True) as store:
            assert await farthest_from_exact(store, 2000, 1536) < 1e-3
        async with self.made(engine, tmp_path / "b", False) as store:
            farthest = await farthest_from_exact(store, 2000, 1536)
            assert farthest < 1e-3 if engine == "native" else 1e-3 < farthest < 0.02

    async def test_an_index_of_lancedb_is_no_exception(self, tmp_path, monkeypatch, require):
        require(*client_of(HARNESSES["lancedb"][0]))
        from medha_core.backends import lancedb

        monkeypatch.setattr(lancedb, "_INDEX_FROM", 1000)
        monkeypatch.setattr(lancedb, "_TEND_EVERY", 1)
        async with make_backend(settings(backend_type="lancedb", lancedb_uri=str(tmp_path))) as store:
            assert await farthest_from_exact(store, 3000, 64) < 1e-3
            assert store._driver._table(store._driver.space("c")).list_indices()


class TestQdrantInProcess:
    def store(self, folder):
        return make_backend(settings(backend_type="qdrant", qdrant_mode="edge", qdrant_path=str(folder)))

    @pytest.fixture(autouse=True)
    def _there(self, require):
        require(*client_of(HARNESSES["qdrant-edge"][0]))

    async def test_a_directory_is_one_stores_at_a_time_and_kept(self, tmp_path):
        entries, _ = near(50, 8)
        async with self.store(tmp_path) as store:
            await store.initialize("c", 8, model="m")
            await store.upsert("c", entries)
            await store.update_feedback("c", "e7", True)
            with pytest.raises(StorageInitializationError, match="in use"):
                await self.store(tmp_path).connect()
        async with self.store(tmp_path) as store:
            assert await store.collection_space("c") == (8, "m")
            assert await store.count("c") == 50
            assert (await store.get("c", ["e7"]))[0].feedback_correct == 1
            await store.drop_collection("c")
        assert [path.name for path in tmp_path.iterdir()] == ["writer.lock"]

    async def test_what_was_stored_survives_the_death_of_the_process(self, tmp_path):
        code = (
            "import asyncio, os, sys; sys.path.insert(0, sys.argv[2]); from test_engines import *\n"
            "async def main():\n"
            "    store = TestQdrantInProcess().store(sys.argv[1])\n"
            "    await store.connect(); await store.initialize('c', 8); await store.upsert('c', near(50, 8)[0])\n"
            "    os.kill(os.getpid(), 9)\n"
            "asyncio.run(main())"
        )
        tests = str(Path(__file__).parent)
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(tmp_path), tests], check=False)
        assert done.returncode == -9
        async with self.store(tmp_path) as store:
            assert await store.count("c") == 50
            assert len(await store.search("c", near(50, 8)[1][3].tolist(), limit=5)) == 5

    async def test_a_directory_is_asked_for(self):
        with pytest.raises(ConfigurationError, match="qdrant_path"):
            await make_backend(settings(backend_type="qdrant", qdrant_mode="edge")).connect()


def test_chroma_leaves_out_rows_that_are_half_written():
    from medha_core.backends.chroma import _near

    whole = {"tags": ["a"], "expires": 1.0, "body": "{}", "correct": 0, "incorrect": 0, "order": 5}
    without_tags = {name: value for name, value in whole.items() if name != "tags"}
    near = _near([("half", without_tags, 0.1), ("gone", None, 0.1), ("whole", whole, 0.25)])
    assert [(record.key, score) for record, score in near] == [("whole", 0.75)]
