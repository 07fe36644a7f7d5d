"""`embed` and `EmbeddingCache`, and the chain behind them, as a program uses them."""

import asyncio
import inspect
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from embedder_contract import EmbedderContract
from embedding_server import DIMENSION, KEY, EmbeddingServer, vector

import medha_core
from medha_core import (
    ArgumentTypeError,
    ArgumentValueError,
    CachedEmbedder,
    CallableEmbedder,
    ConfigurationError,
    EmbeddingCache,
    EmbeddingError,
    FallbackEmbedder,
    HashingEmbedder,
    MedhaError,
    ProvidersFailedError,
    RemoteEmbedder,
    StorageInitializationError,
    embedding_cache,
)
from medha_core.embeddings.lazy import LazyEmbedder
from medha_core.embeddings.models import models_root

pytest.importorskip("httpx")

MODELS = str(models_root())
"""Read before a test gives this process another home."""


@pytest.fixture(autouse=True)
def own_directory(tmp_path, monkeypatch):
    """Nothing of the user's, and nothing shared between tests."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("EMBEDDING_CACHE_DIR", "EMBEDDING_CACHE_URL", "EMBEDDING_CACHE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(embedding_cache, "_shared", None)
    yield
    if embedding_cache._shared is not None:
        embedding_cache._shared.close()


@pytest.fixture
def server():
    running = EmbeddingServer()
    yield running
    running.stop()


@pytest.fixture
def hashed():
    with EmbeddingCache("hashing") as cache:
        yield cache


def unit(text):
    made = np.array(vector(text), np.float32)
    return made / np.linalg.norm(made)


# the shape of it


def test_the_signature_is_the_documented_one():
    parameters = inspect.signature(EmbeddingCache).parameters
    names = ["model", "cache_dir", "remote_url", "fallback_providers", "timeout"]
    assert list(parameters)[:5] == names
    assert parameters["timeout"].default == 5.0
    assert all(parameters[name].default is None for name in names[1:4])


def test_one_text_is_a_vector_and_a_list_is_a_list(hashed):
    one = hashed.embed("hello world")
    many = hashed.embed(["hello", "hello world"])
    assert [type(one), type(one[0]), type(many), type(many[0])] == [list, float, list, list]
    assert many[1] == one == HashingEmbedder().embed("hello world")
    assert hashed.embed([]) == []


async def test_the_asynchronous_way_gives_the_same(hashed):
    assert await hashed.aembed("hello") == hashed.embed("hello")
    assert await hashed.aembed(["a", "b"]) == hashed.embed(["a", "b"])


def test_letter_case_and_space_at_the_ends_do_not_matter(hashed):
    assert hashed.embed("  Hello World\n") == hashed.embed("hello world")
    assert hashed.stats == {"hits": 1, "misses": 1, "remote_hits": 0}


def test_a_new_process_finds_what_was_cached(tmp_path):
    with EmbeddingCache("hashing", tmp_path / "c") as cache:
        first = cache.embed(["a", "b"])
    with EmbeddingCache("hashing", tmp_path / "c") as cache:
        assert cache.embed(["a", "b"]) == first
        assert cache.stats == {"hits": 2, "misses": 0, "remote_hits": 0}
        cache.clear()
        assert cache.info()["entries"] == 0


def test_e10_home_is_expanded_and_the_environment_read(tmp_path, monkeypatch, server):
    """E10: no folder named `~`, and both variables do what is documented."""
    with EmbeddingCache("hashing") as cache:
        assert cache.info()["path"] == str(tmp_path / "home" / ".cache" / "embedding-cache" / "cache.db")
    with EmbeddingCache("hashing", "~/mine") as cache:
        assert cache.info()["path"] == str(tmp_path / "home" / "mine" / "cache.db")
    assert not Path("~").exists()
    monkeypatch.setenv("EMBEDDING_CACHE_DIR", "~/of the environment")
    with EmbeddingCache("hashing") as cache:
        assert cache.info()["path"] == str(tmp_path / "home" / "of the environment" / "cache.db")
    monkeypatch.setenv("EMBEDDING_CACHE_URL", server.url)
    monkeypatch.setenv("EMBEDDING_CACHE_API_KEY", KEY)
    server.faults = [{"edit": as_of(384)}]
    with EmbeddingCache("hashing", fallback_providers=["remote"]) as cache:
        cache.embed("one")
    ((path, headers, body),) = server.requests
    assert (path, headers["authorization"]) == ("/embed", f"Bearer {KEY}")
    assert body == {"texts": ["one"], "normalized": True, "role": "query", "model": "hashing"}


def as_of(dimension):
    """The server's answer with vectors of another dimension."""

    def edit(right):
        vectors = [[1.0] * dimension for _ in right["embeddings"]]
        return right | {"embeddings": vectors, "dimensions": dimension}

    return edit


