"""A program written for the Medha library runs here with its import changed.

The examples are those of its documentation and README, with `HashingEmbedder` in
place of a model from the network. (Its first example passes `collection=`, which
its own constructor does not take: here, as there, it is `collection_name`.)
"""

import ast
import importlib
import inspect
import json
import os

import pandas as pd
import pytest
from pydantic import ValidationError

from medha_core import (
    CacheHit,
    CacheStats,
    ConfigurationError,
    HashingEmbedder,
    InMemoryL1Cache,
    Medha,
    MedhaError,
    QueryTemplate,
    SearchStrategy,
    Settings,
    TemplateError,
    query_hash,
)
from medha_core.backends.memory import InMemoryBackend
from medha_core.l1_cache.memory import InMemoryL1Cache as L1FromItsModule
from medha_core.metadata import (
    MAX_FILTER_FETCH,
    MAX_KEY_LENGTH,
    MAX_KEYS,
    MAX_VALUE_LENGTH,
    canonical_json,
    dumps_metadata,
    filter_fetch_size,
    loads_metadata,
    metadata_fingerprint,
    metadata_matches,
    split_filters,
    validate_metadata,
    verify_filters,
)
from medha_core.types import changed

# Where the Medha library has its names; "" is the package itself.
HOMES = {
    "": "Medha Settings CacheHit QueryTemplate CacheEntry CacheResult CacheStats PersistedStats "
    "StrategyStats SearchStrategy MetadataDict MetadataValue BaseEmbedder L1CacheBackend "
    "VectorStorageBackend InMemoryL1Cache RedisL1Cache setup_logging InMemoryBackend QdrantBackend "
    "PgVectorBackend ElasticsearchBackend VectorChordBackend ChromaBackend WeaviateBackend "
    "RedisVectorBackend AzureSearchBackend LanceDBBackend CohereAdapter GeminiAdapter "
    "OpenAICompatibleAdapter MistralAdapter",
    "backends.memory": "InMemoryBackend",
    "backends.qdrant": "QdrantBackend",
    "config": "Settings",
    "core": "Medha",
    "embeddings": "FastEmbedAdapter OpenAIAdapter OpenAICompatibleAdapter CohereAdapter GeminiAdapter "
    "MistralAdapter",
    "embeddings.fastembed_adapter": "FastEmbedAdapter",
    "embeddings.openai_adapter": "OpenAIAdapter",
    "exceptions": "MedhaError ConfigurationError EmbeddingError StorageError StorageInitializationError "
    "TemplateError ParameterExtractionError",
    "interfaces": "BaseEmbedder L1CacheBackend VectorStorageBackend",
    "interfaces.embedder": "BaseEmbedder",
    "interfaces.l1_cache": "L1CacheBackend",
    "interfaces.storage": "VectorStorageBackend",
    "l1_cache.memory": "InMemoryL1Cache",
    "l1_cache.redis_adapter": "RedisL1Cache",
    "logging": "setup_logging",
    "types": "CacheHit CacheEntry SearchStrategy",
    "utils.metadata": "validate_metadata canonical_json metadata_fingerprint dumps_metadata loads_metadata "
    "split_filters filter_fetch_size verify_filters metadata_matches MAX_FILTER_FETCH MAX_KEYS "
    "MAX_KEY_LENGTH MAX_VALUE_LENGTH",
    "utils.nlp": "ParameterExtractor keyword_overlap_score",
    "utils.normalization": "normalize_question question_hash query_hash",
}

REQUIRED = inspect.Parameter.empty

# Name, then each parameter with its default (? is "not given"); a * before those that are keyword-only.
DOCUMENTED = {
    "__init__": "collection_name embedder backend=None settings=None templates=None l1_backend=None",
    "start": "",
    "close": "",
    "search": "question * filters=None",
    "search_batch": "questions collection_name=None * filters=None",
    "store": "question generated_query response_summary=None template_id=None ttl=? * metadata=None",
    "store_batch": "entries",
    "store_many": "entries * batch_size=None on_progress=None ttl=?",
    "warm_from_file": "path batch_size=None on_progress=None",
    "warm_from_dataframe": "df * question_col='question' query_col='generated_query' "
    "response_col='response_summary' template_col=None metadata_cols=None batch_size=None on_progress=None "
    "ttl=?",
    "export_to_dataframe": "collection_name=None * include_vectors=False",
    "dedup_collection": "collection_name=None * strategy='keep_latest'",
    "expire": "collection_name=None",
    "invalidate": "question * collection_name=None",
    "invalidate_by_query_hash": "query_hash",
    "invalidate_by_template": "template_id",
    "invalidate_collection": "collection_name=None",
    "load_templates": "templates",
    "load_templates_from_file": "file_path",
    "feedback": "question correct * entry_id=None collection_name=None",
    "stats": "collection_name=None",
    "reset_stats": "",
    "clear_caches": "",
    "search_sync": "question",
    "search_batch_sync": "questions",
    "store_sync": "question generated_query",
    "warm_from_file_sync": "path",
    "clear_caches_sync": "",
    "feedback_sync": "question correct",
}


