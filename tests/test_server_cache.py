"""The routes `/cache/...` over a real `Medha`."""

import httpx
import pytest
from service_harness import Counted, Served

from medha_core import HashingEmbedder, Medha, Settings, query_hash
from medha_core.service.limits import Limits

ORDERS = {
    "question": "How many orders were placed in 2023?",
    "generated_query": "SELECT COUNT(*) FROM o WHERE y = 2023",
}


@pytest.fixture(scope="module")
def served():
    cache = Medha("shop", HashingEmbedder(), settings=Settings(_env_file=None))
    with Served(Counted().service(), cache, limits=Limits(max_batch=10)) as served:
        yield served


@pytest.fixture
async def client(served):
    async with httpx.AsyncClient(base_url=served.url, timeout=30) as client:
        yield client


@pytest.fixture
def shop(request):
    """A collection of its own for each test."""
    return {"collection": request.node.name}


async def post(client, path, body, status=200):
    answer = await client.post(f"/cache/{path}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_e3_what_is_stored_is_found_over_http(client, shop):
    assert await post(client, "store", ORDERS | shop) == {"stored": True}
    hit = await post(client, "search", {"question": "how many orders were placed in 2023"} | shop)
    assert sorted(hit) == [
        "bound", "confidence", "entry_id", "error", "expires_at", "explanation", "generated_query", "hit",
        "metadata", "parameters", "response_summary", "similarity", "strategy", "template_used",
    ]  # fmt: skip
    assert (hit["hit"], hit["generated_query"]) == (True, ORDERS["generated_query"])
    assert hit["strategy"] in ("l1_cache", "exact_match")
    assert (hit["error"], hit["explanation"], hit["metadata"]) == (None, None, {})


async def test_a_miss_is_a_miss(client, shop):
    for known in (False, True):
        miss = await post(client, "search", {"question": "Who left?"} | shop)
        assert (miss["hit"], miss["strategy"], miss["generated_query"]) == (False, "no_match", ""), known
        await post(client, "store", ORDERS | shop)


async def test_asking_makes_no_collection(client, served, shop):
    await post(client, "search", {"question": "Who left?"} | shop)
    stats = (await client.get("/cache/stats", params=shop)).json()
    assert stats == {
        "collection": shop["collection"], "entries": 0, "requests": 1, "hits": 0, "misses": 1, "errors": 0,
        "hit_rate": 0.0, "server": stats["server"],
    }  # fmt: skip
    assert await post(client, "feedback", {"question": "Who left?", "correct": True} | shop) == {
        "counted": False
    }
    assert await post(client, "invalidate", {"question": "Who left?"} | shop) == {"invalidated": 0}


async def test_a_parametric_hit_says_what_it_put_in(client, shop):
    for year in ("2023", "2022"):
        await post(
            client, "store", {name: text.replace("2023", year) for name, text in ORDERS.items()} | shop
        )
    hit = await post(client, "search", {"question": ORDERS["question"].replace("2023", "2021")} | shop)
    assert hit["strategy"] == "parametric_match"
    assert hit["generated_query"] == ORDERS["generated_query"].replace("2023", "2021")
    assert hit["parameters"] == {"y": "2021"}
    assert hit["bound"] == ["SELECT COUNT(*) FROM o WHERE y = ?", [2021]]


async def test_explain(client, shop):
    await post(client, "store", ORDERS | shop)
    hit = await post(client, "search", {"question": "Who left?", "explain": True} | shop)
    assert isinstance(hit["explanation"], dict)
    assert hit["explanation"]


async def test_a_batch_keeps_its_order(client, shop):
    await post(client, "store", ORDERS | shop)
    asked = {"questions": ["Who left?", ORDERS["question"], "", ORDERS["question"]]}
    hits = (await post(client, "search_batch", asked | shop))["hits"]
    assert [hit["hit"] for hit in hits] == [False, True, False, True]
    assert hits[2]["strategy"] == "error"
    assert "question" in hits[2]["error"]
    stats = (await client.get("/cache/stats", params=shop)).json()
    assert (stats["hits"], stats["misses"], stats["errors"], stats["hit_rate"]) == (2, 1, 1, 0.5)


async def test_the_server_s_own_collection_is_the_default(client):
    await post(client, "store", ORDERS)
    assert (await post(client, "search", {"question": ORDERS["question"]}))["hit"] is True
    assert (await client.get("/cache/stats")).json()["collection"] == "shop"
    both = await post(client, "search_batch", {"questions": [ORDERS["question"], "Who left?"]})
    assert [hit["hit"] for hit in both["hits"]] == [True, False]


async def test_filters_and_metadata(client, shop):
    await post(client, "store", ORDERS | {"metadata": {"tenant": "a", "level": 2}} | shop)
    asked = {"question": ORDERS["question"]} | shop
    assert (await post(client, "search", asked))["hit"] is False
    hit = await post(client, "search", asked | {"filters": {"tenant": "a"}})
    assert (hit["hit"], hit["metadata"]) == (True, {"tenant": "a", "level": 2})
    assert (await post(client, "search", asked | {"filters": {"tenant": "b"}}))["hit"] is False
    assert (await post(client, "search", asked | {"include_scoped": True}))["hit"] is True


async def test_ttl_and_summary_arrive(client, shop):
    await post(client, "store", ORDERS | {"ttl": 1000, "response_summary": "a count"} | shop)
    hit = await post(client, "search", {"question": ORDERS["question"]} | shop)
    assert hit["expires_at"] is not None
    assert hit["response_summary"] == "a count"
    await post(client, "store", ORDERS | {"ttl": None} | shop)
    assert (await post(client, "search", {"question": ORDERS["question"]} | shop))["expires_at"] is None


async def test_a_conflict_is_a_409(client, shop):
    await post(client, "store", ORDERS | shop)
    other = ORDERS | {"generated_query": "SELECT 2", "on_conflict": "error"} | shop
    told = await post(client, "store", other, status=409)
    assert (told["error"]["type"], told["error"]["param"]) == ("conflict_error", "question")
    assert await post(client, "store", other | {"on_conflict": "replace"}) == {"stored": True}


async def test_nothing_empty_is_stored(client, shop):
    assert await post(client, "store", ORDERS | {"generated_query": " "} | shop) == {"stored": False}


async def test_feedback_is_counted(client, shop):
    await post(client, "store", ORDERS | shop)
    hit = await post(client, "search", {"question": ORDERS["question"]} | shop)
    said = {"question": ORDERS["question"], "correct": True, "entry_id": hit["entry_id"]}
    assert await post(client, "feedback", said | shop) == {"counted": True}
    assert await post(client, "feedback", said | {"entry_id": "0" * 32} | shop) == {"counted": False}
    assert (await client.get("/cache/stats")).json()["server"]["feedback_correct"] >= 1


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("search", {}, "question"),
        ("search", {"question": 3}, "question"),
        ("search", {"question": "a", "filters": {"a b": 1}}, None),
        ("search", {"question": "a", "filters": {"a": [1]}}, None),
        ("search", {"question": "a", "collection": ""}, "collection"),
        ("search", {"question": "a", "questions": ["b"]}, "questions"),
        ("search_batch", {"questions": "a"}, "questions"),
        ("store", {"question": "a"}, "generated_query"),
        ("store", ORDERS | {"ttl": 0}, "ttl"),
        ("store", ORDERS | {"on_conflict": "ask"}, "on_conflict"),
        ("store", ORDERS | {"question": "x" * 10_000}, "question"),
        ("feedback", {"question": "a"}, "correct"),
        ("feedback", {"question": " ", "correct": True}, "question"),
        ("invalidate", {}, "question"),
        ("invalidate", {"question": "a", "all": True}, "question"),
        ("invalidate", {"question": "a", "query_hash": "b"}, "question"),
    ],
)
async def test_what_cannot_be_used_names_the_field(client, path, body, param):
    told = await post(client, path, body, status=422)
    assert told["error"]["type"] == "invalid_request_error"
    if param is not None:
        assert told["error"]["param"] == param


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("search", '{"question": "%s"}'),
        ("search", '{"question": "a", "collection": "%s"}'),
        ("search", '{"question": "a", "filters": {"a": "%s"}}'),
        ("search", '{"question": "a", "filters": {"%s": "a"}}'),
        ("search_batch", '{"questions": ["a", "%s"]}'),
        ("store", '{"question": "%s", "generated_query": "a"}'),
        ("store", '{"question": "a", "generated_query": "%s"}'),
        ("store", '{"question": "a", "generated_query": "a", "response_summary": "%s"}'),
        ("store", '{"question": "a", "generated_query": "a", "template_id": "%s"}'),
        ("store", '{"question": "a", "generated_query": "a", "metadata": {"a": "%s"}}'),
        ("store", '{"question": "a", "generated_query": "a", "collection": "%s"}'),
        ("feedback", '{"question": "%s", "correct": true}'),
        ("feedback", '{"question": "a", "correct": true, "entry_id": "%s"}'),
        ("invalidate", '{"question": "%s"}'),
        ("invalidate", '{"query_hash": "%s"}'),
        ("invalidate", '{"template_id": "%s"}'),
        ("invalidate", '{"table": "%s"}'),
        ("invalidate", '{"filters": {"a": "%s"}}'),
    ],
)
@pytest.mark.parametrize("strange", ["\\ud800", "\\u0000", "a\\u0000b", "\\uffff"])
async def test_no_text_is_too_strange(client, path, body, strange):
    content = (body % strange).encode()
    answer = await client.post(
        f"/cache/{path}", content=content, headers={"content-type": "application/json"}
    )
    assert answer.status_code in (200, 422), answer.text


