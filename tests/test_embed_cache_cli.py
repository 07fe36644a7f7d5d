"""`medha embed-cache`, and what becomes of caches that an older library left."""

import hashlib
import json
import logging
import sqlite3
from contextlib import closing

import numpy as np
import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")

from medha_core import CachedEmbedder, EmbeddingCache, HashingEmbedder, StorageError
from medha_core.cli.app import run

msgpack = pytest.importorskip("msgpack")

MODEL = "hashing"


@pytest.fixture(autouse=True)
def own_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("EMBEDDING_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("EMBEDDING_CACHE_URL", raising=False)


@pytest.fixture
def filled(tmp_path):
    with CachedEmbedder(HashingEmbedder(16), tmp_path / "cache.db", memory_entries=0) as cache:
        cache.embed_array(["a", "b"])
        cache.embed_array(["a"])
        cache.embed_array(["a"], is_document=True)
    return tmp_path / "cache.db"


def said(capsys, *arguments, code=0):
    assert run(["embed-cache", *map(str, arguments)]) == code
    return capsys.readouterr()


def asked(capsys, *arguments):
    return json.loads(said(capsys, *arguments, "--json").out)


@pytest.mark.usefixtures("filled")
def test_stats_count(capsys):
    found = asked(capsys, "stats")
    assert found.pop("file_bytes") > 0
    assert found == {"entries": 3, "accesses": 4, "vector_bytes": 192, "models": 1}
    assert "entries       3" in said(capsys, "stats").out


def test_info_names_file_and_models(capsys, filled):
    found = asked(capsys, "info", "--path", filled)
    assert (found["path"], found["format"]) == (str(filled), 1)
    model = HashingEmbedder(16).fingerprint
    assert found["models"] == [
        {"model": model, "dimension": 16, "role": "document", "entries": 1, "accesses": 1},
        {"model": model, "dimension": 16, "role": "query", "entries": 2, "accesses": 3},
    ]
    assert f"{model}: 2 of role query, 16 dimensions" in said(capsys, "info").out


@pytest.mark.usefixtures("filled")
def test_clear_wants_to_be_sure(capsys):
    assert "say --yes" in said(capsys, "clear", code=2).err
    assert asked(capsys, "stats")["entries"] == 3
    assert asked(capsys, "clear", "-y") == {"cleared": 3}
    assert asked(capsys, "stats")["entries"] == 0


def test_export_writes_each_vector(capsys, filled, tmp_path):
    lines = said(capsys, "export").out.splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["role"] for row in rows] == ["query", "query", "document"]
    assert np.array_equal(
        np.array(rows[1]["embedding"], np.float32), HashingEmbedder(16).embed_array(["b"])[0]
    )
    assert asked(capsys, "export")["embeddings"] == rows
    said(capsys, "export", "--output", tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text().splitlines() == lines


@pytest.mark.parametrize("command", ["stats", "info", "clear", "export"])
def test_no_cache_is_one_sentence_and_makes_none(capsys, tmp_path, command):
    assert "there is no embedding cache at" in said(capsys, command, code=2).err
    assert list(tmp_path.iterdir()) == []


# an older library's cache


def old_cache(path, kind, texts, *, model=MODEL, change=lambda vectors: vectors):
    """The file as the older library wrote it, with its own keys."""
    columns = ", dimensions INTEGER, dtype TEXT" if kind == "float16" else ""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(
            "CREATE TABLE embeddings (cache_key TEXT PRIMARY KEY, model TEXT NOT NULL, "
            "embedding BLOB NOT NULL, created_at INTEGER NOT NULL, access_count INTEGER DEFAULT 1, "
            f"last_accessed INTEGER NOT NULL{columns})"
        )
        for text, vector in zip(texts, change(HashingEmbedder().embed_array(texts)), strict=True):
            row = [key_of(text, model), model, blob(vector, kind), 1, 1, 1]
            row += [len(vector), kind] if kind == "float16" else []
            db.execute(f"INSERT INTO embeddings VALUES ({', '.join('?' * len(row))})", row)


def key_of(text, model):
    return hashlib.sha256(json.dumps({"text": text, "model": model}, sort_keys=True).encode()).hexdigest()


def blob(vector, kind):
    return vector.astype("<f2").tobytes() if kind == "float16" else msgpack.packb(vector.tolist())


@pytest.mark.parametrize("kind", ["float16", "msgpack"])
def test_an_old_cache_is_migrated_and_answers(capsys, tmp_path, kind):
    old_cache(tmp_path / "old" / "cache.db", kind, ["hello world", "second of three orders"])
    found = asked(capsys, "migrate", tmp_path / "old" / "cache.db")
    assert found == {"migrated": 2, "unreadable": 0, "path": str(tmp_path / "cache.db")}
    with EmbeddingCache(MODEL) as cache:
        first = cache.embed(["new", "Hello World "])
        assert np.allclose(first, HashingEmbedder().embed_array(["new", "hello world"]), atol=1e-3)
        second = cache.embed("second of three orders")
        exact = HashingEmbedder().embed("second of three orders")
        assert np.allclose(second, exact, atol=1e-3)
        assert (second == exact) == (kind == "msgpack")  # half precision shows that it is the old one
    with EmbeddingCache(MODEL) as cache:
        assert cache.embed("second of three orders") == second


def test_vectors_of_another_space_are_noticed_and_not_used(capsys, tmp_path, caplog):
    """E4: the same model and text, embedded with a prefix."""
    old_cache(
        tmp_path / "old.db",
        "float16",
        ["hello", "world"],
        change=lambda vectors: HashingEmbedder().embed_array(["search_document: hello", "search: world"]),
    )
    asked(capsys, "migrate", tmp_path / "old.db")
    with EmbeddingCache(MODEL) as cache:
        assert cache.embed(["hello", "world"]) == HashingEmbedder().embed_batch(["hello", "world"])
        assert cache.embed("world") == HashingEmbedder().embed("world")
    (warning,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "are not used" in warning.getMessage()


def test_unreadable_rows_are_counted_and_left(capsys, tmp_path):
    old_cache(tmp_path / "old.db", "float16", ["a", "b", "c", "d", "e"])
    with closing(sqlite3.connect(tmp_path / "old.db", isolation_level=None)) as db:
        for text, broken in (("a", b"abc"), ("b", "text"), ("c", b"\0" * 768), ("d", b"\xff" * 768)):
            db.execute(
                "UPDATE embeddings SET embedding = ? WHERE cache_key = ?", (broken, key_of(text, MODEL))
            )
    assert asked(capsys, "migrate", tmp_path / "old.db")["migrated"] == 1
    assert "4 could not be read" in said(capsys, "migrate", tmp_path / "old.db").out


def test_what_is_no_old_cache_is_refused(capsys, tmp_path, filled):
    (tmp_path / "text.db").write_text("no database")
    assert (
        "no embedding cache that can be migrated" in said(capsys, "migrate", tmp_path / "text.db", code=2).err
    )
    other = tmp_path / "copy.db"
    other.write_bytes(filled.read_bytes())
    assert "nothing is to be migrated" in said(capsys, "migrate", other, code=2).err
    assert "into itself" in said(capsys, "migrate", filled, code=2).err
    assert "there is no file" in said(capsys, "migrate", tmp_path / "absent", code=2).err


def test_an_old_cache_in_the_way_is_set_aside_whole_and_can_still_be_migrated(capsys, tmp_path, caplog):
    old_cache(tmp_path / "cache.db", "float16", ["hello"])
    with closing(sqlite3.connect(tmp_path / "cache.db", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("UPDATE embeddings SET access_count = 7")
        with EmbeddingCache(MODEL) as cache:  # while its owner has it open: part of it is in the log
            cache.embed("other")
        assert "medha embed-cache migrate reads it" in caplog.text
        assert asked(capsys, "migrate", tmp_path / "cache.db.aside-1")["migrated"] == 1
    assert asked(capsys, "stats")["entries"] == 2


def test_a_cache_of_several_models_gives_each_only_its_own(capsys, tmp_path):
    old_cache(tmp_path / "old.db", "float16", ["hello"], model="nomic-ai/nomic-embed-text-v1.5")
    asked(capsys, "migrate", tmp_path / "old.db")
    with EmbeddingCache(MODEL) as cache:
        assert cache.embed("hello") == HashingEmbedder().embed("hello")


def test_a_failing_source_raises_ours(tmp_path):
    from medha_core.embeddings.migrated import migrate
    from medha_core.vectors.file import VectorFile

    file = VectorFile(tmp_path / "target.db")
    with pytest.raises(StorageError, match="no embedding cache"):
        migrate(tmp_path, file, lambda done, total: None)
    file.close()
