"""Every bad input gets a typed error that names the argument, or a value that says why."""

import asyncio
import json
import math
import sys

import pytest

from medha_core import (
    ArgumentTypeError,
    ArgumentValueError,
    BaseEmbedder,
    CallableEmbedder,
    ConfigurationError,
    DimensionMismatchError,
    HashingEmbedder,
    Medha,
    MedhaError,
    NativeBackend,
    SearchStrategy,
    Settings,
    StorageError,
)

PAIR = {"question": "How many users?", "generated_query": "SELECT 1"}


def make(embedder=None, backend=None, **settings):
    return Medha("shop", embedder or HashingEmbedder(), backend, Settings(_env_file=None, **settings))


@pytest.fixture
async def cache():
    async with make() as cache:
        yield cache


QUESTIONS = {
    "empty": "",
    "whitespace": " \t\n",
    "too long": "x" * 8193,
    "not text": 7,
    "none": None,
    "bytes": b"how many",
    "lone surrogate": "how many \ud800 users",
    "nul": "how many\x00users",
}


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS.keys())
async def test_a_search_says_what_is_wrong_with_a_question(cache, question):
    hit = await cache.search(question)
    assert hit.strategy is SearchStrategy.ERROR
    assert not hit
    assert hit.error.startswith("question: expected ")
    assert cache.search_sync(question).error == hit.error


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS.keys())
async def test_nothing_is_stored_under_a_bad_question(cache, question):
    if isinstance(question, str) and not question.strip():
        assert await cache.store(question, "SELECT 1") is False
    else:
        with pytest.raises((ArgumentValueError, ArgumentTypeError), match="question: expected"):
            await cache.store(question, "SELECT 1")
    with pytest.raises(MedhaError, match=r"entries\[1\]"):
        await cache.store_many([PAIR, {**PAIR, "question": question}])
    assert (await cache.stats()).backend_count == 0


@pytest.mark.parametrize("query", ["", "  ", None, 3, "SELECT '\ud800'", "SELECT \x00"])
async def test_nothing_is_stored_with_a_bad_query(cache, query):
    if isinstance(query, str) and not query.strip():
        assert await cache.store("How many users?", query) is False
    else:
        with pytest.raises(MedhaError, match="generated_query"):
            await cache.store("How many users?", query)
    assert (await cache.stats()).backend_count == 0


@pytest.mark.parametrize(
    "metadata",
    [
        {"a": [1]},
        {"a": None},
        {"a": math.nan},
        {"a": "x" * 257},
        {"1a": 1},
        {"": 1},
        {f"k{i}": 1 for i in range(33)},
        {1: 1},
        {"a": "\ud800"},
        {"a": 2**63},
        {"a": -(10**5000)},
        ["a"],
    ],
)
async def test_bad_metadata_and_filters_are_value_errors(cache, metadata):
    with pytest.raises(ValueError, match="metadata"):
        await cache.store("How many users?", "SELECT 1", metadata=metadata)
    with pytest.raises(ValueError, match="filters"):
        await cache.search("How many users?", filters=metadata)


@pytest.mark.parametrize("ttl", [0, -1, math.nan, math.inf, "60", True])
async def test_a_bad_time_to_live_is_refused(cache, ttl):
    with pytest.raises((ArgumentValueError, ArgumentTypeError), match="ttl"):
        await cache.store("How many users?", "SELECT 1", ttl=ttl)
    assert (await cache.stats()).backend_count == 0


async def test_a_string_is_no_batch(cache):
    with pytest.raises(ArgumentTypeError, match="questions"):
        await cache.search_batch("How many users?")
    with pytest.raises(ArgumentTypeError, match="entries"):
        await cache.store_many(PAIR)
    with pytest.raises(ArgumentValueError, match="batch_size"):
        await cache.store_many([PAIR], batch_size=0)
    with pytest.raises(ArgumentTypeError, match="batch_size"):
        await cache.store_many([PAIR], batch_size="5")
    with pytest.raises(ArgumentValueError, match="filters"):
        await cache.search_batch(["a", "b"], filters=[None])
    with pytest.raises(ArgumentTypeError, match="filters"):
        await cache.search_batch(["a", "b"], filters=5)


# files


async def test_a_missing_file_is_named(cache, tmp_path):
    with pytest.raises(MedhaError, match="no such file"):
        await cache.warm_from_file(tmp_path / "absent.jsonl")
    with pytest.raises(MedhaError, match="expected a file, got a directory"):
        await cache.warm_from_file(tmp_path)