@pytest.mark.parametrize("module", HOMES)
def test_every_name_is_where_it_was(module):
    found = importlib.import_module(f"medha_core.{module}".rstrip("."))
    assert [name for name in HOMES[module].split() if not hasattr(found, name)] == []


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_method_takes_what_is_documented(name):
    parameters = list(inspect.signature(getattr(Medha, name)).parameters.values())[1:]
    by_name, keyword_only = {parameter.name: parameter for parameter in parameters}, False
    for place, documented in enumerate(DOCUMENTED[name].split()):
        if documented == "*":
            keyword_only = True
            continue
        wanted, _, default = documented.partition("=")
        parameter = by_name[wanted]
        if not keyword_only:
            assert parameters[place] is parameter, f"{wanted} is not number {place}"
            assert parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        if default and default != "?":
            assert parameter.default == ast.literal_eval(default)
        assert (parameter.default is REQUIRED) is not bool(default)
    known = {one.partition("=")[0] for one in DOCUMENTED[name].split()}
    added = [parameter for parameter in parameters if parameter.name not in known]
    assert all(parameter.default is not REQUIRED for parameter in added)


async def test_the_first_example():
    async with Medha(
        collection_name="my_cache",
        embedder=HashingEmbedder(),
        settings=Settings(backend_type="memory", _env_file=None),
    ) as cache:
        await cache.store("question", "SELECT ...")
        hit = await cache.search("question")
    assert hit.generated_query == "SELECT ..."


async def test_the_example_of_the_class():
    embedder = HashingEmbedder()
    medha = Medha(collection_name="my_cache", embedder=embedder)
    await medha.start()
    assert await medha.store("How many users?", "SELECT COUNT(*) FROM users")
    hit = await medha.search("how many users")
    assert hit.generated_query == "SELECT COUNT(*) FROM users"
    assert isinstance(hit.strategy, SearchStrategy)
    await medha.close()


async def test_closing_runs_on_an_exception_and_there_is_no_plain_with():
    cache = Medha("my_cache", HashingEmbedder(), l1_backend=InMemoryL1Cache(max_size=500))
    with pytest.raises(KeyError):
        async with cache:
            raise KeyError
    with pytest.raises(ConfigurationError, match="closed"):
        await cache.stats()
    assert not hasattr(Medha, "__enter__")
    assert L1FromItsModule is InMemoryL1Cache


async def test_warming_templates_and_statistics(tmp_path):
    pairs = [{"question": f"how many {w}", "generated_query": f"SELECT count(*) FROM {w}"} for w in "abc"]
    (tmp_path / "pairs.json").write_text(json.dumps(pairs))
    template = {
        "intent": "top_n",
        "template_text": "show the top {count} products",
        "query_template": "SELECT * FROM products LIMIT {count}",
        "parameters": ["count"],
        "parameter_patterns": {"count": r"\d+"},
    }
    (tmp_path / "templates.json").write_text(json.dumps([template]))
    seen = []
    settings = Settings(template_file=str(tmp_path / "templates.json"), _env_file=None)
    async with Medha("my_cache", HashingEmbedder(), InMemoryBackend(), settings) as cache:
        assert await cache.warm_from_file(str(tmp_path / "pairs.json"), 2, lambda *now: seen.append(now)) == 3
        assert seen == [(2, 3), (3, 3)]
        hit = await cache.search("show the top 7 products")
        assert (hit.strategy, hit.generated_query) == (
            SearchStrategy.TEMPLATE_MATCH,
            "SELECT * FROM products LIMIT 7",
        )
        await cache.load_templates([QueryTemplate(**template | {"intent": "other"})])
        with pytest.raises(TemplateError):
            await cache.load_templates_from_file(str(tmp_path / "none.json"))
        with pytest.raises(MedhaError):
            await cache.warm_from_file(str(tmp_path / "none.json"))
        assert await cache.warm_from_dataframe(pd.DataFrame(pairs)) == 3
        frame = await cache.export_to_dataframe()
        assert len(frame) == 3
        assert {"id", "original_question", "generated_query", "query_hash", "metadata"} <= set(frame.columns)
        stats = await cache.stats()
        assert isinstance(stats, CacheStats)
        assert stats.backend_count == 3
        assert 0 < stats.hit_rate <= 1
        assert "hits" in str(stats)
        await cache.reset_stats()
        assert (await cache.stats()).total_requests == 0