async def test_a_batch_that_is_too_large(client):
    told = await post(client, "search_batch", {"questions": ["a"] * 11}, status=413)
    assert told["error"]["param"] == "questions"


@pytest.mark.parametrize(
    "what",
    [
        {"question": ORDERS["question"].upper()},
        {"query_hash": query_hash(ORDERS["generated_query"])},
        {"template_id": "orders"},
        {"table": "o"},
        {"filters": {"tenant": "a"}},
        {"all": True},
    ],
    ids=lambda what: next(iter(what)),
)
async def test_what_is_forgotten_answers_nobody(client, shop, what):
    await post(client, "store", ORDERS | {"template_id": "orders", "metadata": {"tenant": "a"}} | shop)
    kept = {"question": "Who are the customers?", "generated_query": "SELECT * FROM customers"}
    await post(client, "store", kept | shop)
    await post(client, "store", ORDERS | {"collection": "another"})
    asked = {"question": ORDERS["question"], "filters": {"tenant": "a"}} | shop
    assert (await post(client, "search", asked))["hit"] is True
    assert (await post(client, "invalidate", what | shop))["invalidated"] >= 1
    assert (await post(client, "search", asked))["hit"] is False
    rest = await post(client, "search", {"question": kept["question"]} | shop)
    assert rest["hit"] is ("all" not in what)
    other = {"question": ORDERS["question"], "collection": "another"}
    assert (await post(client, "search", other))["hit"] is True
    assert (await post(client, "invalidate", what | shop))["invalidated"] == 0


