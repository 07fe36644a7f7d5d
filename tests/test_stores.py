"""Stores for many tenants: one contract over all of them, and PostgreSQL's own parts."""

import asyncio
import math
import os
import subprocess
import sys
import uuid

import asyncpg
import numpy as np
import pytest

from medha_core import (
    ArgumentTypeError,
    ArgumentValueError,
    Chunk,
    ConfigurationError,
    DimensionMismatchError,
    EmbeddedChunk,
    InMemoryVectorStore,
    MedhaError,
    MigrationError,
    NativeVectorStore,
    PgVectorStore,
    RetrievalResult,
    StorageError,
    StorageInitializationError,
    VectorStore,
    VectorStoreError,
)

DIMENSION = 8


def axis(number, second=0.0):
    vector = [0.0] * DIMENSION
    vector[number % DIMENSION] = 1.0
    vector[(number + 1) % DIMENSION] = second
    return vector


def chunk(name, vector=None, document="d", position=0, **metadata):
    held = Chunk(
        id=str(name), document_id=document, content=f"text of {name}", position=position, metadata=metadata
    )
    vector = axis(0) if vector is None else vector
    return EmbeddedChunk(chunk=held, embedding=vector, embedding_model="m", dimensions=len(vector))


async def make_pg(server, dimensions=DIMENSION, **options):
    options.setdefault("table_name", f"t_{uuid.uuid4().hex[:12]}")
    store = await PgVectorStore.connect(server.url, dimensions, max_size=4, **options)
    await store.apply_migrations()
    return store


@pytest.fixture(params=["memory", "native", "native on disk", "pgvector"])
async def store(request, tmp_path):
    if request.param == "memory":
        yield InMemoryVectorStore(DIMENSION)
    elif request.param == "pgvector":
        async with await make_pg(request.getfixturevalue("postgres")) as store:
            yield store
    else:
        async with NativeVectorStore(
            tmp_path if "disk" in request.param else None, dimensions=DIMENSION
        ) as store:
            yield store


def ids(found):
    return [one.chunk.id if isinstance(one, RetrievalResult) else one.id for one in found]


async def listed(store, namespace, **options):
    return [one async for one in store.get_all_chunks(namespace, **options)]


