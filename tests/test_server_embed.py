"""The routes `/embed/...` and `POST /embed`, with their exact fields, over a real socket."""

import asyncio
import struct

import httpx
import msgpack
import numpy as np
import pytest
from service_harness import Counted, Served, until, vector_of

from medha_core.service.limits import Limits


@pytest.fixture
def model():
    return Counted()


@pytest.fixture
def served(model):
    with Served(model.service(), limits=Limits(max_batch=50, max_body=20_000)) as served:
        yield served


@pytest.fixture
async def client(served):
    async with httpx.AsyncClient(base_url=served.url, timeout=30) as client:
        yield client


def unit(text):
    vector = vector_of(text).astype(np.float32)
    return vector / np.linalg.norm(vector)


async def test_text(client):
    answer = await client.post("/embed/text", json={"text": "a", "model": "counted", "use_cache": True})
    assert answer.status_code == 200
    body = answer.json()
    assert list(body) == ["embedding", "dimension", "model", "cached", "cost"]
    np.testing.assert_allclose(body["embedding"], unit("a"), rtol=1e-6)
    assert (body["dimension"], body["model"], body["cached"], body["cost"]) == (8, "counted", False, 0.0)
    again = (await client.post("/embed/text", json={"text": "a"})).json()
    assert again == body | {"cached": True}
    fresh = await client.post("/embed/text", json={"text": "a", "use_cache": False})
    assert fresh.json()["cached"] is False


async def test_query(client, model):
    body = (await client.post("/embed/query", json={"query": "a"})).json()
    assert list(body) == ["embedding", "dimension", "model", "cached", "cost"]
    assert (await client.post("/embed/text", json={"text": "a"})).json()["cached"] is False
    assert (await client.post("/embed/query", json={"query": "a"})).json()["cached"] is True
    assert model.texts == ["a", "a"]


async def test_batch(client, model):
    await client.post("/embed/text", json={"text": "a"})
    asked = {"texts": ["a", "", "b", "c", "b"], "batch_size": 1, "model": "counted"}
    body = (await client.post("/embed/batch", json=asked)).json()
    assert sorted(body) == [
        "cached_count", "dimension", "embeddings", "model", "total_cost", "total_embeddings",
    ]  # fmt: skip
    np.testing.assert_allclose(body["embeddings"], [unit(t) for t in "abcb"], rtol=1e-6)
    assert (body["total_embeddings"], body["cached_count"], body["total_cost"]) == (4, 1, 0.0)
    assert sorted(map(len, model.batches)) == [1, 1, 1]


async def test_models(client):
    body = (await client.get("/embed/models")).json()
    assert list(body) == ["models", "default"]
    assert body["default"] == "counted"
    models = {each["name"]: each for each in body["models"]}
    assert models["text-embedding-3-small"] == {
        "name": "text-embedding-3-small",
        "provider": "openai",
        "dimension": 1536,
        "max_batch_size": 100,
        "max_input_length": 8191,
        "cost_per_1k_tokens": 0.00002,
        "loaded": False,
    }
    assert models["counted"]["loaded"] is True


async def test_metrics_and_reset(client):
    for _ in range(2):
        await client.post("/embed/text", json={"text": "a"})
    metrics = (await client.get("/embed/metrics")).json()["metrics"]
    assert metrics["total_embeddings_generated"] == 1
    assert metrics["cache_hit_rate"] == 0.5
    assert metrics["total_cost_usd"] == 0.0
    assert metrics["models_loaded"] == 1
    assert (await client.post("/embed/metrics/reset")).json() == {
        "status": "success",
        "message": "the metrics were reset",
    }
    assert (await client.get("/embed/metrics")).json()["metrics"]["total_embeddings_generated"] == 0


async def test_health(client):
    assert (await client.get("/embed/health")).json() == {
        "status": "healthy",
        "service": "embedder",
        "default_model": "counted",
        "caching_enabled": True,
        "models_loaded": 1,
        "redis": "off",
    }


async def test_warming(client, model):
    body = (await client.post("/embed/warm", json={"texts": ["a", "b"]})).json()
    assert body == {"model": "counted", "total_embeddings": 2, "cached_count": 0, "total_cost": 0.0}
    assert (await client.post("/embed/text", json={"text": "a"})).json()["cached"] is True
    assert sorted(model.texts) == ["a", "b"]


async def test_state_for_what_stands_around(client):
    assert (await client.get("/health")).json()["status"] == "ok"
    ready = await client.get("/ready")
    assert (ready.status_code, ready.json()) == (
        200,
        {"status": "ready", "checks": {"model": "ok", "redis": "off"}},
    )


