"""`EmbedderService` in this process: its methods, fields, figures, and what it computes."""

import asyncio
import threading
from dataclasses import fields

import numpy as np
import pytest
from service_harness import Counted, until, vector_of

import medha_core
from medha_core import (
    ArgumentTypeError,
    ArgumentValueError,
    BatchEmbeddingResult,
    CallableEmbedder,
    ConfigurationError,
    EmbedderService,
    EmbeddingError,
    EmbeddingModelConfig,
    EmbeddingProvider,
    EmbeddingResult,
    HashingEmbedder,
    ServiceCache,
    close_embedder_service,
    get_embedder_service,
)
from medha_core.tokens import estimate_tokens


@pytest.fixture
def model():
    return Counted()


@pytest.fixture
def priced():
    """A service whose only paid model is the vendor's name for a function of our own."""
    function = Counted("text-embedding-3-small", 1536)
    return EmbedderService("text-embedding-3-small", embedders={"text-embedding-3-small": function.embedder})


def unit(text, dimension=8):
    vector = vector_of(text, dimension).astype(np.float32)
    return vector / np.linalg.norm(vector)


# results


async def test_a_text_has_the_five_fields_of_the_result(model):
    result = await model.service().embed_text("How many orders?")
    assert [field.name for field in fields(EmbeddingResult)] == [
        "embedding", "dimension", "model", "cached", "cost",
    ]  # fmt: skip
    assert isinstance(result, EmbeddingResult)
    np.testing.assert_allclose(result.embedding, unit("How many orders?"), rtol=1e-6)
    assert (result.dimension, result.model, result.cached, result.cost) == (8, "counted", False, 0.0)


async def test_a_batch_has_its_fields_and_leaves_empty_texts_out(model):
    result = await model.service().embed_batch(["a", "", "b", "  \n"])
    assert isinstance(result, BatchEmbeddingResult)
    assert (result.dimension, result.model, result.total_embeddings) == (8, "counted", 2)
    assert (result.cached_count, result.total_cost, result.indices) == (0, 0.0, [0, 2])
    np.testing.assert_allclose(result.embeddings, [unit("a"), unit("b")], rtol=1e-6)


async def test_the_second_call_is_a_hit_with_the_same_bits(model):
    service = model.service()
    first = await service.embed_text("a")
    second = await service.embed_text("a")
    assert (first.cached, second.cached) == (False, True)
    assert first.embedding == second.embedding
    assert model.texts == ["a"]


async def test_only_misses_of_a_batch_are_computed_in_order_and_once(model):
    service = model.service()
    await service.embed_batch(["a", "c"])
    result = await service.embed_batch(["c", "b", "a", "b", "d"])
    assert model.batches == [["a", "c"], ["b", "d"]]
    assert result.cached_count == 2
    np.testing.assert_allclose(result.embeddings, [unit(t) for t in "cbabd"], rtol=1e-6)


async def test_use_cache_false_computes_anew_and_remembers_nothing(model):
    service = model.service()
    for _ in range(2):
        assert not (await service.embed_text("a", use_cache=False)).cached
    assert not (await service.embed_text("a")).cached
    assert model.texts == ["a"] * 3


async def test_without_caching_everything_is_computed(model):
    service = model.service(enable_caching=False)
    await service.embed_batch(["a", "a"])
    assert not (await service.embed_text("a")).cached
    assert model.texts == ["a", "a"]
    assert not service.caching_enabled
    with pytest.raises(ValueError, match="enable_caching"):
        await service.warm(["a"])


async def test_batches_are_split_at_the_model_s_limit_and_at_the_caller_s(model):
    service = model.service()
    texts = [f"text {i}" for i in range(250)]
    await service.embed_batch(texts)
    assert sorted(map(len, model.batches)) == [50, 100, 100]
    model.batches.clear()
    result = await service.embed_batch([f"other {i}" for i in range(10)], batch_size=4)
    assert sorted(map(len, model.batches)) == [2, 4, 4]
    np.testing.assert_allclose(result.embeddings[9], unit("other 9"), rtol=1e-6)
    model.batches.clear()
    await service.embed_batch([f"third {i}" for i in range(150)], batch_size=1000)
    assert sorted(map(len, model.batches)) == [50, 100]


async def test_batches_of_one_request_run_beside_each_other(model):
    service = model.service(concurrency=3)
    model.may_go.clear()
    task = asyncio.create_task(service.embed_batch([f"text {i}" for i in range(10)], batch_size=2))
    await until(lambda: len(model.batches) == 3)
    await asyncio.sleep(0.05)
    assert len(model.batches) == 3
    model.may_go.set()
    assert (await task).total_embeddings == 10


