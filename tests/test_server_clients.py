"""This library's own clients against this library's own server, over a socket: two machines in one test."""

import logging

import httpx
import numpy as np
import pytest
from embedding_server import EmbeddingServer
from service_harness import Counted, Served

from medha_core import (
    ConfigurationError,
    EmbedderService,
    EmbeddingCache,
    EmbeddingError,
    HashingEmbedder,
    Medha,
    OnnxEmbedder,
    RemoteEmbedder,
    Settings,
)
from medha_core.embeddings.openai_compatible_adapter import OpenAICompatibleAdapter
from medha_core.service.api_keys import KeyFile
from medha_core.service.limits import Limits

TEXTS = ["how many orders?", "who left?", "größer als 5 €?", "how many orders?"]


@pytest.fixture
def service():
    return EmbedderService("hashing")


@pytest.fixture
def served(service):
    with Served(service, limits=Limits(max_batch=200)) as served:
        yield served


def test_e1_the_library_and_its_own_server_can_talk(served, tmp_path):
    with EmbeddingCache("hashing", tmp_path, served.url, ["remote"]) as cache:
        vectors = cache.embed(TEXTS)
        assert np.asarray(vectors, np.float32).tobytes() == HashingEmbedder().embed_array(TEXTS).tobytes()
        assert cache.stats == {"hits": 1, "misses": 3, "remote_hits": 0}
        assert cache.embed(TEXTS[0]) == vectors[0]
        assert cache.stats["hits"] == 2
    with EmbeddingCache("hashing", tmp_path / "another machine", served.url, ["remote"]) as other:
        assert other.embed(TEXTS) == vectors
        assert other.stats == {"hits": 1, "misses": 3, "remote_hits": 3}


@pytest.mark.parametrize("ending", ["", "/", "/embed"])
def test_e1_the_address_may_end_in_the_route(served, ending):
    with RemoteEmbedder(served.url + ending) as remote:
        assert len(remote.embed("a")) == 384


def test_e2_what_the_client_reads_is_what_the_server_says(served):
    with RemoteEmbedder(served.url, model="hashing", dimension=384) as remote:
        assert remote.embed_array(TEXTS).tobytes() == HashingEmbedder().embed_array(TEXTS).tobytes()
        remote.embed_array(TEXTS)
        assert remote.cache_hits == 4
    with (
        RemoteEmbedder(served.url, model="nope") as remote,
        pytest.raises(EmbeddingError, match="unknown model 'nope'"),
    ):
        remote.embed("a")


def test_e4_here_and_there_a_text_has_the_same_bits(served, tmp_path):
    with (
        EmbeddingCache("hashing", tmp_path / "a", served.url, ["local"]) as local,
        EmbeddingCache("hashing", tmp_path / "b", served.url, ["remote"]) as remote,
    ):
        for text in ("  Ünïcode  TEXT ", "SELECT 1", "a"):
            assert local.embed(text) == remote.embed(text)


def test_the_model_itself_has_the_same_bits_here_and_there(tmp_path):
    with (
        OnnxEmbedder(threads=1) as model,
        Served(EmbedderService("all-MiniLM-L6-v2", embedders={"all-MiniLM-L6-v2": model})) as served,
        EmbeddingCache(cache_dir=tmp_path, remote_url=served.url, fallback_providers=["remote"]) as cache,
    ):
        assert np.asarray(cache.embed(TEXTS), np.float32).tobytes() == model.embed_array(TEXTS).tobytes()


def test_e8_a_miss_and_a_hit_of_the_server_have_the_same_bits(served):
    with RemoteEmbedder(served.url) as remote:
        assert remote.embed_array(TEXTS).tobytes() == remote.embed_array(TEXTS).tobytes()


def test_e10_equal_texts_of_a_batch_are_computed_once():
    model = Counted()
    with Served(model.service()) as served, RemoteEmbedder(served.url) as remote:
        assert remote.embed_array(["a", "b", "a"]).shape == (3, 8)
        assert model.texts == ["a", "b"]


def test_e11_a_model_that_returns_too_few_vectors_is_an_error_and_leaves_no_gap():
    class Short(HashingEmbedder):
        async def aembed_array(self, texts, **_):
            return super().embed_array(texts)[:-1]

        def embed_array(self, texts, **_):
            return super().embed_array(texts)[:-1]

    with (
        Served(EmbedderService("short", embedders={"short": Short()})) as served,
        RemoteEmbedder(served.url) as remote,
        pytest.raises(EmbeddingError, match="502"),
    ):
        remote.embed_array(["a", "b"])


