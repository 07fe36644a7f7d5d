"""Keys, tenants, rates, times and hosts."""

import asyncio
import json
import os
import stat
import threading

import httpx
import pytest
from service_harness import Counted, Served, until

from medha_core import ArgumentValueError, ConfigurationError, HashingEmbedder, Medha, Settings
from medha_core.service.api_keys import KeyFile, default_key_file
from medha_core.service.limits import Limits, Rates
from medha_core.service.problems import ProblemError
from medha_core.service.server import check_binding, is_loopback


@pytest.fixture
def model():
    return Counted()


@pytest.fixture
def keys(tmp_path):
    return KeyFile(tmp_path / "keys.jsonl")


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def bearer(secret):
    return {"Authorization": f"Bearer {secret}"}


# the file


def test_a_key_is_kept_as_its_sha256_alone(keys):
    key, secret = keys.create("reports", ("shop",))
    assert len(secret) > 50
    kept = keys.path.read_text()
    assert secret not in kept
    assert secret.rpartition("_")[2] not in kept
    assert key.sha256 in kept
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o600 or os.name == "nt"
    assert keys.find(secret) == key
    assert (key.name, key.collections, key.revoked) == ("reports", ("shop",), None)


def test_wrong_keys_are_not_found(keys):
    key, secret = keys.create("reports")
    wrong = ["", "x", "medha", "medha__", secret[:-1], secret + "x", secret.upper(), f"medha_{key.id}_", "é"]
    assert [keys.find(each) for each in wrong] == [None] * len(wrong)