@pytest.mark.parametrize("call", ["embed_text", "embed_query"])
@pytest.mark.parametrize("text", ["", "  ", "\n"])
async def test_an_empty_text_is_refused(model, call, text):
    with pytest.raises(ValueError, match="non-empty"):
        await getattr(model.service(), call)(text)


@pytest.mark.parametrize("texts", [[], ["", " "]])
async def test_an_empty_batch_is_refused(model, texts):
    with pytest.raises(ValueError, match="texts: expected at least one text that is not empty"):
        await model.service().embed_batch(texts)


@pytest.mark.parametrize(
    ("call", "argument"), [("embed_text", None), ("embed_batch", "abc"), ("embed_batch", ["a", 3])]
)
async def test_what_is_no_text_is_a_type_error(model, call, argument):
    with pytest.raises(ArgumentTypeError):
        await getattr(model.service(), call)(argument)


async def test_a_text_of_more_than_8000_tokens_is_refused(model):
    service = EmbedderService("hashing")
    config = service.model()
    assert (await service.embed_text("word " * 6399)).dimension == config.dimension
    small = model.service()
    with pytest.raises(ValueError, match=r"texts\[1\]: expected at most \d+ tokens"):
        await small.embed_batch(["a", "x" * 40_000])


async def test_an_unknown_model_lists_the_known_ones(model):
    with pytest.raises(ConfigurationError, match=r"unknown model 'nope': known are counted, .*hashing"):
        await model.service().embed_text("a", model="nope")
    with pytest.raises(ConfigurationError, match="unknown model 'nope'"):
        EmbedderService("nope")


async def test_a_failing_model_is_told_and_never_remembered(model):
    service = model.service()
    model.failing = RuntimeError("out of order")
    with pytest.raises(EmbeddingError, match="out of order"):
        await service.embed_text("a")
    model.failing = None
    assert not (await service.embed_text("a")).cached


async def test_vectors_of_the_wrong_length_are_an_embedding_error():
    class Wrong(medha_core.HashingEmbedder):
        async def aembed_array(self, texts, **_):
            return np.ones((len(texts), 3), np.float32)

        def embed_array(self, texts, **_):
            return np.ones((len(texts), 3), np.float32)

    service = EmbedderService("wrong", embedders={"wrong": Wrong()})
    with pytest.raises(EmbeddingError, match="expected dimension 384, got 3"):
        await service.embed_text("a")


# models


def test_the_seed_s_models_have_their_dimensions_batches_and_prices():
    table = {
        each["name"]: (each["dimension"], each["max_batch_size"], each["cost_per_1k_tokens"])
        for each in EmbedderService("hashing").get_available_models()
    }
    assert table["text-embedding-3-small"] == (1536, 100, 0.00002)
    assert table["text-embedding-3-large"] == (3072, 100, 0.00013)
    assert table["text-embedding-ada-002"] == (1536, 100, 0.0001)
    assert table["all-MiniLM-L6-v2"] == (384, 32, None)
    assert table["all-mpnet-base-v2"] == (768, 32, None)
    small = EmbedderService("hashing").model("text-embedding-3-small")
    assert isinstance(small, EmbeddingModelConfig)
    assert (small.provider, small.max_input_length) == (EmbeddingProvider.OPENAI, 8191)


async def test_a_model_loads_when_it_is_first_named_and_is_shared():
    service = EmbedderService("hashing")
    assert service.get_metrics()["models_loaded"] == 0
    await service.embed_text("a")
    await service.embed_query("b")
    assert service.loaded_models() == ["hashing"]
    (told,) = [each for each in service.get_available_models() if each["name"] == "hashing"]
    assert told["loaded"] is True


async def test_ten_at_once_load_a_model_once(monkeypatch):
    from medha_core.service import models

    made, real = [], models.make_embedder
    slow = threading.Event()

    def counted(name, **options):
        made.append(name)
        slow.wait(0.1)
        return real(name, **options)

    monkeypatch.setattr(models, "make_embedder", counted)
    service = EmbedderService("hashing")
    impatient = asyncio.create_task(service.embed_text("x"))
    await until(lambda: made)
    impatient.cancel()  # whoever gives up does not stop the load
    await asyncio.gather(*(service.embed_text(f"text {i}") for i in range(10)))
    assert made == ["hashing"]