class TestContract:
    async def test_it_is_a_vector_store(self, store):
        assert isinstance(store, VectorStore)

    async def test_the_nearest_come_first(self, store):
        await store.upsert([chunk(i, axis(i)) for i in range(4)] + [chunk("near", axis(0, 0.1))], "n")
        found = await store.search(axis(0), "n", limit=3)
        assert ids(found)[:2] == ["0", "near"]
        assert found[0].score == pytest.approx(1.0, abs=1e-5)
        assert found[1].score == pytest.approx(1 / math.sqrt(1.01), abs=1e-3)
        assert found[0].retriever == "vector"
        assert found[0].chunk.content == "text of 0"
        assert len(await store.search(axis(0), "n", limit=100)) == 5
        last = (await store.search([-x for x in axis(2)], "n", limit=5))[-1]
        assert (last.chunk.id, round(last.score, 3)) == ("2", -1.0)

    async def test_an_upsert_replaces_and_the_last_of_a_batch_counts(self, store):
        await store.upsert([chunk("a", axis(0)), chunk("b", axis(1))], "n")
        await store.upsert([chunk("a", axis(2), k=1), chunk("a", axis(3), k=2)], "n")
        assert sorted(ids(await listed(store, "n"))) == ["a", "b"]
        found = await store.search(axis(3), "n", limit=1)
        assert (found[0].chunk.id, found[0].chunk.metadata) == ("a", {"k": 2})
        assert await store.search(axis(0), "n", filter={"k": 1}) == []
        await store.upsert([], "n")

    async def test_ids_are_taken_exactly(self, store):
        names = ["a", "A", "a ", " a", "a?", "ä", "first 5", "top 5", ""]
        await store.upsert([chunk(name, axis(0)) for name in names], "n")
        assert sorted(ids(await store.search(axis(0), "n", limit=50))) == sorted(names)
        assert sorted(ids(await listed(store, "n"))) == sorted(names)

    async def test_a_chunk_comes_back_whole(self, store):
        given = Chunk(
            id="ä:1 ' \" 名",
            document_id="ä",
            content="two\nlines \t\U0001f42e",
            position=7,
            metadata={
                "s": "x" * 1000,
                "i": 3,
                "f": 0.25,
                "b": False,
                "deep": {"list": [1, None, {"a": "b"}]},
                "n": None,
            },
            content_hash="given",
        )
        await store.upsert(
            [EmbeddedChunk(chunk=given, embedding=axis(1), embedding_model="m", dimensions=8)], "n"
        )
        assert await listed(store, "n") == [given]
        assert (await store.search(axis(1), "n"))[0].chunk == given
        assert ids(await store.search(axis(1), "n", filter={"s": "x" * 1000})) == [given.id]

    async def test_what_is_returned_is_the_callers_own(self, store):
        given = chunk("a", deep={"k": [1]})
        await store.upsert([given], "n")
        given.chunk.metadata["deep"]["k"].append(2)
        (await store.search(axis(0), "n"))[0].chunk.metadata.clear()
        assert (await listed(store, "n"))[0].metadata == {"deep": {"k": [1]}}

    async def test_unknown_namespaces_and_ids_are_empty(self, store):
        assert await store.search(axis(0), "nobody") == []
        assert await listed(store, "nobody") == []
        await store.delete(["a"], "nobody")
        await store.delete_namespace("nobody")
        await store.upsert([chunk("a"), chunk("b")], "n")
        await store.delete(["b", "nothing"], "n")
        await store.delete([], "n")
        assert ids(await listed(store, "n")) == ["a"]
        await store.delete_namespace("n")
        assert await listed(store, "n") == await store.search(axis(0), "n") == []

    async def test_zero_vectors_give_no_results(self, store):
        await store.upsert([chunk("zero", [0.0] * 8), chunk("a", axis(0), k=1)], "n")
        assert ids(await store.search(axis(0), "n")) == ["a"]
        assert await store.search([0.0] * 8, "n") == []
        assert sorted(ids(await listed(store, "n"))) == ["a", "zero"]
        await store.upsert([chunk("zero", axis(1)), chunk("a", [0.0] * 8, k=2)], "n")
        assert ids(await store.search(axis(1), "n")) == ["zero"]
        assert sorted(ids(await listed(store, "n"))) == ["a", "zero"]
        assert ids(await listed(store, "n", filter={"k": 2})) == ["a"]
        await store.delete(["a"], "n")
        assert ids(await listed(store, "n")) == ["zero"]

    async def test_nothing_of_a_bad_batch_is_written(self, store):
        await store.upsert([chunk("a", axis(0), k="old")], "n")
        good = chunk("a", axis(1), k="new")
        for bad, error in (
            (chunk("b", [1.0] * 7), DimensionMismatchError),
            (chunk("b", axis(0)).model_copy(update={"dimensions": 7}), DimensionMismatchError),
            (chunk("b", [math.nan] * 8), ArgumentValueError),
            (chunk("b", [math.inf] * 8), ArgumentValueError),
            (chunk("b", ["x"] * 8), ArgumentTypeError),
            (chunk("b").model_copy(update={"embedding": None}), MedhaError),
            (chunk("b\0"), ArgumentValueError),
            (chunk("b\ud800"), ArgumentValueError),
            (chunk("b", k=math.nan), ArgumentValueError),
            (chunk("b", k=2**70), ArgumentValueError),
            (chunk("b", k={"deep": "\0"}), ArgumentValueError),
            (chunk("b", k={1: "x"}), ArgumentValueError),
            (chunk("b", k=object()), ArgumentValueError),
            (chunk("b", position=-1), ArgumentValueError),
            ("chunk", ArgumentTypeError),
        ):
            with pytest.raises(error):
                await store.upsert([good, bad], "n")
        assert [one.metadata for one in await listed(store, "n")] == [{"k": "old"}]
        for namespace in (None, 1, b"n", "\0", "\ud800"):
            for call in (
                lambda n: store.upsert([good], n),
                lambda n: store.search(axis(0), n),
                lambda n: store.delete(["a"], n),
                store.delete_namespace,
                lambda n: listed(store, n),
            ):
                with pytest.raises((TypeError, ValueError), match="namespace"):
                    await call(namespace)

    async def test_bad_queries(self, store):
        await store.upsert([chunk("a")], "n")
        with pytest.raises(DimensionMismatchError):
            await store.search([1.0] * 9, "n")
        with pytest.raises(ArgumentValueError, match="limit"):
            await store.search(axis(0), "n", limit=0)
        with pytest.raises(ArgumentValueError):
            await store.search([math.nan] * 8, "n")
        for nested in ({"k": ["a"]}, {"k": {"a": 1}}, {"k": None}, {"k": math.nan}, {"k": 2**64}, {"\0": 1}):
            with pytest.raises(ArgumentValueError, match="filter"):
                await store.search(axis(0), "n", filter=nested)
            with pytest.raises(ArgumentValueError, match="filter"):
                await listed(store, "n", filter=nested)

    async def test_writing_while_all_chunks_are_read(self, store):
        await store.upsert([chunk(f"{i:04}") for i in range(450)], "n")
        seen = []
        async for one in store.get_all_chunks("n"):
            seen.append(one.id)
            if len(seen) % 100 == 0:
                await store.upsert([chunk(f"new{len(seen)}"), chunk("0001")], "n")
                await store.delete([f"{len(seen) // 2:04}"], "n")
        assert {f"{i:04}" for i in range(250, 450)} <= set(seen)
        assert len([name for name in seen if name != "0001"]) == len({*seen} - {"0001"})
        assert ids(await listed(store, "n")) == ids(await listed(store, "n"))

    async def test_concurrent_writers(self, store):
        batches = [
            [chunk(f"{w}-{i}", w=w) for i in range(30)] + [chunk(f"same{i}", w=w) for i in range(20)]
            for w in range(6)
        ]
        await asyncio.gather(
            *[store.upsert(batch, "n") for batch in batches], *[store.search(axis(0), "n") for _ in range(6)]
        )
        assert len(await listed(store, "n")) == 6 * 30 + 20