def test_two_processes_may_make_keys_at_once(keys):
    def make(number):
        KeyFile(keys.path).create(f"key {number}")

    threads = [threading.Thread(target=make, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys.all()) == 16


def test_a_revoked_key_is_refused_by_who_has_the_file_open(keys):
    clock = Clock()
    reader = KeyFile(keys.path, clock=clock)
    key, secret = keys.create("reports")
    assert reader.find(secret)
    keys.revoke(key.id)
    clock.now += 1.5
    assert reader.find(secret) is None
    assert [each.revoked is not None for each in keys.all()] == [True]
    assert keys.active() == []
    for gone in (key.id, "nothing"):
        with pytest.raises(ArgumentValueError, match="id: expected the id of a key"):
            keys.revoke(gone)


def test_a_torn_line_spoils_no_other(keys):
    _, secret = keys.create("first")
    with keys.path.open("ab") as file:
        file.write(b'\n{"id": "torn')
    with pytest.raises(ConfigurationError, match=r"keys\.jsonl: line \d is damaged"):
        KeyFile(keys.path).find(secret)
    keys.path.write_bytes(keys.path.read_bytes().replace(b'{"id": "torn', b""))
    assert KeyFile(keys.path).find(secret)


def test_names_and_collections_are_checked(keys):
    with pytest.raises(ArgumentValueError, match="name"):
        keys.create(" ")
    for wrong in ((), ("",)):
        with pytest.raises(ArgumentValueError, match="collections"):
            keys.create("reports", wrong)


def test_where_keys_are_by_default(monkeypatch, tmp_path):
    monkeypatch.setenv("MEDHA_KEYS", str(tmp_path / "mine"))
    assert default_key_file() == tmp_path / "mine"
    monkeypatch.delenv("MEDHA_KEYS")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("APPDATA", str(tmp_path))
    assert default_key_file() == tmp_path / "medha" / "keys.jsonl"


# who is let in


@pytest.fixture
async def tenants(model, keys):
    """A server with two tenants and an operator: the client, and their keys."""
    acme, other, operator = (
        keys.create("acme", ("acme",))[1],
        keys.create("other", ("other",))[1],
        keys.create("operator")[1],
    )
    cache = Medha("default", HashingEmbedder(), settings=Settings(_env_file=None))
    with Served(model.service(), cache, keys=keys) as served:
        async with httpx.AsyncClient(base_url=served.url, timeout=30) as client:
            yield client, bearer(acme), bearer(other), bearer(operator)


OPEN = {"/health", "/ready", "/embed/health", "/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect"}


async def test_every_route_but_health_needs_a_key(tenants):
    client, acme, *_ = tenants
    described = (await client.get("/openapi.json")).json()["paths"]
    assert {"/embed", "/v1/embeddings", "/cache/search", "/metrics"} <= set(described)
    for path, methods in described.items():
        for method in methods:
            for headers in ({}, bearer("medha_0_x"), {"Authorization": "Basic YTpi"}, {"X-API-Key": "x"}):
                answer = await client.request(method, path.replace("{model}", "x"), headers=headers)
                if path in OPEN:
                    assert answer.status_code == 200
                else:
                    assert answer.status_code == 401, (method, path)
                    assert answer.headers["www-authenticate"] == "Bearer"
                    assert answer.json()["error"]["type"] == "authentication_error"
    secret = acme["Authorization"].removeprefix("Bearer ")
    assert (await client.get("/embed/models", headers={"X-API-Key": secret})).status_code == 200


async def test_a_file_of_keys_that_is_damaged_lets_nobody_in(model, keys):
    _, secret = keys.create("reports")
    with Served(model.service(), keys=keys) as served:
        async with httpx.AsyncClient(base_url=served.url, headers=bearer(secret)) as client:
            assert (await client.get("/embed/models")).status_code == 200
            keys.path.write_bytes(keys.path.read_bytes() + b"{torn\n")
            keys._look_at = 0
            answer = await client.get("/embed/models")
    assert answer.status_code == 503
    assert str(keys.path) not in answer.text


async def test_one_key_never_reads_another_tenant(tenants):
    client, acme, other, operator = tenants
    stored = {"question": "How many plans are secret?", "generated_query": "SELECT 'acme'"}
    assert (await client.post("/cache/store", json=stored, headers=acme)).json() == {"stored": True}
    asked = {"question": stored["question"]}
    found = (await client.post("/cache/search", json=asked, headers=acme)).json()
    assert found["generated_query"] == "SELECT 'acme'"
    # by default, by name, in a batch, by id, in figures
    assert (await client.post("/cache/search", json=asked, headers=other)).json()["hit"] is False
    batch = {"questions": [stored["question"]]}
    (hit,) = (await client.post("/cache/search_batch", json=batch, headers=other)).json()["hits"]
    assert hit["hit"] is False
    for path, body in {
        "/cache/search": asked,
        "/cache/search_batch": batch,
        "/cache/store": stored,
        "/cache/invalidate": asked,
        "/cache/feedback": asked | {"correct": False},
    }.items():
        answer = await client.post(path, json=body | {"collection": "acme"}, headers=other)
        assert (answer.status_code, answer.json()["error"]["param"]) == (403, "collection")
    assert (await client.get("/cache/stats?collection=acme", headers=other)).status_code == 403
    wrong = asked | {"correct": False, "entry_id": found["entry_id"]}
    assert (await client.post("/cache/feedback", json=wrong, headers=other)).json() == {"counted": False}
    mine = (await client.get("/cache/stats", headers=other)).json()
    assert (mine["collection"], mine["entries"], mine["requests"], mine["server"]) == ("other", 0, 2, None)
    assert (await client.post("/cache/search", json=asked, headers=acme)).json()["hit"] is True
    # an operator sees all of them
    answer = await client.post("/cache/search", json=asked | {"collection": "acme"}, headers=operator)
    assert answer.json()["hit"] is True
    whole = (await client.get("/cache/stats?collection=acme", headers=operator)).json()
    assert whole["entries"] == 1
    assert whole["server"]["total_requests"] == 3


async def test_whether_a_text_is_remembered_tells_nothing_of_another_tenant(tenants):
    client, acme, other, _ = tenants
    asked = {"text": "the plan to buy the competitor"}
    assert (await client.post("/embed/text", json=asked, headers=acme)).json()["cached"] is False
    assert (await client.post("/embed/text", json=asked, headers=acme)).json()["cached"] is True
    assert (await client.post("/embed/text", json=asked, headers=other)).json()["cached"] is False


async def test_the_whole_server_is_for_keys_that_are_bound_to_nothing(tenants):
    client, acme, _, operator = tenants
    for method, path in (("GET", "/metrics"), ("GET", "/embed/metrics"), ("POST", "/embed/metrics/reset")):
        assert (await client.request(method, path, headers=acme)).status_code == 403
        assert (await client.request(method, path, headers=operator)).status_code == 200


async def test_what_the_first_tier_holds_is_free_for_every_tenant(model, keys):
    _, secret = keys.create("acme", ("acme",))
    cache = Medha("default", HashingEmbedder(), settings=Settings(_env_file=None))
    with Served(model.service(), cache, keys=keys, limits=Limits(rate=1)) as served:
        async with httpx.AsyncClient(base_url=served.url, headers=bearer(secret)) as client:
            stored = {"question": "How many orders?", "generated_query": "SELECT 1"}
            assert (await client.post("/cache/store", json=stored)).status_code == 200
            for _ in range(5):
                answer = await client.post("/cache/search", json={"question": stored["question"]})
                assert answer.json()["hit"] is True
            assert (await client.post("/cache/search", json={"question": "Who?"})).status_code == 429


async def test_a_key_for_several_collections_names_one(model, keys):
    _, secret = keys.create("both", ("a", "b"))
    cache = Medha("default", HashingEmbedder(), settings=Settings(_env_file=None))
    with Served(model.service(), cache, keys=keys) as served:
        async with httpx.AsyncClient(base_url=served.url, headers=bearer(secret)) as client:
            asked = {"question": "How many?"}
            assert (await client.post("/cache/search", json=asked)).status_code == 403
            for name in "ab":
                answer = await client.post("/cache/search", json=asked | {"collection": name})
                assert answer.status_code == 200


# rates


def test_e12_a_bucket_fills_up_steadily_and_says_for_how_long_it_is_empty():
    clock = Clock()
    rates = Rates(60, clock)
    rates.take("a", 60)
    with pytest.raises(ProblemError) as told:
        rates.take("a", 30)
    assert (told.value.status, told.value.headers) == (429, {"Retry-After": "30"})
    rates.take("b", 60)
    clock.now += 30
    rates.take("a", 30)
    clock.now += 3600
    rates.take("a", 60)
    with pytest.raises(ProblemError):
        rates.take("a", 1)


def test_more_than_a_minute_s_worth_is_let_through_once_and_paid_off():
    clock = Clock()
    rates = Rates(60, clock)
    rates.take("a", 180)
    clock.now += 120
    with pytest.raises(ProblemError):
        rates.take("a", 1)
    clock.now += 2
    rates.take("a", 1)


async def test_only_misses_are_charged(model):
    with Served(model.service(), limits=Limits(rate=3)) as served:
        async with httpx.AsyncClient(base_url=served.url) as client:
            for _ in range(10):
                assert (await client.post("/embed/batch", json={"texts": ["a", "b", "b"]})).status_code == 200
            refused = await client.post("/v1/embeddings", json={"input": ["c", "d"], "model": "counted"})
            assert refused.status_code == 429
            assert 0 < int(refused.headers["retry-after"]) <= 60
            assert refused.json()["error"]["type"] == "rate_limit_error"
            assert (await client.post("/embed", json={"texts": ["a"], "role": "document"})).status_code == 200
            assert (await client.post("/embed/text", json={"text": "c"})).status_code == 200
            assert (await client.post("/embed/text", json={"text": "d"})).status_code == 429
            assert (await client.post("/embed/text", json={"text": "a"})).status_code == 200


async def test_requests_that_fail_are_given_back(model):
    with Served(model.service(), limits=Limits(rate=2)) as served:
        async with httpx.AsyncClient(base_url=served.url) as client:
            model.failing = RuntimeError("out of order")
            for _ in range(5):
                assert (await client.post("/embed/batch", json={"texts": ["a", "b"]})).status_code == 502
            model.failing = None
            assert (await client.post("/embed/batch", json={"texts": ["a", "b"]})).status_code == 200
            assert (await client.post("/embed/text", json={"text": "c"})).status_code == 429


async def test_a_client_that_leaves_gets_its_charge_back_and_its_work_ended(model):
    service = model.service()
    with Served(service, limits=Limits(rate=1)) as served:
        async with httpx.AsyncClient(base_url=served.url, timeout=30) as client:
            model.may_go.clear()
            with pytest.raises(httpx.ReadTimeout):
                await client.post("/embed/text", json={"text": "a"}, timeout=0.5)
            await until(lambda: service.get_metrics()["texts_under_way"] == 0)
            model.may_go.set()
            assert (await client.post("/embed/text", json={"text": "b"})).status_code == 200


async def test_searches_are_charged_for_misses(model):
    cache = Medha("default", HashingEmbedder(), settings=Settings(_env_file=None))
    with Served(model.service(), cache, limits=Limits(rate=3)) as served:
        async with httpx.AsyncClient(base_url=served.url) as client:
            stored = {"question": "How many orders are there?", "generated_query": "SELECT 1"}
            assert (await client.post("/cache/store", json=stored)).status_code == 200
            for _ in range(10):
                hit = await client.post("/cache/search", json={"question": stored["question"]})
                assert hit.json()["hit"] is True
            for question, status in (("Who left?", 200), ("Who came?", 200), ("Who stayed?", 429)):
                answer = await client.post("/cache/search", json={"question": question})
                assert answer.status_code == status
            # What the first tier holds is free, whatever else was asked for.
            hit = await client.post("/cache/search", json={"question": stored["question"]})
            assert hit.json()["hit"] is True


async def test_searches_and_stores_that_fail_are_given_back():
    model = Counted()
    cache = Medha("default", model.embedder, settings=Settings(_env_file=None))
    with Served(model.service(), cache, limits=Limits(rate=2)) as served:
        async with httpx.AsyncClient(base_url=served.url) as client:
            model.failing = RuntimeError("out of order")
            for _ in range(3):
                answer = await client.post("/cache/search", json={"question": "Who left?"})
                assert answer.json()["strategy"] == "error"
                stored = {"question": "Who came?", "generated_query": "SELECT 1"}
                assert (await client.post("/cache/store", json=stored)).json() == {"stored": False}
            model.failing = None
            assert (await client.post("/cache/store", json=stored)).json() == {"stored": True}
            assert (await client.post("/cache/search", json={"question": "Who left?"})).status_code == 200
            assert (await client.post("/cache/search", json={"question": "Who?"})).status_code == 429


# times, hosts, connections


async def test_what_takes_too_long_is_a_504_and_is_ended(model):
    service = model.service()
    with Served(service, limits=Limits(timeout=3, rate=1)) as served:
        async with httpx.AsyncClient(base_url=served.url, timeout=30) as client:
            model.may_go.clear()
            answer = await client.post("/embed/text", json={"text": "a"})
            assert answer.status_code == 504
            assert answer.json()["error"] == {
                "type": "timeout_error",
                "message": "this took longer than 3 seconds",
                "param": None,
            }
            await until(lambda: service.get_metrics()["texts_under_way"] == 0)
            model.may_go.set()
            assert (await client.post("/embed/text", json={"text": "b"})).status_code == 200


async def test_a_body_that_never_comes_is_not_waited_for(model):
    with Served(model.service(), limits=Limits(timeout=0.3)) as served:
        host, _, port = served.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /embed/text HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\n\r\n{"
        )
        async with asyncio.timeout(20):
            head = await reader.readuntil(b"\r\n")
        assert b" 504 " in head
        writer.close()
        await writer.wait_closed()


async def test_a_browser_s_page_does_not_reach_a_server_without_keys(model):
    with Served(model.service(), hosts={"127.0.0.1", "localhost"}) as served:
        async with httpx.AsyncClient(base_url=served.url) as client:
            assert (await client.get("/health")).status_code == 200
            for name in ("evil.example", "evil.example:80", "127.0.0.1.evil.example"):
                answer = await client.get("/health", headers={"Host": name})
                assert answer.status_code == 421
            # a form of a page needs no permission of the browser, JSON does
            answer = await client.post(
                "/embed/text", content='{"text":"a"}', headers={"content-type": "text/plain"}
            )
            assert answer.status_code == 422


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("127.9.9.9", True), ("0.0.0.0", False),
     ("::", False), ("192.168.1.5", False), ("example.org", False), ("", False)],
)  # fmt: skip
def test_only_loopback_is_served_without_keys(host, loopback):
    assert is_loopback(host) is loopback
    check_binding(host, has_keys=True)
    if loopback:
        check_binding(host, has_keys=False)
    else:
        with pytest.raises(ConfigurationError, match=r"medha keys create NAME") as told:
            check_binding(host, has_keys=False)
        assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "wrong", [{"max_body": 0}, {"max_batch": 0}, {"timeout": 0}, {"rate": 0}], ids=lambda w: next(iter(w))
)
def test_limits_are_checked(wrong):
    with pytest.raises(ArgumentValueError, match=next(iter(wrong))):
        Limits(**wrong)


async def test_routers_can_be_mounted_elsewhere(model):
    from fastapi import FastAPI

    from medha_core.service.access import Access
    from medha_core.service.routers import embed_router, openai_router

    app = FastAPI()
    service = model.service()
    app.include_router(embed_router(service, Access(limits=Limits(max_batch=2))), prefix="/ai")
    app.include_router(openai_router(service))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        assert (await client.post("/ai/embed/text", json={"text": "a"})).json()["dimension"] == 8
        answer = await client.post("/ai/embed/batch", json={"texts": ["a", "b", "c"]})
        assert (answer.status_code, answer.json()["error"]["param"]) == (413, "texts")
        answer = await client.post("/v1/embeddings", json={"input": [1], "model": "counted"})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "input")


def test_the_file_is_json_lines(keys):
    key, _ = keys.create("reports", ("shop",))
    keys.revoke(key.id)
    lines = [json.loads(line) for line in keys.path.read_text().splitlines() if line]
    assert sorted(lines[0]) == ["collections", "created", "id", "name", "sha256"]
    assert sorted(lines[1]) == ["at", "revoke"]