async def test_a_model_that_cannot_load_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDHA_MODEL_DIR", str(tmp_path))
    monkeypatch.setenv("MEDHA_OFFLINE", "1")
    service = EmbedderService("all-MiniLM-L6-v2")
    for _ in range(2):
        with pytest.raises(EmbeddingError, match="MEDHA_OFFLINE"):
            await service.embed_text("a")
    assert service.loaded_models() == []


async def test_several_models_side_by_side_keep_their_vectors_apart(model):
    other = Counted("other")
    service = EmbedderService("counted", embedders={"counted": model.embedder, "other": other.embedder})
    await service.embed_text("a")
    assert not (await service.embed_text("a", model="other")).cached
    assert service.get_metrics()["models_loaded"] == 2


async def test_an_embedder_of_one_s_own_stays_open():
    closed = []

    class Own(medha_core.HashingEmbedder):
        def close(self):
            closed.append(self)

    async with EmbedderService("own", embedders={"own": Own()}) as service:
        await service.embed_text("a")
    assert not closed
    with pytest.raises(ArgumentTypeError, match=r"embedders\['own'\]"):
        EmbedderService("own", embedders={"own": "no embedder"})


async def test_dimensions_shorten_where_the_model_was_trained_for_it(priced):
    whole = await priced.embed_text("a")
    short = await priced.embed_text("a", dimensions=256)
    assert (short.dimension, short.cached) == (256, True)
    expected = np.asarray(whole.embedding[:256], np.float32)
    np.testing.assert_allclose(short.embedding, expected / np.linalg.norm(expected), rtol=1e-6)
    for wrong in (0, 1537):
        with pytest.raises(ValueError, match="dimensions: expected 1 to 1536"):
            await priced.embed_text("a", dimensions=wrong)


async def test_dimensions_are_refused_where_they_would_make_nonsense(model):
    service = model.service()
    assert (await service.embed_text("a", dimensions=8)).dimension == 8
    with pytest.raises(ValueError, match="dimensions: expected 8, the only ones counted has, got 4"):
        await service.embed_text("a", dimensions=4)


# costs and metrics


async def test_costs_by_request_in_total_and_saved(priced):
    text = "x" * 4000  # 1,000 tokens at 0.00002 a thousand
    first = await priced.embed_text(text)
    again = await priced.embed_text(text)
    batch = await priced.embed_batch([text, "y" * 2000, "y" * 2000])
    assert (first.cost, again.cost) == (pytest.approx(2e-5), 0.0)
    assert batch.total_cost == pytest.approx(1e-5)
    metrics = priced.get_metrics()
    assert metrics["total_cost_usd"] == pytest.approx(3e-5)
    assert metrics["total_saved_usd"] == pytest.approx(2e-5 + 2e-5 + 1e-5)
    assert metrics["total_tokens"] == 1500


async def test_metrics_count_and_reset(model):
    service = model.service()
    await service.embed_text("a")
    await service.embed_text("a")
    await service.embed_batch(["a", "b", "b"])
    metrics = service.get_metrics()
    assert metrics["total_embeddings_generated"] == 2
    assert (metrics["cache_hits"], metrics["cache_misses"]) == (2, 2)
    assert metrics["cache_hit_rate"] == 0.5
    assert metrics["by_model"]["counted"]["cache_misses"] == 2
    assert (metrics["models_loaded"], metrics["cache_entries"]) == (1, 2)
    service.reset_metrics()
    metrics = service.get_metrics()
    assert metrics["total_embeddings_generated"] == metrics["cache_hit_rate"] == 0
    assert metrics["models_loaded"] == 1
    assert (await service.embed_text("a")).cached


async def test_what_was_computed_before_a_failure_is_counted_and_remembered(model):
    service = model.service(concurrency=1)
    seen = []

    def second_fails(texts):
        seen.append(texts)
        if len(seen) == 2:
            raise RuntimeError("the second batch")
        return [vector_of(text) for text in texts]

    service = EmbedderService(
        "m", embedders={"m": CallableEmbedder(second_fails, 8, "m", batch=True)}, concurrency=1
    )
    with pytest.raises(EmbeddingError, match="the second batch"):
        await service.embed_batch(["a", "b", "c", "d"], batch_size=2)
    assert service.get_metrics()["total_embeddings_generated"] == 2
    assert (await service.embed_text("a")).cached


# sharing


async def test_concurrent_equal_texts_are_computed_once(model):
    service = model.service()
    model.may_go.clear()
    tasks = [asyncio.create_task(service.embed_batch(["a", f"b{i % 2}"])) for i in range(20)]
    await until(lambda: service.get_metrics()["texts_under_way"] == 3)
    model.may_go.set()
    results = await asyncio.gather(*tasks)
    assert sorted(model.texts) == ["a", "b0", "b1"]
    assert sum(result.total_embeddings - result.cached_count for result in results) == 3
    assert service.get_metrics()["total_embeddings_generated"] == 3