async def test_prometheus_reads_the_cache_too(client, shop):
    await post(client, "search", {"question": "Who left?"} | shop)
    text = (await client.get("/metrics")).text
    families = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")]
    assert len(families) == len(set(families))
    assert any(name.startswith("medha_http_") for name in families)
    assert any(name.startswith("medha_lookup_") for name in families)
    assert shop["collection"] not in text


async def test_no_filters_forget_nothing(client, shop):
    await post(client, "store", ORDERS | shop)
    told = await post(client, "invalidate", {"filters": {}} | shop, status=422)
    assert told["error"]["param"] == "filters"


async def test_without_a_cache_there_are_no_cache_routes():
    with Served(Counted().service()) as served:
        async with httpx.AsyncClient(base_url=served.url) as client:
            assert (await client.post("/cache/search", json={"question": "a"})).status_code == 404


async def test_a_store_that_fails_is_told_without_where_it_lies(tmp_path):
    cache = Medha("shop", HashingEmbedder(), settings=Settings(path=tmp_path / "cache", _env_file=None))
    with Served(Counted().service(), cache) as served:
        async with httpx.AsyncClient(base_url=served.url) as client:
            await cache.close()
            answer = await client.get("/cache/stats")
            assert str(tmp_path) not in answer.text
            assert answer.status_code == 400
            assert (await client.get("/ready")).status_code == 503