VALUES = [
    "t",
    "T",
    "1",
    "",
    "true",
    True,
    False,
    0,
    1,
    10,
    1.5,
    -0.0,
    1e16,
    2**53 + 1,
    float(2**53),
    "ä'\"\\ %_",
    "[1]",
    "null",
]


class TestFilters:
    async def test_each_value_matches_what_equals_it_and_no_more(self, store):
        await store.upsert([chunk(i, k=value, other="x") for i, value in enumerate(VALUES)], "n")
        await store.upsert(
            [chunk("none", k=None), chunk("missing"), chunk("list", k=["t", 1]), chunk("dict", k={"t": 1})],
            "n",
        )
        for value in [*VALUES, 10.0, 1.0, 2**53, "absent"]:
            same = {
                str(i)
                for i, held in enumerate(VALUES)
                if held == value
                and isinstance(held, bool) == isinstance(value, bool)
                and isinstance(held, str) == isinstance(value, str)
            }
            for found in (
                await store.search(axis(0), "n", limit=99, filter={"k": value}),
                await listed(store, "n", filter={"k": value}),
            ):
                assert set(ids(found)) == same, value
        assert ids(await store.search(axis(0), "n", filter={"k": "t", "other": "x"})) == ["0"]
        assert await store.search(axis(0), "n", filter={"k": "t", "other": "y"}) == []
        assert len(await store.search(axis(0), "n", limit=99, filter={})) == len(VALUES) + 4

    async def test_a_small_tenant_gets_all_its_rows(self, store):
        numbers = np.random.default_rng(3).normal(size=(3000, DIMENSION)).astype(np.float32)
        await store.upsert([chunk(i, numbers[i].tolist(), part="big") for i in range(2500)], "big")
        await store.upsert([chunk(i, (-np.abs(numbers[i])).tolist()) for i in range(10)], "small")
        await store.upsert([chunk(f"s{i}", axis(3), part="few") for i in range(10)], "big")
        assert len(await store.search([1.0] * 8, "small", limit=10)) == 10
        assert set(ids(await store.search([-1.0] * 8, "big", limit=10, filter={"part": "few"}))) == {
            f"s{i}" for i in range(10)
        }
        assert len(await store.search(axis(3), "big", limit=50, filter={"part": "big"})) == 50


class TestMemory:
    def test_dimensions_are_checked(self):
        for bad in (0, -1, 1.5, True):
            with pytest.raises(ConfigurationError, match="dimensions"):
                InMemoryVectorStore(bad)

    def test_make_id_and_hash(self):
        assert Chunk.make_id("doc", 3) == "doc:3"
        one = Chunk(id="a", document_id="d", content="x", position=0)
        assert len(one.content_hash) == 64
        with pytest.raises(ValueError, match="extra"):
            Chunk(id="a", document_id="d", content="x", position=0, more=1)


