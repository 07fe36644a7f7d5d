"""Moving collections between stores: whole, verified, resumable, and nothing lost at the source."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from medha_core import (
    CacheEntry,
    ConfigurationError,
    NativeBackend,
    PersistedStats,
    Settings,
    StorageError,
    VectorRole,
)
from medha_core.backends.foreign import ForeignBackend
from medha_core.cli.app import run
from medha_core.migration import migrate, move_collection
from medha_core.urls import backend_at

NAMES = ["shop", "Shop – 店", "it's"]


def entries(count, seed=1):
    vectors = np.random.default_rng(seed).normal(size=(count, 12)).astype(np.float32)
    made = []
    for i, vector in enumerate(vectors):
        made.append(
            CacheEntry(
                id=f"e{i}",
                vector=vector.tolist(),
                original_question=f"Question {i} – 名?",
                normalized_question=f"question {i // 2}",
                generated_query=f"SELECT {i}",
                query_hash=f"h{i % 7}",
                response_summary="x" if i % 3 else None,
                template_id="t" if i % 5 == 0 else None,
                usage_count=i,
                feedback_correct=i % 4,
                feedback_incorrect=i % 3,
                role=VectorRole.QUESTION if i % 2 else VectorRole.DOCUMENT,
                tables=("a", "b") if i % 3 == 0 else None,
                created_at=datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=i, microseconds=i),
                expires_at=datetime(2030 if i % 2 else 2020, 1, 1, tzinfo=UTC) if i % 6 == 0 else None,
                metadata={"n": i, "f": 1.5, "b": bool(i % 2), "s": "ä"} if i % 4 == 0 else {},
            )
        )
    return made


@pytest.fixture
async def source(tmp_path):
    path = tmp_path / "source"
    async with NativeBackend(path) as store:
        for place, name in enumerate(NAMES):
            await store.initialize(name, 12, model="model-1")
            await store.upsert(name, entries(40 + place, seed=place))
        await store.save_stats("shop", PersistedStats(total_requests=9, total_hits=4))
    return path


@pytest.fixture(params=["pgvector", "qdrant", "qdrant+edge", "chroma", "lancedb", "redis", "native"])
def target(request, tmp_path, monkeypatch):
    """An address on an engine that is empty."""
    own = f"t{uuid.uuid4().hex[:10]}"
    if request.param == "pgvector":
        monkeypatch.setenv("MEDHA_PG_SCHEMA", own)
        monkeypatch.setenv("MEDHA_PG_POOL_MIN_SIZE", "1")
        return request.getfixturevalue("postgres").url
    if request.param == "redis":
        monkeypatch.setenv("MEDHA_REDIS_KEY_PREFIX", own)
        monkeypatch.setenv("MEDHA_REDIS_SOCKET_TIMEOUT", "60")
        return f"redis://127.0.0.1:{request.getfixturevalue('vector_redis').port}/0"
    return f"{request.param}://{tmp_path / 'target'}"


def summary(rows):
    return {row.id: row.model_dump(exclude={"vector", "score"}) for row in rows}


async def everything(store, collection):
    rows = [row async for page in store.pages(collection, with_vectors=True) for row in page]
    return summary(rows), {row.id: np.asarray(row.vector) for row in rows}


async def test_there_and_back(source, target, tmp_path, capsys):
    assert await asyncio.to_thread(run, ["migrate", "--from", str(source), "--to", target, "--json"]) == 0
    moved = json.loads(capsys.readouterr().out)["collections"]
    assert sorted((one["collection"], one["entries"], one["written"]) for one in moved) == sorted(
        (name, 40 + place, 40 + place) for place, name in enumerate(NAMES)
    )
    back = tmp_path / "back"
    assert await asyncio.to_thread(run, ["migrate", "--from", target, "--to", str(back)]) == 0
    said = capsys.readouterr().out
    assert all(one["checksum"] in said for one in moved)
    async with NativeBackend(source, mode="r") as old, NativeBackend(back, mode="r") as new:
        for name in NAMES:
            before, vectors = await everything(old, name)
            after, others = await everything(new, name)
            assert after == before
            assert all(np.allclose(vectors[i], others[i], atol=1e-6) for i in vectors)
            newest = (await new.search_by_normalized_question(name, "question 10")).id
            assert newest == (await old.search_by_normalized_question(name, "question 10")).id
            assert await new.find_by_tables(name, ["b"]) == await old.find_by_tables(name, ["b"])
        assert (await new.load_stats("shop")).total_requests == 9
        assert new.rows.collection("shop").model == "model-1"


async def test_a_second_run_writes_nothing_and_mends_what_differs(source, target):
    settings = Settings(_env_file=None)
    async with NativeBackend(source, mode="r") as old, backend_at(target, settings) as new:
        first = await move_collection(old, new, "shop")
        again = await move_collection(old, new, "shop")
        assert (first.entries, first.written, again.written) == (40, 40, 0)
        assert first.checksum == again.checksum
        await new.delete("shop", ["e3", "e4"])
        changed = entries(40, seed=0)[7].model_copy(update={"generated_query": "SELECT 'other'"})
        await new.upsert("shop", [changed, changed.model_copy(update={"id": "own"})])
        mended = await move_collection(old, new, "shop")
        assert (mended.written, mended.checksum) == (3, first.checksum)
        assert await new.count("shop") == 41
        assert (await new.get("shop", ["e7"]))[0].generated_query == "SELECT 7"


KILLED = """
import asyncio, os, sys
from medha_core import NativeBackend, Settings
from medha_core.migration import move_collection
from medha_core.urls import backend_at