async def test_a_server_that_ends_is_not_ready(client, served):
    served.app.state.readiness.closing = True
    ready = await client.get("/ready")
    assert (ready.status_code, ready.json()["status"]) == (503, "not ready")


async def test_prometheus_reads_counts_by_route_and_model(client):
    await client.post("/embed/batch", json={"texts": ["a", "b"]})
    await client.post("/embed/text", json={"text": "a"})
    await client.get("/somebody/s/secret/path")
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert 'medha_embeddings_computed_total{model="counted"} 2.0' in lines
    assert 'medha_embedding_cache_hits_total{model="counted"} 1.0' in lines
    assert 'medha_http_requests_total{method="POST",route="/embed/text",status="200"} 1.0' in lines
    assert 'medha_http_request_duration_seconds_count{route="/embed/batch"} 1.0' in lines
    assert "medha_models_loaded 1.0" in lines
    assert "secret" not in answer.text


# errors


def told(answer, status, kind, param):
    assert answer.status_code == status
    error = answer.json()["error"]
    assert sorted(error) == ["message", "param", "type"]
    assert (error["type"], error["param"]) == (kind, param)
    assert "Traceback" not in answer.text
    return error["message"]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/embed/text", {"text": ""}, "text"),
        ("/embed/text", {"text": " \n"}, "text"),
        ("/embed/text", {"text": "a\0b"}, "text"),
        ("/embed/text", {"text": None}, "text"),
        ("/embed/text", {"text": 3}, "text"),
        ("/embed/text", {}, "text"),
        ("/embed/text", {"text": "a", "texts": ["b"]}, "texts"),
        ("/embed/query", {"query": ""}, "query"),
        ("/embed/query", {}, "query"),
        ("/embed/query", {"query": 3}, "query"),
        ("/embed/query", {"query": "a " * 8500}, "query"),
        ("/embed/text", {"text": "a " * 8500}, "text"),
        ("/embed/batch", {"texts": ["a", "\U0001f600" * 3000]}, "texts[1]"),
        ("/embed/batch", {"texts": []}, "texts"),
        ("/embed/batch", {"texts": ["", " "]}, "texts"),
        ("/embed/batch", {"texts": "abc"}, "texts"),
        ("/embed/batch", {"texts": ["a", 1]}, "texts.1"),
        ("/embed/batch", {"texts": ["a"], "batch_size": 0}, "batch_size"),
        ("/embed", {"texts": []}, "texts"),
        ("/embed", {"texts": ["a", ""]}, "texts[1]"),
        ("/embed", {"texts": [""]}, "texts[0]"),
        ("/embed/batch", {"texts": ["a\0b"]}, "texts[0]"),
        ("/embed/warm", {"texts": ["a\0b"]}, "texts[0]"),
        ("/embed", {"texts": ["a"], "role": "other"}, "role"),
        ("/embed", {"texts": ["a"], "normalized": "yes"}, "normalized"),
    ],
)
async def test_what_cannot_be_used_names_the_field(client, path, body, param):
    message = told(await client.post(path, json=body), 422, "invalid_request_error", param)
    assert param.partition(".")[0].partition("[")[0] in message