def test_the_function_has_one_cache_for_the_process(tmp_path, monkeypatch):
    made = []

    class Hashed(EmbeddingCache):
        def __init__(self):
            made.append(self)
            super().__init__("hashing")

    monkeypatch.setattr(embedding_cache, "EmbeddingCache", Hashed)
    threads = [threading.Thread(target=medha_core.embed, args=("hello",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert medha_core.embed(["hello"]) == [medha_core.embed("hello")]
    assert len(made) == 1


def test_the_default_is_the_real_model_in_a_process_of_its_own(tmp_path):
    pytest.importorskip("onnxruntime")
    code = (
        "from medha_core import embed\n"
        "import sys; assert 'onnxruntime' not in sys.modules\n"
        "a, b, c = embed(['how many orders were placed', 'number of orders', 'the river is long'])\n"
        "dot = lambda x, y: sum(i * j for i, j in zip(x, y))\n"
        "assert len(a) == 384 and dot(a, b) > 0.6 > 0.3 > dot(a, c), (dot(a, b), dot(a, c))\n"
        "print(embed('How many orders were placed') == a)"
    )
    environment = os.environ | {"EMBEDDING_CACHE_DIR": str(tmp_path), "MEDHA_MODEL_DIR": MODELS}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert done.stdout.strip() == "True", done.stderr


# what is refused


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("", ValueError, "non-empty"),
        (" \n", ValueError, "non-empty"),
        (None, ValueError, "got None"),
        (["good", None], ValueError, r"text\[1\].*None"),
        (["good", ""], ValueError, r"text\[1\]"),
        (3, TypeError, "got int"),
        (["good", 3], TypeError, r"text\[1\].*got int"),
        (b"bytes", TypeError, "got bytes"),
        ({"a": 1}, TypeError, "got dict"),
        ("word " * 8001, ValueError, "at most 8000 tokens .this has about 10001."),
        ("x" * 33_000, ValueError, "about 8250"),
        ("a " * 9000, ValueError, "about 9000"),
        ("\u6570" * 9000, ValueError, "about 9900"),
    ],
)
async def test_what_cannot_be_embedded_is_refused(hashed, text, error, words):
    with pytest.raises(error, match=words) as told:
        hashed.embed(text)
    assert isinstance(told.value, MedhaError)
    with pytest.raises(error, match=words):
        await hashed.aembed(text)
    assert hashed.stats["misses"] == 0


def test_a_long_text_within_the_limit_is_embedded(hashed):
    assert len(hashed.embed("word " * 6000)) == 384


def test_an_embedder_of_ones_own_takes_the_place_of_a_name(server, tmp_path):
    own = HashingEmbedder(64)
    with EmbeddingCache(own, tmp_path) as cache:
        assert cache.model == own.model_name
        assert cache.embed("Hello") == own.embed("hello")
    broken = failing("broken")
    with EmbeddingCache(broken, tmp_path / "other", server.url) as cache:
        assert np.allclose(cache.embed("One"), unit("query|one"), atol=1e-6)
    assert server.bodies[0]["model"] == broken.model_name


def test_an_unknown_model_lists_the_known_ones():
    with pytest.raises(ConfigurationError, match=r"unknown model 'gpt'.*all-MiniLM-L6-v2"):
        EmbeddingCache("gpt")


@pytest.mark.parametrize("providers", [[], ["cloud"], "local", ["local", "x"], [["local"]], 3])
def test_unknown_providers_are_refused(providers):
    with pytest.raises(ArgumentValueError, match="fallback_providers"):
        EmbeddingCache("hashing", fallback_providers=providers)


@pytest.mark.parametrize(
    ("argument", "value", "error"),
    [
        ("timeout", 0, ValueError),
        ("timeout", -1, ValueError),
        ("timeout", float("nan"), ValueError),
        ("timeout", "5", TypeError),
        ("timeout", None, TypeError),
        ("cache_dir", 3, TypeError),
        ("remote_url", 5, TypeError),
        ("remote_url", "example.com", ValueError),
    ],
)
def test_what_is_no_setting_is_refused_by_its_name(tmp_path, argument, value, error):
    with pytest.raises(error, match=f"^{argument}: ") as told:
        EmbeddingCache("hashing", **{"cache_dir": tmp_path, argument: value})
    assert isinstance(told.value, MedhaError)


@pytest.mark.parametrize("folder", ["~nobody-of-this-name/cache", "a\0b"])
def test_a_folder_that_cannot_be_is_one_error(folder):
    with pytest.raises(StorageInitializationError, match="the embedding cache cannot be at"):
        EmbeddingCache("hashing", folder)


def test_remote_alone_needs_an_address():
    with pytest.raises(ConfigurationError, match="EMBEDDING_CACHE_URL"):
        EmbeddingCache("hashing", fallback_providers=["remote"])


# the chain of the facade


def test_the_service_answers_when_the_model_cannot_be_loaded(server, monkeypatch, caplog):
    monkeypatch.setenv("MEDHA_OFFLINE", "1")
    monkeypatch.setenv("MEDHA_MODEL_DIR", "/nowhere")
    server.faults = [{"edit": as_of(384)}, {"edit": as_of(384)}]
    with EmbeddingCache(remote_url=server.url) as cache:
        cache.embed(["known 1", "new"])
        cache.embed(["another"])
        assert cache.stats == {"hits": 0, "misses": 3, "remote_hits": 1}
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "the next in the chain is asked" in warnings[0]


def test_the_model_answers_when_the_service_is_away(server):
    url = server.url
    server.stop()
    with EmbeddingCache("hashing", remote_url=url, fallback_providers=["remote", "local"]) as cache:
        assert cache.embed("hello") == HashingEmbedder().embed("hello")


def test_cached_texts_are_answered_when_everything_else_is_away(server, tmp_path):
    server.faults = [{"edit": as_of(384)}]
    with EmbeddingCache("hashing", tmp_path, server.url, ["remote"]) as cache:
        first = cache.embed("hello")
    server.stop()
    with EmbeddingCache("hashing", tmp_path, server.url, ["remote"]) as cache:
        assert cache.embed("hello") == first
        with pytest.raises(ProvidersFailedError):
            cache.embed("new")


@pytest.mark.parametrize("remote", [True, False])
async def test_when_all_fail_the_sentence_says_what_to_do(server, monkeypatch, remote):
    monkeypatch.setenv("MEDHA_OFFLINE", "1")
    monkeypatch.setenv("MEDHA_MODEL_DIR", "/nowhere")
    server.faults = [{"status": 500, "body": b"{}"}] * 2
    with EmbeddingCache(remote_url=server.url if remote else None) as cache:
        for ask in (lambda: asyncio.to_thread(cache.embed, "a"), lambda: cache.aembed("a")):
            with pytest.raises(RuntimeError, match=r"^All embedding providers failed\. Cannot") as told:
                await ask()
            assert "install local model (pip install 'medha-core[onnx]')" in str(told.value)
            assert "check backend availability" in str(told.value)
            assert isinstance(told.value, EmbeddingError)
        assert cache.info()["entries"] == 0


# chains by themselves


class TestChain(EmbedderContract):
    @pytest.fixture
    def embedder(self):
        return FallbackEmbedder([failing("one"), HashingEmbedder(64)])


class TestLazy(EmbedderContract):
    @pytest.fixture
    def embedder(self):
        return LazyEmbedder(lambda: HashingEmbedder(64), "hashing-v1-64", 64)


def failing(reason, error=RuntimeError, name="hashing-v1-64", dimension=64):
    def fail(texts):
        raise error(reason)

    return CallableEmbedder(fail, dimension, name, batch=True)


def test_the_first_that_can_answers_and_falls_are_counted_and_logged_once(caplog):
    chain = FallbackEmbedder([failing("broken"), HashingEmbedder(64)])
    for _ in range(3):
        assert chain.embed("a") == HashingEmbedder(64).embed("a")
    assert chain.falls == (3, 0)
    (record,) = caplog.records
    assert "failed (EmbeddingError)" in record.getMessage()


def test_e4_members_of_another_model_or_dimension_are_refused():
    with pytest.raises(ConfigurationError, match="one model: 'hashing-v1-64' and 'other'"):
        FallbackEmbedder([HashingEmbedder(64), failing("", name="other")])
    with pytest.raises(ConfigurationError, match="one dimension, got 64 and 65"):
        FallbackEmbedder([HashingEmbedder(64), failing("", dimension=65)])
    with pytest.raises(ArgumentValueError):
        FallbackEmbedder([])
    with pytest.raises(ArgumentTypeError):
        FallbackEmbedder(["hashing"])


async def test_e4_a_member_that_turns_out_to_have_another_dimension_is_not_believed(server):
    """The service's dimension is only known once it has answered."""
    local = failing("broken", name="all-MiniLM-L6-v2", dimension=384)
    with (
        RemoteEmbedder(server.url, model="all-MiniLM-L6-v2") as remote,
        pytest.raises(ProvidersFailedError, match="one dimension, got 384 and 64"),
    ):
        await FallbackEmbedder([local, remote]).aembed("one")


def test_e4_the_vectors_of_a_chain_are_no_members_in_the_cache(tmp_path):
    with CachedEmbedder(HashingEmbedder(64), tmp_path / "c.db") as alone:
        alone.embed("a")
    chain = FallbackEmbedder([failing("broken"), HashingEmbedder(64)])
    with CachedEmbedder(chain, tmp_path / "c.db") as cached:
        cached.embed("a")
        assert cached.stats["computed"] == 1
        assert {model["model"] for model in cached.info()["models"]} == {
            "chain/hashing-v1-64:64",
            HashingEmbedder(64).fingerprint,
        }


class Narrow(HashingEmbedder):
    """Runs out of memory with more than `room` texts at once."""

    def __init__(self, room, error):
        super().__init__(64)
        self.room, self.error, self.sizes = room, error, []

    async def aembed_array(self, texts, **kwargs):
        self.sizes.append(len(texts))
        if len(texts) > self.room:
            raise self.error
        return self.embed_array(texts)


def caused():
    error = EmbeddingError("the model could not run")
    error.__cause__ = RuntimeError("Failed to allocate memory for requested buffer of size 99")
    return error


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("CUDA out of memory. Tried"), caused()], ids=["a", "b", "c"]
)
async def test_e10_out_of_memory_halves_the_batch(error):
    narrow = Narrow(3, error)
    texts = [f"text {i}" for i in range(10)]
    chain = FallbackEmbedder([narrow, HashingEmbedder(64)])
    assert np.array_equal(await chain.aembed_array(texts), HashingEmbedder(64).embed_array(texts))
    assert narrow.sizes == [10, 5, 2, 3, 5, 2, 3]
    assert chain.falls == (0, 0)