async def test_what_fails_is_a_value_where_the_library_promises_one():
    async with Medha("my_cache", HashingEmbedder(), settings=Settings(_env_file=None)) as cache:
        assert await cache.store("", "SELECT 1") is False
        assert await cache.store("a question", " ") is False
        assert (await cache.search(" ")).strategy is SearchStrategy.ERROR
        assert (await cache.search("never stored")).strategy is SearchStrategy.NO_MATCH
        assert await cache.invalidate("never stored") is False
        assert await cache.feedback("never stored", True) is False
        with pytest.raises(ValueError, match="filters"):
            await cache.search("a question", filters={"nested": {}})
        with pytest.raises(ValueError, match="filters"):
            await cache.search_batch(["a", "b"], filters=[None])
    assert CacheHit().strategy is SearchStrategy.NO_MATCH
    with pytest.raises(ConfigurationError, match="backend_type"):
        Medha(
            "c",
            HashingEmbedder(),
            settings=Settings(_env_file=None).model_copy(update={"backend_type": "none"}),
        )


async def test_a_use_is_counted_and_a_query_found_by_its_hash():
    backend = InMemoryBackend()
    async with Medha("c", HashingEmbedder(), backend, Settings(_env_file=None)) as cache:
        await cache.store("How many users?", "SELECT 1")
        found = await backend.search_by_query_hash("c", query_hash("SELECT 1"))
        assert found.generated_query == "SELECT 1"
        await backend.update_usage_count("c", found.id)
        rows, _ = await backend.scroll("c")
        assert [row.usage_count for row in rows] == [found.usage_count + 1]


def test_a_hit_is_copied_with_other_values():
    hit = CacheHit(generated_query="SELECT 1", strategy=SearchStrategy.EXACT_MATCH, metadata={"a": 1})
    other = {"strategy": SearchStrategy.L1_CACHE, "similarity": 0.5}
    made, expected = changed(hit, **other), hit.model_copy(update=other)
    assert made == expected
    assert made.model_fields_set == expected.model_fields_set
    assert made.model_dump() == expected.model_dump()
    assert hit.strategy is SearchStrategy.EXACT_MATCH
    with pytest.raises(ValidationError):
        made.strategy = SearchStrategy.EXACT_MATCH


def test_the_metadata_helpers():
    assert (MAX_FILTER_FETCH, MAX_KEYS, MAX_KEY_LENGTH, MAX_VALUE_LENGTH) == (1000, 32, 64, 256)
    assert canonical_json({"b": 1, "a": "ü"}) == '{"a":"ü","b":1}'
    assert dumps_metadata({}) == dumps_metadata(None) == metadata_fingerprint({}) == ""
    assert loads_metadata("no json") == loads_metadata("[1]") == {}
    assert loads_metadata(dumps_metadata({"a": True})) == {"a": True}
    assert (
        metadata_fingerprint({"a": 10})
        == metadata_fingerprint({"a": 10.0})
        != metadata_fingerprint({"a": "10"})
    )
    assert metadata_matches({"a": 1, "b": 2}, {"a": 1})
    assert not metadata_matches({"a": 1}, {"a": True})
    assert not metadata_matches({}, {"a": 1})
    assert split_filters({"a": "x", "b": 1, "c": True}) == ({"a": "x"}, {"b": 1, "c": True})
    assert split_filters({"b": 1, "c": True}, pushable=(str, int)) == ({"b": 1}, {"c": True})
    assert split_filters(None) == ({}, {})
    assert filter_fetch_size(5, {}, 10) == 5
    assert filter_fetch_size(5, {"a": 1}, 10) == filter_fetch_size(5, {}, 10, always=True) == 50
    assert filter_fetch_size(500, {"a": 1}, 10) == 1000
    assert filter_fetch_size(5000, {"a": 1}, 10) == 5000
    rows = [CacheHit(metadata={"a": number}) for number in (1, 2, 1)]
    assert verify_filters(rows, {"a": 1}) == [rows[0], rows[2]]
    assert (
        verify_filters(rows, {"a": 1}, 1)
        == verify_filters(results=rows, filters={"a": 1}, limit=1)
        == rows[:1]
    )
    for bad in (
        {"1a": 1},
        {"a": None},
        {"a": float("nan")},
        {"a": "x" * 257},
        {f"k{n}": 1 for n in range(33)},
    ):
        with pytest.raises(ValueError, match="metadata"):
            validate_metadata(bad)