class TestNative:
    async def test_everything_is_there_after_reopening(self, tmp_path):
        async with NativeVectorStore(tmp_path) as store:
            await store.upsert([chunk(i, axis(i, 0.1 * i), k=i % 3) for i in range(100)], "n")
            await store.upsert([chunk("other")], "N")
            before = await store.search(axis(2), "n", limit=100, filter={"k": 1})
        async with NativeVectorStore(tmp_path) as store:
            assert await store.search(axis(2), "n", limit=100, filter={"k": 1}) == before
            assert ids(await listed(store, "N")) == ["other"]
        with pytest.raises(DimensionMismatchError):
            await NativeVectorStore(tmp_path, dimensions=9).connect()

    async def test_what_was_acknowledged_survives_a_kill(self, tmp_path):
        code = f"""
import asyncio, os, sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
from test_stores import *
async def main():
    store = NativeVectorStore({str(tmp_path)!r})
    await store.upsert([chunk(i, axis(i)) for i in range(50)], "n")
    os.kill(os.getpid(), 9)
asyncio.run(main())
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
        assert done.returncode == -9, done.stderr.decode()
        async with NativeVectorStore(tmp_path) as store:
            assert len(await listed(store, "n")) == 50

    async def test_a_tenant_of_ten_among_many_gets_its_ten(self):
        """The others' rows are nearer to what is asked, and enough for a graph; ten tenants are their own."""
        numbers = np.random.default_rng(5).normal(size=(20_000, DIMENSION)).astype(np.float32) + 1
        async with NativeVectorStore(dimensions=DIMENSION) as store:
            await store.upsert([chunk(i, row.tolist(), part="many") for i, row in enumerate(numbers)], "big")
            await store.upsert(
                [chunk(f"s{i}", [-1.0, *numbers[i][1:]], part="few") for i in range(10)], "big"
            )
            for n in range(10):
                await store.upsert([chunk(i, (-numbers[i]).tolist(), owner=n) for i in range(10)], f"big {n}")
            query = [1.0] * DIMENSION
            for n in range(10):
                found = await store.search(query, f"big {n}", limit=10)
                assert sorted(ids(found)) == [str(i) for i in range(10)]
                assert {one.chunk.metadata["owner"] for one in found} == {n}
            assert sorted(ids(await store.search(query, "big", limit=10, filter={"part": "few"}))) == [
                f"s{i}" for i in range(10)
            ]
            units = numbers / np.linalg.norm(numbers, axis=1, keepdims=True)
            best = {str(i) for i in np.argsort(-(units @ np.ones(DIMENSION)))[:10]}
            found = await store.search(query, "big", limit=10, filter={"part": "many"})
            assert len(best & set(ids(found))) >= 9

    async def test_an_empty_store_answers_nothing(self):
        async with NativeVectorStore() as store:
            assert await store.search([1.0, 2.0], "n") == []
            await store.upsert([], "n")
            await store.upsert([chunk("a", [1.0, 0.0])], "n")
            with pytest.raises(DimensionMismatchError):
                await store.upsert([chunk("a", [1.0, 0.0, 0.0])], "m")