def stop(done, total):
    if done >= 200:
        os.kill(os.getpid(), 9)

async def main():
    settings = Settings(_env_file=None)
    async with backend_at(sys.argv[1], settings, mode="r") as old, backend_at(sys.argv[2], settings) as new:
        await move_collection(old, new, "big", stop)

asyncio.run(main())
"""


async def test_a_killed_migration_goes_on(target, tmp_path):
    path, settings = tmp_path / "big", Settings(_env_file=None)
    async with NativeBackend(path) as store:
        await store.initialize("big", 12)
        await store.upsert("big", entries(600))
    command = [sys.executable, "-c", KILLED, str(path), target]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False, env=os.environ)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    async with NativeBackend(path, mode="r") as old, backend_at(target, settings) as new:
        held = await new.count("big")
        assert 200 <= held < 600
        moved = await move_collection(old, new, "big")
        assert (moved.entries, moved.written) == (600, 600 - held)
        assert await new.count("big") == 600
        assert (await everything(old, "big"))[0] == (await everything(new, "big"))[0]
        assert await old.count("big") == 600


@pytest.mark.parametrize("engine", ["qdrant+edge", "qdrant", "chroma", "lancedb"])
def test_a_directory_that_is_not_there_is_no_source(tmp_path, capsys, engine):
    target = str(tmp_path / "copy")
    absent = tmp_path / "absent"
    assert run(["migrate", "--from", f"{engine}://{absent}", "--to", target]) == 2
    assert f"no store in {absent}: there is no such directory" in capsys.readouterr().err
    assert not absent.exists()


def test_a_source_without_collections_is_said(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    source = f"lancedb://{tmp_path / 'empty'}"
    assert run(["migrate", "--from", source, "--to", str(tmp_path / "copy")]) == 1
    told = capsys.readouterr()
    assert "--from: the store has no collections" in told.err
    assert told.out == ""


async def test_what_cannot_be_moved_is_said(source, tmp_path):
    async with NativeBackend(source, mode="r") as old, NativeBackend(tmp_path / "t") as new:
        with pytest.raises(StorageError, match="absent"):
            await migrate(old, new, "absent")
        await new.initialize("shop", 13)
        with pytest.raises(StorageError, match="dimension"):
            await move_collection(old, new, "shop")
    for bad in ("nothing://x", "vectorchord+http://x"):
        with pytest.raises(ConfigurationError, match="address"):
            backend_at(bad, Settings(_env_file=None))


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("./there", "there"),
        ("native://{tmp}/there", "there/"),
        ("redis://localhost/1", "redis://localhost/1/"),
    ],
)
def test_a_store_is_not_moved_onto_itself(source, target, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["migrate", "--from", source.format(tmp=tmp_path), "--to", target]) == 2
    assert "another store than --from" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("url", "name", "held"),
    [
        ("qdrant://box", "qdrant", {"qdrant_url": "http://box:6333"}),
        ("qdrant+https://box", "qdrant", {"qdrant_url": "https://box"}),
        ("qdrant+edge:///data/x", "qdrant", {"qdrant_mode": "edge", "qdrant_path": "/data/x"}),
        ("chroma+https://box", "chroma", {"chroma_host": "box", "chroma_port": 443, "chroma_ssl": True}),
        ("elasticsearch://box", "elasticsearch", {"es_hosts": ["http://box:9200"]}),
        ("weaviate://box:81", "weaviate", {"weaviate_host": "box", "weaviate_http_port": 81}),
        (
            "azure-search://x.search.windows.net",
            "azure-search",
            {"azure_search_endpoint": "https://x.search.windows.net"},
        ),
        ("rediss://u:p@box:1/2", "redis", {"redis_url": "rediss://u:p@box:1/2"}),
        ("lancedb:///data/x", "lancedb", {"lancedb_uri": "/data/x"}),
        ("vectorchord+postgresql://u@box/db", "vectorchord", {}),
    ],
)
def test_addresses(url, name, held):
    store = backend_at(url, Settings(_env_file=None))
    assert isinstance(store, ForeignBackend)
    assert store._driver.engine == name
    assert {key: getattr(store._driver._settings, key) for key in held} == held