@pytest.mark.parametrize("path", ["a\x00b", "\ud800", 5, None, b"pairs.jsonl"])
async def test_a_path_that_is_none_is_refused(cache, path):
    with pytest.raises(MedhaError):
        await cache.warm_from_file(path)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "[" + "9" * 5000 + "]", '{"a":' + "9" * 5000 + "}"]
)
async def test_what_the_json_reader_gives_up_on_is_an_error_of_ours(cache, tmp_path, text):
    file = tmp_path / "pairs.json"
    file.write_text(text)
    with pytest.raises(MedhaError, match=r"pairs\.json"):
        await cache.warm_from_file(file)


async def test_an_embedder_without_a_name_is_an_error_hit():
    class Nameless(HashingEmbedder):
        model_name = property(lambda self: 1 / 0)

    async with make() as cache:
        cache._parts.embedding._embedder = Nameless()
        assert "ZeroDivisionError" in (await cache.search("How many users?")).error


async def test_malformed_lines_are_named_and_nothing_is_stored(cache, tmp_path):
    file = tmp_path / "pairs.jsonl"
    file.write_text(json.dumps(PAIR) + "\n\n{oops\n")
    with pytest.raises(MedhaError, match="line 3"):
        await cache.warm_from_file(file)
    file.write_text("[" + json.dumps(PAIR) + ",\n{oops]")
    with pytest.raises(MedhaError, match="line 2"):
        await cache.warm_from_file(file)
    file.write_text("3\n")
    with pytest.raises(MedhaError, match="line 1: expected an object"):
        await cache.warm_from_file(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(MedhaError, match="UTF-8"):
        await cache.warm_from_file(file)
    assert (await cache.stats()).backend_count == 0


async def test_files_over_the_limit_or_outside_the_folder_are_refused(tmp_path):
    (tmp_path / "inside").mkdir()
    big, inside = tmp_path / "big.jsonl", tmp_path / "inside" / "pairs.jsonl"
    big.write_text(" " * (2**20 + 1))
    inside.write_text(json.dumps([PAIR]))
    async with make(max_file_size_mb=1) as cache:
        with pytest.raises(MedhaError, match="max_file_size_mb"):
            await cache.warm_from_file(big)
    async with make(allowed_file_dir=str(tmp_path / "inside")) as cache:
        assert await cache.warm_from_file(inside) == 1
        for path in (big, tmp_path / "inside" / ".." / "big.jsonl"):
            with pytest.raises(ArgumentValueError, match="allowed_file_dir"):
                await cache.warm_from_file(path)
        (tmp_path / "inside" / "link.jsonl").symlink_to(big)
        with pytest.raises(ArgumentValueError, match="allowed_file_dir"):
            await cache.warm_from_file(tmp_path / "inside" / "link.jsonl")


# embedders


def raising(_texts):
    raise RuntimeError("the model fell over")


EMBEDDERS = {
    "raises": (raising, "the model fell over"),
    "too few": (lambda texts: [], "expected"),
    "wrong dimension": (lambda texts: [[1.0] * 5 for _ in texts], "dimension"),
    "nan": (lambda texts: [[math.nan, 1.0, 1.0] for _ in texts], "embedd|finite|NaN"),
    "zero": (lambda texts: [[0.0, 0.0, 0.0] for _ in texts], "zero"),
}


@pytest.mark.parametrize(("function", "message"), EMBEDDERS.values(), ids=EMBEDDERS.keys())
async def test_an_embedder_that_fails_gives_an_error_and_stores_nothing(function, message, caplog):
    async with make(CallableEmbedder(function, 3, "broken", batch=True)) as cache:
        hit = await cache.search("How many users?")
        assert hit.strategy is SearchStrategy.ERROR
        assert hit.error
        assert await cache.store("How many users?", "SELECT 1") is False
        with pytest.raises(MedhaError):
            await cache.store_many([PAIR])
        assert (await cache.stats()).backend_count == 0


async def test_an_embedder_that_hangs_is_timed_out():
    async def hang(_texts):
        await asyncio.sleep(3600)

    async with make(CallableEmbedder(hang, 3, "slow", batch=True), embedding_timeout=0.05) as cache:
        hit = await cache.search("How many users?")
    assert hit.strategy is SearchStrategy.ERROR
    assert "0.05" in hit.error


def test_what_is_no_embedder_is_refused():
    with pytest.raises(ArgumentTypeError, match="embedder"):
        Medha("shop", object(), settings=Settings(_env_file=None))


@pytest.mark.parametrize("name", ["backend", "settings", "templates", "l1_backend"])
def test_what_is_no_part_of_a_cache_is_refused_by_name(name):
    for wrong in (7, {}):
        with pytest.raises(ArgumentTypeError, match=f"^{name}: expected "):
            Medha("shop", HashingEmbedder(), **{"settings": Settings(_env_file=None), name: wrong})


async def test_templates_that_are_no_list_are_refused(cache):
    with pytest.raises(ArgumentTypeError, match=r"^templates: expected "):
        await cache.load_templates(None)


async def test_a_report_of_progress_that_cannot_be_called_is_refused_before_anything_is_written(
    cache, tmp_path
):
    (tmp_path / "pairs.json").write_text(json.dumps([PAIR]))
    for refused in (
        cache.store_many([PAIR], on_progress=7),
        cache.warm_from_file(tmp_path / "pairs.json", on_progress=7),
        cache.export_jsonl(tmp_path / "out.jsonl", on_progress=7),
        cache.snapshot(tmp_path / "out", on_progress=7),
    ):
        with pytest.raises(ArgumentTypeError, match=r"^on_progress: expected "):
            await refused
    assert (await cache.stats()).backend_count == 0
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.json"]


@pytest.mark.parametrize("name", ["", "a\x00b", "\ud800", 7])
def test_bad_collection_names_are_refused(name):
    with pytest.raises(MedhaError, match="collection_name"):
        Medha(name, HashingEmbedder(), settings=Settings(_env_file=None))


# vectors and life


class Wide(BaseEmbedder):
    dimension = 8
    model_name = "wide"

    async def aembed(self, text):
        return [1.0] * 8

    async def aembed_batch(self, texts, **kwargs):
        return [[1.0] * 8 for _ in texts]


async def test_another_dimension_is_refused_at_start():
    backend = NativeBackend()
    await backend.initialize("shop", 384)
    with pytest.raises(DimensionMismatchError, match="expected dimension 384, got 8"):
        await make(Wide(), backend).start()
    await backend.close()


async def test_life_out_of_order(caplog):
    cache = make()
    assert (await cache.search("How many users?")).error == "the cache is not open: call start() first"
    with pytest.raises(ConfigurationError, match="start"):
        await cache.store("How many users?", "SELECT 1")
    await cache.start()
    await cache.store("How many users?", "SELECT 1")
    await cache.start()
    assert (await cache.stats()).backend_count == 1
    await cache.close()
    await cache.close()
    assert "closed" in (await cache.search("How many users?")).error
    assert cache.peek("How many users?") is None
    for call in (cache.store("a", "b"), cache.store_many([PAIR]), cache.stats(), cache.warm_from_file("x")):
        with pytest.raises(ConfigurationError, match="closed"):
            await call
    with pytest.raises(ConfigurationError, match="closed"):
        await cache.start()
    assert not hasattr(cache, "__enter__")


@pytest.mark.parametrize(
    "settings",
    [
        {"score_threshold_exact": 0.5},
        {"score_threshold_semantic": 0.99},
        {"hnsw_m": 2},
        {"backend_type": "floppy"},
        {"pg_table_prefix": "x; drop table"},
        {"max_question_length": 1},
        {"guard": "lax"},
    ],
)
def test_settings_out_of_range_are_value_errors(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        Settings(_env_file=None, **settings)


def test_a_store_whose_client_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "qdrant_client", None)
    monkeypatch.delitem(sys.modules, "medha_core.backends.qdrant", raising=False)
    with pytest.raises(ConfigurationError, match="qdrant"):
        make(backend_type="qdrant")


def test_a_store_that_nobody_knows_is_named():
    settings = Settings(_env_file=None).model_copy(update={"backend_type": "none"})
    with pytest.raises(ConfigurationError, match="'none'"):
        Medha("c", HashingEmbedder(), settings=settings)


async def test_another_model_is_refused_at_start(tmp_path):
    path = tmp_path / "cache"
    async with make(path=path) as cache:
        await cache.store("How many users?", "SELECT 1")
    other = CallableEmbedder(lambda text: [1.0] * 384, 384, "another model")
    with pytest.raises(StorageError, match=r"hashing.*another model"):
        await make(other, path=path).start()
    async with make(path=path) as cache:
        assert await cache.search("How many users?")