DEFAULTS = {
    "query_language": "generic",
    "score_threshold_exact": 0.99,
    "score_threshold_semantic": 0.85,
    "score_threshold_template": 0.70,
    "score_threshold_fuzzy": 85.0,
    "score_threshold_fuzzy_prefilter": 0.65,
    "fuzzy_prefilter_top_k": 50,
    "l1_cache_max_size": 1000,
    "hnsw_m": 16,
    "hnsw_ef_construct": 100,
    "enable_quantization": True,
    "quantization_type": "scalar",
    "on_disk": False,
    "quantization_rescore": True,
    "quantization_oversampling": None,
    "quantization_ignore": False,
    "quantization_always_ram": True,
    "template_file": None,
    "embedding_cache_path": None,
    "allowed_file_dir": None,
    "max_file_size_mb": 100,
    "max_question_length": 8192,
    "validate_on_start": True,
    "default_ttl_seconds": None,
    "cleanup_interval_seconds": None,
    "feedback_incorrect_threshold": None,
    "feedback_boost_factor": 0.0,
    "metadata_filter_mode": "strict",
    "metadata_filter_soft_penalty": 0.5,
    "metadata_filter_overfetch": 10,
    "batch_size": 100,
    "batch_embed_concurrency": 1,
    "collect_stats": True,
    "stats_max_latency_samples": 10_000,
    "stats_persist_interval": 100,
    "embedding_timeout": None,
    "collection": "default",
    "fastembed_model": "BAAI/bge-small-en-v1.5",
    "oai_compat_base_url": "http://localhost:11434/v1",
    "oai_compat_model": "nomic-embed-text",
    "oai_compat_api_key": None,
    "mistral_api_key": None,
    "mistral_model": "mistral-embed",
    "mistral_batch_size": 50,
    "qdrant_mode": "memory",
    "qdrant_host": "localhost",
    "qdrant_port": 6333,
    "qdrant_url": None,
    "qdrant_api_key": None,
    "pg_dsn": None,
    "pg_host": "localhost",
    "pg_port": 5432,
    "pg_database": "medha",
    "pg_user": "postgres",
    "pg_password": None,
    "pg_schema": "public",
    "pg_table_prefix": "medha",
    "pg_pool_min_size": 2,
    "pg_pool_max_size": 10,
    "vc_lists": [1000],
    "vc_residual_quantization": True,
    "weaviate_mode": "local",
    "weaviate_http_port": 8080,
    "weaviate_grpc_port": 50051,
    "weaviate_collection_prefix": "Medha",
    "redis_mode": "standalone",
    "redis_url": None,
    "redis_port": 6379,
    "redis_db": 0,
    "redis_sentinel_master": "mymaster",
    "redis_key_prefix": "medha",
    "redis_index_algorithm": "HNSW",
    "redis_hnsw_m": 16,
    "redis_hnsw_ef_construction": 200,
    "redis_hnsw_ef_runtime": 10,
    "redis_socket_timeout": 5.0,
    "redis_socket_connect_timeout": 5.0,
    "chroma_mode": "ephemeral",
    "chroma_port": 8000,
    "lancedb_uri": "./lancedb_data",
    "lancedb_metric": "cosine",
    "azure_search_endpoint": "",
    "azure_search_api_version": "2024-05-01-preview",
    "azure_search_index_name": "medha",
    "azure_search_top_k_candidates": 50,
    "es_hosts": ["http://localhost:9200"],
    "es_num_candidates": 100,
    "es_timeout": 30.0,
}
REFUSED = {
    "score_threshold_exact": [0.89, 1.01],
    "score_threshold_semantic": [0.99, 1.0, -0.1],
    "score_threshold_fuzzy": [-1, 101],
    "fuzzy_prefilter_top_k": [0, 1001],
    "l1_cache_max_size": [-1],
    "hnsw_m": [3, 65],
    "hnsw_ef_construct": [49, 501],
    "quantization_type": ["product"],
    "quantization_oversampling": [0.5],
    "max_file_size_mb": [0, 10_001],
    "max_question_length": [63, 1_000_001],
    "default_ttl_seconds": [0],
    "cleanup_interval_seconds": [59],
    "feedback_incorrect_threshold": [0],
    "feedback_boost_factor": [-0.1, 1.1],
    "metadata_filter_mode": ["loose"],
    "metadata_filter_overfetch": [0, 101],
    "batch_size": [0, 10_001],
    "batch_embed_concurrency": [0, 11],
    "stats_max_latency_samples": [99, 1_000_001],
    "stats_persist_interval": [0],
    "embedding_timeout": [0],
    "mistral_batch_size": [0, 513],
    "pg_schema": ["bad-name", "x" * 64],
    "pg_pool_max_size": [1],
}


def test_every_setting_has_its_documented_default(monkeypatch):
    for name in list(os.environ):
        if name.startswith("MEDHA_"):
            monkeypatch.delenv(name)
    settings = Settings(_env_file=None)
    assert {name: getattr(settings, name) for name in DEFAULTS} == DEFAULTS
    assert Settings(_env_file=None, unknown="is ignored")


@pytest.mark.parametrize("name", REFUSED)
def test_a_setting_out_of_range_is_refused(name):
    for value in REFUSED[name]:
        with pytest.raises(ValueError, match="validation error"):
            Settings(_env_file=None, **{name: value})