async def test_e10_out_of_memory_for_one_text_goes_on_to_the_next():
    narrow = Narrow(0, MemoryError())
    chain = FallbackEmbedder([narrow, HashingEmbedder(64)])
    assert (await chain.aembed_array(["a", "b", "c"])).shape == (3, 64)
    assert narrow.sizes == [3, 1]
    assert chain.falls == (1, 0)


async def test_other_failures_are_not_split():
    narrow = Narrow(1, RuntimeError("broken"))
    await FallbackEmbedder([narrow, HashingEmbedder(64)]).aembed_array(["a", "b", "c"])
    assert narrow.sizes == [3]


async def test_bad_text_is_the_callers_fault_and_no_fall():
    chain = FallbackEmbedder([HashingEmbedder(64)])
    with pytest.raises(ArgumentValueError):
        await chain.aembed("")
    assert chain.falls == (0,)


async def test_a_cancelled_call_asks_nobody_else():
    gate = asyncio.Event()

    async def wait(text):
        await gate.wait()

    second = Narrow(9, MemoryError())
    chain = FallbackEmbedder([CallableEmbedder(wait, 64, "hashing-v1-64"), second])
    task = asyncio.create_task(chain.aembed("a"))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert second.sizes == []


async def test_the_chain_over_a_real_service(server):
    with RemoteEmbedder(server.url, model="all-MiniLM-L6-v2", dimension=DIMENSION) as remote:
        chain = FallbackEmbedder([failing("x", name="all-MiniLM-L6-v2"), remote])
        assert np.allclose(await chain.aembed("one"), unit("query|one"), atol=1e-6)
        assert np.allclose(
            await chain.aembed_array(["one"], is_document=True), unit("document|one"), atol=1e-6
        )


def test_what_cannot_be_made_fails_like_a_call_and_is_tried_again():
    tries = []

    def make():
        tries.append(1)
        if len(tries) == 1:
            raise ConfigurationError("not installed")
        return HashingEmbedder(64)

    lazy = LazyEmbedder(make, "hashing-v1-64", 64, retry_after=0)
    assert (lazy.dimension, lazy.model_name, tries) == (64, "hashing-v1-64", [])
    with pytest.raises(ConfigurationError):
        lazy.embed("a")
    assert lazy.embed("a") == HashingEmbedder(64).embed("a")


def test_what_cannot_be_made_is_not_looked_for_each_time():
    tries = []

    def make():
        tries.append(1)
        raise ConfigurationError("not installed")

    lazy = LazyEmbedder(make, "m", 64)
    for _ in range(5):
        with pytest.raises(MedhaError, match="not installed"):
            lazy.embed("a")
    assert len(tries) == 1