def test_e5_one_tenant_cannot_fill_the_vectors_of_another(tmp_path):
    keys = KeyFile(tmp_path / "keys.jsonl")
    secrets = [keys.create(name, (name,))[1] for name in ("acme", "other")]
    with Served(Counted().service(), keys=keys) as served:
        for turn in range(2):
            for secret in secrets:
                with RemoteEmbedder(served.url, api_key=secret) as remote:
                    remote.embed_array(["a"])
                    assert remote.cache_hits == turn


def test_a_key_is_sent_and_a_wrong_one_is_told(tmp_path):
    keys = KeyFile(tmp_path / "keys.jsonl")
    secret = keys.create("cache")[1]
    with Served(EmbedderService("hashing"), keys=keys) as served:
        with EmbeddingCache("hashing", tmp_path, served.url, ["remote"], api_key=secret) as cache:
            assert len(cache.embed("a")) == 384
        with (
            RemoteEmbedder(served.url, api_key="medha_0_wrong") as remote,
            pytest.raises(EmbeddingError, match="401"),
        ):
            remote.embed("a")


def test_a_server_that_is_gone_leaves_the_work_to_the_model_here(served, tmp_path):
    with EmbeddingCache("hashing", tmp_path, "http://127.0.0.1:9", ["remote", "local"]) as cache:
        assert len(cache.embed("a")) == 384


def test_large_batches_are_sent_in_parts(served):
    texts = [f"text {i}" for i in range(300)]
    with RemoteEmbedder(served.url) as remote:
        assert remote.embed_array(texts).tobytes() == HashingEmbedder().embed_array(texts).tobytes()
    with (
        RemoteEmbedder(served.url, max_batch=1000) as remote,
        pytest.raises(EmbeddingError, match="at most 200 at once"),
    ):
        remote.embed_array(texts)


async def test_a_semantic_cache_whose_model_runs_elsewhere(served):
    settings = Settings(_env_file=None)
    with RemoteEmbedder(served.url, model="hashing") as remote:
        async with Medha("shop", remote, settings=settings) as cache:
            await cache.store("How many orders were placed?", "SELECT 1")
            await cache.clear_caches()
            assert (await cache.search("how many orders were placed")).generated_query == "SELECT 1"


def test_the_library_s_client_of_the_openai_protocol(served):
    with OpenAICompatibleAdapter(base_url=f"{served.url}/v1", model="hashing") as client:
        assert client.embed_array(TEXTS).tobytes() == HashingEmbedder().embed_array(TEXTS).tobytes()


# vendors behind the service


@pytest.fixture
def vendor(monkeypatch):
    server = EmbeddingServer()
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    yield server
    server.stop()


@pytest.fixture
def small(vendor, monkeypatch):
    """The vendor's model with the vendor's protocol; only its dimension is that of our test server."""
    from medha_core.embeddings import openai_adapter

    monkeypatch.setitem(openai_adapter._DIMENSIONS, "text-embedding-3-small", 64)
    return vendor


async def test_a_vendor_s_model_is_asked_for_misses_alone(small):
    async with EmbedderService("text-embedding-3-small", openai_api_key="the-key") as service:
        first = await service.embed_batch(["a" * 40, "b" * 40])
        again = await service.embed_batch(["a" * 40, "b" * 40, "c" * 40])
        assert first.total_cost == pytest.approx(20 / 1000 * 0.00002)
        assert (again.cached_count, again.total_cost) == (2, pytest.approx(10 / 1000 * 0.00002))
        assert [body["input"] for body in small.bodies] == [["a" * 40, "b" * 40], ["c" * 40]]
        assert service.get_metrics()["total_saved_usd"] == pytest.approx(20 / 1000 * 0.00002)


async def test_two_hundred_and_fifty_texts_are_three_calls_to_the_vendor(small):
    async with EmbedderService("text-embedding-3-small", openai_api_key="the-key") as service:
        result = await service.embed_batch([f"text {i}" for i in range(250)])
        assert result.total_embeddings == 250
        assert sorted(len(body["input"]) for body in small.bodies) == [50, 100, 100]


async def test_a_missing_key_is_one_clear_error(monkeypatch, vendor, caplog):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    service = EmbedderService("hashing")
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        await service.embed_text("a", model="text-embedding-3-small")
    with caplog.at_level(logging.WARNING), Served(service) as served:
        async with httpx.AsyncClient(base_url=served.url) as client:
            body = {"text": "a", "model": "text-embedding-3-small"}
            answer = await client.post("/embed/text", json=body)
    assert answer.status_code == 400
    assert "OPENAI_API_KEY" in answer.json()["error"]["message"]