@pytest.mark.parametrize("path", ["/embed/text", "/embed"])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"null", b"[" * 10_000])
async def test_what_is_no_json_is_told(client, path, content):
    answer = await client.post(path, content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.json()["error"]["param"] is None


async def test_lone_surrogates_come_back_readable(client):
    body = b'{"text": "a\\ud800", "\\udfff": 1}'
    answer = await client.post("/embed/text", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422


async def test_an_unknown_model_is_not_found(client):
    for path, body in {
        "/embed/text": {"text": "a", "model": "nope"},
        "/embed": {"texts": ["a"], "model": "nope"},
    }.items():
        message = told(await client.post(path, json=body), 404, "not_found_error", "model")
        assert message.startswith("unknown model 'nope': known are counted")


async def test_a_batch_that_is_too_large(client):
    for path in ("/embed/batch", "/embed", "/embed/warm"):
        answer = await client.post(path, json={"texts": ["a"] * 51})
        assert told(answer, 413, "request_too_large", "texts") == "texts: at most 50 at once, got 51"


async def test_a_body_that_is_too_large_is_not_read(client, model):
    answer = await client.post("/embed/text", json={"text": "a" * 20_000})
    assert told(answer, 413, "request_too_large", None) == "a request has at most 20000 bytes"

    async def endless():
        for _ in range(100):
            yield b"x" * 1000

    answer = await client.post("/embed/text", content=endless())
    assert answer.status_code == 413
    assert not model.batches


async def test_a_failing_model_is_told_without_what_it_said(client, model):
    model.failing = RuntimeError("the key sk-123 was refused at /home/somebody")
    answer = await client.post("/embed/text", json={"text": "a"})
    message = told(answer, 502, "embedding_error", None)
    assert "sk-123" not in message
    assert "/home" not in message


async def test_an_unexpected_error_shows_nothing_of_itself(client, served, monkeypatch):
    from medha_core import EmbedderService

    async def broken(*_, **__):
        raise KeyError("a secret")

    monkeypatch.setattr(EmbedderService, "vectors", broken)
    answer = await client.post("/embed/text", json={"text": "a"})
    assert "secret" not in told(answer, 500, "internal_error", None)


async def test_paths_and_methods_that_are_not_there(client):
    told(await client.get("/nothing"), 404, "not_found_error", None)
    told(await client.get("/embed/text"), 405, "invalid_request_error", None)


# msgpack


def packed(body):
    return {"content": msgpack.packb(body), "headers": {"content-type": "application/msgpack"}}


async def test_msgpack_in_and_out(client):
    answer = await client.post("/embed", **packed({"texts": ["a", "b"], "normalized": True}))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/msgpack"
    body = msgpack.unpackb(answer.content)
    assert list(body) == ["embeddings", "cache_hits", "model", "dimensions", "fingerprint"]
    assert body["cache_hits"] == [False, False]
    assert (body["model"], body["dimensions"]) == ("counted", 8)
    assert np.asarray(body["embeddings"], np.float32).tobytes() == np.stack([unit("a"), unit("b")]).tobytes()
    again = msgpack.unpackb((await client.post("/embed", **packed({"texts": ["b", "c"]}))).content)
    assert again["cache_hits"] == [True, False]
    assert again["embeddings"][0] == body["embeddings"][1]


async def test_json_says_the_same(client):
    one = (await client.post("/embed", json={"texts": ["a"], "model": "counted"})).json()
    two = msgpack.unpackb((await client.post("/embed", **packed({"texts": ["a"]}))).content)
    assert one | {"cache_hits": [True]} == two


async def test_the_role_reaches_the_model(client):
    await client.post("/embed", json={"texts": ["a"], "role": "document"})
    assert (await client.post("/embed", json={"texts": ["a"]})).json()["cache_hits"] == [False]
    assert (await client.post("/embed/text", json={"text": "a"})).json()["cached"] is True


def test_768_numbers_take_less_than_4_kilobytes():
    from medha_core.service.encode import json_rows, msgpack_rows

    array = np.random.default_rng(1).standard_normal((1, 768)).astype(np.float32)
    (row,) = msgpack_rows(array)
    assert len(bytes(row)) == 3845
    assert len(bytes(json_rows(array)[0])) > 3 * 3845
    assert msgpack.unpackb(bytes(row)) == array[0].tolist()
    assert struct.unpack(">f", bytes(row)[6:10])[0] == array[0, 0]


async def test_errors_are_in_the_request_s_type(client):
    for body, status, param in (
        ({"texts": []}, 422, "texts"),
        ({"texts": ["a"], "model": "nope"}, 404, "model"),
        ({"texts": ["a"] * 51}, 413, "texts"),
    ):
        answer = await client.post("/embed", **packed(body))
        assert answer.status_code == status
        assert msgpack.unpackb(answer.content)["error"]["param"] == param
    broken = await client.post("/embed", content=b"\xc1", headers={"content-type": "application/msgpack"})
    assert (broken.status_code, list(msgpack.unpackb(broken.content))) == (422, ["error"])


async def test_another_type_of_body_is_told(client):
    answer = await client.post("/embed", content=b"texts=a", headers={"content-type": "text/plain"})
    told(answer, 415, "unsupported_media_type", "content-type")


# sharing


async def test_concurrent_equal_texts_of_many_clients_are_computed_once(client, model):
    model.may_go.clear()
    limits = httpx.Limits(max_connections=64)
    async with httpx.AsyncClient(base_url=str(client.base_url), limits=limits, timeout=30) as many:
        asked = [asyncio.create_task(many.post("/embed/text", json={"text": "same"})) for _ in range(64)]
        await until(model.entered.is_set)
        await asyncio.sleep(0.2)
        model.may_go.set()
        answers = await asyncio.gather(*asked)
    assert {answer.status_code for answer in answers} == {200}
    assert model.texts == ["same"]
    assert sum(not answer.json()["cached"] for answer in answers) == 1


async def test_e6_a_long_batch_leaves_the_loop_to_others(client, model):
    model.may_go.clear()
    long = asyncio.create_task(client.post("/embed/batch", json={"texts": [f"t{i}" for i in range(50)]}))
    await until(model.entered.is_set)
    async with asyncio.timeout(10):
        assert (await client.get("/health")).status_code == 200
    model.may_go.set()
    assert (await long).json()["total_embeddings"] == 50