async def test_a_cancelled_caller_harms_nobody_who_waits_for_its_texts(model):
    service = model.service()
    model.may_go.clear()
    owner = asyncio.create_task(service.embed_text("a"))
    await until(lambda: model.batches)
    joiner = asyncio.create_task(service.embed_text("a"))
    await asyncio.sleep(0.02)
    owner.cancel()
    with pytest.raises(asyncio.CancelledError):
        await owner
    model.may_go.set()
    assert (await joiner).dimension == 8
    assert service.get_metrics()["texts_under_way"] == 0


async def test_a_cancelled_joiner_leaves_the_owner_alone(model):
    service = model.service()
    model.may_go.clear()
    owner = asyncio.create_task(service.embed_text("a"))
    await until(lambda: model.batches)
    joiner = asyncio.create_task(service.embed_text("a"))
    await asyncio.sleep(0.02)
    joiner.cancel()
    with pytest.raises(asyncio.CancelledError):
        await joiner
    model.may_go.set()
    assert not (await owner).cached
    assert model.texts == ["a"]


async def test_who_may_not_pay_leaves_those_alone_who_may(model):
    class RefusalError(Exception):
        pass

    class Empty:
        def take(self, count):
            raise RefusalError

    service = model.service()
    answers = await asyncio.gather(
        service.vectors(["a"], charge=Empty()), service.vectors(["a"]), return_exceptions=True
    )
    assert isinstance(answers[0], RefusalError)
    assert answers[1].array.shape == (1, 8)


def test_several_event_loops_may_share_a_service(model):
    service = model.service()
    errors = []

    def run(number):
        try:
            for i in range(20):
                asyncio.run(service.embed_text(f"text {(i + number) % 20}"))
        except BaseException as error:  # noqa: BLE001 (told by the test, which joins the thread)
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert sorted(set(model.texts)) == sorted(model.texts)


async def test_computing_leaves_the_event_loop_free(monkeypatch):
    loop, free, compute = asyncio.get_running_loop(), [], HashingEmbedder.embed_array

    def once_the_loop_has_run(self, texts, **options):
        ran = threading.Event()
        loop.call_soon_threadsafe(ran.set)
        free.append(ran.wait(10))
        return compute(self, texts, **options)

    monkeypatch.setattr(HashingEmbedder, "embed_array", once_the_loop_has_run)
    service = EmbedderService("hashing")
    await service.embed_batch([f"a sentence of some words, number {i}" for i in range(300)])
    assert set(free) == {True}


async def test_warming_makes_the_first_request_a_hit(model):
    service = model.service()
    warmed = await service.warm(f"text {i}" for i in range(3))
    assert (warmed.total_embeddings, warmed.cached_count) == (3, 0)
    assert (await service.embed_text("text 1")).cached


# the ways in which the design of the seed failed


async def test_d1_no_two_models_and_texts_share_a_key():
    service = EmbedderService(
        "a",
        embedders={name: CallableEmbedder(vector_of, 8, name) for name in ("a", "a:b")},
    )
    await service.embed_text("b:c", model="a")
    assert not (await service.embed_text("c", model="a:b")).cached


async def test_d1_a_document_that_starts_with_query_is_no_query(model):
    service = model.service()
    await service.embed_query("orders")
    for text in ("query:orders", "orders"):
        assert not (await service.embed_text(text)).cached
    assert (await service.embed_query("orders")).cached


async def test_d2_found_and_new_vectors_are_told_apart_by_presence_alone():
    # The seed's `cached[idx] or new[i]` fails on arrays and takes zeros for nothing.
    service = EmbedderService(
        "z", embedders={"z": CallableEmbedder(lambda text: [1.0, 0.0, 0.0, 0.0], 4, "z")}
    )
    await service.embed_text("a")
    result = await service.embed_batch(["a", "b", "a"])
    assert result.embeddings == [[1.0, 0.0, 0.0, 0.0]] * 3
    assert result.cached_count == 2


async def test_d3_what_is_used_stays_and_what_is_not_goes(model):
    service = model.service(cache=ServiceCache(max_entries=3))
    for text in ("hot", "b", "c"):
        await service.embed_text(text)
    assert (await service.embed_text("hot")).cached
    await service.embed_text("d")
    assert (await service.embed_text("hot")).cached
    assert not (await service.embed_text("b")).cached