class TestPostgres:
    async def test_a_table_of_another_dimension_is_refused(self, postgres):
        async with await make_pg(postgres, table_name="dims") as store:
            await store.apply_migrations()
            other = await PgVectorStore.connect(postgres.url, 9, table_name="dims")
            async with other:
                with pytest.raises(DimensionMismatchError, match="dims"):
                    await other.apply_migrations()
            with pytest.raises(DimensionMismatchError):
                await store.search([1.0] * 9, "n")

    async def test_two_tables_have_their_own_schema(self, postgres):
        names = [f'One {uuid.uuid4().hex[:6]} "it\'s"', f"public.two_{uuid.uuid4().hex[:6]}"]
        for name in names:
            async with await make_pg(postgres, table_name=name) as store:
                await store.upsert([chunk(name)], "n")
                assert ids(await listed(store, "n")) == [name]
        async with await make_pg(postgres, 2500) as store:
            await store.upsert([chunk("wide", [1.0] * 2500)], "n")
            assert (await store.search([1.0] * 2500, "n"))[0].score == pytest.approx(1.0, abs=1e-3)

    async def test_processes_that_migrate_at_once_do_it_once(self, postgres):
        table = f"race_{uuid.uuid4().hex[:8]}"
        code = f"""
import asyncio
from medha_core import PgVectorStore
async def main():
    async with await PgVectorStore.connect({postgres.url!r}, 8, table_name={table!r}) as store:
        await asyncio.gather(*[store.apply_migrations() for _ in range(3)])
asyncio.run(main())
"""
        running = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(3)]
        for one in running:
            _, errors = await asyncio.to_thread(one.communicate)
            assert one.returncode == 0, errors.decode()
        connection = await asyncpg.connect(postgres.url)
        rows = await connection.fetch(
            "SELECT version FROM medha_schema_migrations WHERE table_name = $1", table
        )
        await connection.close()
        assert sorted(row["version"] for row in rows) == ["001_chunks", "002_namespaced_ids"]

    async def test_a_table_keyed_by_id_alone_is_taken_over(self, postgres):
        connection = await asyncpg.connect(postgres.url)
        await connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        await connection.execute(
            "CREATE TABLE older (id text PRIMARY KEY, namespace text NOT NULL, document_id text NOT NULL, content text NOT NULL, "
            "position integer NOT NULL, metadata jsonb NOT NULL DEFAULT '{}', content_hash text NOT NULL, "
            "embedding vector(8) NOT NULL, embedding_model text NOT NULL, created_at timestamptz NOT NULL DEFAULT now())"
        )
        await connection.execute(
            "INSERT INTO older VALUES ('a', 'n', 'd', 'x', 0, '{}', 'h', '[1,0,0,0,0,0,0,0]', 'm')"
        )
        await connection.close()
        async with await make_pg(postgres, table_name="older") as store:
            await store.upsert([chunk("a")], "m")
            assert ids(await listed(store, "n")) == ids(await listed(store, "m")) == ["a"]

    async def test_a_server_that_comes_late_is_waited_for(self, postgres, caplog):
        with pytest.raises(StorageInitializationError, match="after 3 attempts"):
            await PgVectorStore.connect(
                "postgresql://u@127.0.0.1:1/d", 8, startup_retries=2, startup_backoff_seconds=0.01
            )
        assert "attempt 2 of 3" in caplog.text
        with pytest.raises(StorageInitializationError, match="refuses"):
            await PgVectorStore.connect(postgres.url.replace("/postgres?", "/absent?"), 8)
        with pytest.raises(ConfigurationError):
            await PgVectorStore.connect(postgres.url, 0)

    async def test_errors_are_ours(self, postgres):
        store = await PgVectorStore.connect(postgres.url, 8, table_name="never_migrated")
        async with store:
            with pytest.raises(VectorStoreError, match="never_migrated"):
                await store.upsert([chunk("a")], "n")
            with pytest.raises(StorageError, match="UndefinedTable"):
                await store.search(axis(0), "n")
        for bad in ("", ".", "a" * 64, "a\0"):
            with pytest.raises(ConfigurationError, match="table_name"):
                PgVectorStore(None, 8, table_name=bad)
        with pytest.raises(ConfigurationError, match="hnsw_m"):
            PgVectorStore(None, 8, hnsw_m=0)
        async with await PgVectorStore.connect(postgres.url, 5000, table_name="too_wide") as wide:
            with pytest.raises(MigrationError, match="4000"):
                await wide.apply_migrations()

    async def test_a_loop_over_all_chunks_holds_no_transaction(self, postgres):
        async with await make_pg(postgres) as store:
            await store.upsert([chunk(f"{i:04}") for i in range(300)], "n")
            loop = store.get_all_chunks("n")
            await anext(loop)
            admin = await asyncpg.connect(postgres.url)
            open_ones = await admin.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND query LIKE '%content_hash%'"
            )
            await admin.close()
            assert open_ones == 0
            assert len([one async for one in loop]) == 299

    async def test_a_dropped_connection_is_replaced(self, postgres):
        async with await make_pg(postgres) as store:
            await store.upsert([chunk("a")], "n")
            admin = await asyncpg.connect(postgres.url)
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid != pg_backend_pid() AND backend_type = 'client backend'"
            )
            await admin.close()
            await asyncio.sleep(0.1)
            assert ids(await store.search(axis(0), "n")) == ["a"]