async def test_d4_a_synchronous_redis_client_does_not_block_the_loop(redis, model):
    from redis import Redis

    client = Redis(host="127.0.0.1", port=redis.port)
    service = model.service(redis_client=client)
    await service.embed_text("a")
    assert client.dbsize() == 1
    assert service.redis_state == "up"
    client.close()


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        # with the byte-pair vocabulary cl100k; none of these were used to choose the weights
        ("Show me the revenue by month for the last two years, please", 13),
        ("Welche Bücher über Käse kosten weniger als fünf Euro?", 15),
        ("去年哪个产品的退款最多？", 12),
        ("Покажи доход по месяцам за последние два года", 20),
        ("先月最も売れた商品はどれですか？", 15),
        ("ما هو المنتج الأكثر مبيعا في الشهر الماضي؟", 29),
        ("지난달에 가장 많이 팔린 제품은 무엇입니까?", 29),
        ("पिछले महीने सबसे ज़्यादा बिकने वाला उत्पाद कौन सा था?", 53),
        ("Ποιο προϊόν πουλήθηκε περισσότερο τον περασμένο μήνα;", 48),
        ("Który produkt sprzedał się najlepiej w zeszłym miesiącu?", 22),
        ("Sản phẩm nào bán chạy nhất tháng trước?", 20),
        ("สินค้าใดขายดีที่สุดเมื่อเดือนที่แล้ว", 30),
        ("איזה מוצר נמכר הכי הרבה בחודש שעבר?", 32),
        ("🎉 new orders 🎉", 8),
    ],
)
def test_d5_tokens_are_estimated_by_script(text, counted):
    assert estimate_tokens(text) == pytest.approx(counted, rel=1 / 3)


def test_d5_ascii_has_the_seed_s_four_letters_a_token():
    assert estimate_tokens("x" * 400) == 100


async def test_d6_the_shared_service_ignores_no_argument():
    await close_embedder_service()
    try:
        shared = get_embedder_service(default_model="hashing", enable_caching=True)
        assert get_embedder_service() is shared
        assert get_embedder_service(default_model="hashing") is shared
        with pytest.raises(ConfigurationError, match=r"default_model differs.*'hashing'.*'all-MiniLM-L6-v2'"):
            get_embedder_service(default_model="all-MiniLM-L6-v2")
        with pytest.raises(ConfigurationError, match="openai_api_key differs") as told:
            get_embedder_service(openai_api_key="sk-secret")
        assert "secret" not in str(told.value)
    finally:
        await close_embedder_service()
    assert get_embedder_service(default_model="hashing") is not shared
    await close_embedder_service()


async def test_d6_a_default_that_is_named_later_is_no_other_argument():
    await close_embedder_service()
    try:
        shared = get_embedder_service("hashing")
        assert get_embedder_service("hashing", None, enable_caching=True, cache_entries=1000) is shared
        with pytest.raises(ConfigurationError, match=r"enable_caching differs.*True.*False"):
            get_embedder_service(enable_caching=False)
        with pytest.raises(TypeError, match="no_such"):
            get_embedder_service(no_such=1)
    finally:
        await close_embedder_service()


async def test_d7_dimension_and_role_are_part_of_the_key():
    cache = ServiceCache()
    for dimension in (8, 16):
        service = EmbedderService(
            "m",
            embedders={"m": CallableEmbedder(lambda t, d=dimension: vector_of(t, d), dimension, "m")},
            cache=cache,
        )
        result = await service.embed_text("a")
        assert (result.cached, result.dimension) == (False, dimension)


async def test_scopes_remember_apart(model):
    service = model.service()
    await service.vectors(["secret"], scope="acme")
    assert (await service.vectors(["secret"], scope="acme")).cached == [True]
    assert (await service.vectors(["secret"], scope="other")).cached == [False]
    assert (await service.vectors(["secret"])).cached == [False]


def test_arguments_are_checked():
    with pytest.raises(ArgumentValueError, match="concurrency"):
        EmbedderService("hashing", concurrency=0)
    with pytest.raises(ArgumentValueError, match="redis_client"):
        EmbedderService("hashing", redis_client="redis://x", cache=ServiceCache())
    assert repr(EmbedderService("hashing")).startswith("<EmbedderService, hashing by default")


@pytest.mark.parametrize("size", [0, -1])
async def test_a_batch_size_below_one_is_refused(model, size):
    with pytest.raises(ArgumentValueError, match="batch_size"):
        await model.service().embed_batch(["a"], batch_size=size)
